"""The way back is looked at before it is needed: when a change is approved, and wherever one decides about it."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from configs_app import changes, documents
from configs_app.models import Change
from console import testing
from console.models import AuditEvent
from console.testing import Cast
from sync_app import rollbacks, rollouts
from sync_app.models import Cause
from sync_app.tests.attempts import change, work

pytestmark = pytest.mark.django_db

CLOSED = {"module": "log", "authorization": "Bearer {$TOKEN}"}
BAD = {"a": {"module": "teleport"}}  # an import keeps it as it is; a rule of today finds an error


def approved(webhooks: dict[str, Any] | None = None) -> tuple[Cast, Change]:
    cast = testing.cast("production", protected=True)
    testing.bundle(cast.environment, webhooks=webhooks)
    testing.instance(cast.environment)
    draft = testing.draft(cast.environment, actor=cast.olga, webhooks=testing.text({"a": CLOSED}))
    return cast, changes.approve(changes.propose(draft, actor=cast.olga), actor=cast.anna)


def page(cast: Cast, name: str, *args: object) -> str:
    client = Client()
    client.force_login(cast.olga)
    return client.get(reverse(name, args=args)).content.decode()


def test_an_approval_looks_at_what_it_would_be_rolled_back_to_and_keeps_what_was_found() -> None:
    cast, found = approved()
    event = AuditEvent.objects.get(action="change.approved")
    assert (event.data["way_back"], event.data["way_back_errors"]) == ("webhooks r1 + connections r1", 0)
    shown = page(cast, "configs:change", found.pk)
    assert "<strong>Rollback ready:</strong> webhooks r1 + connections r1, valid by today's rules." in shown
    assert "to be rolled back to webhooks r1 + connections r1, valid" in shown
    assert "Rollback ready:" in page(cast, "sync:publish", found.pk)


def test_errors_that_rules_of_today_find_there_are_told_where_it_is_decided() -> None:
    cast, found = approved(BAD)
    event = AuditEvent.objects.get(action="change.approved")
    assert event.data["way_back_errors"] > 0
    shown = page(cast, "configs:change", found.pk)
    assert "<strong>No way back:</strong>" in shown
    assert "has errors by today&#x27;s rules and never ran" in shown
    work(rollouts.start(cast.environment, actor=cast.olga, cause=Cause.SYNC))
    assert "which ran, though with" in page(cast, "configs:change", found.pk)


def test_what_was_rolled_back_once_is_no_way_back() -> None:
    cast = testing.cast()
    testing.bundle(cast.environment)
    testing.instance(cast.environment)
    bad = rollouts.publish(change(cast), actor=cast.olga)
    work(bad)
    rollbacks.roll_back(bad, actor=cast.olga, reason="It was bad")
    way = rollbacks.way_back_from(change(cast, "other"))
    assert way.bundle is not None
    assert way.bundle == documents.desired(cast.environment)
    assert rollbacks.way_back_from(change(cast)).bundle == way.bundle  # the bad one again: back to the good one


def test_the_first_documents_have_no_way_back() -> None:
    cast = testing.cast()
    first = testing.draft(cast.environment, actor=cast.olga, webhooks=testing.text({"a": {"module": "log"}}))
    assert rollbacks.way_back_from(first).refusal == "there is no bundle to go back to; this would be the first"


def test_nothing_is_said_of_a_change_that_is_over() -> None:
    cast, found = approved()
    changes.withdraw(found, actor=cast.olga)
    assert "Rollback ready" not in page(cast, "configs:change", found.pk)
