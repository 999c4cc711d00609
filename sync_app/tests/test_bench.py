"""`manage.py bench_rollout --json` measures a real rollout and prints the keys that others rely on."""

from __future__ import annotations

import io
import json
import shutil

import pytest
from django.core.management import call_command
from django.db import connection

from sync_app.bench import fleet
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
def test_the_benchmark_rolls_out_to_its_own_fleet_and_leaves_nothing_behind() -> None:
    database = connection.settings_dict["NAME"]
    out = io.StringIO()

    call_command("bench_rollout", "--instances", "20", "--reject", "10", "--json", stdout=out, stderr=io.StringIO())

    figures = json.loads(out.getvalue())
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
