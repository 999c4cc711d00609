"""Whatever an instance writes into its answers, the others are served."""

from __future__ import annotations

from typing import Any

import pytest

from console import testing
from instances_app import observations
from instances_app.client import Looked, Outcome, Push, Pushed, Reply
from instances_app.client.dry import DryPushed
from instances_app.models import Health
from sync_app import deliveries, dry_verdicts, rollouts
from sync_app.dry_run_models import DryAnswerState
from sync_app.models import Cause
from sync_app.payload import Payload
from sync_app.tests.attempts import versions

pytestmark = pytest.mark.django_db

ODD: list[Any] = [[], {}, [{}], {"status": "ok"}, 7, -1.5, True, None, "words", "x" * 5000]
FIELDS = "capabilities health health_reason hostname version protocol workers draining documents instance_id".split()


@pytest.mark.parametrize("odd", ODD, ids=lambda odd: repr(odd)[:20])
def test_a_check_keeps_the_answers_of_the_others_and_a_rollout_reaches_them(odd: Any) -> None:
    cast = testing.cast()
    bundle = testing.bundle(cast.environment)
    good, bad = testing.instance(cast.environment, "good"), testing.instance(cast.environment, "bad")
    ours = versions(bundle.digests())
    strange = Reply(Outcome.OK, 200, dict.fromkeys(FIELDS, odd))
    observations.record_looks(
        [
            Looked(bad.pk, Reply(Outcome.OK, 200, {**ours.body, "last_reload": odd, "sequence": odd}), strange),
            Looked(good.pk, ours, Reply(Outcome.OK, 200, {"health": "healthy"})),
        ]
    )
    good.refresh_from_db()
    assert good.health == Health.HEALTHY
    rollout = rollouts.start(cast.environment, actor=cast.olga, cause=Cause.SYNC)
    jobs = Payload(rollout).jobs(deliveries.claim(rollout.pk, limit=10))
    assert {job.target.base_url for job in jobs if isinstance(job, Push)} == {good.base_url, bad.base_url}


@pytest.mark.parametrize("odd", ODD, ids=lambda odd: repr(odd)[:20])
def test_a_dry_run_has_a_verdict_for_every_answer(odd: Any) -> None:
    able = Reply(Outcome.OK, 200, {"capabilities": ["batch", "dry_run", "readiness"]})
    for status, outcome in ((422, Outcome.REJECTED), (200, Outcome.OK)):
        answer = Reply(outcome, status, {"outcome": odd, "status": odd, "readiness": odd}, "x", "rejected")
        verdict = dry_verdicts.decide(DryPushed(1, able, answer), names=["$A"], hide=str)
        assert verdict.state in {DryAnswerState.FAILED, DryAnswerState.REFUSED}


def test_a_refusal_that_quotes_a_secret_of_the_documents_is_kept_without_it() -> None:
    cast = testing.cast()
    testing.instance(cast.environment, "one")
    testing.bundle(cast.environment, webhooks={"a": {"module": "log", "authorization": "Bearer s3cret-and-long"}})
    rollout = rollouts.start(cast.environment, actor=cast.olga, cause=Cause.SYNC)
    (claim,) = deliveries.claim(rollout.pk, limit=10)
    no = Reply(Outcome.REJECTED, 422, {}, "authorization 'Bearer s3cret-and-long' is not known", "rejected")
    deliveries.record(rollout, [(claim, Pushed(claim.id, None, (no,), None, 1.0, 2.0))])
    error = rollout.deliveries.get().error
    assert "is not known" in error
    assert "s3cret" not in error
