"""Asking many instances at once: one thread, one event loop.

The calling thread does the database work meanwhile. Nothing raises out of a job: whatever happens becomes a
`Reply`. Each push uses a connection of its own, kept for its read-back and then closed: a rollout speaks to an
instance once, and a connection from an older rollout may have been closed unnoticed, which would turn a push
that never left into an "unknown".
"""

from __future__ import annotations

import asyncio
import logging
import queue
import resource
import threading
import time
from collections.abc import Coroutine, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Self

import uvloop
from webhook_agent import protocol

from instances_app.client import dry, places, replies, service, tokens, wire
from instances_app.client.draining import Drain
from instances_app.client.dry import DryPush, DryPushed
from instances_app.client.replies import Outcome, Reply, Target, silent
from instances_app.client.tokens import Drop, Give, Turned
from instances_app.client.wire import TooLarge, WireError

SOCKETS = 16_384  # of all fleets in a process together

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Push:
    """One attempt at one delivery."""

    key: int
    target: Target
    bodies: tuple[bytes, ...]  # sent in this order; none: it only looks
    look_first: bool  # an earlier attempt may have arrived: read before sending
    wanted: Mapping[str, str]  # kind → full digest
    drain: Drain | None = None  # take it out of traffic meanwhile
    contested: bool = False  # an older push may still arrive: what is only read may be overtaken by it


@dataclass(frozen=True, slots=True)
class Pushed:
    key: int
    looked: Reply | None
    sent: tuple[Reply, ...]
    read_back: Reply | None
    sent_at: float | None  # time.time() when the first body left
    finished_at: float
    drain: Drain | None = None
    contested: bool = False  # as its job was

    @property
    def was_asked(self) -> bool:
        """Whether anything was sent to an address, or was answered from one."""
        return self.sent_at is not None or (self.looked is not None and self.looked.status is not None)


@dataclass(frozen=True, slots=True)
class Undrain:
    """Put an instance back into traffic."""

    key: int
    target: Target


@dataclass(frozen=True, slots=True)
class Undrained:
    key: int
    reply: Reply


@dataclass(frozen=True, slots=True)
class Sample:
    """Ask the service itself how it is and what it counted, without the agent's token."""

    key: int
    target: Target


@dataclass(frozen=True, slots=True)
class Sampled:
    key: int
    health: Reply
    stats: Reply


@dataclass(frozen=True, slots=True)
class Look:
    """Ask what runs there and how it is; with `service` the service itself, which has no agent, only how it is."""

    key: int
    target: Target
    service: bool = False
    thorough: bool = False  # of a service, whether its own admin API is there as well


@dataclass(frozen=True, slots=True)
class Looked:
    key: int
    versions: Reply
    info: Reply
    certificate_until: datetime | None = None  # when the TLS certificate that it showed ends
    service: bool = False  # as the question was
    service_admin: Reply | None = None  # what the service's own admin endpoint said, asked without a token


Job = Push | Look | Undrain | Sample | DryPush | Give | Drop
Result = Pushed | Looked | Undrained | Sampled | DryPushed | Turned


