"""An instance's page: is it right, what stopped it if not, what now; and how we know."""

from __future__ import annotations

import html
import re
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from console import testing
from console.models import User
from console.testing import Cast
from instances_app import observations, probes
from instances_app.client import Looked, Outcome, Reply
from instances_app.models import Instance, Observation, Served
from instances_app.observations import Sighting
from instances_app.probes import Settings
from sync_app import rollouts
from sync_app.models import Cause, Delivery, Rollout
from sync_app.tests.attempts import begin, versions, work

pytestmark = pytest.mark.django_db


def page(user: User, instance: Instance, query: str = "", name: str = "sync:instance") -> str:
    client = Client()
    client.force_login(user)
    answer = client.get(reverse(name, args=[instance.pk]) + query)
    assert answer.status_code == 200
    return " ".join(html.unescape(answer.content.decode()).split())


def rungs(body: str) -> list[str]:
    """The states of all rungs, ladder by ladder."""
    return re.findall(r'data-rung="\w+" data-state="([^"]*)"', body)


def verdict(body: str) -> str:
    found = re.search(r'id="verdict-says"><span class="state \w+">([^<]*)</span> ([^<]*)</h2>', body)
    assert found
    return f"{found[1]}: {found[2]}"


def says(instance: Instance, digests: dict[str, str], **more: Any) -> None:
    """A check: config-version and instance-info of an agent of ours."""
    loaded = {
        kind: {"digest": digest, "on_disk": digest, "reload_status": "loaded"} for kind, digest in digests.items()
    }
    info = {"protocol": 1, "documents": loaded, "workers": {"alive": 2, "loaded": 2}, "health": "healthy", **more}
    observations.record_looks([Looked(instance.pk, versions(digests), Reply(Outcome.OK, 200, info))])


def serve(cast: Cast, instance: Instance, word: str, **more: Any) -> None:
    probe = probes.of(cast.environment) or probes.change(cast.environment, Settings("GET", "/health"), actor=cast.adam)
    now = timezone.now()
    columns = {"version": probe.version, "word": word, "since": now, "at": now, **more}
    Served.objects.update_or_create(instance=instance, defaults=columns)


def test_the_ladders_rise_with_a_rollout_and_stop_where_it_stops() -> None:
    cast, rollout = begin(1)
    instance = Instance.objects.get()
    observations.record([Sighting(instance.pk, {"webhooks": "e" * 64, "connections": "e" * 64})])
    body = page(cast.victor, instance)
    assert verdict(body) == "under way: A rollout is bringing the webhooks it should run."
    assert rungs(body)[:5] == ["under way", "not yet", "not yet", "not yet", "not set up"]

    work(rollout)
    wanted = rollout.bundle.digests()
    before = page(cast.victor, instance)
    assert verdict(before) == "right: It runs what it should."
    says(instance, wanted)
    serve(cast, instance, "serving")
    body = page(cast.victor, instance)
    assert verdict(body) == "right: It runs what it should, and serves."
    assert rungs(body) == ["reached"] * 10
    assert "All 2 worker processes have loaded it." in body
    assert f">Rollout {rollout.number}</a>, olga." in body

    serve(
        cast,
        instance,
        "answers wrongly",
        detail="It answered with HTTP 503; expected was 200-299.",
        said="no <b>broker</b>",
    )
    body = page(cast.olga, instance, name="sync:instance-now")
    assert verdict(body) == "not right: It runs what it should, and does not serve."
    assert rungs(body)[:5] == ["reached", "reached", "reached", "reached", "stopped"]
    assert "HTTP 503" in body

    Observation.objects.update(seen_at=timezone.now() - timedelta(hours=1))
    Instance.objects.update(info_at=timezone.now() - timedelta(hours=1))
    assert verdict(page(cast.victor, instance)) == "unknown: Nobody knows whether it runs the webhooks it should."


def test_a_refusal_is_told_in_the_instances_own_words_without_the_documents_secrets() -> None:
    cast, rollout = begin(1)
    instance = Instance.objects.get()
    observations.record([Sighting(instance.pk, {"webhooks": "e" * 64, "connections": "e" * 64})])
    work(rollout, "rejected")
    body = page(cast.olga, instance)
    assert verdict(body) == "not right: It does not run the webhooks it should."
    assert "webhooks, written:" in body
    assert "Unknown module" in body
    assert "Correct the document as a change" in body

    secret = "Bearer s3cret-of-the-document"
    testing_texts = {"orders": {"module": "log", "authorization": secret}}
    other = testing.cast("other")
    bundle = testing.bundle(other.environment, webhooks=testing_texts)
    there = testing.instance(other.environment, "there", "http://there")
    documents = {"webhooks": {"digest": "e" * 64, "on_disk": "e" * 64, "reload_status": "failed"}}
    says(there, bundle.digests(), documents=documents, health="degraded", health_reason=f"cannot use '{secret}' here")
    ladder = page(other.victor, there, name="sync:instance-now").partition('class="ladders"')[2]
    assert "could not load the file" in ladder
    assert "cannot use" in ladder
    assert secret not in ladder


