"""The network between the console and some instances: a relay that can be told to misbehave.

pass     what comes goes through
hole     connections are accepted, and nothing ever comes back
deaf     what is asked arrives, the answers do not
late     what is asked is held back and arrives later, also when whoever asked has long given up
reset    connections are reset
"""

from __future__ import annotations

import asyncio
import socket
import struct
import threading
from collections.abc import Sequence
from enum import StrEnum

CHUNK = 65536


class Mode(StrEnum):
    PASS = "pass"  # noqa: S105 - not a password
    HOLE = "hole"
    DEAF = "deaf"
    LATE = "late"
    RESET = "reset"


class Relay:
    """From one address to another. `mode` may be changed at any time, by any thread; open connections feel it, too."""

    def __init__(self, listen: tuple[str, int], to: tuple[str, int]) -> None:
        self.listen, self.to = listen, to
        self.mode = Mode.PASS

    async def serve(self) -> None:
        await asyncio.start_server(self._accepted, *self.listen)

    async def _accepted(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            if self.mode == Mode.RESET:
                raise ConnectionResetError
            there, back = await asyncio.open_connection(*self.to)
        except OSError:  # nothing listens behind it, either
            _reset(writer)
            return
        try:
            await asyncio.gather(self._ask(reader, back), self._answer(there, writer))
        finally:
            for end in (writer, back):
                end.close()

    async def _ask(self, reader: asyncio.StreamReader, back: asyncio.StreamWriter) -> None:
        while chunk := await _read(reader):
            while self.mode == Mode.LATE:
                await asyncio.sleep(0.05)
            if self.mode == Mode.HOLE:
                continue
            try:
                back.write(chunk)
                await back.drain()
            except OSError:
                return
        if back.can_write_eof():
            try:
                back.write_eof()
            except OSError:
                return

    async def _answer(self, there: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while chunk := await _read(there):
            while self.mode == Mode.LATE:
                await asyncio.sleep(0.05)
            if self.mode in {Mode.HOLE, Mode.DEAF}:
                continue
            if self.mode == Mode.RESET:
                _reset(writer)
                return
            try:
                writer.write(chunk)
                await writer.drain()
            except OSError:
                return
        if self.mode == Mode.PASS:
            writer.close()


def start(relays: Sequence[Relay]) -> None:
    """Serve them in a thread of their own, until the process ends."""
    ready = threading.Event()

    async def serve() -> None:
        for relay in relays:
            await relay.serve()
        ready.set()
        await asyncio.Event().wait()

    threading.Thread(target=lambda: asyncio.run(serve()), name="network", daemon=True).start()
    ready.wait()


async def _read(reader: asyncio.StreamReader) -> bytes:
    """The next bytes; empty at the end, however it came."""
    try:
        return await reader.read(CHUNK)
    except OSError:
        return b""


def _reset(writer: asyncio.StreamWriter) -> None:
    """Close with RST (SO_LINGER 0), as a dying host's firewall does."""
    found = writer.get_extra_info("socket")
    if found is not None:
        found.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()