class Fleet:
    """Runs jobs concurrently in a thread of its own; use it as a context manager, from one thread."""

    def __init__(self, *, connect_timeout: float = 3.0, read_timeout: float = 10.0) -> None:
        self._connect = connect_timeout
        self._read = read_timeout
        self._results: queue.SimpleQueue[Result] = queue.SimpleQueue()
        self._ready = threading.Event()
        self._tasks: set[asyncio.Task[None]] = set()
        self._thread = threading.Thread(target=self._run, name="fleet", daemon=True)

    def __enter__(self) -> Self:
        _allow_sockets()
        self._thread.start()
        self._ready.wait()
        return self

    def __exit__(self, *exc: object) -> None:
        """Cancel what is still on the wire; its deliveries keep their lease and are read back later."""
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join()

    def submit(self, *jobs: Job) -> None:
        """Start the jobs now."""
        self._loop.call_soon_threadsafe(self._start, jobs)

    def results(self, *, timeout: float) -> list[Result]:
        """Wait at most `timeout` seconds for the first result, then return all there are."""
        found: list[Result] = []
        try:
            found.append(self._results.get(timeout=timeout) if timeout > 0 else self._results.get_nowait())
            while True:
                found.append(self._results.get_nowait())
        except queue.Empty:
            return found

    def _work(self, job: Job) -> Coroutine[Any, Any, None]:
        match job:
            case Push():
                return self._push(job)
            case Look():
                return self._look(job)
            case Undrain():
                return self._undrain(job)
            case Sample():
                return self._sample(job)
            case DryPush():
                return self._dry_push(job)
            case Give() | Drop():
                return self._turn_token(job)

    def _run(self) -> None:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(self._serve())

    async def _serve(self) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        self._ready.set()
        await self._stop.wait()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _start(self, jobs: Sequence[Job]) -> None:
        for job in jobs:
            task = self._loop.create_task(self._work(job))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _look(self, job: Look) -> None:
        if job.service:
            self._results.put(await self._look_at_service(job))
            return
        with self._line(job.target) as line:
            versions = await line.request("GET", "config-version")
            info, until = versions, line.certificate_until()
            if versions.outcome == Outcome.OK:
                info = await line.request("GET", "instance-info", last=True)
        self._results.put(Looked(job.key, versions, info, until))

    async def _look_at_service(self, job: Look) -> Looked:
        with self._line(replace(job.target, token="")) as line:
            said = service.health(await line.request("GET", service.HEALTH))
            until = line.certificate_until()
            known = job.thorough and said.outcome == Outcome.OK
            admin = await line.request("GET", service.ADMIN, last=True) if known else None
        return Looked(job.key, said, said, until, service=True, service_admin=admin)

    async def _dry_push(self, job: DryPush) -> None:
        answer: Reply | None = None
        with self._line(job.target) as line:
            info = places.held_against(job.target.identity, await line.request("GET", "instance-info"))
            if dry.can_be_asked(info):
                answer = await line.update(job.body, last=True)
        self._results.put(DryPushed(job.key, info, answer))

    async def _undrain(self, job: Undrain) -> None:
        with self._line(job.target) as line:
            reply = await line.versions() if job.target.identity else None
            if reply is None or reply.outcome == Outcome.OK:
                reply = await line.request("POST", "undrain", body=b"{}", last=True)
        self._results.put(Undrained(job.key, reply))

    async def _sample(self, job: Sample) -> None:
        with self._line(replace(job.target, token="")) as line:
            health = await line.request("GET", "/health")
            stats = await line.request("GET", "/stats", last=True, limit=replies.STATS_LIMIT)
        self._results.put(Sampled(job.key, health, stats))

    async def _turn_token(self, job: Give | Drop) -> None:
        async def ask(target: Target, method: str, path: str, *, body: bytes | None = None) -> Reply:
            with self._line(target) as line:
                return await line.request(method, path, body=body, last=True)

        turned = tokens.give(job, ask) if isinstance(job, Give) else tokens.drop(job, ask)
        self._results.put(await turned)

    async def _push(self, job: Push) -> None:
        looked: Reply | None = None
        sent: list[Reply] = []
        read_back: Reply | None = None
        sent_at: float | None = None
        with self._line(job.target) as line:
            if job.look_first or not job.bodies or (job.drain is not None and job.target.identity):
                looked = await line.versions(last=not job.bodies)
            if looked is None or (looked.outcome == Outcome.OK and not shows(looked, job.wanted)):
                ended = await job.drain.begin(line.request) if job.drain is not None and job.bodies else None
                looked = ended or looked
                for body in () if ended else job.bodies:
                    sent_at = sent_at or time.time()
                    sent.append(await line.update(body))
                    if sent[-1].outcome != Outcome.OK:
                        break
                else:
                    if sent:
                        read_back = await line.versions(last=True)
            if job.drain is not None and (looked is None or looked.code != protocol.OTHER_INSTANCE):
                await job.drain.end(line.request)
        now = time.time()
        self._results.put(Pushed(job.key, looked, tuple(sent), read_back, sent_at, now, job.drain, job.contested))

    def _line(self, target: Target) -> _Line:
        return _Line(target, connect_timeout=self._connect, read_timeout=self._read)