def test_whatever_an_instance_says_of_itself_the_page_is_drawn() -> None:
    cast, rollout = begin(1)
    instance = Instance.objects.get()
    work(rollout)
    hostile: list[dict[str, Any]] = [
        {"documents": [], "workers": 3, "protocol": {}},
        {"documents": {"webhooks": "x"}, "workers": {"alive": True, "loaded": "4"}, "protocol": True},
        {"documents": {"webhooks": {"digest": {}, "on_disk": 5, "problem": ["<b>"]}}, "health_reason": {"a": 1}},
        {
            "documents": {"webhooks": {"problem": "<script>alert(1)</script>"}},
            "workers": {"alive": -1, "loaded": 10**30},
        },
    ]
    for more in hostile:
        says(instance, rollout.bundle.digests(), **more)
        client = Client()
        client.force_login(cast.victor)
        raw = client.get(reverse("sync:instance", args=[instance.pk])).content.decode()
        assert "<script>alert" not in raw
        assert "stopped" in raw or "reached" in raw


def test_an_instance_that_was_right_before_anything_was_sent_is_not_called_ours() -> None:
    cast = testing.cast()
    bundle = testing.bundle(cast.environment)
    instance = testing.instance(cast.environment)
    says(instance, bundle.digests())
    body = page(cast.victor, instance)
    assert verdict(body) == "right: It runs what it should."
    assert rungs(body)[:5] == ["not by us", "reached", "reached", "reached", "not set up"]


def test_deliveries_have_pages_and_the_page_costs_the_same_whatever_lies_behind_it() -> None:
    cast = testing.cast()
    bundle = testing.bundle(cast.environment)
    instance = testing.instance(cast.environment)
    says(instance, bundle.digests())
    serve(cast, instance, "serving")

    def deliver(number: int) -> None:
        rollout = rollouts.start(cast.environment, actor=cast.olga, cause=Cause.SYNC, instances=[instance.pk])
        rollout.deliveries.update(state="rejected", error=f"refusal {number}.", sent_at=timezone.now())
        Rollout.objects.update(state="incomplete")

    client = Client()
    client.force_login(cast.olga)

    def queries(name: str) -> int:
        with CaptureQueriesContext(connection) as captured:
            assert client.get(reverse(name, args=[instance.pk])).status_code == 200
        return len(captured)

    deliver(0)
    says(instance, bundle.digests())
    few = [queries(name) for name in ("sync:instance", "sync:instance-now")]
    for number in range(1, 45):
        deliver(number)
    for index in range(30):
        at = timezone.now() - timedelta(days=30 - index)
        Observation.objects.create(instance=instance, kind="webhooks", digest="e" * 64, since=at, seen_at=at, until=at)
    says(instance, bundle.digests())
    assert [queries(name) for name in ("sync:instance", "sync:instance-now")] == few

    first = page(cast.olga, instance)
    (older,) = re.findall(r'rel="next" href="(\?before=\d+)#deliveries"', first)
    second = page(cast.olga, instance, older)
    (oldest,) = re.findall(r'rel="next" href="(\?before=\d+)#deliveries"', second)
    shown = [
        re.findall(r"refusal (\d+)\.", part.partition('id="deliveries"')[2])
        for part in (first, second, page(cast.olga, instance, oldest))
    ]
    assert [list(map(int, part)) for part in shown] == [
        list(range(44, 24, -1)),
        list(range(24, 4, -1)),
        list(range(4, -1, -1)),
    ]
    assert Delivery.objects.count() == 45


def test_what_somebody_may_not_do_is_not_offered_and_a_retired_instance_asks_nothing() -> None:
    cast, rollout = begin(1)
    instance = Instance.objects.get()
    serve(cast, instance, "unknown")
    work(rollout, "refused")
    assert "Probe now" in page(cast.olga, instance)
    body = page(cast.victor, instance)
    assert "Probe now</button>" not in body
    assert "/sync/?instance=" not in body
    Instance.objects.update(retired_at=timezone.now())
    body = page(cast.victor, instance)
    assert "hx-get" not in body
    assert rungs(body) == []
