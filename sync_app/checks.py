"""Asking instances what they run, all at once: the beat's round, "verify all now", and a gate's question."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable

from django.conf import settings

from console import live
from instances_app import observations
from instances_app.client import Fleet, Look, Looked, Outcome
from instances_app.models import Instance
from sync_app import heartbeat, turn_lock

ROUND_LOCK = 0x57434B4C  # one round of everything at a time; the next beat comes anyway
FLUSH_SECONDS = 0.25
WINDOW = 250


def run(environment_id: int | None = None) -> int:
    """Look at every active instance (of one environment, or of all) and keep the answers. How many were asked.

    A round over everything that finds another one at work does nothing.
    """
    instances = Instance.objects.active().order_by("pk")
    if environment_id is not None:
        return _round(instances.filter(environment_id=environment_id))
    with turn_lock.alone(ROUND_LOCK) as is_ours:
        return _round(instances) if is_ours else 0


def _round(instances: Iterable[Instance]) -> int:
    """Ask all of these, and keep that it was done."""
    started, chosen = time.monotonic(), list(instances)
    answered: Counter[int] = Counter()
    asked = ask(chosen, answered)
    heartbeat.record(
        Counter(instance.environment_id for instance in chosen), answered, seconds=time.monotonic() - started
    )
    return asked


def ask(instances: Iterable[Instance], heard: Counter[int] | None = None) -> int:
    """Look at these, and keep the answers. How many were asked; `heard` counts who answered, by environment."""
    waiting = list(instances)
    environment_of = {instance.pk: instance.environment_id for instance in waiting}
    waiting.reverse()
    asked = answered = 0
    touched: set[int] = set()
    with Fleet(connect_timeout=settings.CONNECT_SECONDS, read_timeout=settings.READ_SECONDS) as fleet:
        while waiting or answered < asked:
            while waiting and asked - answered < WINDOW:
                instance = waiting.pop()
                fleet.submit(Look(key=instance.pk, target=instance.target))
                asked += 1
            looks = [look for look in fleet.results(timeout=FLUSH_SECONDS) if isinstance(look, Looked)]
            observations.record_looks(looks)
            answered += len(looks)
            touched |= {environment_of[look.key] for look in looks}
            if heard is not None:
                heard.update(environment_of[look.key] for look in looks if look.versions.outcome == Outcome.OK)
    for environment_id in touched:
        live.ping(environment_id, "fleet")
    return answered
