"""A service without an agent: asked how it is, told apart on every page, and never the target of anything."""

from __future__ import annotations

import json

import pytest
from django.conf import settings
from django.test import Client
from django.urls import reverse

from configs_app import changes, documents, imports, reach, running
from configs_app.import_forms import InstanceForm
from console import testing
from console.errors import Refused
from console.models import AuditEvent
from console.testing import Cast
from instances_app import client, history, observations, probes, registry, rotation
from instances_app.models import Exchange, Instance
from instances_app.observations import Sighting
from instances_app.tests.servers import Served, serving
from sync_app import checks, drift, dry_runs, fleet, onboarding, rollouts, set_aside, splits
from sync_app import serving as serving_probe
from sync_app.models import Cause, Delivery
from sync_app.tests.test_onboarding import HEALTHY, TOKEN, be_agent

pytestmark = pytest.mark.django_db


def keep(cast: Cast, served: Served, name: str = "plain") -> Instance:
    """As the page does it: registered, asked, found to be the service, kept."""
    served.answers["/health"] = (200, HEALTHY.encode())
    instance = testing.instance(cast.environment, name, served.url, TOKEN)
    onboarding.begin(instance, actor=cast.olga)
    onboarding.ask(instance.pk)
    return onboarding.keep_monitored(instance, actor=cast.olga)


def test_nothing_is_ever_aimed_at_it() -> None:
    cast = testing.cast()
    testing.bundle(cast.environment)
    managed = testing.instance(cast.environment)
    with serving() as served:
        plain = keep(cast, served)
    bundle = documents.desired(cast.environment)
    assert bundle is not None
    # Even when something was heard of it: answers that were on their way while it was set.
    observations.record([Sighting(plain.pk, bundle.digests())])
    observations.record([Sighting(plain.pk, {"webhooks": "e" * 64, "connections": "e" * 64})])
    assert drift.differing(bundle) == []
    assert not drift.members(bundle)
    assert not drift.groups(bundle)
    probe = probes.change(cast.environment, probes.Settings("GET", "/"), actor=cast.adam)
    assert list(serving_probe.due(probe)) == [managed]
    assert list(fleet.to_sync(cast.environment, bundle).values_list("pk", flat=True)) == [managed.pk]
    assert {row.instance.name: row.config for row in fleet.rows(cast.environment)} == {
        "one": "unknown",
        "plain": "monitored only",
    }
    assert fleet.counts(cast.environment) | {"unknown": 1, "monitored only": 1, "in sync": 0} == fleet.counts(
        cast.environment
    )
    change = testing.draft(cast.environment, actor=cast.olga, webhooks=testing.text({"a": {"module": "log"}}))
    assert [target.pk for target in reach.wanted(change)] == [managed.pk]
    assert [target.pk for target in dry_runs.aimed_at(change)] == [managed.pk]
    with pytest.raises(Refused, match="at least one instance"):
        changes.aim(change, targets=[plain.pk], plan=None, actor=cast.olga)
    with pytest.raises(Refused, match="at least one instance"):
        set_aside.snooze(cast.environment, instances=[plain.pk], hours=set_aside.HOURS[0], actor=cast.olga)
    with pytest.raises(Refused, match="monitored only"):
        imports.read_instance(plain, actor=cast.olga)
    assert not InstanceForm({"instance": plain.pk}, environment=cast.environment).is_valid()
    assert running.of_document(cast.environment, "webhooks").total == 1
    now = Instance.objects.latest("created_at").created_at
    assert [one.name for one in history.at(cast.environment, now)] == ["one"]
    Instance.objects.update(created_at=bundle.created_at)
    assert splits.spread(bundle).instances == 1
    page = Client()
    page.force_login(cast.olga)
    selected = reverse("sync:selected", args=["staging", "rotate"])
    page.post(selected, {"ids": f"{plain.pk},{managed.pk}"})
    assert Exchange.objects.get().instance == managed
    assert "plain" not in page.get(selected, {"all": "yes"}).content.decode()
    with pytest.raises(Refused, match="No instance is chosen"):
        rollouts.start(cast.environment, actor=cast.olga, cause=Cause.SYNC, instances=[plain.pk])
    body = page.get(reverse("sync:sync", args=["staging"]), {"instance": plain.pk}).content.decode()
    assert f'id="target-{plain.pk}"' not in body
    assert "1 instance of staging is" in body
    body = page.post(reverse("sync:waves", args=["staging"]), {"instance": [plain.pk, managed.pk]}).content.decode()
    assert "plain" not in body
    rollouts.start(cast.environment, actor=cast.olga, cause=Cause.SYNC, instances=[plain.pk, managed.pk])
    assert [one.instance_id for one in Delivery.objects.all()] == [managed.pk]


