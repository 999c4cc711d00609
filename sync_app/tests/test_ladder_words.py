"""Whatever happened to an instance: its page and the fleet page do not contradict each other, and nothing is green on
evidence that is stale, from another address, or from before another content was sent.
"""

from __future__ import annotations

import random
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.conf import settings
from django.utils import timezone

from configs_app import documents
from configs_app.models import Bundle
from configs_app.naming import Names
from console import testing
from instances_app import probes
from instances_app.models import Instance, Kind, Observation, Served, Service
from instances_app.probes import Settings
from sync_app import fleet, instance_page, rollbacks, rollouts, waves
from sync_app.ladder import Verdict
from sync_app.ladder_facts import Ladder
from sync_app.models import UNFINISHED, WITH_REASON, Delivery, DeliveryState, Rollout
from sync_app.tests.attempts import change, work
from sync_app.verdicts import AFTER_PUSH

pytestmark = pytest.mark.django_db

NUMBER = 40  # random instances for each state of the newest rollout
LONGEST = 400  # seconds that their histories go back; what is older than CONSOLE_STALE_SECONDS is stale
OTHER = "e" * 64


@pytest.mark.parametrize("state", ["running", "halted", "incomplete"])
def test_the_verdict_and_the_fleet_pages_word_agree_over_random_histories(state: str) -> None:
    dice = random.Random(f"ladder {state}")
    cast = testing.cast()
    testing.bundle(cast.environment)
    instances = [testing.instance(cast.environment, f"i{number:03}") for number in range(NUMBER)]
    first = rollouts.publish(change(cast), actor=cast.olga)
    work(first)
    waves.advance(first.pk)
    second = rollouts.publish(change(cast, "newer"), actor=cast.olga)
    work(second)
    waves.advance(second.pk)
    third = rollbacks.roll_back(second, actor=cast.olga, reason="it was wrong")  # the first one's content again
    Delivery.objects.all().delete()
    Observation.objects.all().delete()
    ended = {"finished_at": timezone.now()} if state == "incomplete" else {"held_at": timezone.now()}
    Rollout.objects.filter(pk=third.pk).update(state=state, halt_reason="too many", **ended)
    third.refresh_from_db()
    probe = probes.change(cast.environment, Settings("GET", "/health", every=2), actor=cast.adam)
    now = timezone.now()
    for instance in instances:
        _history(dice, instance, [first, second, third], now)
        if dice.random() < 0.7:
            at = _moment(dice, now)
            word = dice.choice([*Service.values, "serving", "serving"])
            Served.objects.create(instance=instance, version=probe.version, word=word, since=at, at=at)
    desired = documents.desired(cast.environment)
    assert desired is not None
    names = Names(cast.environment)
    words: set[tuple[str, str]] = set()
    for row in fleet.rows(cast.environment):
        told = instance_page.now(Instance.objects.get(pk=row.instance.pk), cast.olga, names)
        _agree(row.config, told["verdict"], [one.ladder for one in told["documents"]], row)
        words.add((row.config, told["verdict"].word))
        for one in told["documents"]:
            _evidence(row.instance, one.ladder, desired)
    assert {word for word, _ in words} >= {"in sync", "out of sync", "unknown"}
    assert len(words) >= 6  # else these histories prove little


def _moment(dice: random.Random, now: datetime) -> datetime:
    """Stale, or far from getting so while the test runs."""
    stale = settings.STALE_SECONDS
    return now - timedelta(seconds=dice.choice([dice.uniform(1, stale - 60), dice.uniform(stale + 1, LONGEST)]))


