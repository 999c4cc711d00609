"""`manage.py bench_checks --instances N`: what it takes to check a simulated fleet, all the time."""

from __future__ import annotations

import json
import tempfile
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand

from console import scratch_database
from sync_app.bench import checking, stage


class Command(BaseCommand):
    help = "Measure the checks of a simulated fleet: the worker's CPU, late checks, what the database keeps."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--instances", type=int, default=1000)
        parser.add_argument("--interval", type=int, default=30, help="seconds between two checks of an instance")
        parser.add_argument("--seconds", type=int, default=120, help="how long is measured")
        parser.add_argument("--hang", type=float, default=0.0, metavar="PERCENT", help="never answer a check")
        parser.add_argument("--probe", type=int, default=0, metavar="CHECKS", help="ask services, too, every so often")
        parser.add_argument("--json", action="store_true", help="print one JSON object")

    def handle(self, *args: Any, **options: Any) -> None:
        names = ("instances", "interval", "seconds", "hang", "probe")
        setting = checking.Setting(**{name: options[name] for name in names})
        with (
            tempfile.TemporaryDirectory(prefix="bench-") as folder,
            scratch_database.made(),
            stage.broker(Path(folder)),
        ):
            figures = checking.measure(setting, Path(folder), say=self.stderr.write)
        if options["json"]:
            self.stdout.write(json.dumps(figures))
            return
        for name, value in figures.items():
            self.stdout.write(f"{name:24} {value}")
