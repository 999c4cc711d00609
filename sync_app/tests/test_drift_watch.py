"""Beat's turn at drift, when an instance is slow: it is asked once, by one worker."""

from __future__ import annotations

import socket
import threading
from datetime import datetime

import pytest
from django.db import connection

from sync_app import drift_watch
from sync_app.models import Drift
from sync_app.tests import drifts
from sync_app.tests.drifts import one


@pytest.mark.django_db
def test_a_turn_that_finds_another_one_at_work_leaves_it_to_that() -> None:
    drifts.change(one(drifts.fleet(1)))
    other = connection.copy()
    try:
        with other.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_lock(%s)", [drift_watch.TURN_LOCK])
        drift_watch.turn()
        assert not Drift.objects.exists()
    finally:
        other.close()
    drift_watch.turn()
    drift_watch.turn()  # the lock was given back
    assert Drift.objects.count() == 1


@pytest.mark.django_db(transaction=True)
def test_a_content_counts_as_asked_for_while_the_instance_still_thinks() -> None:
    """Else every turn that begins meanwhile asks the same instance, and waits for it as well."""
    cast = drifts.fleet(1)
    seen: list[tuple[datetime | None, list[Drift]]] = []
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            asking, _ = server.accept()
            with asking:
                asking.recv(65536)
                seen.append((Drift.objects.get().tried_at, drift_watch.note(cast.environment)))
                connection.close()

        thinking = threading.Thread(target=serve, daemon=True)
        thinking.start()
        instance = one(cast)
        instance.base_url, instance.info = f"http://127.0.0.1:{server.getsockname()[1]}", {"capabilities": ["read"]}
        instance.save()
        drifts.change(instance)
        for found in drift_watch.note(cast.environment):
            drift_watch.keep(found)
        thinking.join(20)

    ((tried_at, due),) = seen
    assert tried_at is not None
    assert due == []
    assert "broke" in Drift.objects.get().read_error
