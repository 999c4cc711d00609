"""In a protected environment nobody gets alone past a gate that said no, or further than what was approved."""

from __future__ import annotations

from collections.abc import Collection

import pytest
from django.db import transaction

from configs_app import changes
from configs_app.models import Change
from console import testing
from console.errors import Refused
from console.models import Role, RoleBinding
from console.testing import Cast
from instances_app import registry
from instances_app.models import Instance
from instances_app.plans import Plan
from sync_app import blocklist, push, rollbacks, rollout_control, rollouts, waves
from sync_app.models import Blocked, Cause, Delivery, Rollout
from sync_app.tests.attempts import work

pytestmark = pytest.mark.django_db

CLOSED = {"module": "log", "authorization": "Bearer {$TOKEN}"}


@pytest.fixture
def cast() -> Cast:
    found = testing.cast("production", protected=True)
    testing.bundle(found.environment)
    for number in range(4):
        testing.instance(found.environment, f"i{number}")
    return found


def approved(
    cast: Cast, *, targets: Collection[int] | None = None, plan: Plan | None = None, name: str = "new"
) -> Change:
    webhooks = testing.text({**testing.WEBHOOKS, name: CLOSED})
    draft = testing.draft(cast.environment, actor=cast.olga, webhooks=webhooks)
    changes.aim(draft, targets=targets, plan=plan, actor=cast.olga)
    changes.propose(draft, actor=cast.olga)
    return changes.approve(draft, actor=cast.anna)


def done(rollout: Rollout) -> Rollout:
    work(rollout)
    waves.advance(rollout.pk)
    rollout.refresh_from_db()
    return rollout


def halted(cast: Cast) -> Rollout:
    rollout = rollouts.publish(approved(cast, plan=Plan.of({"waves": ["1", "100%"]})), actor=cast.olga)
    work(rollout, "rejected")
    waves.advance(rollout.pk)
    rollout.refresh_from_db()
    assert rollout.state == "halted"
    return rollout


def second_operator(cast: Cast) -> None:
    RoleBinding.objects.create(user=cast.victor, environment=cast.environment, role=Role.OPERATOR)


def test_who_started_what_halted_does_not_go_on_by_retry_sync_or_cancel_and_sync(cast: Cast) -> None:
    rollout = halted(cast)
    with pytest.raises(Refused, match="somebody other than olga"):
        rollouts.retry(rollout, actor=cast.olga)
    with pytest.raises(Refused, match="These people can: adam, anna"):
        rollouts.start(cast.environment, actor=cast.olga, cause=Cause.SYNC, supersede=True)
    rollout_control.cancel(rollout, actor=cast.olga)
    with pytest.raises(Refused, match="somebody other than olga"):
        rollouts.start(cast.environment, actor=cast.olga, cause=Cause.SYNC)


def test_somebody_else_retries_in_the_waves_that_were_approved(cast: Cast) -> None:
    rollout = halted(cast)
    second_operator(cast)
    again = rollouts.retry(rollout, actor=cast.victor)
    assert again.plan["waves"] == ["1", "100%"]
    assert again.deliveries.filter(wave=1).count() == 1


def test_a_sync_right_after_publishing_goes_in_the_approved_waves(cast: Cast) -> None:
    plan = Plan.of({"waves": ["1", "100%"], "soak_seconds": 3600})
    rollouts.publish(approved(cast, plan=plan), actor=cast.olga)
    again = rollouts.start(cast.environment, actor=cast.olga, cause=Cause.SYNC, supersede=True)
    assert again.plan == plan.data


def test_a_sync_reaches_what_was_approved_and_what_came_later_and_the_rest_by_a_reviewer_only(cast: Cast) -> None:
    one = Instance.objects.get(name="i0").pk
    done(rollouts.publish(approved(cast, targets=[one]), actor=cast.olga))
    with pytest.raises(Refused, match="not approved for i1, i2, i3"):
        rollouts.start(cast.environment, actor=cast.olga, cause=Cause.SYNC)
    late = testing.instance(cast.environment, "late")
    done(rollouts.start(cast.environment, actor=cast.olga, cause=Cause.SYNC, instances=[one, late.pk]))
    assert rollouts.start(cast.environment, actor=cast.adam, cause=Cause.SYNC).deliveries.count() == 5


