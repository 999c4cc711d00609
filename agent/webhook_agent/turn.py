"""One change at a time: among the requests of this process, then among the processes that share the files."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

from webhook_agent import files, protocol
from webhook_agent.errors import Problem

_RETRY_AFTER = 2.0  # seconds a sender is asked to stay away when the lock was not to be had


class Turns:
    def __init__(self, folder: Path, *, wait: float) -> None:
        self._folder = folder
        self._wait = wait
        self._lock: asyncio.Lock | None = None

    @contextlib.asynccontextmanager
    async def take(self, *, shared: bool = False) -> AsyncIterator[None]:
        """Hold the lock, `shared` among processes that only load. Raises Problem(BUSY) when it is not free in time."""
        if self._lock is None:
            self._lock = asyncio.Lock()  # here, since Python 3.9 ties a lock to a loop when it is made
        taking = asyncio.ensure_future(self._lock.acquire())
        await asyncio.wait({taking}, timeout=self._wait)
        if not taking.done():
            taking.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await taking
                self._lock.release()  # it came free in the very instant we gave up
            raise _busy()
        try:
            held = contextlib.ExitStack()
            try:
                await asyncio.to_thread(
                    held.enter_context, files.folder_lock(self._folder, wait=self._wait, shared=shared)
                )
            except TimeoutError:
                raise _busy() from None
            with held:
                yield
        finally:
            self._lock.release()


def _busy() -> Problem:
    return Problem(503, protocol.BUSY, "Another update is under way on this instance.", retry_after=_RETRY_AFTER)
