"""One worker's turn at a rollout: claim, send, read back, record, until nothing is due.

Network and database run side by side: the fleet's loop has a thread of its own, this one only waits for results
and writes them down in bulk.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Collection, Sequence

from django.conf import settings

from instances_app.client import Fleet, Push, Pushed, Result
from instances_app.plans import Plan
from sync_app import deliveries, waves
from sync_app.deliveries import Claim
from sync_app.draining import Draining
from sync_app.models import Rollout
from sync_app.payload import Payload

WINDOW = 1000  # deliveries that one worker waits for at once
NARROW = 400  # the same where a failure may stop the rollout: so many may be on their way by then
CHUNK = 250  # deliveries that are claimed together: the wire has work while the next ones are
SHARE = 500  # deliveries for which another worker is worth its while
MOST_TURNS = 8
SLOW_SECONDS = 1.0  # who takes longer than this counts no more in the window: a few that hang do not hold up the rest
MOST_HELD = 2000  # with those that hang: a connection each
FLUSH_SECONDS = 0.25  # the longest a result waits for its batch
_lock = threading.Lock()
_under_way: list[int] = []  # rollouts that threads of this process work on


def turns(plan: Plan, waves: Sequence[Sequence[int]]) -> int:
    """How many workers a rollout begins with: several only where many may be on their way at once."""
    if plan.at_once or _is_careful(plan, len(waves)):
        return 1
    return max(1, min(len(waves[0]) // SHARE, MOST_TURNS))


def is_under_way(rollout_id: int) -> bool:
    """Whether this very process works on the rollout."""
    with _lock:
        return rollout_id in _under_way


def run(rollout_id: int) -> bool:
    """Work on the rollout until nothing of it is due; whether anything was done."""
    with _lock:
        _under_way.append(rollout_id)
    try:
        return _run(rollout_id)
    finally:
        with _lock:
            _under_way.remove(rollout_id)


def _run(rollout_id: int) -> bool:
    rollout = Rollout.objects.select_related(
        "bundle__webhooks__document", "bundle__connections__document", "change", "environment"
    ).get(pk=rollout_id)
    plan = Plan.of(rollout.plan)
    careful = _is_careful(plan, rollout.waves)
    window = NARROW if careful else WINDOW
    claims = deliveries.claim(rollout_id, limit=CHUNK, at_once=plan.at_once)
    if not claims:
        return False
    draining = Draining(rollout, plan) if plan.drain else None
    payload = Payload(rollout, draining)
    held: dict[int, Claim] = {}
    since: dict[int, float] = {}  # when it was claimed, of time.monotonic()
    settled: list[Result] = []  # without being sent
    renewed = time.monotonic()
    with Fleet(connect_timeout=settings.CONNECT_SECONDS, read_timeout=settings.READ_SECONDS) as fleet:
        while claims or held:
            held.update((claim.id, claim) for claim in claims)
            since.update(dict.fromkeys((claim.id for claim in claims), time.monotonic()))
            jobs = payload.jobs(claims)
            fleet.submit(*(job for job in jobs if isinstance(job, Push)))
            settled += [job for job in jobs if isinstance(job, Pushed)]
            room = _room(since.values(), window)
            if claims and room >= CHUNK:  # first the wire, then the books
                claims = deliveries.claim(rollout_id, limit=CHUNK, at_once=plan.at_once)
                if claims:
                    continue
            claims = []
            results = settled + fleet.results(timeout=0 if settled else FLUSH_SECONDS)
            settled = []
            if results and len(results) < len(held):
                time.sleep(FLUSH_SECONDS / 10)  # let the batch fill; a result may wait this long, not longer
                results += fleet.results(timeout=0)
            done = [(held.pop(result.key), result) for result in results if isinstance(result, Pushed)]
            if done:
                rollout.refresh_from_db(fields=["state"])
                doubtful = deliveries.record(rollout, done, hide=payload.hide)
                if doubtful and careful:
                    waves.advance(rollout_id)  # it may halt here, before more is sent
            if draining is not None:
                draining.look()
            if time.monotonic() - renewed > settings.LEASE_SECONDS / 3:
                deliveries.renew(held.values())
                renewed = time.monotonic()
            since = {key: since[key] for key in held}
            room = _room(since.values(), window)
            if room >= window // 5:  # not a claim for every result
                claims = deliveries.claim(rollout_id, limit=min(room, CHUNK), at_once=plan.at_once)
    return True


def _is_careful(plan: Plan, waves: int) -> bool:
    """Whether a failure may stop the rollout."""
    return bool(plan.failure_limit or plan.drain or waves > 1)


def _room(since: Collection[float], window: int) -> int:
    """How many more may be claimed, when these were claimed then."""
    quick = sum(at > time.monotonic() - SLOW_SECONDS for at in since)
    return min(window - quick, MOST_HELD - len(since))
