"""Attempts without a wire: what a worker would claim, and answers as instances give them."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

from configs_app import changes
from configs_app.models import Change
from console import testing
from console.testing import Cast
from instances_app import observations
from instances_app.client import Looked, Outcome, Pushed, Reply
from instances_app.models import Instance
from sync_app import deliveries, gates, rollouts
from sync_app.deliveries import Claim
from sync_app.models import Rollout

APPLIED = Reply(Outcome.OK, 200, {"status": "success", "outcome": "applied"})
NO = Reply(Outcome.REJECTED, 422, {}, "Unknown module", "rejected")
TOKEN = Reply(Outcome.UNAUTHORISED, 401, {}, "The instance refused our token (HTTP 401).", "unauthorised")
TIMEOUT = Reply(Outcome.UNKNOWN, code="read_timeout", error="No answer within 10 seconds.")
REFUSED = Reply(Outcome.UNREACHABLE, code="refused", error="Connection refused.")
OTHERS = Reply(Outcome.OK, 200, {"webhooks_version": "b" * 16, "connections_version": "b" * 16})


def versions(digests: Mapping[str, str]) -> Reply:
    return Reply(Outcome.OK, 200, {f"{kind}_digest": digest for kind, digest in digests.items()})


def attempt(claim: Claim, digests: Mapping[str, str], end: str) -> Pushed:
    """How an attempt at one delivery went: verified, rejected, failed, timeout, refused, gone."""
    ours, now = versions(digests), time.time()
    sent: tuple[Reply, ...] = ()
    looked = read_back = None
    if not claim.may_send or end == "gone":  # it was read only; "gone": and runs something else
        looked = {"verified": ours, "gone": OTHERS}.get(end, TIMEOUT)
    elif end == "verified":
        sent, read_back = (APPLIED,), ours
    else:
        sent = ({"rejected": NO, "failed": TOKEN, "timeout": TIMEOUT, "refused": REFUSED}[end],)
    return Pushed(claim.id, looked, sent, read_back, now if sent else None, now)


def work(rollout: Rollout, end: str | Callable[[str], str] = "verified", *, limit: int = 250) -> list[str]:
    """One worker's batch; the names of the instances in it. `end`: how it goes, for all or by name."""
    rollout.refresh_from_db()
    claims = deliveries.claim(rollout.pk, limit=limit, at_once=rollout.plan["at_once"])
    names = dict(Instance.objects.filter(pk__in=[c.instance_id for c in claims]).values_list("pk", "name"))
    digests = rollout.bundle.digests()
    results = [
        (claim, attempt(claim, digests, end if isinstance(end, str) else end(names[claim.instance_id])))
        for claim in claims
    ]
    deliveries.record(rollout, results)
    return sorted(names.values())


def look(rollout: Rollout, *, ill: str = "", runs: Mapping[str, str] | None = None) -> None:
    """The gate's question: all are healthy and run the bundle; the one named `ill` says that it is not."""
    rollout.refresh_from_db()
    looks = []
    for instance in gates.verified_instances(rollout):
        words = {"health": "degraded", "health_reason": "no broker"} if instance.name == ill else {"health": "healthy"}
        seen = versions(runs or rollout.bundle.digests())
        looks.append(Looked(instance.pk, seen, Reply(Outcome.OK, 200, words)))
    observations.record_looks(looks)


def begin(number: int = 5, *, protected: bool = False, **plan: Any) -> tuple[Cast, Rollout]:
    """A rollout of a published change to `number` instances, i0 first, in the waves of this plan."""
    cast = testing.cast("production" if protected else "staging", protected=protected)
    testing.bundle(cast.environment)
    for index in range(number):
        testing.instance(cast.environment, f"i{index}")
    first = cast.environment.instances.get(name="i0").pk
    cast.environment.plan = {"canaries": [first], **plan}
    cast.environment.save()
    return cast, rollouts.publish(change(cast), actor=cast.olga)


def change(cast: Cast, name: str = "new") -> Change:
    """One that may be published."""
    entry = {"module": "log", "authorization": "Bearer {$TOKEN}"}
    draft = testing.draft(cast.environment, actor=cast.olga, webhooks=testing.text({**testing.WEBHOOKS, name: entry}))
    if cast.environment.protected:
        changes.propose(draft, actor=cast.olga)
        draft = changes.approve(draft, actor=cast.anna)
    return draft


def states(rollout: Rollout) -> dict[str, str]:
    """instance → state of its delivery"""
    return dict(rollout.deliveries.values_list("instance__name", "state"))
