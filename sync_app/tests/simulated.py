"""Instances that are a few lines in memory, behind networks that lose, delay and lie: what a `Push` comes to there."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, field

from instances_app.client import Outcome, Push, Pushed, Reply
from instances_app.client.fleet import shows
from sync_app.tests.attempts import APPLIED, NO, REFUSED, TIMEOUT, TOKEN, versions

STALE = Reply(Outcome.REJECTED, 409, {"code": "stale"}, "Something newer has been applied already.", "stale")
SOMETHING = {"webhooks": "b" * 64, "connections": "b" * 64}  # that no rollout brings


@dataclass
class Disk:
    """What the agent of one instance has put in place, and the sequence that it will not go below."""

    sequence: int = 0
    digests: dict[str, str] = field(default_factory=lambda: dict(SOMETHING))
    edited: bool = True  # by somebody else than the console, since the last update of everything

    def apply(self, body: bytes) -> Reply:
        request = json.loads(body)
        if request["sequence"] < self.sequence:
            return STALE
        self.sequence = request["sequence"]
        self.digests |= {part["type"]: part["digest"] for part in request["configs"]}
        self.edited = self.edited and SOMETHING["webhooks"] in self.digests.values()
        return APPLIED

    def drift(self) -> None:
        self.digests, self.edited = dict(SOMETHING), True

    def holds(self, digests: Mapping[str, str]) -> bool:
        return self.digests == digests


@dataclass(frozen=True)
class Late:
    """A push that is still on its way."""

    disk: Disk
    body: bytes

    def arrive(self) -> None:
        self.disk.apply(self.body)


def carry_out(job: Push | Pushed, disk: Disk, end: str) -> tuple[Pushed, list[Late]]:
    """What a worker learns of its job, and what may still arrive afterwards.

    well     everything goes through                      rejects  the service refuses what is sent
    token    the agent refuses our token                  refused  nothing listens there
    lost     what is sent never arrives                   deaf     it arrives, no answer comes back
    late     it arrives later, no answer comes back       lies     it says "applied" and applies nothing
    silent   no answer to anything
    """
    if isinstance(job, Pushed):
        return job, []
    now = time.time()
    quiet = {"refused": REFUSED, "silent": TIMEOUT, "token": TOKEN}.get(end)
    looked: Reply | None = None
    if job.look_first or not job.bodies:
        looked = quiet or versions(disk.digests)
        if looked.outcome != Outcome.OK or shows(looked, job.wanted) or not job.bodies:
            return Pushed(job.key, looked, (), None, None, now, contested=job.contested), []
    (body,) = job.bodies
    late: list[Late] = []
    if end == "well":
        answer = disk.apply(body)
    elif end == "deaf":
        disk.apply(body)
        answer = TIMEOUT
    else:
        answer = quiet or {"rejects": NO, "lies": APPLIED}.get(end, TIMEOUT)
        late = [Late(disk, body)] if end == "late" else []
    read_back = versions(disk.digests) if answer.outcome == Outcome.OK else None
    return Pushed(job.key, looked, (answer,), read_back, now, time.time(), contested=job.contested), late
