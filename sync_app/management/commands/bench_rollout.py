"""`manage.py bench_rollout --instances N [N …]`: real rollouts to simulated fleets, beside the reference clients."""

from __future__ import annotations

import json
import tempfile
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand

from console import scratch_database
from sync_app.bench import budgets, plot, stage
from sync_app.bench.measure import Setting, measure


class Command(BaseCommand):
    help = "Measure rollouts to a simulated fleet against curl and the seed's coordinator."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--instances", type=int, nargs="+", default=[300], metavar="N")
        parser.add_argument("--hang", type=_percent, default=0.0, metavar="PERCENT", help="never answer a push")
        parser.add_argument("--reject", type=_percent, default=0.0, metavar="PERCENT", help="refuse every push")
        parser.add_argument("--workers", type=int, default=1, help="Celery worker processes")
        parser.add_argument("--repeat", type=int, default=1, help="rollouts of each size; medians are taken")
        parser.add_argument("--into", type=Path, metavar="FOLDER", help="write rollouts.json and rollouts.svg there")
        parser.add_argument("--json", action="store_true", help="print one JSON object")

    def handle(self, *args: Any, **options: Any) -> None:
        sizes = options["instances"]
        common = {"workers": options["workers"], "repeat": options["repeat"]}
        faults = {"hang": options["hang"], "reject": options["reject"]}
        if len(sizes) == 1:
            settings = [Setting(sizes[0], **common, **faults)]
        else:  # the faults are a run of their own, to be held against the clean one of that size
            settings = [Setting(size, **common) for size in sizes]
            if any(faults.values()):
                settings.append(Setting(min(sizes, key=_to_1000), seed=False, until_verified=True, **common, **faults))
        figures = []
        for setting in settings:
            with (
                tempfile.TemporaryDirectory(prefix="bench-") as folder,
                scratch_database.made(),
                stage.broker(Path(folder)),
            ):
                figures.append(measure(setting, Path(folder), say=self.stderr.write))
        result = figures[0] if len(sizes) == 1 else {"runs": figures, "budgets": budgets.judged(figures)}
        if options["into"]:
            options["into"].mkdir(parents=True, exist_ok=True)
            (options["into"] / "rollouts.json").write_text(json.dumps(result, indent=1) + "\n")
            (options["into"] / "rollouts.svg").write_text(plot.svg(figures))
        if options["json"]:
            self.stdout.write(json.dumps(result))
            return
        for name, value in result.items():
            for line in value if isinstance(value, list) else [value]:
                self.stdout.write(f"{name:24} {line}")


def _to_1000(size: int) -> int:
    return abs(size - 1000)


def _percent(text: str) -> float:
    value = float(text.rstrip("%"))
    if not 0 <= value <= 100:
        raise ValueError(text)
    return value
