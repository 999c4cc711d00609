"""A rollout goes in waves, and a gate opens on proof only."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.db import IntegrityError, transaction
from django.utils import timezone

from console import testing
from console.errors import Refused
from console.models import AuditEvent
from instances_app.models import Instance
from sync_app import deliveries, gates, rollout_control, rollouts, tasks, waves
from sync_app.models import Cause, Delivery, DeliveryState, Rollout
from sync_app.tests.attempts import attempt, begin, change, look, states, work

pytestmark = pytest.mark.django_db


def fresh(rollout: Rollout) -> Rollout:
    rollout.refresh_from_db()
    return rollout


def age_soak(rollout: Rollout, seconds: float) -> None:
    """As if the verified ones had been verified that much earlier."""
    for delivery in rollout.deliveries.exclude(finished_at=None):
        Delivery.objects.filter(pk=delivery.pk).update(finished_at=timezone.now() - timedelta(seconds=seconds))


def test_only_the_open_wave_is_sent_and_the_next_one_opens_on_proof_after_a_fresh_answer() -> None:
    _, rollout = begin(5, waves=["1", "50%", "100%"])
    assert (rollout.waves, rollout.wave) == (3, 1)
    assert work(rollout) == ["i0"]
    assert work(rollout) == []

    assert waves.advance(rollout.pk).look  # verified; now the instance has to say how it is
    assert fresh(rollout).wave == 1
    look(rollout)
    step = waves.advance(rollout.pk)

    assert (step.opened, step.delay, fresh(rollout).wave) == (True, 0.0, 2)
    assert len(work(rollout)) == 2
    waves.advance(rollout.pk)
    look(rollout)
    waves.advance(rollout.pk)
    assert len(work(rollout)) == 2
    waves.advance(rollout.pk)
    assert fresh(rollout).state == "succeeded"  # behind the last wave there is no gate
    actions = [event.data["wave"] for event in AuditEvent.objects.filter(action="rollout.wave_opened").order_by("pk")]
    assert actions == [2, 3]


def test_a_rollout_that_cannot_go_on_keeps_no_other_one_waiting(caplog: pytest.LogCaptureFixture) -> None:
    _, broken = begin(2, waves=["1", "100%"])
    cast = testing.cast("elsewhere")
    testing.bundle(cast.environment)
    testing.instance(cast.environment, "other")
    other = rollouts.start(cast.environment, actor=cast.olga, cause=Cause.SYNC)
    for rollout in (broken, other):
        work(rollout)
    Rollout.objects.filter(pk=broken.pk).update(plan={"of": "a newer version"})
    tasks.tick()
    assert (fresh(broken).state, fresh(other).state) == ("running", "succeeded")
    assert f"Rollout {broken.pk} could not go on" in caplog.text


def test_a_gate_waits_for_the_soak_and_for_answers_after_it() -> None:
    _, rollout = begin(2, waves=["1", "100%"], soak_seconds=60)
    work(rollout)
    look(rollout)  # before the soak's end: it says nothing

    step = waves.advance(rollout.pk)
    assert step.delay is not None
    assert 50 < step.delay <= 60
    assert not step.look
    age_soak(rollout, 70)
    Instance.objects.update(health_at=timezone.now() - timedelta(seconds=5))
    assert waves.advance(rollout.pk).opened  # an answer five seconds old is one after the soak


def test_an_old_answer_does_not_open_a_gate() -> None:
    _, rollout = begin(2, waves=["1", "100%"], soak_seconds=60)
    work(rollout)
    look(rollout)
    Instance.objects.update(health_at=timezone.now() - timedelta(seconds=5))
    age_soak(rollout, 62)  # the soak ended two seconds ago
    step = waves.advance(rollout.pk)
    assert (step.look, fresh(rollout).wave) == (True, 1)


def test_a_gate_that_gets_no_answer_for_too_long_halts() -> None:
    _, rollout = begin(2, waves=["1", "100%"])
    work(rollout)
    assert waves.advance(rollout.pk).look
    Rollout.objects.update(asked_at=timezone.now() - waves.PATIENCE - timedelta(seconds=1))
    waves.advance(rollout.pk)
    assert fresh(rollout).state == "halted"
    assert "1 of 1 have not said yet how they are" in rollout.halt_reason


def test_a_gate_never_opens_while_one_of_its_wave_is_unknown() -> None:
    _, rollout = begin(4, waves=["2", "100%"])
    work(rollout, lambda name: "verified" if name == "i0" else "timeout")
    look(rollout)
    step = waves.advance(rollout.pk)
    assert not step.look
    assert sorted(states(rollout).values()) == ["pending", "pending", "unknown", "verified"]
    assert fresh(rollout).wave == 1


def test_a_rejection_in_the_first_wave_halts_at_once_and_says_who() -> None:
    _, rollout = begin(6, waves=["2", "100%"])
    work(rollout, "rejected", limit=1)
    waves.advance(rollout.pk)
    assert (fresh(rollout).state, rollout.halt_reason) == ("halted", "Wave 1: rejected by i0.")
    assert work(rollout) == []  # not even the second one of the wave
    event = AuditEvent.objects.get(action="rollout.halted")
    assert event.data["reason"] == rollout.halt_reason


def test_a_rollout_of_one_wave_goes_on_past_a_rejection() -> None:
    _, rollout = begin(3)
    work(rollout, lambda name: "rejected" if name == "i0" else "verified")
    waves.advance(rollout.pk)
    assert fresh(rollout).state == "incomplete"


def test_more_failures_than_the_limit_halt_in_the_middle_of_a_wave() -> None:
    _, rollout = begin(10, failure_limit="10%")
    work(rollout, "failed", limit=1)
    waves.advance(rollout.pk)
    assert fresh(rollout).state == "running"
    work(rollout, "failed", limit=1)
    waves.advance(rollout.pk)
    assert fresh(rollout).state == "halted"
    assert rollout.halt_reason.startswith("Wave 1: 2 failed, 1 may (10%): i")
    assert work(rollout) == []


@pytest.mark.parametrize(
    ("plan", "state"),
    [
        ({"unreachable": "block"}, "halted"),
        ({"unreachable": "block", "failure_limit": "1"}, "running"),  # it counts as one of them
        ({"unreachable": "block", "failure_limit": "0"}, "halted"),
        ({"unreachable": "tolerate", "tolerate": 1}, "running"),
        ({"unreachable": "tolerate", "tolerate": 0}, "halted"),
        ({"unreachable": "exclude", "failure_limit": "0"}, "running"),
    ],
)
def test_an_unreachable_instance_counts_as_the_plan_says(plan: dict[str, Any], state: str) -> None:
    _, rollout = begin(5, waves=["2", "100%"], **plan)
    Rollout.objects.update(max_attempts=1)
    work(rollout, lambda name: "verified" if name == "i0" else "refused")
    look(rollout)
    waves.advance(rollout.pk)
    assert fresh(rollout).state == state
    assert rollout.wave == (2 if state == "running" else 1)
    assert state == "running" or "unreachable" in rollout.halt_reason or "failed" in rollout.halt_reason


def test_a_wave_in_which_nothing_was_verified_proves_nothing() -> None:
    _, rollout = begin(3, waves=["1", "100%"], unreachable="exclude")
    Rollout.objects.update(max_attempts=1)
    work(rollout, "refused")
    waves.advance(rollout.pk)
    assert fresh(rollout).halt_reason == "Wave 1: 0 verified, at least one has to be."


def test_a_canary_that_falls_ill_in_the_soak_halts() -> None:
    _, rollout = begin(3, waves=["1", "100%"])
    work(rollout)
    look(rollout, ill="i0")
    waves.advance(rollout.pk)
    assert fresh(rollout).halt_reason == "Wave 1: after the soak i0 is degraded."


def test_a_canary_that_runs_something_else_after_the_soak_halts() -> None:
    _, rollout = begin(3, waves=["1", "100%"])
    work(rollout)
    look(rollout, runs={"webhooks": "d" * 64, "connections": "d" * 64})
    waves.advance(rollout.pk)
    assert fresh(rollout).halt_reason == "Wave 1: after the soak i0 runs something else again."


def test_retiring_the_only_canary_opens_no_gate() -> None:
    """Nothing would be left that proves anything; an ill canary could be retired for it."""
    _, rollout = begin(4, waves=["1", "100%"])
    work(rollout)
    Instance.objects.filter(name="i0").update(retired_at=timezone.now())
    waves.advance(rollout.pk)
    assert (fresh(rollout).state, fresh(rollout).wave) == ("halted", 1)
    assert "none of the verified ones is left to ask" in fresh(rollout).halt_reason


def test_an_instance_that_is_retired_beside_a_verified_one_holds_no_gate_up() -> None:
    _, rollout = begin(4, waves=["2", "100%"])
    work(rollout)
    first = rollout.deliveries.filter(wave=1).first()
    assert first is not None
    Instance.objects.filter(pk=first.instance_id).update(retired_at=timezone.now())
    look(rollout)
    assert waves.advance(rollout.pk).opened


def test_continuing_opens_the_next_wave_with_a_reason_and_does_not_hold_the_old_failures_against_it() -> None:
    cast, rollout = begin(6, waves=["1", "50%", "100%"], failure_limit="0")
    work(rollout, "rejected")
    waves.advance(rollout.pk)
    with pytest.raises(Refused, match="Say why"):
        rollout_control.continue_(rollout, actor=cast.anna, reason=" ")

    rollout = rollout_control.continue_(rollout, actor=cast.anna, reason="i0 is a test host")

    assert (rollout.state, rollout.wave, rollout.halt_reason) == ("running", 2, "")
    work(rollout)
    look(rollout)
    waves.advance(rollout.pk)
    assert fresh(rollout).wave == 3
    work(rollout, "failed", limit=1)
    waves.advance(rollout.pk)
    assert fresh(rollout).state == "halted"  # a new failure is one too many again
    event = AuditEvent.objects.get(action="rollout.continued")
    assert (event.actor_name, event.data["reason"]) == ("anna", "i0 is a test host")


def test_in_a_protected_environment_another_person_has_to_continue() -> None:
    cast, rollout = begin(3, protected=True, waves=["1", "100%"])
    work(rollout, "rejected")
    waves.advance(rollout.pk)
    with pytest.raises(Refused, match="somebody other than olga"):
        rollout_control.continue_(rollout, actor=cast.olga, reason="It is fine")
    assert rollout_control.continue_(rollout, actor=cast.anna, reason="It is fine").wave == 2


def test_a_continued_wave_that_has_not_ended_is_sent_to_its_end_first() -> None:
    cast, rollout = begin(6, waves=["3", "100%"])
    work(rollout, "rejected", limit=1)
    waves.advance(rollout.pk)
    rollout = rollout_control.continue_(rollout, actor=cast.anna, reason="Known")
    assert rollout.wave == 1
    assert len(work(rollout)) == 2
    look(rollout)
    waves.advance(rollout.pk)
    assert fresh(rollout).wave == 2


def test_while_paused_nothing_is_sent_and_what_may_have_arrived_is_only_read() -> None:
    cast, rollout = begin(4, at_once=2)
    work(rollout, "timeout")
    rollout_control.pause(rollout, actor=cast.anna)
    rollout.deliveries.filter(state="unknown").update(next_attempt_at=None)

    claims = deliveries.claim(rollout.pk, limit=250)
    assert len(claims) == 2
    assert not any(claim.may_send for claim in claims)
    rollout.deliveries.filter(state="sending").update(state="unknown", lease_until=None)
    work(rollout, "gone")

    assert sorted(states(rollout).values()) == ["pending"] * 4  # proven not to be there: they wait again
    assert work(rollout) == []
    assert waves.advance(rollout.pk).delay is None
    rollout_control.pause(rollout, actor=cast.olga)  # twice is once
    assert fresh(rollout).held_by == cast.anna
    rollout_control.resume(rollout, actor=cast.olga)
    assert len(work(rollout)) == 2
    assert AuditEvent.objects.filter(action__in=["rollout.paused", "rollout.resumed"]).count() == 2


def test_a_paused_rollout_opens_no_gate_and_judges_when_it_goes_on() -> None:
    cast, rollout = begin(4, waves=["1", "100%"])
    claims = deliveries.claim(rollout.pk, limit=1)
    rollout_control.pause(rollout, actor=cast.olga)
    deliveries.record(rollout, [(claims[0], attempt(claims[0], rollout.bundle.digests(), "rejected"))])
    waves.advance(rollout.pk)
    assert fresh(rollout).state == "paused"
    rollout_control.resume(rollout, actor=cast.olga)
    waves.advance(rollout.pk)
    assert fresh(rollout).state == "halted"
    with pytest.raises(Refused, match="halted, not paused"):
        rollout_control.resume(rollout, actor=cast.olga)


@pytest.mark.parametrize("state", ["running", "paused", "halted"])
def test_pause_and_cancel_work_in_every_state_of_an_unfinished_rollout(state: str) -> None:
    cast, rollout = begin(4, waves=["1", "100%"])
    if state == "paused":
        rollout_control.pause(rollout, actor=cast.olga)
    if state == "halted":
        work(rollout, "rejected")
        waves.advance(rollout.pk)
    rollout_control.pause(rollout, actor=cast.anna)
    rollout_control.cancel(rollout, actor=cast.anna)
    assert fresh(rollout).state == "cancelled"
    assert set(states(rollout).values()) <= {"cancelled", "rejected"}
    for verb in (rollout_control.pause, rollout_control.resume, rollout_control.cancel):
        with pytest.raises(Refused, match="has ended already"):
            verb(rollout, actor=cast.anna)


def test_a_result_that_comes_after_a_cancel_leaves_nothing_waiting() -> None:
    cast, rollout = begin(2)
    claims = deliveries.claim(rollout.pk, limit=2)
    rollout_control.cancel(rollout, actor=cast.olga)
    # The worker decided before it heard of the cancel: its words say "again".
    rollout.deliveries.update(state="retrying", lease_until=None, next_attempt_at=timezone.now(), error="busy")
    assert len(claims) == 2
    waves.advance(rollout.pk)
    assert set(states(rollout).values()) == {"cancelled"}
    assert waves.advance(rollout.pk).delay is None


def test_a_rollout_that_is_held_with_nothing_left_to_send_closes() -> None:
    cast, rollout = begin(2, failure_limit="0")
    first, second = deliveries.claim(rollout.pk, limit=2)
    digests = rollout.bundle.digests()
    deliveries.record(rollout, [(first, attempt(first, digests, "failed"))])
    waves.advance(rollout.pk)
    assert fresh(rollout).state == "halted"
    deliveries.record(rollout, [(second, attempt(second, digests, "verified"))])
    waves.advance(rollout.pk)
    assert fresh(rollout).state == "incomplete"
    with pytest.raises(Refused, match="ended already"):
        rollout_control.continue_(rollout, actor=cast.anna, reason="too late")


def test_of_rollouts_that_have_not_ended_there_is_one_whatever_their_state() -> None:
    cast, rollout = begin(3, waves=["1", "100%"])
    work(rollout, "rejected")
    waves.advance(rollout.pk)
    with pytest.raises(Refused, match=r"Rollout 1 is still halted"):
        rollouts.start(cast.environment, actor=cast.olga, cause=Cause.SYNC)
    with pytest.raises(IntegrityError, match="rollout_one_unfinished"), transaction.atomic():
        Rollout.objects.create(
            environment=cast.environment, number=9, bundle=rollout.bundle, cause="sync", sequence=9, max_attempts=1
        )


def test_superseding_a_halted_rollout_takes_its_unfinished_instances_along() -> None:
    cast, rollout = begin(4, waves=["1", "100%"])
    work(rollout, "rejected")
    waves.advance(rollout.pk)
    second = rollouts.publish(change(cast, "newer"), actor=cast.olga, instances=[], supersede=True)
    assert set(states(second)) == {"i1", "i2", "i3"}
    assert fresh(rollout).state == "superseded"
    assert rollout.superseded_by == second


def test_retry_takes_the_failed_and_if_asked_those_not_started() -> None:
    cast, rollout = begin(4, waves=["2", "100%"])
    work(rollout, lambda name: "rejected" if name == "i0" else "verified")
    waves.advance(rollout.pk)
    rollout_control.cancel(rollout, actor=cast.olga)
    only = rollouts.retry(rollout, actor=cast.olga, unstarted=False)
    assert list(states(only)) == ["i0"]
    rollout_control.cancel(only, actor=cast.olga)
    assert len(rollouts.retry(rollout, actor=cast.olga).deliveries.all()) == 3


def test_a_halted_rollout_is_retried_by_a_new_one_that_takes_over() -> None:
    cast, rollout = begin(4, waves=["1", "100%"])
    work(rollout, "rejected")
    waves.advance(rollout.pk)
    again = rollouts.retry(rollout, actor=cast.olga, unstarted=False)
    assert set(states(again)) == {"i0", "i1", "i2", "i3"}
    assert again.deliveries.get(instance__name="i0").wave == 1
    assert fresh(rollout).state == "superseded"


def test_the_plan_is_the_one_of_the_beginning() -> None:
    cast, rollout = begin(4, waves=["1", "100%"])
    cast.environment.plan = {}
    cast.environment.save()
    assert fresh(rollout).plan["waves"] == ["1", "100%"]
    work(rollout)
    look(rollout)
    assert waves.advance(rollout.pk).opened


def test_plan_and_targets_of_a_change_come_before_those_of_its_environment() -> None:
    cast, first = begin(4, waves=["1", "100%"])
    rollout_control.cancel(first, actor=cast.olga)
    draft = change(cast, "newer")
    draft.plan = {"waves": ["2", "100%"]}
    draft.targets = list(cast.environment.instances.exclude(name="i3").values_list("pk", flat=True))
    draft.save()
    rollout = rollouts.publish(draft, actor=cast.olga)
    assert [len(rollout.deliveries.filter(wave=number)) for number in (1, 2)] == [2, 1]


def test_the_conditions_say_what_is_missing() -> None:
    _, rollout = begin(3, waves=["1", "100%"], soak_seconds=30, failure_limit="1")
    texts = [(one.met, one.text) for one in gates.conditions(rollout, gates.tallies(rollout))]
    assert texts == [
        (True, "none of the first wave rejects it"),
        (True, "0 failed, 1 may (1)"),
        (None, "0 of 1 deliveries have ended"),
        (None, "0 verified, at least one has to be"),
        (None, "30 s of soak after the last one was verified"),
        (None, "then the verified ones are asked whether they are healthy and still run it"),
    ]


def test_a_lease_that_ran_out_counts_as_possibly_sent() -> None:
    _, rollout = begin(1)
    deliveries.claim(rollout.pk, limit=1)
    Delivery.objects.update(lease_until=timezone.now() - timedelta(days=1))
    assert deliveries.expire_leases() == [rollout.pk]
    assert Delivery.objects.get().sent_at is not None
    assert Delivery.objects.get().state == DeliveryState.UNKNOWN
