"""A freeze and a rollout at the same moment: one of them is first, and the other one sees it."""

from __future__ import annotations

import threading
from contextlib import closing
from datetime import timedelta

import pytest
from django.db import connection, transaction
from django.utils import timezone

from configs_app import documents
from console import testing
from console.errors import Refused
from console.testing import Cast
from console.testing_processes import until
from instances_app.freeze_models import Freeze
from sync_app import freezing, maintenance, rollouts, waves
from sync_app.models import Cause, Rollout
from sync_app.tests.attempts import begin, states, work
from sync_app.tests.test_waves_races import together

pytestmark = pytest.mark.django_db(transaction=True)


def freeze(cast: Cast) -> Freeze:
    now = timezone.now()
    row = Freeze(environment=cast.environment, kind="freeze", policy="pause", zone="UTC", reason="a test")
    row.starts_at, row.ends_at = now - timedelta(minutes=1), now + timedelta(hours=1)
    return freezing.add(row, actor=cast.adam)


def waits_for_a_lock() -> bool:
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM pg_locks WHERE NOT granted")
        row = cursor.fetchone()
    return bool(row and row[0])


def test_a_rollout_that_waits_for_the_environments_row_sees_the_freeze_that_held_it() -> None:
    cast = testing.cast()
    testing.bundle(cast.environment)
    testing.instance(cast.environment)
    refused: list[Refused] = []

    def start() -> None:
        with closing(connection):
            try:
                rollouts.start(cast.environment, actor=cast.olga, cause=Cause.SYNC)
            except Refused as refusal:
                refused.append(refusal)

    thread = threading.Thread(target=start)
    with transaction.atomic():
        documents.lock(cast.environment)
        freeze(cast)
        thread.start()
        until(waits_for_a_lock, what="the start to wait")
    thread.join()
    assert len(refused) == 1
    assert not Rollout.objects.exists()


def test_whoever_is_first_a_rollout_that_started_is_paused_and_one_that_did_not_is_refused() -> None:
    cast = testing.cast()
    testing.bundle(cast.environment)
    testing.instance(cast.environment)
    _, started = together(
        lambda: freeze(cast), lambda: rollouts.start(cast.environment, actor=cast.olga, cause=Cause.SYNC)
    )
    if isinstance(started, Refused):
        assert not Rollout.objects.exists()
        return
    waves.advance(started.pk)
    started.refresh_from_db()
    assert started.state == "paused"


def test_an_instance_that_goes_into_maintenance_while_workers_claim_is_sent_to_or_skipped_and_nothing_else() -> None:
    cast, rollout = begin(6)
    chosen = cast.environment.instances.get(name="i3")
    together(
        lambda: maintenance.begin(chosen, reason="a new disk", actor=cast.olga),
        *[lambda: work(rollout, limit=2)] * 3,
        lambda: waves.advance(rollout.pk),
    )
    while work(rollout):
        pass
    waves.advance(rollout.pk)
    rollout.refresh_from_db()
    found = states(rollout)
    assert found.pop("i3") in {"verified", "skipped"}
    assert set(found.values()) == {"verified"}
    assert rollout.state in {"succeeded", "incomplete"}
