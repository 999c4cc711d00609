"""Pings for open pages: "rollout 12 changed", never what it changed to. htmx then fetches the ordinary fragment.

One Redis subscription per process feeds every open page (a subscription per page would run into redis-py's pool
of 100 connections). A lost ping costs a page fifteen seconds, never the truth.
"""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime

import redis
import redis.asyncio
from django.conf import settings

logger = logging.getLogger(__name__)

CHANNEL = "console:pings"
HEARTBEAT_KEY = "console:last-tick"
COALESCE_SECONDS = 0.25  # at most four pings a second to one page
HEARTBEAT_SECONDS = 15.0
STREAM_SECONDS = 15 * 60.0  # then the browser reconnects, and access is looked up again

_publisher: redis.Redis | None = None


def connection() -> redis.Redis:
    """For short commands: it gives up after two seconds."""
    global _publisher
    if _publisher is None:
        _publisher = redis.Redis.from_url(settings.REDIS_URL, socket_timeout=2, socket_connect_timeout=1)
    return _publisher


def ping(environment_id: int, *topics: str) -> None:
    """Tell open pages of an environment that these things changed. Call it after the commit."""
    try:
        connection().publish(CHANNEL, json.dumps([environment_id, *topics]))
    except redis.RedisError as error:
        logger.warning("No ping sent (%s); pages catch up by themselves.", type(error).__name__)


def forget() -> None:
    """Connect anew: REDIS_URL has changed."""
    global _publisher
    _publisher = None


def beat() -> None:
    """A worker has carried out beat's tick: what `doctor` and the pages know them alive by."""
    try:
        connection().set(HEARTBEAT_KEY, time.time(), ex=3600)
    except redis.RedisError as error:
        logger.warning("No heartbeat left (%s).", type(error).__name__)


def heartbeat() -> datetime | None:
    """When the last tick was carried out; None if that is unknown. Raises RedisError."""
    value = connection().get(HEARTBEAT_KEY)
    return datetime.fromtimestamp(float(str(value, "ascii")), UTC) if isinstance(value, bytes) else None


class Page:
    """One open page: the topics that changed since it was last told."""

    def __init__(self, environment_ids: frozenset[int]) -> None:
        self.environment_ids = environment_ids
        self.changed: set[str] = set()
        self.wake = asyncio.Event()


class Hub:
    """The process's one subscription, and the pages it feeds. Lives in the web server's event loop."""

    def __init__(self) -> None:
        self.pages: set[Page] = set()
        self.closed = False
        self._listener: asyncio.Task[None] | None = None
        self._subscribed = False

    async def stream(self, environment_ids: frozenset[int]) -> AsyncIterator[str]:
        """Server-sent events for one page: ``event: rollout-12``, coalesced; a comment as heartbeat."""
        page = Page(environment_ids)
        self.pages.add(page)
        if self._subscribed:
            self._tell_connected(page)
        if self._listener is None or self._listener.done():
            self._listener = asyncio.create_task(self._listen())
        try:
            yield "retry: 1000\n\n"
            ends = time.monotonic() + STREAM_SECONDS
            while not self.closed and time.monotonic() < ends:
                try:
                    await asyncio.wait_for(page.wake.wait(), HEARTBEAT_SECONDS)
                except TimeoutError:
                    yield ": still here\n\n"
                    continue
                page.wake.clear()
                changed, page.changed = page.changed, set()
                for topic in sorted(changed):
                    yield f"event: {topic}\ndata: changed\n\n"
                await asyncio.sleep(COALESCE_SECONDS)
        finally:
            self.pages.discard(page)

    def close(self) -> None:
        """End every stream, so that the server can stop; browsers reconnect to the next one."""
        self.closed = True
        for page in self.pages:
            page.wake.set()

    async def _listen(self) -> None:
        while self.pages and not self.closed:
            client = redis.asyncio.Redis.from_url(settings.REDIS_URL)
            try:
                async with client.pubsub() as subscription:
                    await subscription.subscribe(CHANNEL)
                    self._subscribed = True
                    for page in self.pages:
                        self._tell_connected(page)
                    while self.pages and not self.closed:
                        message = await subscription.get_message(ignore_subscribe_messages=True, timeout=5.0)
                        if message is not None:
                            environment_id, *topics = json.loads(message["data"])
                            self._tell(environment_id, topics)
            except (redis.RedisError, OSError) as error:
                logger.warning("Live pings interrupted (%s); trying again.", type(error).__name__)
                await asyncio.sleep(1.0)
            finally:
                self._subscribed = False
                await client.aclose()

    def _tell(self, environment_id: int, topics: list[str]) -> None:
        for page in self.pages:
            if environment_id in page.environment_ids:
                page.changed.update(topics)
                page.wake.set()

    def _tell_connected(self, page: Page) -> None:
        """From here on nothing is missed; the page fetches once what changed before."""
        page.changed.add("connected")
        page.wake.set()


_hub = Hub()


def stream(environment_ids: frozenset[int]) -> AsyncIterator[str]:
    """The events of these environments for one page."""
    return _hub.stream(environment_ids)


def close() -> None:
    """The server is stopping."""
    _hub.close()
