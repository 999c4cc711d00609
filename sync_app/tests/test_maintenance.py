"""An instance in maintenance is left out by name, and is honestly out of sync afterwards."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from django.db import IntegrityError, transaction
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from console import testing
from console.errors import Refused
from console.models import AuditEvent, User
from console.testing import Cast
from instances_app import registry, selections
from instances_app.client import Push, Pushed
from instances_app.models import Instance
from sync_app import deliveries, gates, maintenance, rollbacks, rollouts, waves
from sync_app.models import Cause, Rollout
from sync_app.payload import Payload
from sync_app.tests.attempts import attempt, begin, change, look, states, work

pytestmark = pytest.mark.django_db


def named(rollout: Rollout, name: str) -> Instance:
    return rollout.environment.instances.get(name=name)


def test_a_new_rollout_leaves_it_out_by_name_and_may_succeed_without_it() -> None:
    cast, rollout = begin(3)
    work(rollout)
    waves.advance(rollout.pk)
    maintenance.begin(named(rollout, "i1"), reason="new disk", actor=cast.olga)

    newer = rollouts.publish(change(cast, "newer"), actor=cast.olga)

    assert sorted(states(newer)) == ["i0", "i2"]
    assert [(one["name"], one["reason"]) for one in newer.left_out] == [("i1", "new disk")]
    started = AuditEvent.objects.filter(action="rollout.started").latest("pk")
    assert (started.data["instances"], started.data["left_out"]) == (2, ["i1"])
    work(newer)
    waves.advance(newer.pk)
    newer.refresh_from_db()
    assert newer.state == "succeeded"
    client = Client()
    client.force_login(cast.victor)
    page = client.get(reverse("sync:rollout", args=[newer.pk])).content.decode()
    assert "Left out" in page
    assert ">i1</a>" in page
    fleet = client.get(reverse("sync:environment", args=["staging"]))
    (row,) = [row for row in fleet.context["page"].rows if row.instance.name == "i1"]
    assert row.config == "out of sync"  # honestly
    chosen = f"{reverse('sync:sync', args=['staging'])}?only=differing"
    client.force_login(cast.olga)
    assert client.get(chosen).context["ticked"] == set()  # and not something that waits for a person
    maintenance.end(named(rollout, "i1"), actor=cast.olga)
    assert client.get(chosen).context["ticked"] == {named(rollout, "i1").pk}
    sync = rollouts.start(cast.environment, actor=cast.olga, cause=Cause.SYNC)
    assert sorted(states(sync)) == ["i0", "i1", "i2"]


def test_what_waits_for_it_is_skipped_and_the_rollout_ends_incomplete() -> None:
    cast, rollout = begin(4, at_once=1)
    work(rollout, limit=1)
    maintenance.begin(named(rollout, "i2"), reason="new disk", actor=cast.olga)
    assert states(rollout)["i2"] == "skipped"
    while work(rollout):
        pass
    waves.advance(rollout.pk)
    rollout.refresh_from_db()
    assert rollout.state == "incomplete"
    with pytest.raises(Refused, match="Every chosen instance is in maintenance: i2"):
        rollouts.retry(rollout, actor=cast.olga)
    maintenance.end(named(rollout, "i2"), actor=cast.olga)
    assert sorted(states(rollouts.retry(rollout, actor=cast.olga))) == ["i2"]


def test_a_retired_instance_is_sent_nothing_more_and_whoever_has_its_address_then_is_left_alone() -> None:
    cast, rollout = begin(3)
    registry.retire(named(rollout, "i1"), actor=cast.olga)
    claims = {claim.instance_id: claim for claim in deliveries.claim(rollout.pk, limit=10)}  # before anybody noticed
    jobs = {job.key: job for job in Payload(rollout).jobs(list(claims.values()))}
    late = jobs[claims[named(rollout, "i1").pk].id]
    assert isinstance(late, Pushed)
    assert late.looked is not None
    assert late.looked.code == "retired"
    assert sum(isinstance(job, Push) for job in jobs.values()) == 2


def test_what_waits_for_a_retired_instance_is_skipped() -> None:
    cast, rollout = begin(3)
    registry.retire(named(rollout, "i1"), actor=cast.olga)
    waves.advance(rollout.pk)
    work(rollout)
    waves.advance(rollout.pk)
    assert states(rollout) == {"i0": "verified", "i1": "skipped", "i2": "verified"}
    assert rollout.deliveries.get(instance__name="i1").evidence == maintenance.RETIRED


def test_what_is_on_its_way_comes_to_its_end() -> None:
    cast, rollout = begin(2)
    (claim,) = deliveries.claim(rollout.pk, limit=1)
    instance = Instance.objects.get(pk=claim.instance_id)
    maintenance.begin(instance, reason="new disk", actor=cast.olga)
    waves.advance(rollout.pk)
    assert states(rollout)[instance.name] == "sending"
    deliveries.record(rollout, [(claim, attempt(claim, rollout.bundle.digests(), "timeout"))])
    waves.advance(rollout.pk)
    assert states(rollout)[instance.name] == "unknown"  # it may have arrived, so it is read back
    work(rollout)
    assert set(states(rollout).values()) <= {"verified", "unknown"}


def test_one_that_could_not_be_reached_is_skipped_and_not_tried_again() -> None:
    cast, rollout = begin(1)
    (claim,) = deliveries.claim(rollout.pk, limit=1)
    maintenance.begin(named(rollout, "i0"), reason="new disk", actor=cast.olga)
    deliveries.record(rollout, [(claim, attempt(claim, rollout.bundle.digests(), "refused"))])
    waves.advance(rollout.pk)
    rollout.refresh_from_db()
    assert (states(rollout), rollout.state) == ({"i0": "skipped"}, "incomplete")


def test_a_gate_does_not_ask_it() -> None:
    cast, rollout = begin(4, waves=["2", "100%"])
    work(rollout)
    ill = gates.verified_instances(rollout)[0]
    look(rollout, ill=ill.name)
    maintenance.begin(ill, reason="new disk", actor=cast.olga)
    assert waves.advance(rollout.pk).opened


def test_where_it_is_protected_nobody_quiets_the_gate_of_their_own_rollout() -> None:
    cast, rollout = begin(4, protected=True, waves=["2", "100%"])
    work(rollout)
    ill = gates.verified_instances(rollout)[0]
    look(rollout, ill=ill.name)
    maintenance.begin(ill, reason="new disk", actor=cast.olga)  # who started it
    waves.advance(rollout.pk)
    rollout.refresh_from_db()
    assert (rollout.state, rollout.halt_reason) == ("halted", f"Wave 1: after the soak {ill} is degraded.")


def test_where_it_is_protected_nobody_takes_what_was_tried_away_from_the_gate_of_their_own_rollout() -> None:
    """A canary that is hard to reach would be skipped instead of being unreachable, and the gate would open."""
    cast, rollout = begin(4, protected=True, waves=["2", "100%"])
    work(rollout, lambda name: "verified" if name == "i0" else "refused")
    hard = rollout.deliveries.get(state="retrying").instance
    maintenance.begin(hard, reason="new disk", actor=cast.olga)  # who started it
    look(rollout)
    assert not waves.advance(rollout.pk).opened
    assert states(rollout)[hard.name] == "retrying"

    maintenance.end(hard, actor=cast.olga)
    maintenance.begin(hard, reason="new disk", actor=cast.adam)
    assert states(rollout)[hard.name] == "skipped"


def _retire_one(cast: Cast, instance: Instance, actor: User) -> None:
    registry.retire(instance, actor=actor)


def _retire_many(cast: Cast, instance: Instance, actor: User) -> None:
    selections.retire(cast.environment, [instance.pk], actor=actor)


@pytest.mark.parametrize("retire", [_retire_one, _retire_many])
def test_where_it_is_protected_nobody_opens_the_gate_of_their_own_rollout_by_retiring_an_ill_canary(
    retire: Callable[[Cast, Instance, User], None],
) -> None:
    cast, rollout = begin(4, protected=True, waves=["2", "100%"])
    work(rollout)
    ill = gates.verified_instances(rollout)[0]
    look(rollout, ill=ill.name)
    retire(cast, ill, cast.olga)  # who started it
    waves.advance(rollout.pk)
    rollout.refresh_from_db()
    assert (rollout.state, rollout.halt_reason) == ("halted", f"Wave 1: after the soak {ill} is degraded.")


def test_somebody_else_retires_an_ill_canary_and_the_gate_opens() -> None:
    cast, rollout = begin(4, protected=True, waves=["2", "100%"])
    work(rollout)
    ill = gates.verified_instances(rollout)[0]
    look(rollout, ill=ill.name)
    registry.retire(ill, actor=cast.adam)
    assert waves.advance(rollout.pk).opened


def test_a_gate_with_nobody_left_to_ask_halts() -> None:
    cast, rollout = begin(3, waves=["1", "100%"])
    work(rollout)
    look(rollout)
    maintenance.begin(named(rollout, "i0"), reason="new disk", actor=cast.olga)
    waves.advance(rollout.pk)
    rollout.refresh_from_db()
    assert rollout.halt_reason == "Wave 1: after the soak none of the verified ones is left to ask."


def test_it_ends_by_itself_when_its_time_is_over() -> None:
    cast, rollout = begin(2)
    instance = named(rollout, "i1")
    maintenance.begin(instance, reason="reboot", until=timezone.now() + timedelta(hours=1), actor=cast.olga)
    instance.refresh_from_db()
    assert instance.in_maintenance
    Instance.objects.filter(pk=instance.pk).update(maintenance_until=timezone.now() - timedelta(seconds=1))
    instance.refresh_from_db()
    assert not instance.in_maintenance
    with pytest.raises(Refused, match="is not in maintenance"):
        maintenance.end(instance, actor=cast.olga)
    with pytest.raises(Refused, match="lies in the past"):
        maintenance.begin(instance, reason="reboot", until=timezone.now() - timedelta(hours=1), actor=cast.olga)


def test_an_approval_covers_it_and_the_others_keep_the_waves_that_were_approved() -> None:
    cast, first = begin(4, protected=True, waves=["2", "100%"])
    work(first)
    look(first)
    waves.advance(first.pk)
    work(first)
    waves.advance(first.pk)
    draft = change(cast, "newer")
    approved = {target.name: target.wave for target in draft.proposals.get().aimed_at}
    out = next(name for name, wave in approved.items() if wave == 1 and name != "i0")
    maintenance.begin(named(first, out), reason="new disk", actor=cast.olga)
    client = Client()
    client.force_login(cast.anna)
    page = client.get(reverse("configs:change", args=[draft.pk])).content.decode()
    assert f"left out if that has not ended when it is published: {out}" in page

    rollout = rollouts.publish(draft, actor=cast.olga)

    made = dict(rollout.deliveries.values_list("instance__name", "wave"))
    assert made == {name: wave for name, wave in approved.items() if name != out}
    assert [one["name"] for one in rollout.left_out] == [out]
    maintenance.end(named(first, out), actor=cast.olga)
    work(rollout)
    look(rollout)
    waves.advance(rollout.pk)
    work(rollout)
    waves.advance(rollout.pk)
    sync = rollouts.start(
        cast.environment, actor=cast.olga, cause=Cause.SYNC, instances=[named(first, out).pk]
    )  # by the operator alone: it was approved for it
    assert sorted(states(sync)) == [out]


def test_an_approved_wave_of_instances_in_maintenance_only_is_not_passed_over() -> None:
    cast, first = begin(3, protected=True, waves=["1", "100%"])
    work(first)
    look(first)
    waves.advance(first.pk)
    work(first)
    waves.advance(first.pk)
    draft = change(cast, "newer")
    maintenance.begin(named(first, "i0"), reason="new disk", actor=cast.olga)
    with pytest.raises(Refused, match="Wave 1, as it was approved, has only i0, in maintenance"):
        rollouts.publish(draft, actor=cast.olga)


def test_without_approvals_another_one_becomes_the_canary() -> None:
    cast, first = begin(3, waves=["1", "100%"])
    maintenance.begin(named(first, "i0"), reason="new disk", actor=cast.olga)
    newer = rollouts.publish(change(cast, "newer"), actor=cast.olga, supersede=True)
    assert newer.waves == 2
    assert newer.deliveries.filter(wave=1).count() == 1


def test_a_rollback_leaves_it_out_by_name_too() -> None:
    cast, rollout = begin(2)
    work(rollout)
    waves.advance(rollout.pk)
    maintenance.begin(named(rollout, "i1"), reason="new disk", actor=cast.olga)
    back = rollbacks.roll_back(rollout, actor=cast.olga, reason="bad")
    assert sorted(states(back)) == ["i0"]
    assert [one["name"] for one in back.left_out] == ["i1"]


def test_its_page_puts_it_in_and_takes_it_out_and_keeps_what_was_typed() -> None:
    cast = testing.cast()
    testing.bundle(cast.environment)
    instance = testing.instance(cast.environment)
    client = Client()
    client.force_login(cast.olga)
    address = reverse("sync:instance-maintenance", args=[instance.pk])
    refused = client.post(address, {"reason": "reboot", "zone": "UTC", "until": "2020-01-01T00:00"})
    assert refused.status_code == 422
    assert "lies in the past" in refused.content.decode()
    assert 'value="reboot"' in refused.content.decode()
    assert (
        client.post(address, {"reason": "reboot", "zone": "Asia/Tokyo", "until": "2046-01-01T09:00"}).status_code == 302
    )
    instance.refresh_from_db()
    assert instance.maintenance_until is not None
    assert instance.maintenance_until.isoformat() == "2046-01-01T00:00:00+00:00"
    page = client.get(reverse("sync:sync", args=["staging"])).content.decode()
    assert "Left out, in maintenance" in page
    assert client.post(address, {"end": "yes"}).status_code == 302
    instance.refresh_from_db()
    assert not instance.in_maintenance
    actions = AuditEvent.objects.filter(action__startswith="instance.maintenance").values_list("action", flat=True)
    assert sorted(actions) == ["instance.maintenance_begun", "instance.maintenance_ended"]


def test_its_end_is_a_day_that_the_database_can_hand_back() -> None:
    cast, rollout = begin(1)
    far = datetime(9999, 12, 31, 23, 59, tzinfo=ZoneInfo("America/New_York"))  # the year 10000 in UTC
    with pytest.raises(Refused, match="behind the year 2100"):
        maintenance.begin(named(rollout, "i0"), reason="new disk", until=far, actor=cast.olga)
    with pytest.raises(IntegrityError, match="readable_years"), transaction.atomic():
        Instance.objects.update(
            maintenance_since=timezone.now(), maintenance_until=far, maintenance_reason="x", maintenance_by=cast.olga
        )
    assert not named(rollout, "i0").in_maintenance


def test_a_reason_with_a_secret_of_the_documents_is_refused() -> None:
    cast, rollout = begin(1)
    with pytest.raises(Refused, match="holds a secret"):
        maintenance.begin(named(rollout, "i0"), reason="s3cret", actor=cast.olga)
