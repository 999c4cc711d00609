"""What is recorded, in which order, and what belongs together."""

from __future__ import annotations

import hashlib
import json
import threading
from contextlib import closing
from datetime import UTC, datetime

import pytest
from django.db import DatabaseError, connection, transaction
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from console import audit, testing
from console.models import AuditEvent
from sync_app import waves
from sync_app.models import Rollout

pytestmark = pytest.mark.django_db


@pytest.fixture
def events() -> int:
    testing.bundle(testing.cast().environment)
    for number in range(5):
        audit.record("test.done", actor=None, number=number)
    return AuditEvent.objects.count()


def test_the_chain_is_whole_and_gap_free(events: int) -> None:
    assert list(AuditEvent.objects.order_by("sequence").values_list("sequence", flat=True)) == list(
        range(1, events + 1)
    )
    assert audit.first_bad(audit.rows()) is None


def test_the_database_refuses_to_change_or_empty_it(events: int) -> None:
    forbidden = [
        "UPDATE console_auditevent SET action = 'x'",
        "DELETE FROM console_auditevent",
    ]
    for statement in forbidden:
        with pytest.raises(DatabaseError, match="append-only"), transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(statement)
    with connection.cursor() as cursor:
        # console/testing_database.py takes this one away, so that tests can end; here it is as the migration makes it.
        cursor.execute(
            "CREATE TRIGGER audit_no_truncate BEFORE TRUNCATE ON console_auditevent "
            "FOR EACH STATEMENT EXECUTE FUNCTION console_refuse_change()"
        )
        with pytest.raises(DatabaseError, match="append-only"), transaction.atomic():
            cursor.execute("TRUNCATE console_auditevent")


def test_recording_outside_a_transaction_is_a_bug() -> None:
    with pytest.raises(RuntimeError):
        _outside()


def _outside() -> None:
    connection.in_atomic_block, before = False, connection.in_atomic_block
    try:
        audit.record("test.done", actor=None)
    finally:
        connection.in_atomic_block = before


@pytest.mark.django_db(transaction=True)
def test_writers_at_once_leave_no_gap() -> None:
    def write() -> None:
        with closing(connection):
            for _ in range(10):
                with transaction.atomic():
                    audit.record("test.done", actor=None)

    threads = [threading.Thread(target=write) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert AuditEvent.objects.count() == 60
    assert audit.first_bad(audit.rows()) is None


def test_signing_in_and_out_and_failing_to_is_recorded_without_the_password() -> None:
    testing.cast()
    client = Client()
    client.post(reverse("login"), {"username": "olga", "password": "wrong-password"})
    client.post(reverse("login"), {"username": "olga", "password": testing.PASSWORD})
    client.post(reverse("logout"))
    recorded = AuditEvent.objects.filter(action__startswith="session.").order_by("sequence")
    assert [event.action for event in recorded] == ["session.refused", "session.started", "session.ended"]
    refused, started, ended = recorded
    assert refused.session == ""
    assert started.session == ended.session != ""
    assert not any("wrong-password" in json.dumps(row) for row in audit.rows())


def test_the_session_is_kept_as_a_fingerprint_that_opens_nothing() -> None:
    cast = testing.cast()
    first, second = Client(), Client()
    first.force_login(cast.victor)
    second.force_login(cast.victor)
    for client in (first, second, first):
        client.get(reverse("sync:instance-new", args=["staging"]))
    found = list(
        AuditEvent.objects.filter(action="access.denied").order_by("sequence").values_list("session", flat=True)
    )
    assert found[0] == found[2] != found[1]
    keys = [client.session.session_key or "" for client in (first, second)]
    assert not any(key[:6] in session for key in keys for session in found)


def test_what_one_request_records_belongs_together_and_what_workers_add_later_too() -> None:
    cast = testing.cast()
    testing.bundle(cast.environment)
    instance = testing.instance(cast.environment)
    webhooks = testing.text({**testing.WEBHOOKS, "payments": {"module": "log"}})
    change = testing.draft(cast.environment, actor=cast.olga, webhooks=webhooks)
    client = Client()
    client.force_login(cast.olga)
    client.post(reverse("sync:publish", args=[change.pk]), {"instance": [instance.pk]})
    rollout = Rollout.objects.get()
    published = AuditEvent.objects.get(action="change.published")
    rollout.deliveries.update(state="unreachable", error="a test", finished_at=timezone.now())
    with transaction.atomic():
        audit.record("test.done", actor=None)  # something else happens meanwhile

    waves.advance(rollout.pk)

    started = AuditEvent.objects.get(action="rollout.started")
    finished = AuditEvent.objects.get(action="rollout.finished")
    assert published.cause is None
    assert started.cause == finished.cause == published.sequence
    assert started.request_id == published.request_id


def test_an_event_that_was_undone_is_nobodys_cause() -> None:
    token = audit.origin.set(audit.Origin(request_id="one-request"))
    try:
        with transaction.atomic():
            audit.record("test.undone", actor=None)
            transaction.set_rollback(True)
        assert audit.record("test.done", actor=None).cause is None
        assert audit.record("test.done", actor=None).cause == AuditEvent.objects.earliest("sequence").sequence
    finally:
        audit.origin.reset(token)


def test_events_from_before_the_session_and_the_cause_were_kept_still_match_their_hash() -> None:
    """The row and its hash as the first release wrote them."""
    row = {
        "sequence": 1,
        "at": "2026-01-01T00:00:00.000000+00:00",
        "action": "person.added",
        "actor_id": None,
        "actor_name": "system",
        "address": "",
        "request_id": "",
        "environment": "",
        "target_type": "user",
        "target_id": "1",
        "target_label": "admin",
        "data": {"superuser": True},
        "previous_hash": "",
    }
    digest = hashlib.sha256(json.dumps(row, sort_keys=True).encode()).hexdigest()
    event = AuditEvent.objects.create(**{**row, "at": datetime(2026, 1, 1, tzinfo=UTC)}, hash=digest)
    assert audit.plain(event) == {**row, "hash": digest}
    assert audit.first_bad(audit.rows()) is None


def test_reading_a_revision_in_clear_is_recorded_with_the_way_it_was_read() -> None:
    cast = testing.cast()
    testing.bundle(cast.environment)
    client = Client()
    client.force_login(cast.olga)
    client.post(reverse("configs:revision-download", args=["staging", "webhooks", 1]))
    client.post(reverse("configs:revision-reveal", args=["staging", "webhooks", 1]))
    ways = AuditEvent.objects.filter(action="secret.revealed").order_by("sequence").values_list("data__by", flat=True)
    assert list(ways) == ["download", "page"]
