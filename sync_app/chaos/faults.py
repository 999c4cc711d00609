"""Breaking things, at random: kill -9, freezing, cutting off, filling disks, forgetting messages.

What is killed is started again by its supervisor. Everything else ends by itself after some seconds, and at once
when the run is to come to rest.
"""

from __future__ import annotations

import heapq
import itertools
import os
import random
import resource
import signal
from collections.abc import Callable, Sequence
from contextlib import suppress
from time import monotonic

import redis
from django.conf import settings

from sync_app.chaos import processes
from sync_app.chaos.network import Mode
from sync_app.chaos.processes import Member
from sync_app.chaos.record import Loop, Record

FULL_DISK = 16  # bytes that a process may still write into one file
WEIGHTS = {
    "kill worker": 4,
    "kill second worker": 4,
    "kill beat": 3,
    "kill web": 3,
    "kill redis": 2,
    "kill postgres": 1,
    "kill a postgres backend": 1,
    "kill up": 0.5,
    "kill instance": 12,
    "kill a worker process of an instance": 4,
    "freeze worker": 5,
    "freeze instance": 8,
    "freeze redis": 1,
    "forget all messages": 3,
    "black hole": 8,
    "answers lost": 8,
    "packets late": 8,
    "connections reset": 6,
    "disk full": 6,
    "service refuses": 4,
}
RELAYED = {
    "black hole": Mode.HOLE,
    "answers lost": Mode.DEAF,
    "packets late": Mode.LATE,
    "connections reset": Mode.RESET,
}


LASTING = {*RELAYED, "disk full", "service refuses"}


class Faults(Loop):
    """A fault every `every` seconds on average. Each kind comes once before chance decides, those that last first: so a
    short run has them, too, and something is wrong with the instances when the first publication comes.
    """

    def __init__(self, members: Sequence[Member], record: Record, *, seed: int, every: float) -> None:
        super().__init__(record, "faults")
        self._members = members
        self._random = random.Random(seed)  # noqa: S311 - a run is repeated by its seed
        self._every = every
        self._first = self._random.sample(list(WEIGHTS), len(WEIGHTS))
        self._first.remove("kill up")  # everything stands still for seconds after it
        self._first.sort(key=lambda kind: kind not in LASTING, reverse=True)  # taken from the end
        self._due = monotonic()
        self._ends: list[tuple[float, int, Callable[[], object]]] = []  # when what is temporary is over
        self._order = itertools.count()

    def pause(self) -> float:
        return max(0.0, min(self._due - monotonic(), 0.1))

    def step(self) -> None:
        now = monotonic()
        while self._ends and self._ends[0][0] <= now:
            heapq.heappop(self._ends)[2]()
        if now >= self._due:
            self._due = now + self._random.expovariate(1 / self._every)
            kinds, weights = list(WEIGHTS), list(WEIGHTS.values())
            self._inject(self._first.pop() if self._first else self._random.choices(kinds, weights)[0])

    def end(self) -> None:
        """What is temporary ends now."""
        while self._ends:
            heapq.heappop(self._ends)[2]()

    def _inject(self, kind: str) -> None:
        if kind in RELAYED:
            self._misroute(kind)
        elif kind.startswith("kill"):
            self._kill(kind)
        elif kind.startswith("freeze"):
            self._freeze(kind)
        elif kind == "forget all messages":
            with suppress(redis.RedisError):
                redis.Redis.from_url(settings.REDIS_URL, socket_timeout=1).flushall()
                self.record.fault(kind)
        elif kind == "disk full":
            self._fill_disk(kind)
        else:
            self._refuse(kind)

    def _kill(self, kind: str) -> None:
        who, pid = self._victim(kind)
        if pid and processes.send(pid, signal.SIGKILL):
            self.record.fault(kind, who)

    def _freeze(self, kind: str) -> None:
        who, pid = self._victim(kind)
        if pid and processes.send(pid, signal.SIGSTOP):
            seconds = self._random.uniform(0.5, 4 if "redis" in kind else 2.5 * settings.LEASE_SECONDS)
            self.record.fault(kind, f"{who} for {seconds:.1f} s")
            self._later(seconds, lambda: processes.send(pid, signal.SIGCONT))

    def _victim(self, kind: str) -> tuple[str, int]:
        """Whom this kind of fault hits, and its process id; 0 when there is none at the moment."""
        if "instance" in kind:
            several = "worker process" in kind
            member = self._random.choice([m for m in self._members if "--workers" in m.child.command or not several])
            pids = member.pids()
            wanted = pids[1:] if several else pids[:1]
            return member.name, self._random.choice(wanted) if wanted else 0
        running = processes.console_processes()
        if kind == "kill a postgres backend":
            backends = list(processes.children_of(running.get("postgres", 0))) if "postgres" in running else []
            return "", self._random.choice(backends) if backends else 0
        role = kind.split()[-1]
        if "second" in kind or (kind == "freeze worker" and self._random.random() < 0.5):
            return "second", self._second
        return role, running.get(role, 0)

    @property
    def _second(self) -> int:
        found = processes.children_of(os.getpid())
        return next((pid for pid, words in found.items() if b"second@%h" in words), 0)

    def _misroute(self, kind: str) -> None:
        relays = [member for member in self._members if member.relay and member.relay.mode == Mode.PASS]
        if relays:
            member = self._random.choice(relays)
            relay = member.relay
            assert relay is not None
            relay.mode = RELAYED[kind]
            seconds = self._random.uniform(0.5, 12)
            self.record.fault(kind, f"{member.name} for {seconds:.1f} s")
            self._later(seconds, lambda: setattr(relay, "mode", Mode.PASS))

    def _fill_disk(self, kind: str) -> None:
        """No process of the instance may write more into a file: its disk is full."""
        member = self._random.choice(self._members)
        pids = member.pids()
        _limit(pids, FULL_DISK)
        if pids:
            seconds = self._random.uniform(1, 6)
            self.record.fault(kind, f"{member.name} for {seconds:.1f} s")
            self._later(seconds, lambda: _limit(pids, resource.RLIM_INFINITY))

    def _refuse(self, kind: str) -> None:
        """The service of the instance refuses every new document for a while; the agent puts the old ones back."""
        member = self._random.choice(self._members)
        drill = member.folder / "reject"
        drill.write_text("chaos")
        seconds = self._random.uniform(1, 6)
        self.record.fault(kind, f"{member.name} for {seconds:.1f} s")
        self._later(seconds, lambda: drill.unlink(missing_ok=True))

    def _later(self, seconds: float, end: Callable[[], object]) -> None:
        heapq.heappush(self._ends, (monotonic() + seconds, next(self._order), end))


def _limit(pids: Sequence[int], size: int) -> None:
    for pid in pids:
        with suppress(ProcessLookupError):
            resource.prlimit(pid, resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))
