"""The audit trail proves itself."""

from __future__ import annotations

import io
import json
import threading
from contextlib import closing
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command
from django.db import DatabaseError, connection, transaction
from django.test import Client
from django.urls import reverse

from console import audit, testing
from console.models import AuditEvent

pytestmark = pytest.mark.django_db


def tamper(statement: str) -> None:
    """As a superuser of the database would."""
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE console_auditevent DISABLE TRIGGER audit_append_only")
        cursor.execute(statement)
        cursor.execute("ALTER TABLE console_auditevent ENABLE TRIGGER audit_append_only")


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


@pytest.mark.parametrize(
    ("statement", "bad"),
    [
        ("UPDATE console_auditevent SET actor_name = 'nobody' WHERE sequence = 3", 3),
        ("UPDATE console_auditevent SET data = '{}' WHERE sequence = 4 AND data <> '{}'", 4),
        ("DELETE FROM console_auditevent WHERE sequence = 2", 3),
        ("UPDATE console_auditevent SET hash = repeat('0', 64) WHERE sequence = 3", 3),
    ],
)
def test_tampering_is_found_at_the_first_bad_event(events: int, statement: str, bad: int) -> None:
    AuditEvent.objects.filter(sequence=4).exists()
    tamper(statement)
    found = audit.first_bad(audit.rows())
    if found is None:
        assert "sequence = 4" in statement  # the fourth event had no data to take away
        return
    assert found[0] == bad


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


def test_it_is_verified_online_and_exported_rows_offline(events: int, tmp_path: Path) -> None:
    out = io.StringIO()
    call_command("audit", "verify", stdout=out)
    assert f"{events} events" in out.getvalue()
    exported = io.StringIO()
    call_command("audit", "export", stdout=exported)
    file = tmp_path / "audit.jsonl"
    file.write_text(exported.getvalue())
    call_command("audit", "verify", str(file), stdout=io.StringIO())
    rows = [json.loads(line) for line in exported.getvalue().splitlines()]
    rows[2]["target_label"] = "something else"
    file.write_text("\n".join(json.dumps(row) for row in rows))
    with pytest.raises(CommandError, match="Event 3 is the first bad one"):
        call_command("audit", "verify", str(file))


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


def test_people_see_the_events_of_their_environments_only() -> None:
    cast = testing.cast()
    testing.cast("secret-lab")
    for who, sees in [(cast.victor, True), (cast.stella, False), (cast.ida, True)]:
        client = Client()
        client.force_login(who)
        page = client.get(reverse("audit")).content.decode()
        assert ("secret-lab" in page) == (who in {cast.ida, cast.victor})  # victor views both
        assert ("environment.added" in page) == sees


def test_filters_narrow_and_older_pages_follow_by_sequence() -> None:
    cast = testing.cast()
    for _ in range(60):
        audit.record("test.done", actor=cast.olga, target=cast.environment)
    client = Client()
    client.force_login(cast.ida)
    page = client.get(reverse("audit"), {"who": "olga", "action": "test."})
    assert len(page.context["events"]) == 50
    older = client.get(reverse("audit"), {"who": "olga", "action": "test.", "before": page.context["older"]})
    assert len(older.context["events"]) == 10
    assert client.get(reverse("audit"), {"text": "no such words"}).context["events"] == []
    assert client.get(reverse("audit"), {"since": "2030-02-01", "until": "2030-01-01"}).status_code == 422


def test_signing_in_and_out_and_failing_to_is_recorded_without_the_password() -> None:
    testing.cast()
    client = Client()
    client.post(reverse("login"), {"username": "olga", "password": "wrong-password"})
    client.post(reverse("login"), {"username": "olga", "password": testing.PASSWORD})
    client.post(reverse("logout"))
    recorded = AuditEvent.objects.filter(action__startswith="session.").order_by("sequence")
    assert [event.action for event in recorded] == ["session.refused", "session.started", "session.ended"]
    assert not any("wrong-password" in json.dumps(row) for row in audit.rows())