def _history(dice: random.Random, instance: Instance, rollouts_: list[Rollout], now: datetime) -> None:
    """Deliveries in the order of their rollouts, reports whenever, and perhaps a move among them."""
    moments = sorted(_moment(dice, now) for _ in range(7))
    moved = dice.choice([None, None, None, dice.choice(moments)])
    rows: list[Delivery] = []
    for index, rollout in enumerate(rollouts_):
        if dice.random() < 0.3:
            continue
        going = rollout.is_going
        states = [one for one in DeliveryState if going or one not in UNFINISHED]
        state = dice.choice(states)
        sent = (state == DeliveryState.VERIFIED and dice.random() < 0.8) or dice.random() < 0.5
        sent = sent and state != DeliveryState.PENDING
        at = moments[index * 2]
        rows.append(
            Delivery(
                rollout=rollout,
                instance=instance,
                state=state,
                wave=1,
                attempts=1,
                sent_at=at if sent else None,
                finished_at=None if state in UNFINISHED else at + timedelta(seconds=0.5),
                lease_until=now + timedelta(seconds=30) if state == DeliveryState.SENDING else None,
                code=dice.choice(["", "", "stale"]) if state == DeliveryState.FAILED else "",
                error="It said no." if state in WITH_REASON else "",
                evidence=AFTER_PUSH if state == DeliveryState.VERIFIED else "",
            )
        )
    for row in rows:
        row.save()
        Delivery.objects.filter(pk=row.pk).update(changed_at=row.finished_at or row.sent_at or moments[0])
    contents = [rollout.bundle.digests() for rollout in rollouts_]
    for kind in Kind.values:
        if dice.random() < 0.1:
            continue
        reports = sorted(dice.sample(moments, dice.randint(1, 3)))
        last = dice.choice([reports[-1], now - timedelta(seconds=dice.uniform(0, 30))])
        for index, at in enumerate(reports):
            open_ = index == len(reports) - 1
            until = None if open_ else reports[index + 1]
            if open_ and moved is not None and max(at, last) <= moved:
                until = moved  # as a move leaves it
            digest = dice.choice([contents[0][kind], contents[1][kind], contents[2][kind], contents[2][kind], OTHER])
            Observation.objects.create(
                instance=instance,
                kind=kind,
                digest=digest,
                since=at,
                seen_at=max(at, last) if open_ else at,
                until=until,
            )
    digests = dice.choice(contents)
    loaded = {kind: {"digest": one, "on_disk": one, "reload_status": "loaded"} for kind, one in digests.items()}
    info: dict[str, Any] = {
        "protocol": 1,
        "documents": loaded,
        "workers": {"alive": 2, "loaded": dice.choice([1, 2, 2])},
    }
    Instance.objects.filter(pk=instance.pk).update(
        info=dice.choice([{}, {"health": "healthy"}, info, info, info]),
        info_at=dice.choice([None, *moments, *moments[4:]]),
        moved_at=moved,
    )
    instance.refresh_from_db()


def _agree(word: str, verdict: Verdict, ladders: list[Ladder], row: object) -> None:
    proven = all(one.proven for one in ladders)
    overwritten = any(one.rung("verified").what.startswith("It reported this content before a push") for one in ladders)
    match verdict.word:
        case "right":
            assert word == "in sync", row
        case "under way":
            assert word in {"out of sync", "unknown"} or overwritten, row
        case "unknown":
            serving = verdict.rung is not None and verdict.rung.name == "serving"
            assert word == "unknown" or (word == "in sync" and serving) or overwritten, row
        case "not right":
            wrong = any(one.runs is False or (one.proven and one.stop is not None) for one in ladders)
            assert word in {"out of sync", "drifted"} or wrong, row
    if word == "in sync":
        assert proven or overwritten
    if word == "drifted":
        assert verdict.word == "not right" or overwritten, (row, verdict)


def _evidence(instance: Instance, ladder: Ladder, desired: Bundle) -> None:
    wanted = desired.digests()[ladder.kind]
    over = [
        one.sent_at
        for one in instance.deliveries.select_related("rollout__bundle").exclude(state=DeliveryState.REJECTED)
        if one.sent_at and one.code != "stale" and one.rollout.bundle.digests()[ladder.kind] != wanted
    ]
    here = [at for at in over if instance.here_since(at)]
    old = timezone.now() - timedelta(seconds=settings.STALE_SECONDS)
    for rung in ladder.rungs:
        if rung.state != "reached":
            continue
        assert rung.at is not None
        assert instance.here_since(rung.at), (instance, rung)
        assert all(at <= rung.at for at in here), (instance, rung)
        assert rung.name in {"sent", "serving"} or rung.at >= old, (instance, rung)
