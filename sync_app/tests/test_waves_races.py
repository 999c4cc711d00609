"""Workers and people at the same time: a wave opens once, a limit holds, nobody waits for ever."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from typing import Any

import pytest
from django.db import connection

from configs_app import documents
from console.errors import Refused
from console.models import AuditEvent
from sync_app import deliveries, rollbacks, rollout_control, rollouts, waves
from sync_app.models import Rollout
from sync_app.tests.attempts import attempt, begin, change, look, states, work

pytestmark = pytest.mark.django_db(transaction=True)


def together(*deeds: Callable[[], Any]) -> list[Any]:
    """Do all of it at once, each on a connection of its own; what came of each: its result, or what it raised."""
    barrier = threading.Barrier(len(deeds))
    results: list[Any] = [None] * len(deeds)

    def go(number: int) -> None:
        with closing(connection):
            barrier.wait()
            try:
                results[number] = deeds[number]()
            except Exception as error:
                results[number] = error

    threads = [threading.Thread(target=go, args=[number]) for number in range(len(deeds))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results


def test_many_workers_that_advance_at_once_open_a_wave_once() -> None:
    _, rollout = begin(6, waves=["1", "3", "100%"])
    work(rollout)
    look(rollout)

    steps = together(*[lambda: waves.advance(rollout.pk)] * 8)

    assert [step.opened for step in steps].count(True) == 1
    rollout.refresh_from_db()
    assert rollout.wave == 2
    assert AuditEvent.objects.filter(action="rollout.wave_opened").count() == 1


def test_many_workers_together_never_send_to_more_than_the_plan_allows_at_once() -> None:
    _, rollout = begin(40, at_once=7)
    most: list[int] = []

    def worker() -> int:
        done = 0
        while claims := deliveries.claim(rollout.pk, limit=5, at_once=7):
            most.append(rollout.deliveries.filter(state="sending").count())
            digests = rollout.bundle.digests()
            deliveries.record(rollout, [(claim, attempt(claim, digests, "verified")) for claim in claims])
            done += len(claims)
        return done

    together(*[worker] * 6)
    while worker():
        pass

    assert max(most) <= 7
    assert set(states(rollout).values()) == {"verified"}


def test_a_claim_and_a_wave_that_opens_never_meet_over_a_closed_one() -> None:
    _, rollout = begin(8, waves=["2", "100%"])
    work(rollout)
    look(rollout)

    results = together(
        lambda: waves.advance(rollout.pk), *[lambda: deliveries.claim(rollout.pk, limit=3) for _ in range(4)]
    )

    claimed = [claim for claims in results[1:] for claim in claims]
    assert len({claim.id for claim in claimed}) == len(claimed)
    assert all(claim.attempt == 1 for claim in claimed)


@pytest.mark.parametrize("other", ["pause", "cancel", "roll back", "supersede"])
def test_people_and_workers_do_not_lock_each_other_out(other: str) -> None:
    """Whoever comes first: every verb ends, and the rollout ends in one state."""
    cast, rollout = begin(6, waves=["2", "100%"])
    newer = change(cast, "newer")
    work(rollout)
    look(rollout)
    verbs: dict[str, Callable[[], Any]] = {
        "pause": lambda: rollout_control.pause(rollout, actor=cast.anna),
        "cancel": lambda: rollout_control.cancel(rollout, actor=cast.anna),
        "roll back": lambda: rollbacks.roll_back(rollout, actor=cast.olga, reason="bad"),
        "supersede": lambda: rollouts.publish(newer, actor=cast.olga, supersede=True),
    }

    results = together(
        *[lambda: waves.advance(rollout.pk)] * 3, verbs[other], verbs["cancel"], lambda: work(rollout, "rejected")
    )

    assert [result for result in results if isinstance(result, Exception) and not isinstance(result, Refused)] == []
    waves.advance(rollout.pk)
    going = Rollout.objects.filter(state__in=["running", "paused", "halted"])
    assert going.count() <= 1
    rollout.refresh_from_db()
    assert rollout.state in {"cancelled", "superseded"}
    left = Counter(states(rollout).values())
    assert not left["pending"]
    assert not left["retrying"]


def test_what_a_worker_would_take_during_a_rollback_is_rolled_back_or_never_sent(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    cast, rollout = begin(3)
    work(rollout, limit=1)
    taken: list[int] = []
    add = documents.add_revision

    def worker() -> None:
        with closing(connection):
            claims = deliveries.claim(rollout.pk, limit=1)
            digests = rollout.bundle.digests()
            deliveries.record(rollout, [(claim, attempt(claim, digests, "verified")) for claim in claims])
            taken.extend(claim.instance_id for claim in claims)

    def meanwhile(*args: Any, **kwargs: Any) -> Any:
        thread = threading.Thread(target=worker)
        thread.start()
        thread.join()
        return add(*args, **kwargs)

    monkeypatch.setattr(documents, "add_revision", meanwhile)
    back = rollbacks.roll_back(rollout, actor=cast.olga, reason="it fails")
    assert set(taken) <= set(back.deliveries.values_list("instance_id", flat=True))
