"""A simulated fleet under the checker: what the worker uses, whether checks come in time, what the database keeps."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

from django.conf import settings
from django.db import connection
from django.utils import timezone

from console.sealing import seal
from instances_app.health import BUCKET_SECONDS
from instances_app.models import CheckSample, Environment, Instance, Observation, Probe, Served
from sync_app.bench import fleet, stage
from sync_app.models import CheckRound

TOKEN = "bench-token"  # noqa: S105 - of the simulated fleet
DAY = 86_400
TABLES = ("instances_app_instance", "instances_app_observation", "instances_app_checksample")


@dataclass(frozen=True, slots=True)
class Setting:
    """What is measured: `hang` in percent of the instances, which never answer."""

    instances: int
    interval: int  # seconds between two checks of an instance
    seconds: int  # how long is measured, after a first interval in which everybody is new
    hang: float = 0.0
    probe: int = 0  # with every so manyth check the service is asked, too; 0: never


@dataclass(slots=True)
class Counted:
    """The rounds that ended while it was measured."""

    rounds: int = 0
    asked: int = 0
    answered: int = 0
    late: int = 0


def measure(setting: Setting, folder: Path, *, say: Callable[[str], None]) -> dict[str, Any]:
    """The figures; nothing but the caller's scratch database and Redis is touched."""
    port = stage.free_port()
    _fill(setting.instances, port, probe=setting.probe)
    speed = {"CONSOLE_OBSERVE_SECONDS": str(setting.interval)}
    with (
        stage.fleet(setting.instances, port, hang_checks=setting.hang),
        stage.workers(1, folder, **speed) as (process,),
    ):
        say(f"waiting for the first round over {setting.instances} simulated instances")
        first = _finished()
        deadline = time.monotonic() + 4 * setting.interval + settings.READ_SECONDS + 60
        while (last := _finished()) == first:
            if time.monotonic() > deadline:
                raise RuntimeError("No round of checks was completed.")
            time.sleep(0.2)
        say(f"measuring for {setting.seconds} s")
        cpu, started, counted, rows = stage.cpu_seconds(process), time.perf_counter(), Counted(), _kept()
        while (spent := time.perf_counter() - started) < setting.seconds:
            time.sleep(0.2)
            found = CheckRound.objects.get()
            if found.finished_at != last:
                last = found.finished_at
                counted.rounds += 1
                counted.asked += found.asked
                counted.answered += found.answered
                counted.late += found.late
        cpu = stage.cpu_seconds(process) - cpu
        probed = Served.objects.filter(at__gt=timezone.now() - timedelta(seconds=spent)).count()
        others = _kept() - rows
        memory = stage.peak_mb(process)
    return {
        "instances": setting.instances,
        "interval_s": setting.interval,
        "seconds": round(spent, 1),
        "cpu_percent": round(100 * cpu / spent, 1),
        "cpu_ms_per_check": round(1000 * cpu / (spent * setting.instances / setting.interval), 2),
        "peak_worker_mb": round(memory, 1),
        "rounds": counted.rounds,
        "checks_per_s": round(counted.asked / (counted.rounds * setting.interval), 1) if counted.rounds else 0.0,
        "answered_percent": round(100 * counted.answered / max(counted.asked, 1), 2),
        "late_percent": round(100 * counted.late / max(counted.asked, 1), 3),
        "hang_percent": setting.hang,
        **({"probed_per_s": round(probed / spent, 1)} if setting.probe else {}),
        **_growth(setting, other_rows=round(others * DAY / spent)),
    }


def _fill(instances: int, port: int, *, probe: int) -> None:
    environment, token = Environment.objects.create(name="bench"), seal(TOKEN)
    if probe:
        now = timezone.now()
        asked = {"path": "/health", "statuses": "200", "every": probe, "version": 1, "changed_at": now}
        Probe.objects.create(environment=environment, **asked)
    Instance.objects.bulk_create(
        (
            Instance(
                environment=environment,
                name=f"instance-{index:05}",
                base_url=f"http://{fleet.address(index)}:{port}",
                token_sealed=token,
            )
            for index in range(instances)
        ),
        batch_size=5000,
    )
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE")


def _finished() -> Any:
    return CheckRound.objects.values_list("finished_at", flat=True).first()


def _kept() -> int:
    """Rows of what is looked after: nothing of it is deleted."""
    return Instance.objects.count() + Observation.objects.count()


def _growth(setting: Setting, *, other_rows: int) -> dict[str, int | float]:
    """A day's rows and bytes: a row for each instance and bucket, weighed on a day of 100 instances' rows.

    The rows that are updated in place grow nothing once vacuum has its rhythm; their size now is told beside it.
    """
    buckets = DAY // BUCKET_SECONDS
    some = list(Instance.objects.order_by("pk").values_list("pk", flat=True)[:100])
    with connection.cursor() as cursor:
        cursor.execute("SELECT sum(pg_total_relation_size(t::regclass)) FROM unnest(%s::text[]) AS t", [list(TABLES)])
        row = cursor.fetchone()
        now_bytes = int(row[0]) if row else 0
        cursor.execute("TRUNCATE instances_app_checksample")
        at = timezone.now()
        CheckSample.objects.bulk_create(
            CheckSample(
                instance_id=pk,
                at=at - number * timedelta(seconds=BUCKET_SECONDS),
                checks=30,
                failures=0,
                degraded=0,
                changes=0,
                ms_mean=20,
                ms_max=40,
            )
            for number in range(buckets)
            for pk in some
        )
        cursor.execute("SELECT pg_total_relation_size('instances_app_checksample')")
        row = cursor.fetchone()
    per_row = int(row[0]) / (buckets * len(some)) if row else 0.0
    rows = setting.instances * buckets
    return {
        "rows_per_day": rows + other_rows,
        "mb_per_day": round(rows * per_row / 1e6, 1),
        "bytes_per_row": round(per_row, 1),
        "kept_days": settings.SAMPLE_DAYS,
        "mb_at_most": round(rows * per_row * (settings.SAMPLE_DAYS + 1) / 1e6, 1),
        "mb_in_place": round(now_bytes / 1e6, 1),
    }
