"""`manage.py bench_history`: what it takes to answer what ran where, in a large fleet with a long history.

Nothing of the console's data is touched: the fleet is made in a database of its own, which is dropped afterwards. The
changes are an hour apart; each reaches every instance within ten minutes, in no order.
"""

from __future__ import annotations

import json
import time
from argparse import ArgumentParser
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

from django.core.management.base import BaseCommand
from django.db import connection
from django.utils import timezone

from configs_app import documents
from configs_app.models import RevisionSource
from console import scratch_database
from console.sealing import seal
from instances_app import history as seen
from instances_app.models import Environment, Instance, Observation
from sync_app import history, splits

HOUR = timedelta(hours=1)


class Command(BaseCommand):
    help = "Measure the questions about what ran where, on a filled scratch database."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--instances", type=int, default=1000)
        parser.add_argument("--changes", type=int, default=100)
        parser.add_argument("--rounds", type=int, default=3, help="the best of so many is taken")
        parser.add_argument("--json", action="store_true", help="print one JSON object")

    def handle(self, *args: Any, **options: Any) -> None:
        with scratch_database.made():
            self.stderr.write("filling the database")
            environment, start = _fill(options["instances"], options["changes"])
            figures = _measure(environment, start, options["changes"], options["rounds"])
        if options["json"]:
            self.stdout.write(json.dumps(figures))
            return
        for name, value in figures.items():
            self.stdout.write(f"{name:24} {value}")


def _fill(instances: int, changes: int) -> tuple[Environment, datetime]:
    """An environment whose documents changed `changes` times, an hour apart, the last time an hour ago."""
    start = (timezone.now() - HOUR * changes).replace(microsecond=0)
    environment = Environment.objects.create(name="bench")
    token = seal("bench")
    Instance.objects.bulk_create(
        (
            Instance(
                environment=environment, name=f"instance-{index:05}", base_url=f"http://n{index}", token_sealed=token
            )
            for index in range(instances)
        ),
        batch_size=5000,
    )
    Instance.objects.update(created_at=start - HOUR)
    for number in range(changes):
        for kind in ("webhooks", "connections"):
            documents.add_revision(
                environment, kind, text=f'{{"n{number}": {{}}}}', source=RevisionSource.EDIT, author=None, message=""
            )
    with connection.cursor() as cursor:
        cursor.execute(
            """
            INSERT INTO configs_app_bundle (environment_id, number, webhooks_id, connections_id, created_at)
            SELECT %s, w.number, w.id, c.id, %s::timestamptz + make_interval(hours => w.number - 1)
            FROM configs_app_revision w JOIN configs_app_document wd ON wd.id = w.document_id AND wd.kind = 'webhooks'
            JOIN configs_app_revision c ON c.number = w.number
            JOIN configs_app_document cd ON cd.id = c.document_id AND cd.kind = 'connections'
            """,
            [environment.pk, start],
        )
        cursor.execute(
            """
            WITH seen AS (
                SELECT i.id AS instance_id, d.kind, r.digest, r.number,
                    b.created_at + make_interval(secs => (i.id * 7919 + r.number * 104729) % 600) AS since
                FROM configs_app_revision r JOIN configs_app_document d ON d.id = r.document_id
                JOIN configs_app_bundle b ON b.number = r.number CROSS JOIN instances_app_instance i
            ), next AS (
                SELECT *, lead(since) OVER (PARTITION BY instance_id, kind ORDER BY number) AS until FROM seen
            )
            INSERT INTO instances_app_observation (instance_id, kind, digest, since, seen_at, until)
            SELECT instance_id, kind, digest, since, coalesce(until - interval '30 seconds', now()), until
            FROM next ORDER BY since
            """
        )
        cursor.execute("ANALYZE")
    return environment, start


def _measure(environment: Environment, start: datetime, changes: int, rounds: int) -> dict[str, Any]:
    end = start + HOUR * changes
    middle = start + HOUR * (changes // 2) + timedelta(minutes=5)  # while a change is spreading
    instance = environment.instances.order_by("pk")[0]
    bundle = history.bundle_at(environment, middle)
    revision = bundle.webhooks if bundle else None
    if bundle is None or revision is None:
        raise RuntimeError("Nothing was desired in the middle of the history.")

    def seconds(question: Callable[[], object]) -> float:
        best = float("inf")
        for _ in range(rounds):
            before = time.perf_counter()
            question()
            best = min(best, time.perf_counter() - before)
        return round(best, 4)

    found = splits.splits(environment, start, end)
    return {
        "instances": environment.instances.count(),
        "changes": changes,
        "observations": Observation.objects.count(),
        "ran_at_s": seconds(lambda: history.ran_at(instance, middle)),
        "timeline_s": seconds(lambda: seen.stretches(instance)),
        "fleet_at_s": seconds(lambda: history.fleet_at(environment, middle)),
        "on_revision_s": seconds(lambda: history.on_revision(history.fleet_at(environment, middle), revision)),
        "spread_s": seconds(lambda: splits.spread(bundle)),
        "splits_day_s": seconds(lambda: splits.splits(environment, end - HOUR * 24, end)),
        "splits_all_s": seconds(lambda: splits.splits(environment, start, end)),
        "splits_found": len(found),
    }
