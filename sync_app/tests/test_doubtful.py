"""Where an older push may have arrived unread, or may still arrive, an instance gets the whole pair, and by a push."""

from __future__ import annotations

import pytest

from console import testing
from instances_app.client import Push
from instances_app.models import Instance
from sync_app import deliveries, payload, rollout_control, rollouts, verdicts, waves
from sync_app.models import Cause, Delivery, Rollout
from sync_app.payload import Payload
from sync_app.tests.simulated import Disk, Late, carry_out

pytestmark = pytest.mark.django_db

WEBHOOKS = testing.text({"new": {"module": "log"}})
CONNECTIONS = testing.text({"db": {**testing.CONNECTIONS["db"], "host": "other.example.com"}})


class One:
    """One instance with a simulated disk, on the environment's first bundle."""

    def __init__(self) -> None:
        self.cast = testing.cast()
        testing.bundle(self.cast.environment)
        testing.instance(self.cast.environment)
        Instance.objects.update(info={"capabilities": ["batch", "digest", "sequence"]})
        self.disk = Disk()
        first = rollouts.start(self.cast.environment, actor=self.cast.olga, cause=Cause.SYNC)
        self.attempt(first, "well")

    def publish(self, **texts: str) -> Rollout:
        draft = testing.draft(self.cast.environment, actor=self.cast.olga, **texts)
        return rollouts.publish(draft, actor=self.cast.olga, supersede=True)

    def attempt(self, rollout: Rollout, end: str) -> list[Late]:
        """One attempt of a worker; what of it may still arrive."""
        Delivery.objects.filter(rollout=rollout).update(next_attempt_at=None)
        rollout.refresh_from_db()
        (claim,) = deliveries.claim(rollout.pk, limit=1)
        (job,) = Payload(rollout).jobs([claim])
        assert isinstance(job, Push)
        result, late = carry_out(job, self.disk, end)
        deliveries.record(rollout, [(claim, result)])
        waves.advance(rollout.pk)
        return late


def state(rollout: Rollout) -> str:
    return rollout.deliveries.get().state


def test_what_may_have_arrived_unread_is_replaced_as_a_whole() -> None:
    """The last report is older than a push of new connections, which arrived. Half a push would leave those there."""
    one = One()
    unread = one.publish(connections=CONNECTIONS)
    one.attempt(unread, "deaf")
    assert one.disk.holds(unread.bundle.digests())

    back = one.publish(webhooks=WEBHOOKS, connections=testing.text(testing.CONNECTIONS))
    one.attempt(back, "well")

    assert one.disk.holds(back.bundle.digests())
    assert state(back) == "verified"


def test_what_was_given_up_on_and_arrives_late_does_not_overwrite_what_was_verified_meanwhile() -> None:
    one = One()
    given_up = one.publish(webhooks=WEBHOOKS)
    Rollout.objects.filter(pk=given_up.pk).update(max_attempts=1)
    (late,) = one.attempt(given_up, "late")
    assert state(given_up) == "unreachable"
    back = one.publish(webhooks=testing.text(testing.WEBHOOKS))  # as the instance still runs it
    one.attempt(back, "well")
    assert state(back) == "verified"

    late.arrive()

    assert one.disk.holds(back.bundle.digests())


def _read_while_paused() -> tuple[One, Rollout, Late]:
    """The push of the last rollout was lost, and an older one may still arrive. The instance is read meanwhile."""
    one = One()
    given_up = one.publish(webhooks=WEBHOOKS)
    Rollout.objects.filter(pk=given_up.pk).update(max_attempts=1)
    (late,) = one.attempt(given_up, "late")
    back = one.publish(webhooks=testing.text(testing.WEBHOOKS))  # as the instance still runs it
    one.attempt(back, "lost")
    assert state(back) == "unknown"
    rollout_control.pause(back, actor=one.cast.olga)
    one.attempt(back, "well")
    return one, back, late


def test_what_is_only_read_while_a_rollout_is_held_is_not_verified_where_an_older_push_may_still_arrive() -> None:
    one, back, late = _read_while_paused()
    assert state(back) == "retrying"
    assert not deliveries.claim(back.pk, limit=1)  # reading it again would prove no more

    late.arrive()
    assert not one.disk.holds(back.bundle.digests())
    rollout_control.resume(back, actor=one.cast.olga)
    one.attempt(back, "well")

    assert one.disk.holds(back.bundle.digests())
    assert back.deliveries.get().evidence == "Read back after the push."


def test_a_rollout_that_has_ended_says_that_it_only_read_where_an_older_push_may_still_arrive() -> None:
    one, back, _ = _read_while_paused()
    rollout_control.cancel(back, actor=one.cast.olga)
    one.attempt(back, "well")
    assert back.deliveries.get().evidence == verdicts.ONLY_READ


def test_what_nobody_has_read_yet_is_remembered_over_any_number_of_rollouts() -> None:
    one = One()
    unread = one.publish(webhooks=WEBHOOKS)
    (late,) = one.attempt(unread, "late")
    other = testing.instance(one.cast.environment, "other")
    back = testing.draft(one.cast.environment, actor=one.cast.olga, webhooks=testing.text(testing.WEBHOOKS))
    rollouts.publish(back, actor=one.cast.olga, instances=[other.pk], supersede=True)
    last = Rollout.objects.latest("pk")
    rollout_control.cancel(last, actor=one.cast.olga)
    for _ in range(payload.REMEMBERED):
        last = rollouts.start(one.cast.environment, actor=one.cast.olga, cause=Cause.SYNC, instances=[other.pk])
        rollout_control.cancel(last, actor=one.cast.olga)
    assert state(unread) == "unknown"
    mine = Instance.objects.exclude(pk=other.pk).values_list("pk", flat=True)
    again = rollouts.start(one.cast.environment, actor=one.cast.olga, cause=Cause.SYNC, instances=mine)
    one.attempt(again, "well")

    late.arrive()

    assert one.disk.holds(again.bundle.digests())


def test_where_the_last_push_was_verified_nothing_is_sent_twice() -> None:
    one = One()
    again = rollouts.start(one.cast.environment, actor=one.cast.olga, cause=Cause.SYNC)
    one.attempt(again, "well")
    assert again.deliveries.get().evidence == "Read back: it ran this bundle already. Nothing was sent."
    only = one.publish(webhooks=WEBHOOKS)
    (claim,) = deliveries.claim(only.pk, limit=1)
    (job,) = Payload(only).jobs([claim])
    assert isinstance(job, Push)
    assert [b'"connections"' in body for body in job.bodies] == [False]
