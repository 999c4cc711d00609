"""Two hundred real agents get new tokens while rollouts run; the worker is killed in the middle."""

from __future__ import annotations

import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest
from django.db import transaction

from console import testing
from console.models import AuditEvent
from console.testing import ended
from console.testing_processes import Process, until
from instances_app import client, registry, rotation
from instances_app.client import Target, Way
from instances_app.models import Exchange, ExchangeState, Instance, RotationState
from sync_app import rollouts, tasks
from sync_app.models import Cause, Delivery, Rollout
from sync_app.tests.live_agents import Start, configured, live_agents

__all__ = ["live_agents"]
pytestmark = pytest.mark.django_db(transaction=True)

NUMBER = 200


def test_two_hundred_tokens_are_rotated_under_running_rollouts_and_a_killed_worker(
    worker_process: Process, live_agents: Start
) -> None:
    began = time.monotonic()
    cast = testing.cast()
    testing.bundle(cast.environment)
    with transaction.atomic():
        for name, url in live_agents(NUMBER, processes=2).items():
            registry.add(cast.environment, name=name, base_url=url, token=configured(name))
    everybody = list(Instance.objects.values_list("pk", flat=True))

    def roll(number: int) -> Rollout:
        if number % 3:  # these only ask, with the same token
            return rollouts.start(cast.environment, actor=cast.olga, cause=Cause.SYNC)
        texts = testing.text({**testing.WEBHOOKS, f"n{number}": {"module": "log"}})
        return rollouts.publish(testing.draft(cast.environment, actor=cast.olga, webhooks=texts), actor=cast.olga)

    started = [roll(0)]
    until(lambda: Delivery.objects.filter(state="verified").exists(), what="the first deliveries")
    found = rotation.start(cast.environment, everybody, actor=cast.olga)
    tasks.wake_rotation(found.pk)
    set_out = time.monotonic()
    killed = 0.0

    def over() -> bool:
        nonlocal killed
        if ended(started[-1]):
            started.append(roll(len(started)))
        if not killed and NUMBER // 8 < Exchange.objects.exclude(switched_at=None).count() < NUMBER:
            killed = time.monotonic()
            worker_process.kill()
            worker_process.start()
        found.refresh_from_db()
        return not found.is_going

    try:
        until(over, seconds=90, what="the end of the rotation")
    finally:
        print(rotation.counts(found), list(Exchange.objects.exclude(error="").values_list("state", "error"))[:9])  # noqa: T201
    took = time.monotonic() - set_out
    until(lambda: ended(started[-1]), seconds=30, what="the last rollout")

    deliveries = Counter(Delivery.objects.values_list("state", flat=True))
    events = Counter(AuditEvent.objects.values_list("action", flat=True))
    assert killed, "the worker was not killed in the middle"
    assert found.state == RotationState.FINISHED
    assert rotation.counts(found) == {ExchangeState.DROPPED: NUMBER}
    assert deliveries == {"verified": NUMBER * len(started)}
    assert {one.state for one in Rollout.objects.all()} == {"succeeded"}
    assert not Instance.objects.exclude(token_refused_at=None).exists()
    assert (events["instance.token_switched"], events["instance.token_dropped"]) == (NUMBER, NUMBER)
    with ThreadPoolExecutor(8) as pool:
        opens = Counter(pool.map(opened, Instance.objects.select_related("environment")))
    assert opens == {(401, 200): NUMBER}
    print(  # noqa: T201
        f"{NUMBER} tokens rotated in {took:.1f} s beside {len(started)} rollouts with {deliveries.total()} deliveries, "
        f"0 failed; worker killed after {killed - set_out:.1f} s; the whole test {time.monotonic() - began:.1f} s"
    )


def opened(one: Instance) -> tuple[int | None, int | None]:
    """What the agent says to the token in its configuration, and to the one that the console has."""
    old = client.versions(Target(one.base_url, configured(one.name), way=Way(plain_http=True)))
    return old.status, client.versions(one.target).status
