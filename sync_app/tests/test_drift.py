"""What drift is, and what it is not; one statement whatever the fleet."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from configs_app import documents
from configs_app.models import Bundle
from console import testing
from console.testing import Cast
from instances_app.models import Instance, Observation
from sync_app import drift, fleet, maintenance, rollout_control, rollouts
from sync_app.models import Cause, Delivery, Rollout, SetAside
from sync_app.tests import attempts, drifts
from sync_app.tests.drifts import OTHER, THIRD, members, names, one

pytestmark = pytest.mark.django_db


def words(cast: Cast) -> dict[str, str]:
    return {row.instance.name: row.config for row in fleet.rows(cast.environment)}


def published(cast: Cast, name: str = "new", *, instances: list[int] | None = None) -> Rollout:
    return rollouts.publish(attempts.change(cast, name), actor=cast.olga, instances=instances)


def test_what_somebody_wrote_on_the_host_drifts_and_says_since_when() -> None:
    cast = drifts.fleet()
    drifts.change(one(cast))
    (found,) = members(cast.environment)
    assert (found.name, found.kind, found.digest) == ("i0", "webhooks", OTHER)
    assert (found.fresh, found.seen_twice, found.proven, found.is_open) == (True, True, True, True)
    assert found.right_at is not None
    assert found.right_at < found.since <= found.seen_at
    assert words(cast) == {"i0": "drifted", "i1": "in sync"}


def test_an_instance_that_is_merely_behind_does_not_drift() -> None:
    cast = drifts.fleet()
    drifts.done(published(cast, instances=[one(cast, "i1").pk]))
    assert names(cast.environment) == []
    assert words(cast) == {"i0": "out of sync", "i1": "in sync"}


def test_what_is_behind_and_was_changed_on_the_host_drifts() -> None:
    cast = drifts.fleet()
    drifts.done(published(cast, instances=[one(cast, "i1").pk]))
    drifts.change(one(cast))
    (found,) = members(cast.environment)
    assert (found.name, found.proven) == ("i0", False)


def test_an_older_content_that_somebody_put_back_by_hand_drifts() -> None:
    cast = drifts.fleet()
    before = documents.desired(cast.environment)
    assert before is not None
    drifts.done(published(cast))
    drifts.change(one(cast), before.digests()["webhooks"])
    assert names(cast.environment) == ["i0 webhooks"]


def test_a_push_that_may_have_arrived_explains_its_own_content_and_no_other() -> None:
    cast = drifts.fleet()
    late = published(cast, "late")
    drifts.done(late, "rejected")
    Delivery.objects.filter(rollout=late).update(sent_at=timezone.now())
    arrived = late.bundle.digests()["webhooks"]
    drifts.done(published(cast, "newer"), "rejected")
    drifts.change(one(cast), arrived)
    drifts.change(one(cast, "i1"), OTHER)
    assert names(cast.environment) == ["i1 webhooks"]


@pytest.mark.parametrize("state", ["pending", "sending", "unknown", "retrying"])
def test_nothing_drifts_while_a_delivery_is_on_its_way(state: str) -> None:
    cast = drifts.fleet()
    drifts.change(one(cast))
    rollout = rollouts.start(cast.environment, actor=cast.olga, cause=Cause.SYNC)
    rollout.deliveries.update(state=state, lease_until=timezone.now())
    assert names(cast.environment) == []


def test_what_waits_in_a_paused_rollout_is_not_on_its_way() -> None:
    cast = drifts.fleet()
    drifts.change(one(cast))
    rollout = rollouts.start(cast.environment, actor=cast.olga, cause=Cause.SYNC)
    rollout_control.pause(rollout, actor=cast.olga)
    assert names(cast.environment) == ["i0 webhooks"]


def test_an_import_that_was_seen_running_is_a_baseline_too() -> None:
    cast = testing.cast()
    first, never = testing.instance(cast.environment, "i0"), testing.instance(cast.environment, "i1")
    testing.bundle(cast.environment)
    drifts.back(first)
    drifts.change(first)
    drifts.change(never)
    (found,) = members(cast.environment)
    assert (found.name, found.revision_id, found.proven) == ("i0", None, False)


def test_the_sixteen_digits_of_a_seed_only_service_are_the_same_content() -> None:
    cast = drifts.fleet()
    bundle = documents.desired(cast.environment)
    assert bundle is not None
    drifts.see(one(cast), {"webhooks": bundle.digests()["webhooks"][:16]})
    assert names(cast.environment) == []
    drifts.change(one(cast), OTHER[:16])
    drifts.change(one(cast, "i1"))
    (group,) = drift.groups(bundle)
    assert (group.total, group.digest, group.names) == (2, OTHER, ["i0", "i1"])


def test_a_silence_makes_it_unknown_and_keeps_since_when() -> None:
    cast = drifts.fleet()
    drifts.change(one(cast))
    (before,) = members(cast.environment)
    Observation.objects.filter(until=None).update(seen_at=timezone.now() - timedelta(hours=1))
    bundle = documents.desired(cast.environment)
    assert drift.count(bundle) == 0
    assert words(cast)["i0"] == "unknown"
    (silent,) = members(cast.environment)
    assert (silent.fresh, silent.is_open) == (False, False)
    assert bundle is not None
    drifts.see(one(cast), {**bundle.digests(), "webhooks": OTHER})
    (again,) = members(cast.environment)
    assert (again.since, again.is_open) == (before.since, True)


def test_fleet_and_desk_agree_where_the_report_of_one_document_is_old() -> None:
    cast = drifts.fleet(1)
    old = timezone.now() - timedelta(hours=1)
    Observation.objects.filter(kind="connections").update(since=old - timedelta(hours=1), seen_at=old)
    drifts.change(one(cast))
    (half,) = members(cast.environment)
    assert (half.fresh, words(cast), drift.count(documents.desired(cast.environment))) == (False, {"i0": "unknown"}, 0)


def test_retired_instances_and_environments_without_documents_have_no_drift() -> None:
    cast = drifts.fleet()
    drifts.change(one(cast))
    Instance.objects.filter(name="i0").update(retired_at=timezone.now())
    assert names(cast.environment) == []
    assert drift.groups(None) == []
    assert drift.count(None) == 0


def test_what_is_set_aside_drifts_on_and_is_not_counted() -> None:
    cast = drifts.fleet(4)
    bundle = documents.desired(cast.environment)
    for name in ("i0", "i1", "i2"):
        drifts.change(one(cast, name))
    until = timezone.now() + timedelta(hours=1)
    common = {"environment": cast.environment, "until": until, "by": cast.olga}
    SetAside.objects.create(instances=[one(cast).pk], kind="webhooks", short=OTHER[:16], reason="known", **common)
    SetAside.objects.create(instances=[one(cast, "i1").pk], **common)
    (group,) = drift.groups(bundle)
    assert (group.total, group.open, group.ignored, group.snoozed) == (3, 1, 1, 1)
    assert drift.count(bundle) == 1
    assert words(cast)["i0"] == "drifted"
    drifts.change(one(cast), THIRD)  # other content than the ignored one
    drifts.change(one(cast, "i1"), THIRD)  # snoozed is snoozed, whatever it runs
    assert drift.count(bundle) == 2
    SetAside.objects.update(until=timezone.now(), at=timezone.now() - timedelta(hours=2))
    assert drift.count(bundle) == 3


def test_an_instance_in_maintenance_drifts_on_and_is_not_counted() -> None:
    cast = drifts.fleet(2)
    bundle = documents.desired(cast.environment)
    drifts.change(one(cast))
    drifts.change(one(cast, "i1"))
    maintenance.begin(one(cast), actor=cast.olga, until=timezone.now() + timedelta(hours=1), reason="a new disk")
    assert (drift.count(bundle), words(cast)["i0"]) == (1, "drifted")
    assert [drifting.in_maintenance for drifting in drift.members(bundle)] == [True, False]
    Instance.objects.filter(name="i0").update(maintenance_until=timezone.now())
    assert drift.count(bundle) == 2


def test_the_comparison_is_one_statement_for_ten_thousand_documents() -> None:
    cast = drifts.fleet(1)
    bundle = documents.desired(cast.environment)
    assert bundle is not None
    big(cast, bundle, 5000)
    with CaptureQueriesContext(
        connection,
    ) as captured:
        groups = drift.groups(bundle)
    assert len(captured) == 1
    assert [group.total for group in groups] == [2500, 2500]


def big(cast: Cast, bundle: Bundle, number: int) -> None:
    """So many instances, each verified once; every other one drifts in both documents."""
    first = one(cast)
    made = Instance.objects.bulk_create(
        Instance(
            environment=cast.environment,
            name=f"n{index:05}",
            base_url=f"http://n{index}",
            token_sealed=first.token_sealed,
        )
        for index in range(number)
    )
    rollout = Rollout.objects.get()
    now = timezone.now()
    Delivery.objects.bulk_create(
        Delivery(rollout=rollout, instance=instance, state="verified", evidence="Read back.") for instance in made
    )
    Observation.objects.bulk_create(
        Observation(
            instance=instance,
            kind=kind,
            digest=bundle.digests()[kind] if index % 2 else OTHER,
            since=now,
            seen_at=now + timedelta(seconds=1),
        )
        for index, instance in enumerate(made)
        for kind in ("webhooks", "connections")
    )
