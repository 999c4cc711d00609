"""Asking services themselves, not their agents, for one answer each: does it answer its webhooks?

The target has no token, so the agent's never reaches the service. The path stands behind the instance's base URL: no
other host can be meant. No redirects, no proxies, and no connection to where no instance lives, as for every request.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import uvloop

from instances_app.client import wire
from instances_app.client.replies import Outcome, Target
from instances_app.client.wire import TooLarge, WireError

LIMIT = 256 * 1024  # bytes of an answer
AT_ONCE = 100

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Ask:
    """One request. `seconds` are for everything, from the connection to the last byte."""

    key: int
    target: Target
    method: str
    path: str
    seconds: float
    headers: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    body: bytes = field(default=b"", repr=False)


@dataclass(frozen=True, slots=True)
class Answered:
    """OK: something answered, with `status` and `text`; UNREACHABLE: certainly not asked; UNKNOWN: no whole answer."""

    key: int
    outcome: Outcome
    at: float  # time.time() when it was asked
    ms: int
    status: int | None = None
    text: str = field(default="", repr=False)  # untrusted
    cut: bool = False  # the answer was longer than anybody reads
    error: str = ""


def ask(asks: Sequence[Ask], *, connect_timeout: float) -> list[Answered]:
    """All of them, AT_ONCE at a time, in any order. Nothing raises: whatever happens is an answer."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(_all(asks, connect_timeout))


async def _all(asks: Sequence[Ask], connect_timeout: float) -> list[Answered]:
    room = asyncio.Semaphore(AT_ONCE)

    async def one(each: Ask) -> Answered:
        async with room:
            return await _ask(each, connect_timeout)

    return await asyncio.gather(*map(one, asks))


async def _ask(each: Ask, connect_timeout: float) -> Answered:
    at, started = time.time(), time.monotonic()

    def ended(
        outcome: Outcome, *, error: str = "", status: int | None = None, text: str = "", cut: bool = False
    ) -> Answered:
        return Answered(each.key, outcome, at, round((time.monotonic() - started) * 1000), status, text, cut, error)

    connection: wire.Connection | None = None
    try:
        async with asyncio.timeout(each.seconds):
            address = wire.Address.of(replace(each.target, token=""))
            connection = await wire.connect(address, timeout=min(connect_timeout, each.seconds))
            answer = await connection.ask(_message(each, address), timeout=each.seconds, limit=LIMIT)
    except TimeoutError:
        if connection is None:
            return ended(Outcome.UNREACHABLE, error="No connection in time. Is the host up?")
        return ended(Outcome.UNKNOWN, error=f"No answer within {each.seconds:.0f} seconds.")
    except WireError as error:
        return ended(error.outcome, error=error.error)
    except TooLarge as error:
        return ended(Outcome.OK, status=error.status, cut=True)
    except Exception as error:
        logger.error("A probe ended in %s", type(error).__name__, exc_info=error)
        return ended(Outcome.UNKNOWN, error="The console failed here; its log says how.")
    finally:
        if connection is not None:
            connection.close()
    return ended(Outcome.OK, status=answer.status, text=answer.content.decode("utf-8", "replace"))


def _message(each: Ask, address: wire.Address) -> list[bytes]:
    """`probes.Settings` has seen to it that nothing here ends a line or leads elsewhere."""
    lines = [f"{each.method} {address.path}{each.path} HTTP/1.1\r\n".encode("ascii"), address.head]
    lines += [f"{name}: {value}\r\n".encode("latin-1") for name, value in each.headers]
    if each.body or each.method != "GET":
        lines.append(b"Content-Length: %d\r\n" % len(each.body))
    return [b"".join([*lines, b"Connection: close\r\n\r\n"]), *([each.body] if each.body else [])]
