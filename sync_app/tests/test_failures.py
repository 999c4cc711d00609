"""What happens when things are killed, hang, refuse or come twice: every delivery ends right, and honestly."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import closing

import pytest
from django.db import connection

from console import testing
from console.errors import Refused
from console.testing import Cast, ended
from console.testing_processes import Process, SampleInstance, until
from instances_app import registry
from sync_app import rollout_control, rollouts
from sync_app.models import Delivery, Rollout

pytestmark = pytest.mark.django_db(transaction=True)

Start = Callable[..., list[SampleInstance]]
NEW = testing.text({"orders": {"module": "log"}, "new": {"module": "log"}})


def begin(fleet: list[SampleInstance]) -> Cast:
    cast = testing.cast()
    testing.bundle(cast.environment)
    for number, running in enumerate(fleet):
        instance = testing.instance(cast.environment, f"i{number}", running.base_url, running.token)
        registry.check(instance, actor=cast.olga)  # as the page does: it learns what the agent can do
    return cast


def publish(cast: Cast, webhooks: str = NEW) -> Rollout:
    return rollouts.publish(testing.draft(cast.environment, actor=cast.olga, webhooks=webhooks), actor=cast.olga)


def delivery(rollout: Rollout, name: str) -> Delivery:
    return rollout.deliveries.get(instance__name=name)


def states(rollout: Rollout) -> list[str]:
    return sorted(rollout.deliveries.values_list("state", flat=True))


def test_an_instance_that_is_down_ends_unreachable_and_the_others_are_verified(
    worker_process: Process, sample_instances: Start
) -> None:
    fleet = sample_instances(3)
    cast = begin(fleet)
    fleet[1].kill()

    rollout = publish(cast)

    until(lambda: ended(rollout), seconds=60, what="the rollout's end")
    down = delivery(rollout, "i1")
    assert states(rollout) == ["unreachable", "verified", "verified"]
    assert (down.attempts, rollout.state) == (rollout.max_attempts, "incomplete")
    assert "Connection refused" in down.error


def test_an_instance_that_rejects_is_not_asked_again_and_its_words_are_kept(
    worker_process: Process, sample_instances: Start
) -> None:
    fleet = sample_instances(2)
    cast = begin(fleet)
    (fleet[0].folder / "reject").write_text("Unknown module 'teleport' in webhook 'new'")

    rollout = publish(cast)

    until(lambda: ended(rollout), what="the rollout's end")
    refused = delivery(rollout, "i0")
    assert (refused.state, refused.attempts) == ("rejected", 1)
    assert "Unknown module 'teleport'" in refused.error
    assert delivery(rollout, "i1").state == "verified"
    assert rollout.state == "incomplete"


def test_a_push_that_timed_out_but_was_applied_is_found_by_reading_back_and_not_sent_twice(
    worker_process: Process, sample_instances: Start
) -> None:
    (slow,) = sample_instances(1)
    cast = begin([slow])
    (slow.folder / "hang").write_text("4")  # applied at once, answered after our patience

    rollout = publish(cast)

    until(lambda: delivery(rollout, "i0").state == "unknown", what="unknown")
    assert rollout.is_going  # a timeout is neither success nor failure
    until(lambda: ended(rollout), what="the rollout's end")
    found = delivery(rollout, "i0")
    assert (found.state, found.evidence) == ("verified", "Read back: an earlier push had arrived. Not sent again.")


def test_a_killed_worker_leaves_no_delivery_behind(worker_process: Process, sample_instances: Start) -> None:
    worker_process.kill()
    worker_process.environment["CONSOLE_READ_SECONDS"] = "60"  # it is killed while it sends, not after it gave up
    worker_process.start()
    fleet = sample_instances(4)
    cast = begin(fleet)
    for slow in fleet[:2]:
        (slow.folder / "hang").write_text("60")
    rollout = publish(cast)
    until(lambda: states(rollout).count("sending") == 2 and states(rollout).count("verified") == 2, what="two hanging")

    worker_process.kill()
    for slow in fleet[:2]:
        (slow.folder / "hang").unlink()
    worker_process.start()

    until(lambda: ended(rollout), seconds=30, what="the rollout's end")
    assert states(rollout) == ["verified"] * 4
    assert rollout.state == "succeeded"


def test_a_publish_while_redis_is_down_is_delivered_once_it_is_back(
    redis_process: Process, worker_process: Process, sample_instances: Start
) -> None:
    fleet = sample_instances(2)
    cast = begin(fleet)
    redis_process.kill()
    started = time.monotonic()

    rollout = publish(cast)  # the wake-up is lost; the publish is not

    assert time.monotonic() - started < 3  # and nobody waits for Redis: kombu's own patience is six seconds
    assert rollout.state == "running"
    redis_process.start()
    until(lambda: ended(rollout), seconds=40, what="the rollout's end")
    assert states(rollout) == ["verified", "verified"]


def test_redis_restarted_in_mid_rollout_does_not_stop_it(
    redis_process: Process, worker_process: Process, sample_instances: Start
) -> None:
    fleet = sample_instances(3)
    cast = begin(fleet)
    (fleet[0].folder / "hang").write_text("4")
    rollout = publish(cast)
    until(lambda: "verified" in states(rollout), what="the first verified delivery")

    redis_process.kill()
    redis_process.start()

    until(lambda: ended(rollout), seconds=40, what="the rollout's end")
    assert states(rollout) == ["verified"] * 3


def test_of_two_publishes_at_once_one_wins_and_the_other_is_told(sample_instances: Start) -> None:
    cast = begin(sample_instances(1))
    drafts = [
        testing.draft(cast.environment, actor=cast.olga, webhooks=NEW),
        testing.draft(cast.environment, actor=cast.adam, webhooks=testing.text({"other": {"module": "log"}})),
    ]
    told: list[str] = []
    together = threading.Barrier(2)

    def go(number: int) -> None:
        with closing(connection):
            together.wait()
            try:
                rollouts.publish(drafts[number], actor=drafts[number].author)
            except Refused as refusal:
                told.append(str(refusal))

    threads = [threading.Thread(target=go, args=[number]) for number in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert Rollout.objects.count() == 1
    assert len(told) == 1
    assert "has moved on" in told[0]


def test_a_cancelled_rollout_never_sends_again(worker_process: Process, sample_instances: Start) -> None:
    fleet = sample_instances(2)
    cast = begin(fleet)
    fleet[1].kill()
    rollout = publish(cast)
    until(lambda: states(rollout) == ["retrying", "verified"], what="one waiting to be sent again")

    rollout_control.cancel(rollout, actor=cast.anna)
    fleet[1].start()

    assert states(rollout) == ["cancelled", "verified"]
    until(lambda: "webhooks.json" in {path.name for path in fleet[1].folder.iterdir()})
    assert (fleet[1].folder / "webhooks.json").read_text() == "{}"


def test_retry_brings_exactly_what_was_left_unverified(worker_process: Process, sample_instances: Start) -> None:
    fleet = sample_instances(2)
    cast = begin(fleet)
    (fleet[0].folder / "reject").write_text("not today")
    rollout = publish(cast)
    until(lambda: ended(rollout), what="the rollout's end")
    (fleet[0].folder / "reject").unlink()

    again = rollouts.retry(rollout, actor=cast.olga)

    until(lambda: ended(again), what="the retry's end")
    assert list(again.deliveries.values_list("instance__name", "state")) == [("i0", "verified")]
    assert again.state == "succeeded"


def test_superseding_carries_the_unfinished_instances_along(worker_process: Process, sample_instances: Start) -> None:
    fleet = sample_instances(2)
    cast = begin(fleet)
    fleet[1].kill()
    first = publish(cast)
    until(lambda: states(first) == ["retrying", "verified"], what="one waiting to be sent again")
    newer = testing.draft(cast.environment, actor=cast.olga, webhooks=testing.text({"newest": {"module": "log"}}))
    only = first.deliveries.get(instance__name="i0").instance_id
    with pytest.raises(Refused, match="still running"):
        rollouts.publish(newer, actor=cast.olga, instances=[only])

    second = rollouts.publish(newer, actor=cast.olga, instances=[only], supersede=True)
    fleet[1].start()

    until(lambda: ended(second), seconds=30, what="the second rollout's end")
    first.refresh_from_db()
    assert (first.state, states(first)) == ("superseded", ["superseded", "verified"])
    assert states(second) == ["verified", "verified"]
