"""`manage.py validate_config --webhooks F --connections F [--json]`: the editor's checks, for scripts and CI.

Exit 0: clean or notes only; 1: warnings; 2: errors, or a file that cannot be read. `-` reads standard input.
"""

from __future__ import annotations

import json
import sys
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from configs_app import validation
from configs_app.validation import Finding, Level
from instances_app.models import OTHER, Kind


class Command(BaseCommand):
    help = "Validate documents without a database."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        for kind in Kind.values:
            parser.add_argument(f"--{kind}", metavar="FILE", help=f"the {kind} document; - is standard input")
        parser.add_argument("--json", action="store_true", help="print one JSON object")

    def handle(self, *args: Any, **options: Any) -> None:
        files = {kind: options[kind] for kind in Kind.values if options[kind]}
        if not files:
            raise CommandError("Name a file with --webhooks or --connections.", returncode=2)
        texts = {kind: _read(name) for kind, name in files.items()}
        found = [
            finding
            for kind, text in texts.items()
            for finding in validation.findings(kind, text, beside=texts.get(OTHER[kind]))
        ]
        if options["json"]:
            self.stdout.write(json.dumps({"findings": [finding.as_json() for finding in found]}))
        else:
            for finding in found:
                place = f"{files[finding.document]}:{finding.line}:{finding.column}"
                self.stdout.write(f"{place}: {finding.level} {finding.rule} {finding.message}")
        code = _exit_code(found)
        if code:
            sys.exit(code)


def _read(name: str) -> str:
    try:
        content = sys.stdin.buffer.read() if name == "-" else Path(name).read_bytes()
        return content.decode("utf-8")
    except OSError as error:
        raise CommandError(f"{name} cannot be read: {error.strerror}.", returncode=2) from None
    except UnicodeDecodeError as error:
        raise CommandError(f"{name} is not UTF-8 text (byte {error.start}).", returncode=2) from None


def _exit_code(found: list[Finding]) -> int:
    levels = {finding.level for finding in found}
    return 2 if Level.ERROR in levels else 1 if Level.WARNING in levels else 0