def _allow_sockets() -> None:
    """A process may open 1,024 files where nobody said otherwise, and instances that hang hold a connection each."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if 0 <= soft < SOCKETS and (hard < 0 or hard > soft):
        resource.setrlimit(resource.RLIMIT_NOFILE, (SOCKETS if hard < 0 else min(hard, SOCKETS), hard))


class _Line:
    """The way to one instance during one job: connects when it has to. Whatever happens becomes a `Reply`."""

    def __init__(self, target: Target, *, connect_timeout: float, read_timeout: float) -> None:
        self._target = target
        self._connect_timeout, self._read_timeout = connect_timeout, read_timeout
        self._address: wire.Address | None = None
        self._connection: wire.Connection | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        if self._connection is not None:
            self._connection.close()

    def certificate_until(self) -> datetime | None:
        """When the certificate of the open connection ends."""
        return self._connection.certificate_until() if self._connection is not None else None

    async def versions(self, *, last: bool = False) -> Reply:
        """What runs there, if the place that is meant says so."""
        reply = await self.request("GET", "config-version", last=last)
        return places.held_against(self._target.identity, reply)

    async def update(self, body: bytes, *, last: bool = False) -> Reply:
        """Send documents, to the place that is meant or to nobody."""
        where = self._target.identity
        path = f"config-update/{where}" if where else "config-update"
        return places.pushed(where, await self.request("POST", path, body=body, last=last))

    async def request(
        self,
        method: str,
        path: str,
        *,
        body: bytes | None = None,
        last: bool = False,
        limit: int = replies.ANSWER_LIMIT,
    ) -> Reply:
        """One exchange. `last` closes the connection after it."""
        started = time.monotonic()
        try:
            answer = await self._exchange(method, path, body=body, last=last, limit=limit)
        except WireError as error:
            return silent(error.outcome, error.code, error.error, started=started)
        except TooLarge as error:
            return replies.too_large(error.status, started=started)
        except Exception as error:
            logger.error("A request ended in %s", type(error).__name__, exc_info=error)
            return silent(Outcome.UNKNOWN, "internal", "The console failed here; its log says how.", started=started)
        token = self._target.token
        return replies.classify(answer.status, answer.headers, answer.content, started=started, token=token)

    async def _exchange(self, method: str, path: str, *, body: bytes | None, last: bool, limit: int) -> wire.Answer:
        address = self._address = self._address or wire.Address.of(self._target)
        message = wire.request(method, address, path, body=body, last=last)
        old = self._connection
        if old is not None and old.is_open:
            try:
                return await old.ask(message, timeout=self._read_timeout, limit=limit)
            except WireError as error:
                # An instance may close a connection between two exchanges. Reading again does no harm; sending might.
                if error.code != "disconnected" or method != "GET":
                    raise
        self._connection = await wire.connect(address, timeout=self._connect_timeout)
        return await self._connection.ask(message, timeout=self._read_timeout, limit=limit)


def shows(reply: Reply, wanted: Mapping[str, str]) -> bool:
    """Whether a config-version answer reports every wanted digest, whole or as its first 16 digits."""
    return reply.outcome == Outcome.OK and all(
        any(protocol.same(digest, str(reply.body.get(name) or "")) for name in (f"{kind}_digest", f"{kind}_version"))
        for kind, digest in wanted.items()
    )
