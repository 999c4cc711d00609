#!/usr/bin/env python3
"""Start here: `python3 manage.py up` runs the console, `python3 manage.py test` tests it. Nothing else is needed."""

import sys

from console import bootstrap

if __name__ == "__main__":
    sys.exit(bootstrap.main(sys.argv))
