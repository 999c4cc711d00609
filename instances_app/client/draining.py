"""Taking an instance out of traffic around one push, and putting it back whatever becomes of the push."""

from __future__ import annotations

import asyncio
from typing import Protocol

from instances_app.client.replies import Outcome, Reply

TRIES = 3  # at undraining, before it is left to the next worker
# The undrain of an older rollout, or of somebody at the host, came in between.
BACK_IN_TRAFFIC = Reply(
    Outcome.BUSY, error="It was put back into traffic while it was drained for the push.", code="back_in_traffic"
)
# Answers to `drain` after which nothing is drained.
NOT_DRAINED = {Outcome.UNREACHABLE, Outcome.REJECTED, Outcome.UNAUTHORISED, Outcome.WRONG_PROTOCOL}


class Request(Protocol):
    """One exchange with the instance, as the line of a job makes it."""

    async def __call__(self, method: str, path: str, *, body: bytes | None = None, last: bool = False) -> Reply: ...


class Stop:
    """Told by the calling thread: nothing more of this rollout is sent, so what is drained is not pushed to."""

    closed = False


class Drain:
    """The draining of one attempt. `left`: the instance may still be drained by us, and somebody has to undrain it."""

    def __init__(self, *, seconds: float, stop: Stop, owed: bool = False, possible: bool = True) -> None:
        self.seconds = seconds  # between draining and the push
        self.possible = possible  # the agent can do it; else it is pushed to without
        self.left = owed  # by an attempt before this one
        self.used = self.held = False
        self.error = ""
        self._stop = stop

    async def begin(self, request: Request) -> Reply | None:
        """Drain, wait, and see that it still is. None: push now; else the reply that ends the attempt unsent."""
        if not self.possible:
            return None
        reply = await request("POST", "drain", body=b"{}", last=True)  # it would not stay open while nothing is asked
        self.left = self.left or reply.outcome not in NOT_DRAINED
        if reply.outcome != Outcome.OK:
            return reply
        self.used = True
        await asyncio.sleep(self.seconds)
        if self._stop.closed:
            self.held = True
            return await request("GET", "config-version")
        info = await request("GET", "instance-info")
        if info.outcome != Outcome.OK:
            return info
        return None if info.body.get("draining") is True else BACK_IN_TRAFFIC

    async def end(self, request: Request) -> None:
        """Undrain what may be drained."""
        for number in range(TRIES if self.left else 0):
            await asyncio.sleep(number / 2)
            reply = await request("POST", "undrain", body=b"{}", last=True)
            if undrained(reply):
                self.left, self.error = False, ""
                return
            self.error = reply.error or "It says that it is still draining."


def undrained(reply: Reply) -> bool:
    """Whether the instance says that it takes traffic again; nothing else is proof."""
    return reply.outcome == Outcome.OK and reply.body.get("draining") is False
