"""Three words per instance, each honest about its age: what is old, partial or unseen is unknown."""

from __future__ import annotations

import html
from datetime import timedelta

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from configs_app import documents
from configs_app.models import Bundle
from console import testing
from console.testing import Cast
from instances_app import observations
from instances_app.models import Instance, Observation
from instances_app.observations import Sighting
from sync_app import fleet, rollouts
from sync_app.models import Cause, Rollout

pytestmark = pytest.mark.django_db

OTHER = "e" * 64


def begin() -> tuple[Cast, Instance, Bundle]:
    cast = testing.cast()
    return cast, testing.instance(cast.environment), testing.bundle(cast.environment)


def see(instance: Instance, digests: dict[str, str], *, ago: float = 0) -> None:
    observations.record([Sighting(instance.pk, digests, timezone.now() - timedelta(seconds=ago))])


def word(instance: Instance) -> str:
    (row,) = fleet.rows(instance.environment)
    return row.config


def deliver(cast: Cast, **columns: object) -> Rollout:
    """A rollout of the desired bundle that has ended with these columns in all of its deliveries."""
    rollout = rollouts.start(cast.environment, actor=cast.olga, cause=Cause.SYNC)
    rollout.deliveries.update(**columns)
    Rollout.objects.update(state="incomplete")
    return rollout


def test_an_instance_nobody_has_asked_is_unknown() -> None:
    _, instance, _ = begin()
    assert word(instance) == "unknown"


def test_in_sync_needs_a_fresh_report_of_every_document() -> None:
    _, instance, bundle = begin()
    wanted = bundle.digests()
    see(instance, {"webhooks": wanted["webhooks"]})
    assert word(instance) == "unknown"
    see(instance, {"connections": wanted["connections"][:16]})
    assert word(instance) == "in sync"
    Observation.objects.update(seen_at=timezone.now() - timedelta(hours=1))
    assert word(instance) == "unknown"


def test_another_document_that_was_never_sent_ours_is_out_of_sync() -> None:
    _, instance, bundle = begin()
    see(instance, {**bundle.digests(), "webhooks": OTHER})
    assert word(instance) == "out of sync"


def test_a_change_behind_our_back_is_drift() -> None:
    cast, instance, bundle = begin()
    deliver(cast, state="verified", evidence="Read back after the push.")
    see(instance, bundle.digests(), ago=20)
    see(instance, {**bundle.digests(), "webhooks": OTHER})
    assert word(instance) == "drifted"
    (row,) = fleet.rows(cast.environment)
    assert row.differs == ("webhooks",)


def test_a_silence_is_no_drift() -> None:
    _, instance, bundle = begin()
    for ago in (7200, 0):
        see(instance, {**bundle.digests(), "webhooks": OTHER}, ago=ago)
    assert word(instance) == "out of sync"  # the webhooks it never had; that it has the connections again says nothing


def test_a_rollout_that_ended_without_proof_explains_a_difference() -> None:
    cast, instance, bundle = begin()
    deliver(cast, state="rejected", error="Unknown module")
    see(instance, {**bundle.digests(), "webhooks": OTHER})
    assert word(instance) == "out of sync"


def test_an_environment_without_documents_claims_nothing() -> None:
    cast = testing.cast()
    instance = testing.instance(cast.environment)
    see(instance, {"webhooks": OTHER, "connections": OTHER})
    assert documents.desired(cast.environment) is None
    assert word(instance) == "unknown"


def test_the_fleet_page_costs_a_fixed_number_of_queries_and_filters() -> None:
    cast, first, bundle = begin()
    see(first, bundle.digests())
    page = Client()
    page.force_login(cast.victor)
    url = reverse("sync:environment", args=["staging"])

    def queries() -> int:
        with CaptureQueriesContext(connection) as captured:
            assert page.get(url).status_code == 200
        return len(captured)

    queries()
    few = queries()
    for number in range(30):
        labels = {"region": "eu"} if number % 2 else {}
        instance = testing.instance(cast.environment, f"n{number}", f"http://n{number}")
        Instance.objects.filter(pk=instance.pk).update(labels=labels)
    deliver(cast, state="unreachable", error="No answer.")
    assert queries() == few
    assert len(page.get(url, {"config": "in sync"}).context["page"].rows) == 1
    assert len(page.get(url, {"q": "region=eu"}).context["page"].rows) == 15
    assert "No instance matches" in page.get(url, {"q": "nobody"}).content.decode()


def test_an_instances_own_words_are_shown_and_never_run() -> None:
    cast, instance, _ = begin()
    hostile = '<img src=x onerror="alert(1)">'
    rollout = deliver(cast, state="rejected", error=hostile, code="rejected")
    Instance.objects.update(
        health="degraded", health_at=timezone.now(), health_detail=hostile, info={"service_version": hostile}
    )
    page = Client()
    page.force_login(cast.olga)
    for url in (
        reverse("sync:environment", args=["staging"]),
        reverse("sync:instance", args=[instance.pk]),
        reverse("sync:rollout", args=[rollout.pk]),
    ):
        body = page.get(url).content.decode()
        assert hostile not in body
        assert html.escape(hostile) in body or "&lt;img" in body


def test_progress_is_never_full_while_anything_is_unknown() -> None:
    cast, first, _ = begin()
    testing.instance(cast.environment, "two", "http://two")
    rollout = rollouts.start(cast.environment, actor=cast.olga, cause=Cause.SYNC)
    rollout.deliveries.update(state="unknown")
    rollout.deliveries.filter(instance=first).update(state="verified", evidence="Read back after the push.")
    page = Client()
    page.force_login(cast.olga)
    body = page.get(reverse("sync:rollout", args=[rollout.pk])).content.decode()
    assert "<strong>1 of 2</strong> verified, 1 unknown" in body
