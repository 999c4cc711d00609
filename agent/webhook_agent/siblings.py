"""Bringing every worker process of a service to the same documents, and knowing when they are there.

The process that received an update loads it first; only when it counts does the journal's generation grow, and
that is what the agents of the other processes watch for. There is no daemon and no message: one stat now and then.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import time
from typing import Any

from webhook_agent.agent import Documents
from webhook_agent.errors import Problem
from webhook_agent.protocol import KINDS, same
from webhook_agent.turn import Turns
from webhook_agent.workers import Worker, Workers

log = logging.getLogger("webhook_agent")

WATCH_SECONDS = 0.1


class Siblings:
    def __init__(self, documents: Documents, turns: Turns, workers: Workers, *, wait: float) -> None:
        """`wait`: how many seconds an update waits for the others."""
        self._documents = documents
        self._turns = turns
        self._workers = workers
        self._wait = wait
        self._watch: asyncio.Task[None] | None = None
        self._mark: tuple[int, int] | None = None
        self._failed = ""

    async def start(self) -> None:
        """This process serves from now on: it is counted, and loads what came while it started."""
        try:
            await asyncio.to_thread(self._workers.join)
        except OSError:
            log.warning("Nothing can be written beside the journal: worker processes cannot find each other.")
        await self.catch_up()
        self._watch = asyncio.ensure_future(self._watching())

    async def stop(self) -> None:
        if self._watch is not None:
            self._watch.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._watch
        self._workers.leave()

    async def catch_up(self) -> None:
        """Load what a sibling has put in place, if anything."""
        mark = self._documents.mark()
        if await asyncio.to_thread(self._documents.is_behind):
            try:
                async with self._turns.take(shared=True):
                    self._failed = await self._documents.adopt()
            except Problem:
                return  # an update is under way; the next look comes soon
        self._mark = mark
        self.tell()

    def tell(self) -> None:
        state = self._documents.state
        digests = {kind: state.digest(kind) for kind in KINDS}
        try:
            self._workers.tell(Worker(os.getpid(), self._documents.generation, digests, self._failed))
        except OSError:
            log.warning("The record of this worker process could not be written.")

    async def loaded_everywhere(self) -> list[Worker]:
        """Wait until every living sibling has loaded what this process has; those that have not in time."""
        self._failed = ""
        self.tell()
        generation = self._documents.generation
        deadline = time.monotonic() + self._wait
        while True:
            others = await asyncio.to_thread(self._workers.others)
            behind = [worker for worker in others if worker.generation < generation or worker.failed]
            if all(worker.generation >= generation for worker in behind) or time.monotonic() > deadline:
                return behind
            await asyncio.sleep(0.02)

    async def others(self) -> list[Worker]:
        return await asyncio.to_thread(self._workers.others)

    def report(self, others: list[Worker]) -> dict[str, Any] | None:
        """`workers` of the answers; None where processes cannot find each other."""
        if not self._workers.joined:
            return None
        return {"alive": 1 + len(others), "loaded": 1 + sum(self._agrees(worker) for worker in others)}

    def disagreed(self, others: list[Worker]) -> list[str]:
        """The kinds of which some living worker runs another document than this one."""
        return [kind for kind in KINDS if not all(self._runs(worker, kind) for worker in others)]

    def _agrees(self, worker: Worker) -> bool:
        return not worker.failed and all(self._runs(worker, kind) for kind in KINDS)

    def _runs(self, worker: Worker, kind: str) -> bool:
        if worker.digests is None:
            return False
        theirs, ours = worker.digests.get(kind), self._documents.state.digest(kind)
        return (theirs is None and ours is None) or same(theirs, ours)

    async def _watching(self) -> None:
        while True:
            await asyncio.sleep(WATCH_SECONDS)
            if self._documents.mark() != self._mark:
                try:
                    await self.catch_up()
                except Exception:
                    log.exception("A worker process could not look after its documents.")
