"""`manage.py bench_rollout --json` measures a real rollout and prints the keys that others rely on."""

from __future__ import annotations

import io
import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command
from django.db import connection

from sync_app.bench import budgets, fleet, plot
from sync_app.tasks import push_batch

KEYS = {
    "instances",
    "wall_s",
    "per_second",
    "cpu_ms_per_delivery",
    "peak_worker_mb",
    "verified",
    "reference",
    "ratio_to_curl",
    "times_faster_than_seed",
}


@pytest.mark.django_db(transaction=True)
def test_the_benchmark_rolls_out_to_its_own_fleet_and_leaves_nothing_behind(tmp_path: Path) -> None:
    database = connection.settings_dict["NAME"]
    out = io.StringIO()

    options = ["--instances", "20", "--reject", "10", "--into", str(tmp_path), "--json"]
    call_command("bench_rollout", *options, stdout=out, stderr=io.StringIO())

    figures = json.loads(out.getvalue())
    assert json.loads((tmp_path / "rollouts.json").read_text()) == figures
    assert set(figures) >= KEYS
    assert (figures["instances"], figures["verified"]) == (20, 18)
    assert figures["states"] == {"rejected": 2, "verified": 18}
    assert figures["reference"]["seed"]["ok"] == 20
    assert shutil.which("curl") is None or figures["reference"]["curl"]["ok"] == 20
    assert figures["cpu_ms_per_delivery"] > 0
    assert figures["peak_worker_mb"] > 10
    assert connection.settings_dict["NAME"] == database
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM pg_database WHERE datname LIKE 'bench_%%'")
        assert cursor.fetchone() == (0,)
    push_batch.delay(0)  # wake-ups go to this process's own Redis again, not to the one that is gone


def figures(instances: int, wall_s: float, *, hang: float = 0.0, seed_s: float | None = None) -> dict[str, Any]:
    curl, seed = {"wall_s": wall_s / 1.5}, {"wall_s": seed_s} if seed_s else None
    return {
        "instances": instances,
        "wall_s": wall_s,
        "last_verified_s": wall_s,
        "peak_worker_mb": 100.0 + instances / 500,
        "hang_percent": hang,
        "reject_percent": hang,
        "reference": {"curl": curl, "seed": seed},
        "ratio_to_curl": 1.5,
        "times_faster_than_seed": seed_s / wall_s if seed_s else None,
    }


def test_runs_are_held_against_the_budgets_and_only_those_they_can_tell_of() -> None:
    runs = [figures(1000, 1.0, seed_s=20.0), figures(10_000, 10.5), figures(1000, 1.3, hang=5.0)]
    assert [(one["value"], one["met"]) for one in budgets.judged(runs)] == [
        (1.5, True),  # against curl
        (20.0, False),  # faster than the seed
        (10.5, True),  # ten times as many
        (1.18, True),  # memory
        (1.3, False),  # with five percent that hang
    ]
    assert budgets.judged([figures(300, 1.0, seed_s=20.0)]) == []


def test_the_picture_has_a_line_for_each_client_and_a_point_for_each_clean_run() -> None:
    runs = [figures(100, 0.3, seed_s=5.0), figures(1000, 1.0, seed_s=20.0), figures(10_000, 10.5)]
    picture = plot.svg([*runs, figures(1000, 1.3, hang=5.0)])
    lines = re.findall(r'points="([^"]*)"', picture)
    assert [len(line.split()) for line in lines] == [3, 3, 2]
    heights = [float(point.split(",")[1]) for point in lines[0].split()]
    assert heights == sorted(heights, reverse=True)  # more instances, more seconds: further up


def test_every_simulated_instance_has_an_address_of_its_own() -> None:
    addresses = {fleet.address(index) for index in range(70_000)}
    assert len(addresses) == 70_000
    assert all(address.startswith("127.") for address in addresses)


@pytest.mark.django_db(transaction=True)
def test_the_questions_about_the_past_are_measured_on_a_fleet_of_their_own() -> None:
    database = connection.settings_dict["NAME"]
    out = io.StringIO()

    call_command("bench_history", "--instances", "5", "--changes", "3", "--json", stdout=out, stderr=io.StringIO())

    figures = json.loads(out.getvalue())
    assert (figures["instances"], figures["observations"]) == (5, 30)
    assert figures["splits_found"] == 4  # of either document, at its second and third revision
    assert connection.settings_dict["NAME"] == database


@pytest.mark.django_db(transaction=True)
def test_checks_are_measured_on_a_fleet_of_their_own() -> None:
    database = connection.settings_dict["NAME"]
    out = io.StringIO()

    options = ["--instances", "20", "--interval", "2", "--seconds", "5", "--json"]
    call_command("bench_checks", *options, stdout=out, stderr=io.StringIO())

    figures = json.loads(out.getvalue())
    assert (figures["instances"], figures["interval_s"], figures["answered_percent"]) == (20, 2, 100.0)
    assert figures["rounds"] >= 1
    assert figures["cpu_percent"] > 0
    assert figures["rows_per_day"] == 20 * 96
    assert figures["bytes_per_row"] > 50
    assert connection.settings_dict["NAME"] == database
