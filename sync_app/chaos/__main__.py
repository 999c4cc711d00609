"""`python -m sync_app.chaos …`: the run itself, beside the `up` that `manage.py chaos` has started. Leaves
figures.json in the folder."""

from __future__ import annotations

import argparse
import json
import logging
from pathlib import Path

import django


def main() -> None:
    parser = argparse.ArgumentParser(prog="sync_app.chaos")
    parser.add_argument("--seconds", type=float, required=True)
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--instances", type=int, required=True)
    parser.add_argument("--every", type=float, required=True)
    parser.add_argument("--url", required=True)
    parser.add_argument("--folder", type=Path, required=True)
    options = parser.parse_args()
    django.setup()
    logging.disable(logging.CRITICAL)  # what goes wrong here is wanted, and in the record

    from sync_app.chaos.run import Options, run

    figures = run(Options(**vars(options)))
    (options.folder / "figures.json").write_text(json.dumps(figures))


if __name__ == "__main__":
    main()
