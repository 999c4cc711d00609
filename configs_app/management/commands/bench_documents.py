"""`manage.py bench_documents`: what it takes to judge an edit of a large document, beside parsing it.

Budget: validation, consequences and diff of 5,000 webhooks (2 MB) together within half a second. `total_cold_s` is all
three, one after the other, as the first thing after a start; `total_s` the same for an edit of a document that this
process has judged before, as while somebody types. The parts are measured one by one, with nothing remembered.
"""

from __future__ import annotations

import json
import time
from argparse import ArgumentParser
from collections.abc import Callable
from typing import Any

from django.core.management.base import BaseCommand

from configs_app import consequences, diffs, validation
from configs_app.validation import entries
from instances_app.models import Kind

BROKERS = 7


class Command(BaseCommand):
    help = "Measure validation, consequences and diff of an edit in a large webhooks document."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--entries", type=int, default=5000)
        parser.add_argument("--rounds", type=int, default=5, help="the best of so many is taken")
        parser.add_argument("--json", action="store_true", help="print one JSON object")

    def handle(self, *args: Any, **options: Any) -> None:
        before = _webhooks(options["entries"])
        after = {**before, "added": {"module": "log"}}
        name = next(iter(before))
        after[name] = {**before[name], "note": "another"}
        old, new = json.dumps(before, indent=2), json.dumps(after, indent=2)
        brokers = {f"kafka_{number}": {"type": "kafka", "bootstrap_servers": "k:9092"} for number in range(BROKERS)}
        beside = json.dumps(brokers)
        found = validation.findings(Kind.WEBHOOKS, new, beside=beside)

        def validate() -> object:
            return validation.findings(Kind.WEBHOOKS, new, beside=beside)

        def explain() -> object:
            return consequences.of_texts({Kind.WEBHOOKS: (old, new)}, webhooks=new)

        def compare() -> object:
            return diffs.between(old, new)

        def everything() -> object:
            return validate(), explain(), compare()

        def know_base() -> None:
            entries.forget()
            validation.findings(Kind.WEBHOOKS, old, beside=beside)

        work: dict[str, tuple[Callable[[], None], Callable[[], object]]] = {
            "validate_s": (entries.forget, validate),
            "consequences_s": (entries.forget, explain),
            "diff_s": (entries.forget, compare),
            "parse_s": (entries.forget, lambda: json.loads(new)),
            "total_s": (know_base, everything),
            "total_cold_s": (entries.forget, everything),
        }
        figures: dict[str, Any] = {"entries": len(after), "bytes": len(new.encode()), "findings": len(found)}
        figures |= {key: round(_best(before, do, options["rounds"]), 4) for key, (before, do) in work.items()}
        figures["times_json_loads"] = round(figures["total_cold_s"] / figures["parse_s"], 1)
        if options["json"]:
            self.stdout.write(json.dumps(figures))
            return
        for key, value in figures.items():
            self.stdout.write(f"{key:18} {value}")


def _webhooks(entries: int) -> dict[str, Any]:
    """About 400 bytes each, as people write them; every tenth holds a literal secret."""
    return {
        f"webhook_{number:04}": {
            "data_type": "json",
            "module": "kafka",
            "connection": f"kafka_{number % BROKERS}",
            "module-config": {"topic": f"topic-{number}", "forward_headers": False},
            "authorization": f"Bearer secret-{number}" if number % 10 == 0 else "Bearer {$WEBHOOK_TOKEN}",
            "retry": {"enabled": True, "max_attempts": 3},
            "note": "x" * 60,
        }
        for number in range(entries)
    }


def _best(prepare: Callable[[], None], do: Callable[[], object], rounds: int) -> float:
    times = []
    for _ in range(rounds):
        prepare()
        started = time.perf_counter()
        do()
        times.append(time.perf_counter() - started)
    return min(times)
