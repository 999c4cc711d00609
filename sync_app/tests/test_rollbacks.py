"""Rolling back sends old content forward, to the touched instances, and what was bad is not sent again by any way."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import IntegrityError, transaction
from django.utils import timezone

from configs_app import changes, documents
from configs_app.models import Bundle, Revision
from console import testing
from console.errors import Refused
from console.models import AuditEvent
from console.testing import Cast
from instances_app import observations
from instances_app.client import Push
from instances_app.models import Instance
from instances_app.observations import Sighting
from sync_app import blocklist, deliveries, rollbacks, rollout_control, rollouts, waves
from sync_app.models import Blocked, Cause, Rollout
from sync_app.payload import Payload
from sync_app.tests.attempts import begin, change, look, states, work

pytestmark = pytest.mark.django_db


def halted(**plan: Any) -> tuple[Cast, Rollout]:
    """One canary of four rejected it."""
    cast, rollout = begin(4, **{"waves": ["1", "100%"], **plan})
    work(rollout, "rejected")
    waves.advance(rollout.pk)
    rollout.refresh_from_db()
    return cast, rollout


def back(cast: Cast, rollout: Rollout, reason: str = "Orders stopped") -> Rollout:
    return rollbacks.roll_back(rollout, actor=cast.olga, reason=reason)


def digests(cast: Cast) -> dict[str, str]:
    bundle = documents.desired(cast.environment)
    return bundle.digests() if bundle else {}


def test_a_halted_rollout_goes_back_to_the_old_content_as_new_revisions_where_it_was_touched() -> None:
    cast, rollout = halted(at_once=7)
    first = Bundle.objects.get(number=1)

    again = back(cast, rollout)

    rollout.refresh_from_db()
    assert (rollout.state, rollout.superseded_by) == ("superseded", again)
    assert list(states(again)) == ["i0"]
    assert (again.cause, again.retries, again.waves, again.plan["at_once"]) == ("rollback", rollout, 1, 7)
    assert digests(cast) == first.digests()
    newest = Revision.objects.filter(document__kind="webhooks").order_by("-number").first()
    assert newest is not None
    assert (newest.number, newest.source, newest.restored_from) == (3, "restore", first.webhooks)
    assert newest.message == "Roll back rollout 1: Orders stopped"
    assert Revision.objects.filter(document__kind="connections").count() == 1  # it was not touched
    assert again.sequence > rollout.sequence
    event = AuditEvent.objects.get(action="rollout.rolled_back")
    assert (event.data["reason"], event.data["instances"]) == ("Orders stopped", 1)


@pytest.mark.parametrize("state", ["running", "paused", "ended"])
def test_a_rollout_in_any_state_can_be_rolled_back(state: str) -> None:
    cast, rollout = begin(4, waves=["2", "100%"])
    work(rollout)
    if state == "paused":
        rollout_control.pause(rollout, actor=cast.olga)
    if state == "ended":
        rollout_control.cancel(rollout, actor=cast.olga)
    assert len(states(back(cast, rollout))) == 2
    rollout.refresh_from_db()
    assert rollout.state == ("cancelled" if state == "ended" else "superseded")


def test_what_is_on_the_wire_or_unknown_or_ran_it_anyway_is_touched_and_what_waits_is_not() -> None:
    cast, rollout = begin(6)
    Rollout.objects.update(max_attempts=1)
    (verified,), (silent,), (rejecting,) = (work(rollout, end, limit=1) for end in ("verified", "timeout", "rejected"))
    work(rollout, "refused", limit=1)  # no connection: nothing of it left
    (claimed,) = deliveries.claim(rollout.pk, limit=1)
    sending = Instance.objects.get(pk=claimed.instance_id).name
    names = {verified, silent, rejecting, sending}
    assert set(rollbacks.touched(rollout).values_list("instance__name", flat=True)) == names
    Instance.objects.filter(name=verified).update(retired_at=timezone.now())
    assert set(states(back(cast, rollout))) == names - {verified}


def test_an_earlier_rollout_of_the_same_bundle_counts_too() -> None:
    cast, rollout = begin(3)
    work(rollout, lambda name: "verified" if name == "i0" else "failed")
    waves.advance(rollout.pk)
    retry = rollouts.retry(rollout, actor=cast.olga)
    work(retry)
    assert set(states(back(cast, retry))) == {"i0", "i1", "i2"}


def test_nothing_sent_is_nothing_to_roll_back() -> None:
    cast, rollout = begin(3)
    with pytest.raises(Refused, match="Nothing of rollout 1 has been sent"):
        back(cast, rollout)
    with pytest.raises(Refused, match="Say why"):
        back(cast, rollout, " ")
    assert not Blocked.objects.exists()


def test_what_was_rolled_back_is_not_sent_by_any_way_until_somebody_lifts_that_with_a_reason() -> None:
    cast, rollout = halted()
    bad = Revision.objects.get(document__kind="webhooks", number=2)
    rollout_control.cancel(back(cast, rollout), actor=cast.olga)

    restore = changes.restore(bad, actor=cast.adam)
    with pytest.raises(Refused, match="is blocked until somebody lifts that"):
        rollouts.publish(restore, actor=cast.adam)
    restore.refresh_from_db()
    assert restore.state == "draft"
    same = change(cast)  # the same content, typed again
    with pytest.raises(Refused, match=r"rolled back: Orders stopped \(olga\)"):
        rollouts.publish(same, actor=cast.olga)

    blocked = Blocked.objects.get()
    with pytest.raises(Refused, match="Say why"):
        blocklist.lift(blocked, actor=cast.anna, reason="")
    blocklist.lift(blocked, actor=cast.anna, reason="The broker is back")
    with pytest.raises(Refused, match="lifted already"):
        blocklist.lift(blocked, actor=cast.anna, reason="again")
    assert rollouts.publish(same, actor=cast.olga).state == "running"
    event = AuditEvent.objects.get(action="bundle.block_lifted")
    assert (event.actor_name, event.data["reason"]) == ("anna", "The broker is back")


def test_an_old_approval_does_not_push_what_is_blocked() -> None:
    cast, rollout = begin(3, protected=True, waves=["1", "100%"])
    twin = changes.open_draft(cast.environment, actor=cast.olga, title="The same again")
    work(rollout)
    rollout_control.cancel(back(cast, rollout), actor=cast.olga)
    text = Revision.objects.get(document__kind="webhooks", number=2).text
    base = documents.current(cast.environment, "webhooks")
    changes.save(twin, {"webhooks": text}, bases={"webhooks": base.pk if base else None}, actor=cast.olga)
    changes.propose(twin, actor=cast.olga, reason="For a test")
    changes.approve(twin, actor=cast.anna)
    with pytest.raises(Refused, match="is blocked"):
        rollouts.publish(twin, actor=cast.olga)


def test_the_database_refuses_a_rollout_of_what_is_blocked() -> None:
    cast, rollout = halted()
    back(cast, rollout)
    with pytest.raises(IntegrityError, match="blocked"), transaction.atomic():
        Rollout.objects.create(
            environment=cast.environment,
            number=9,
            bundle=rollout.bundle,
            cause="sync",
            state="cancelled",
            sequence=9,
            max_attempts=1,
        )


def test_rolling_back_twice_does_not_come_back_to_what_was_bad() -> None:
    cast, rollout = halted()
    first = Bundle.objects.get(number=1).digests()
    rollout_control.cancel(back(cast, rollout), actor=cast.olga)
    second = rollouts.publish(change(cast, "other"), actor=cast.olga)
    work(second)
    back(cast, second)
    assert digests(cast) == first
    third = Rollout.objects.get(cause="rollback", state="running")
    work(third)
    with pytest.raises(Refused, match="no earlier bundle"):
        back(cast, third)  # what stands before it is the bad one, and then itself


def test_only_the_rollout_of_what_is_desired_now_is_rolled_back() -> None:
    cast, rollout = halted()
    second = rollouts.publish(change(cast, "newer"), actor=cast.olga, supersede=True)
    work(second)
    with pytest.raises(Refused, match="should run webhooks r3"):
        back(cast, rollout)


def test_the_first_bundle_has_nothing_before_it() -> None:
    cast = testing.cast()
    testing.bundle(cast.environment)
    testing.instance(cast.environment)
    rollout = rollouts.start(cast.environment, actor=cast.olga, cause=Cause.SYNC)
    work(rollout)
    assert rollbacks.way_back(rollout).refusal == "there is no earlier bundle to go back to"


def test_errors_found_today_block_the_way_back_unless_the_content_is_proven_to_have_run() -> None:
    cast = testing.cast()
    testing.bundle(cast.environment, webhooks={"a": {"module": "teleport"}})  # imported as it is
    testing.instance(cast.environment)
    run = rollouts.start(cast.environment, actor=cast.olga, cause=Cause.SYNC)
    rollout_control.cancel(run, actor=cast.olga)
    rollout = rollouts.publish(change(cast), actor=cast.olga)
    work(rollout)

    way = rollbacks.way_back(rollout)
    assert not way.ready
    assert way.errors
    with pytest.raises(Refused, match="has errors by today's rules and never ran: webhooks, line"):
        back(cast, rollout)

    run.deliveries.update(state="verified", evidence="Read back after the push.")
    way = rollbacks.way_back(rollout)
    assert (way.ready, way.ran, bool(way.errors)) == (True, True, True)
    assert back(cast, rollout).cause == "rollback"


def test_a_document_that_was_not_there_before_cannot_be_taken_away_by_a_rollback() -> None:
    cast = testing.cast()
    documents.import_first(cast.environment, {"webhooks": testing.text(testing.WEBHOOKS)}, actor=None, origin="a test")
    testing.instance(cast.environment)
    draft = testing.draft(cast.environment, actor=cast.olga, connections=testing.text(testing.CONNECTIONS))
    rollout = rollouts.publish(draft, actor=cast.olga)
    work(rollout)
    with pytest.raises(Refused, match="had no connections yet"):
        back(cast, rollout)


def test_the_instances_that_were_never_touched_are_in_sync_again_at_once() -> None:
    cast, rollout = begin(4, waves=["1", "100%"])
    old = Bundle.objects.get(number=1).digests()
    work(rollout)
    look(rollout)
    again = back(cast, rollout)
    assert again.bundle.digests() == old
    work(again)
    waves.advance(again.pk)
    again.refresh_from_db()
    assert again.state == "succeeded"


def test_an_older_push_that_is_still_on_the_wire_does_not_overtake_the_way_back() -> None:
    """The instance still reports the old documents; only a push of them makes its agent refuse the late one."""
    cast, rollout = begin(2)
    old = Bundle.objects.get(number=1).digests()
    ids = list(cast.environment.instances.values_list("pk", flat=True))
    observations.record([Sighting(pk, old) for pk in ids])
    deliveries.claim(rollout.pk, limit=2)  # on the wire

    again = back(cast, rollout)

    jobs = Payload(again).jobs(deliveries.claim(again.pk, limit=2))
    assert [(bool(job.bodies), job.look_first) for job in jobs if isinstance(job, Push)] == [(True, False)] * 2


def test_a_sync_looks_first_where_nothing_older_may_arrive_and_sends_where_it_may() -> None:
    cast, rollout = begin(2)
    now = rollout.bundle.digests()
    ids = list(cast.environment.instances.order_by("pk").values_list("pk", flat=True))
    (claimed,) = deliveries.claim(rollout.pk, limit=1)
    observations.record([Sighting(pk, now) for pk in ids])
    sync = rollouts.start(cast.environment, actor=cast.olga, cause=Cause.SYNC, supersede=True)
    claims = deliveries.claim(sync.pk, limit=2)
    jobs = dict(zip([claim.instance_id for claim in claims], Payload(sync).jobs(claims), strict=True))
    assert {pk: job.look_first for pk, job in jobs.items() if isinstance(job, Push)} == {
        pk: pk != claimed.instance_id for pk in ids
    }
