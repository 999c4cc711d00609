"""Self-heal repairs what is certain, within its budget, and gives way: to people, to rollouts, to what was blocked."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from django.utils import timezone

from configs_app import documents
from console.models import AuditEvent
from console.testing import Cast
from instances_app import healing, observations, registry
from instances_app.freeze_models import Freeze
from instances_app.healing import SelfHeal
from instances_app.models import Observation
from instances_app.observations import Sighting
from sync_app import (
    drift_watch,
    freezing,
    maintenance,
    repairs,
    rollbacks,
    rollout_control,
    rollouts,
    self_heal,
    set_aside,
    waves,
)
from sync_app.models import Blocked, Cause, Drift, Repair, Rollout
from sync_app.tests import attempts, drifts
from sync_app.tests.drifts import OTHER, THIRD, one

pytestmark = pytest.mark.django_db


def fleet(number: int = 2, *, protected: bool = False, per_instance: int = 3, per_hour: int = 10) -> Cast:
    cast = drifts.fleet(number, protected=protected)
    heal = SelfHeal(True, per_instance, per_hour)
    environment = healing.change(cast.environment, heal, reason="nobody edits files there now", actor=cast.adam)
    return replace(cast, environment=environment)


def changed(cast: Cast, *names: str, digest: str = OTHER) -> None:
    """Somebody writes this on these hosts; beat has noted it, and asked for the content."""
    for name in names or ("i0",):
        drifts.change(one(cast, name), digest)
    drift_watch.note(cast.environment)
    Drift.objects.filter(tried_at=None).update(tried_at=timezone.now(), read_error="cannot")


def healed(cast: Cast) -> Rollout:
    """A repair by itself, to its end; the instances report the desired documents again."""
    rollout = self_heal.run(cast.environment)
    assert rollout is not None
    drifts.done(rollout)
    drift_watch.note(cast.environment)
    return rollout


def waits(cast: Cast) -> str:
    assert self_heal.run(cast.environment) is None
    return self_heal.look(cast.environment).waits


def left(cast: Cast, name: str = "i0") -> str:
    assert self_heal.run(cast.environment) is None
    return self_heal.look(cast.environment).left[one(cast, name).pk]


def test_it_is_off_unless_somebody_switched_it_on() -> None:
    cast = drifts.fleet()
    changed(cast)
    assert self_heal.run(cast.environment) is None
    assert self_heal.look(cast.environment).on is False


def test_it_brings_back_exactly_what_drifted_and_keeps_books() -> None:
    cast = fleet()
    changed(cast)
    rollout = healed(cast)
    assert (rollout.cause, rollout.author, rollout.state) == ("repair", None, "succeeded")
    assert attempts.states(rollout) == {"i0": "verified"}
    (book,) = Repair.objects.all()
    assert (book.instance.name, book.kind, book.short, book.by_itself) == ("i0", "webhooks", OTHER[:16], True)
    assert drifts.names(cast.environment) == []
    event = AuditEvent.objects.filter(action="rollout.started").order_by("sequence").last()
    assert event is not None
    assert (event.actor_name, event.data["cause"]) == ("system", "repair")


def test_where_it_is_protected_it_works_just_the_same_once_it_is_on() -> None:
    cast = fleet(protected=True)
    changed(cast)
    assert attempts.states(healed(cast)) == {"i0": "verified"}


def test_one_report_is_not_enough() -> None:
    """A check that was on its way during a push may report what was there before it."""
    cast = fleet()
    drifts.change(one(cast), times=1)
    drift_watch.note(cast.environment)
    Drift.objects.update(tried_at=timezone.now(), read_error="cannot")
    assert left(cast) == "it has been reported only once so far"


@pytest.mark.django_db(transaction=True)  # what was claimed before the move is told by the database's clock
def test_what_was_proven_at_another_address_counts_for_nothing() -> None:
    """Whoever answers there now is not sent both documents because a host before it was trusted."""
    cast = fleet(protected=True)
    registry.change(one(cast), name="i0", base_url="http://127.0.0.1:1/elsewhere", labels={}, actor=cast.olga)
    changed(cast)
    assert left(cast) == "it has not been heard of lately"
    desired = documents.desired(cast.environment)
    assert desired is not None
    observations.record([Sighting(one(cast).pk, desired.digests())])
    changed(cast)
    assert left(cast) == "no delivery has proven the desired bundle there"
    drifts.done(rollouts.start(cast.environment, actor=cast.olga, cause=Cause.SYNC))
    changed(cast, digest=THIRD)
    assert attempts.states(healed(cast)) == {"i0": "verified"}


def test_what_is_there_is_read_first() -> None:
    cast = fleet()
    changed(cast)
    Drift.objects.update(tried_at=None)
    assert left(cast) == "what is there has not been read yet"


def test_a_question_that_a_kill_cut_short_is_no_answer() -> None:
    cast = fleet()
    changed(cast)
    Drift.objects.update(tried_at=timezone.now(), read_error="")
    assert left(cast) == "what is there has not been read yet"


def test_what_is_old_is_unknown_and_not_repaired() -> None:
    cast = fleet()
    changed(cast)
    Observation.objects.filter(until=None).update(seen_at=timezone.now() - timedelta(hours=1))
    assert left(cast) == "it has not been heard of lately"


def test_it_never_brings_an_instance_further_than_it_was_proven() -> None:
    cast = fleet()
    drifts.done(rollouts.publish(attempts.change(cast), actor=cast.olga, instances=[one(cast, "i1").pk]))
    changed(cast, "i0")
    assert left(cast) == "no delivery has proven the desired bundle there"


def test_what_is_set_aside_is_left_alone_also_in_the_other_document() -> None:
    cast = fleet(3)
    changed(cast, "i0", "i1")
    until = timezone.now() + timedelta(days=1)
    set_aside.ignore(
        cast.environment,
        "webhooks",
        OTHER[:16],
        instances=[one(cast).pk],
        until=until,
        reason="a drill",
        actor=cast.olga,
    )
    set_aside.snooze(cast.environment, instances=[one(cast, "i1").pk], hours=1, actor=cast.olga)
    drifts.change(one(cast), THIRD, kind="connections")
    assert left(cast) == "its webhooks document is set aside"
    assert left(cast, "i1") == "its webhooks document is set aside"


def test_it_leaves_alone_who_is_in_maintenance_and_waits_for_the_end_of_a_freeze() -> None:
    cast = fleet()
    changed(cast)
    maintenance.begin(one(cast), actor=cast.olga, until=None, reason="a new disk")
    assert left(cast) == "it is in maintenance"
    maintenance.end(one(cast), actor=cast.olga)
    now = timezone.now()
    freeze = Freeze(environment=cast.environment, kind="freeze", policy="finish", zone="UTC", reason="the sale")
    freeze.starts_at, freeze.ends_at = now - timedelta(minutes=1), now + timedelta(hours=1)
    freezing.add(freeze, actor=cast.adam)
    assert self_heal.run(cast.environment) is None
    assert "the sale" in self_heal.look(cast.environment).waits


def test_it_waits_for_every_rollout_that_has_not_ended() -> None:
    cast = fleet()
    changed(cast)
    going = rollouts.start(cast.environment, actor=cast.olga, cause=Cause.SYNC, instances=[one(cast, "i1").pk])
    assert waits(cast) == f"Rollout {going.number} is running."
    rollout_control.pause(going, actor=cast.olga)
    assert waits(cast) == f"Rollout {going.number} is paused."
    rollout_control.cancel(going, actor=cast.olga)
    assert self_heal.run(cast.environment) is not None


def test_it_does_not_go_past_a_gate_that_said_no() -> None:
    cast = fleet(4)
    cast.environment.plan = {"waves": ["1", "100%"]}
    cast.environment.save()
    changed(cast)
    halted = rollouts.start(cast.environment, actor=cast.olga, cause=Cause.SYNC)
    attempts.work(halted, "rejected")
    waves.advance(halted.pk)
    halted.refresh_from_db()
    assert halted.state == "halted"
    rollout_control.cancel(halted, actor=cast.olga)
    assert "halted, and nobody has decided to go on" in waits(cast)


def test_a_repair_that_a_person_cancelled_is_not_started_again_before_a_person_starts_one() -> None:
    cast = fleet()
    changed(cast)
    rollout = self_heal.run(cast.environment)
    assert rollout is not None
    rollout_control.cancel(rollout, actor=cast.olga)
    assert "Somebody cancelled the repair" in waits(cast)
    drifts.done(rollouts.start(cast.environment, actor=cast.olga, cause=Cause.SYNC))
    changed(cast, digest=THIRD)
    assert attempts.states(healed(cast)) == {"i0": "verified"}


def test_a_blocked_bundle_is_never_sent() -> None:
    cast = fleet()
    bad = drifts.done(rollouts.publish(attempts.change(cast), actor=cast.olga))
    back = drifts.done(rollbacks.roll_back(bad, actor=cast.olga, reason="it fails"))
    changed(cast)
    Blocked.objects.update(webhooks_digest=back.bundle.digests()["webhooks"])
    assert "It is blocked until somebody lifts that" in waits(cast)


def test_what_comes_back_after_two_repairs_is_left_alone_and_told_once() -> None:
    cast = fleet(per_instance=10)
    for _ in range(self_heal.COMES_BACK):
        changed(cast)
        healed(cast)
    changed(cast)
    for _ in range(3):
        assert self_heal.run(cast.environment) is None
    assert set(self_heal.look(cast.environment).stopped.values()) == {"comes_back"}
    told = AuditEvent.objects.filter(action="drift.heal_stopped")
    assert [event.data["why"] for event in told] == [self_heal.STOPS["comes_back"]]
    assert AuditEvent.objects.filter(action="drift.found").count() == self_heal.COMES_BACK + 1

    changed(cast, digest=THIRD)  # other content is no answer to the repairs of this one
    healed(cast)


def test_a_person_who_overwrites_gives_it_another_chance() -> None:
    cast = fleet(per_instance=10)
    for _ in range(self_heal.COMES_BACK):
        changed(cast)
        healed(cast)
    changed(cast)
    assert self_heal.run(cast.environment) is None
    drifts.done(repairs.overwrite(cast.environment, "webhooks", OTHER[:16], instances=[one(cast).pk], actor=cast.olga))
    changed(cast)
    healed(cast)


def test_an_instance_is_repaired_only_so_often_a_day() -> None:
    cast = fleet(per_instance=1)
    changed(cast)
    healed(cast)
    changed(cast, digest=THIRD)
    assert self_heal.run(cast.environment) is None
    assert self_heal.look(cast.environment).stopped == {("webhooks", THIRD[:16]): "instance_budget"}
    assert AuditEvent.objects.filter(action="drift.heal_stopped").count() == 1
    Repair.objects.update(at=timezone.now() - timedelta(hours=25))
    healed(cast)


def test_the_fleet_is_repaired_only_so_often_an_hour_the_oldest_first() -> None:
    cast = fleet(4, per_hour=2)
    for name in ("i2", "i0", "i1"):
        changed(cast, name)
    assert attempts.states(healed(cast)) == {"i2": "verified", "i0": "verified"}
    assert self_heal.run(cast.environment) is None
    standing = self_heal.look(cast.environment)
    assert (standing.used, standing.stops) == (2, {one(cast, "i1").pk: "hour_budget"})
    Repair.objects.update(at=timezone.now() - timedelta(minutes=61))
    assert attempts.states(healed(cast)) == {"i1": "verified"}


def test_a_repair_that_the_instance_refuses_uses_up_the_budget_too() -> None:
    cast = fleet(per_instance=5)
    changed(cast)
    for _ in range(self_heal.COMES_BACK):
        rollout = self_heal.run(cast.environment)
        assert rollout is not None
        Rollout.objects.filter(pk=rollout.pk).update(plan={**rollout.plan, "failure_limit": ""})
        attempts.work(rollout, "rejected")
        rollout.refresh_from_db()
        if rollout.is_going:
            waves.advance(rollout.pk)
        rollout.refresh_from_db()
        assert rollout.state == "incomplete"
        drift_watch.note(cast.environment)
        Drift.objects.update(tried_at=timezone.now(), read_error="cannot")
    assert self_heal.run(cast.environment) is None
    assert set(self_heal.look(cast.environment).stopped.values()) == {"comes_back"}