def test_a_reviewer_who_had_a_part_in_the_change_does_not_widen_it(cast: Cast) -> None:
    draft = testing.draft(cast.environment, actor=cast.adam, webhooks=testing.text({**testing.WEBHOOKS, "new": CLOSED}))
    changes.aim(draft, targets=[Instance.objects.get(name="i0").pk], plan=None, actor=cast.adam)
    changes.propose(draft, actor=cast.adam)
    changes.approve(draft, actor=cast.anna)
    done(rollouts.publish(draft, actor=cast.adam))
    with pytest.raises(Refused, match="had no part in the change"):
        rollouts.start(cast.environment, actor=cast.adam, cause=Cause.SYNC)


def test_an_operator_steps_back_once_and_somebody_who_may_approve_further(cast: Cast) -> None:
    first, second = (done(rollouts.publish(approved(cast, name=name), actor=cast.olga)) for name in ("a", "b"))
    back = done(rollbacks.roll_back(second, actor=cast.olga, reason="it fails"))
    with pytest.raises(Refused, match=r"is a rollback itself.*adam, anna"):
        rollbacks.roll_back(back, actor=cast.olga, reason="so does this")
    further = rollbacks.roll_back(back, actor=cast.adam, reason="so does this")
    assert further.bundle.digests() != first.bundle.digests()


def test_what_was_once_blocked_does_not_come_back_by_a_rollback(cast: Cast) -> None:
    draft = testing.draft(
        cast.environment, actor=cast.adam, webhooks=testing.text({**testing.WEBHOOKS, "alone": CLOSED})
    )
    broken = done(rollouts.publish(draft, actor=cast.adam, glass_reason="production burns, nobody is there"))
    back = done(rollbacks.roll_back(broken, actor=cast.olga, reason="no"))
    blocklist.lift(Blocked.objects.get(), actor=cast.adam, reason="mine again")
    with pytest.raises(Refused, match="no earlier bundle"):
        rollbacks.roll_back(back, actor=cast.adam, reason="again")


def test_a_later_wave_is_not_sent_to_an_address_that_nobody_approved(cast: Cast) -> None:
    rollout = rollouts.publish(approved(cast, plan=Plan.of({"waves": ["1", "100%"]})), actor=cast.olga)
    work(rollout)
    last = rollout.deliveries.filter(wave=2).select_related("instance").first()
    assert last is not None
    moved = last.instance
    registry.change(
        moved, name=moved.name, base_url="http://127.0.0.1:1/elsewhere", labels={}, token="theirs", actor=cast.olga
    )
    with transaction.atomic():
        waves.open_next(Rollout.objects.select_for_update().get(pk=rollout.pk))

    push.run(rollout.pk)

    last.refresh_from_db()
    assert (last.state, last.code, last.sent_at) == ("failed", "address_changed", None)
    assert "propose it again" in last.error


def test_neither_a_retry_nor_a_sync_is_sent_to_an_address_that_nobody_approved(cast: Cast) -> None:
    rollout = rollouts.publish(approved(cast), actor=cast.olga)
    work(rollout, lambda name: "rejected" if name == "i0" else "verified")
    waves.advance(rollout.pk)
    moved = Instance.objects.get(name="i0")
    registry.change(
        moved, name="i0", base_url="http://127.0.0.1:1/elsewhere", labels={}, token="theirs", actor=cast.olga
    )

    retry = rollouts.retry(rollout, actor=cast.olga)
    push.run(retry.pk)
    waves.advance(retry.pk)
    sync = rollouts.start(cast.environment, actor=cast.olga, cause=Cause.SYNC, instances=[moved.pk])
    push.run(sync.pk)

    sent = Delivery.objects.filter(rollout__in=[retry, sync])
    assert set(sent.values_list("state", "code", "sent_at")) == {("failed", "address_changed", None)}