def test_checks_ask_the_service_itself_without_our_token(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settings, "OBSERVE_SECONDS", 1)
    cast = testing.cast()
    with serving() as served:
        plain = keep(cast, served)
        served.asked.clear()
        checks.run(cast.environment.pk)
        plain.refresh_from_db()
        assert (plain.health, plain.health_called) == ("healthy", "healthy")
        assert {path for path, _ in served.asked} == {"/health"}
        ill = {"status": "unhealthy", "service": "webhook-service", "components": {"config_manager": "unhealthy"}}
        served.answers["/health"] = (503, json.dumps(ill).encode())
        checks.turn()
        plain.refresh_from_db()
        assert plain.health == "degraded"
        assert "config_manager is unhealthy" in plain.health_detail
        assert {path for path, _ in served.asked} == {"/health"}
        assert "Authorization" not in str(served.asked)
        assert not plain.observations.exists()
    registry.check(plain, actor=cast.olga)
    plain.refresh_from_db()
    assert plain.health == "down"


def test_the_pages_say_so_and_hide_it_behind_no_total() -> None:
    cast = testing.cast()
    with serving() as served:
        plain = keep(cast, served)
    page = Client()
    page.force_login(cast.olga)
    body = page.get(reverse("sync:environment", args=["staging"])).content.decode()
    assert 'id="config-monitored-only"' in body
    assert "nobody knows what it runs" in body
    assert "monitored only" in page.get(reverse("home")).content.decode()
    body = page.get(reverse("sync:instance", args=[plain.pk])).content.decode()
    assert "I have added the agent" in body
    assert "Sync…" not in body
    testing.instance(testing.cast("other").environment, "managed", "http://127.0.0.1:1/managed")
    assert 'id="config-monitored-only"' not in page.get(reverse("sync:environment", args=["other"])).content.decode()


def test_it_becomes_managed_when_an_agent_is_proven_and_not_before() -> None:
    cast = testing.cast()
    with serving() as served:
        plain = keep(cast, served)
        assert onboarding.standing(plain).waiting is False
        onboarding.begin(plain, actor=cast.adam)
        onboarding.ask(plain.pk)
        plain.refresh_from_db()
        assert plain.monitored_only
        be_agent(served)
        onboarding.ask(plain.pk)
        plain.refresh_from_db()
        assert not plain.monitored_only
        assert onboarding.standing(plain).is_proven
        assert plain.observations.count() == 2
        events = AuditEvent.objects.filter(action__in=["instance.monitored", "instance.managed"]).order_by("sequence")
        assert [(event.action, event.actor_name) for event in events] == [
            ("instance.monitored", "olga"),
            ("instance.managed", "adam"),
        ]
        # It cannot be made quiet that way afterwards: a missing agent is down, not monitored only.
        del served.answers["/admin/config-version"]
        onboarding.begin(plain, actor=cast.olga)
        onboarding.ask(plain.pk)
        with pytest.raises(Refused, match="has answered at plain before"):
            onboarding.keep_monitored(plain, actor=cast.olga)


def test_it_is_not_kept_so_while_a_rollout_waits_for_it_or_without_the_services_own_answer() -> None:
    cast = testing.cast()
    testing.bundle(cast.environment)
    with serving() as served:
        served.answers["/health"] = (200, HEALTHY.encode())
        plain = testing.instance(cast.environment, "plain", served.url, TOKEN)
        with pytest.raises(Refused, match="Ask it first"):
            onboarding.keep_monitored(plain, actor=cast.olga)
        rollouts.start(cast.environment, actor=cast.olga, cause=Cause.SYNC)
        onboarding.begin(plain, actor=cast.olga)
        onboarding.ask(plain.pk)
        with pytest.raises(Refused, match="Rollout 1 waits for plain"):
            onboarding.keep_monitored(plain, actor=cast.olga)
        assert not Instance.objects.get(pk=plain.pk).monitored_only
        Delivery.objects.all().delete()
        rotation.start(cast.environment, [plain.pk], actor=cast.olga)
        with pytest.raises(Refused, match="is being rotated"):
            onboarding.keep_monitored(plain, actor=cast.olga)


def test_an_answer_to_the_other_question_is_dropped() -> None:
    cast = testing.cast()
    with serving() as served:
        plain = keep(cast, served)
        late = client.look(plain.look)
        be_agent(served)
        onboarding.begin(plain, actor=cast.olga)
        onboarding.ask(plain.pk)
        agents = client.look(Instance.objects.get(pk=plain.pk).look)
    observations.record_looks([late])
    plain.refresh_from_db()
    assert "batch" not in plain.capabilities
    assert "digest" in plain.capabilities, "what the agent can do is not forgotten over the service's word"
    plain.observations.all().delete()
    Instance.objects.update(monitored_only=True)
    observations.record_looks([agents])
    assert not plain.observations.exists()
