"""Asking many instances at once: one thread, one event loop, one aiohttp session.

The calling thread does the database work meanwhile. Nothing raises out of a job: whatever happens becomes a
`Reply`. Each push uses a connection of its own, kept for its read-back and then closed: a rollout speaks to an
instance once, and a connection from an older rollout may have been closed unnoticed, which would turn a push
that never left into an "unknown".
"""

from __future__ import annotations

import asyncio
import logging
import queue
import ssl
import threading
import time
from collections.abc import Coroutine, Mapping
from dataclasses import dataclass
from typing import Any, Self

import aiohttp
import uvloop
from webhook_agent import protocol

from console import __version__
from instances_app.client import replies
from instances_app.client.replies import Outcome, Reply, Target, silent

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Push:
    """One attempt at one delivery."""

    key: int
    target: Target
    bodies: tuple[bytes, ...]  # sent in this order; none: it only looks
    look_first: bool  # an earlier attempt may have arrived: read before sending
    wanted: Mapping[str, str]  # kind → full digest


@dataclass(frozen=True, slots=True)
class Pushed:
    key: int
    looked: Reply | None
    sent: tuple[Reply, ...]
    read_back: Reply | None
    sent_at: float | None  # time.time() when the first body left
    finished_at: float


@dataclass(frozen=True, slots=True)
class Look:
    """Ask what runs there and how it is."""

    key: int
    target: Target


@dataclass(frozen=True, slots=True)
class Looked:
    key: int
    versions: Reply
    info: Reply


