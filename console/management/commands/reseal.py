"""`manage.py reseal`: seal every token and document with the first of CONSOLE_SEAL_KEYS. `--check` only counts."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from console import resealing

NAMED = 10


class Command(BaseCommand):
    help = "Seal every token and document with the first of CONSOLE_SEAL_KEYS; may be ended and started again."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--check", action="store_true", help="only count what still needs an older key")

    def handle(self, *args: Any, check: bool, **options: Any) -> None:
        done = resealing.count(self.say) if check else resealing.reseal(self.say)
        number = sum(column.older for column in done)
        broken = [row for column in done for row in column.broken]
        if broken:
            more = f" and {len(broken) - NAMED} more" if len(broken) > NAMED else ""
            raise CommandError(
                f"No key of CONSOLE_SEAL_KEYS opens {', '.join(broken[:NAMED])}{more}. Put their key back behind the "
                "first one and start again.",
                returncode=2,
            )
        if check and number:
            raise CommandError(f"{number} rows still need an older key; run `manage.py reseal`.", returncode=1)
        seen = sum(column.seen for column in done)
        what = "all of them need only the first key" if check else f"{number} sealed again with the first key"
        self.stdout.write(f"{seen} rows, {what}.")

    def say(self, column: resealing.Column) -> None:
        self.stdout.write(f"{column}: {column.seen} of {column.total} rows, {column.older} under an older key")
