"""Migrate, then fill: `python -m console.embedded.prepare demo|empty`. One process, so that Django loads once."""

from __future__ import annotations

import sys

import django
from django.core.management import call_command

if __name__ == "__main__":
    django.setup()
    call_command("migrate", verbosity=0, interactive=False)
    if sys.argv[1] == "demo":
        call_command("seed_demo")
    else:
        call_command("create_admin", first=True)