class Fleet:
    """Runs jobs concurrently in a thread of its own; use it as a context manager, from one thread."""

    def __init__(self, *, connect_timeout: float = 3.0, read_timeout: float = 10.0) -> None:
        self._connect = connect_timeout
        self._read = read_timeout
        self._results: queue.SimpleQueue[Pushed | Looked] = queue.SimpleQueue()
        self._ready = threading.Event()
        self._tasks: set[asyncio.Task[None]] = set()
        self._thread = threading.Thread(target=self._run, name="fleet", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        self._ready.wait()
        return self

    def __exit__(self, *exc: object) -> None:
        """Cancel what is still on the wire; its deliveries keep their lease and are read back later."""
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join()

    def submit(self, job: Push | Look) -> None:
        """Start the job now."""
        work = self._push(job) if isinstance(job, Push) else self._look(job)
        self._loop.call_soon_threadsafe(self._start, work)

    def results(self, *, timeout: float) -> list[Pushed | Looked]:
        """Wait at most `timeout` seconds for the first result, then return all there are."""
        found: list[Pushed | Looked] = []
        try:
            found.append(self._results.get(timeout=timeout) if timeout > 0 else self._results.get_nowait())
            while True:
                found.append(self._results.get_nowait())
        except queue.Empty:
            return found

    def _run(self) -> None:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(self._serve())

    async def _serve(self) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        connector = aiohttp.TCPConnector(limit=0, ttl_dns_cache=30, enable_cleanup_closed=False)
        timeout = aiohttp.ClientTimeout(
            total=None, connect=None, sock_connect=self._connect, sock_read=self._read, ceil_threshold=60
        )
        async with aiohttp.ClientSession(
            connector=connector,
            timeout=timeout,
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            trust_env=False,
            skip_auto_headers=["Accept"],
            headers={"User-Agent": f"webhook-console/{__version__}", "Accept-Encoding": "identity"},
        ) as self._session:
            self._ready.set()
            await self._stop.wait()
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        task = self._loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _look(self, job: Look) -> None:
        versions = await self._request("GET", job.target, "config-version")
        info = versions
        if versions.outcome == Outcome.OK:
            info = await self._request("GET", job.target, "instance-info", last=True)
        self._results.put(Looked(job.key, versions, info))

    async def _push(self, job: Push) -> None:
        looked: Reply | None = None
        sent: list[Reply] = []
        read_back: Reply | None = None
        sent_at: float | None = None
        if job.look_first or not job.bodies:
            looked = await self._request("GET", job.target, "config-version", last=not job.bodies)
        if looked is None or (looked.outcome == Outcome.OK and not shows(looked, job.wanted)):
            for body in job.bodies:
                sent_at = sent_at or time.time()
                sent.append(await self._request("POST", job.target, "config-update", body=body))
                if sent[-1].outcome != Outcome.OK:
                    break
            else:
                if sent:
                    read_back = await self._request("GET", job.target, "config-version", last=True)
        self._results.put(Pushed(job.key, looked, tuple(sent), read_back, sent_at, time.time()))

    async def _request(
        self, method: str, target: Target, path: str, *, body: bytes | None = None, last: bool = False
    ) -> Reply:
        """One exchange. `last` closes the connection after it."""
        started = time.monotonic()
        headers = target.headers()
        if body is not None:
            headers["Content-Type"] = "application/json"
        if last:
            headers["Connection"] = "close"
        try:
            async with self._session.request(
                method, target.url(path), data=body, headers=headers, allow_redirects=False
            ) as response:
                content = await _at_most(response, replies.ANSWER_LIMIT)
                if content is None:
                    return replies.too_large(response.status, started=started)
                return replies.classify(response.status, response.headers, content, started=started)
        except Exception as error:
            return _failure(error, started=started, read_timeout=self._read)


async def _at_most(response: aiohttp.ClientResponse, limit: int) -> bytes | None:
    chunks: list[bytes] = []
    size = 0
    async for chunk in response.content.iter_any():
        chunks.append(chunk)
        size += len(chunk)
        if size > limit:
            response.close()
            return None
    return b"".join(chunks)


def shows(reply: Reply, wanted: Mapping[str, str]) -> bool:
    """Whether a config-version answer reports every wanted digest, whole or as its first 16 digits."""
    return reply.outcome == Outcome.OK and all(
        any(protocol.same(digest, str(reply.body.get(name) or "")) for name in (f"{kind}_digest", f"{kind}_version"))
        for kind, digest in wanted.items()
    )


def _failure(error: Exception, *, started: float, read_timeout: float) -> Reply:
    """Exactly what went wrong: the difference between "not delivered" and "nobody knows" is the whole point."""
    match error:
        case aiohttp.ConnectionTimeoutError():
            text = "No connection in time. Is the host up?"
            return silent(Outcome.UNREACHABLE, "connect_timeout", text, started=started)
        case aiohttp.ClientConnectorDNSError():
            return silent(Outcome.UNREACHABLE, "dns", "The host name is not known.", started=started)
        case aiohttp.ClientConnectorCertificateError() | aiohttp.ClientSSLError() | ssl.SSLError():
            text = "TLS failed: the certificate is not trusted, expired or for another name."
            return silent(Outcome.UNREACHABLE, "tls", text, started=started)
        case aiohttp.ClientConnectorError():
            text = "Connection refused: nothing listens at that address and port."
            return silent(Outcome.UNREACHABLE, "refused", text, started=started)
        case aiohttp.InvalidURL():
            return silent(Outcome.UNREACHABLE, "address", "The address cannot be used. Correct it.", started=started)
        case TimeoutError():
            text = f"No answer within {read_timeout:.0f} seconds."
            return silent(Outcome.UNKNOWN, "read_timeout", text, started=started)
        case aiohttp.ClientResponseError() | aiohttp.ClientPayloadError():
            text = "The answer is not HTTP as an agent speaks it."
            return silent(Outcome.UNKNOWN, "malformed_answer", text, started=started)
        case aiohttp.ClientError() | OSError():
            text = "The connection broke before the answer was complete."
            return silent(Outcome.UNKNOWN, "disconnected", text, started=started)
    logger.error("A request ended in %s", type(error).__name__, exc_info=error)
    return silent(Outcome.UNKNOWN, "internal", "The console failed here; its log says how.", started=started)
