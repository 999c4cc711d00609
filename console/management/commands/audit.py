"""`manage.py audit verify [FILE]` checks the chain; `manage.py audit export` writes it as JSON lines."""

from __future__ import annotations

import json
import sys
from argparse import ArgumentParser
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from console import audit


class Command(BaseCommand):
    help = "Verify or export the audit trail."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("verb", choices=["verify", "export"])
        parser.add_argument("file", nargs="?", help="verify an exported file instead of the database")

    def handle(self, *args: Any, verb: str, file: str | None, **options: Any) -> None:
        if verb == "export":
            for row in audit.rows():
                self.stdout.write(json.dumps(row, sort_keys=True))
            return
        counted = Counted(_read(file) if file else audit.rows())
        bad = audit.first_bad(counted)
        if bad is not None:
            sequence, reason = bad
            raise CommandError(f"Event {sequence} is the first bad one: {reason}.", returncode=2)
        self.stdout.write(f"{counted.number} events, the chain is whole.")


class Counted:
    """Counts what passes through."""

    def __init__(self, rows: Iterator[dict[str, Any]]) -> None:
        self.rows = rows
        self.number = 0

    def __iter__(self) -> Iterator[dict[str, Any]]:
        for row in self.rows:
            self.number += 1
            yield row


def _read(name: str) -> Iterator[dict[str, Any]]:
    with nullcontext(sys.stdin) if name == "-" else Path(name).open(encoding="utf-8") as source:
        for number, line in enumerate(source, 1):
            try:
                yield json.loads(line)
            except ValueError:
                raise CommandError(f"{name}, line {number} is not a line of an export.") from None
