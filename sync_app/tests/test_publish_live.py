"""Publishing on real parts: Postgres, Redis, a Celery worker process, and agents over HTTP."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from console import testing
from console.testing import ended
from console.testing_processes import Process, SampleInstance, until
from sync_app import rollouts

pytestmark = pytest.mark.django_db(transaction=True)

Start = Callable[..., list[SampleInstance]]


def test_publish_reaches_all_and_is_proven_by_read_back(worker_process: Process, sample_instances: Start) -> None:
    cast = testing.cast()
    testing.bundle(cast.environment)
    fleet = sample_instances(3)
    for number, running in enumerate(fleet):
        testing.instance(cast.environment, f"i{number}", running.base_url, running.token)
    webhooks = testing.text({"orders": {"module": "log"}, "new": {"module": "log"}})
    change = testing.draft(cast.environment, actor=cast.olga, webhooks=webhooks)

    rollout = rollouts.publish(change, actor=cast.olga)

    until(lambda: ended(rollout), what="the rollout's end")
    states = list(rollout.deliveries.values_list("state", "evidence"))
    assert states == [("verified", "Read back after the push.")] * 3
    assert rollout.state == "succeeded"
