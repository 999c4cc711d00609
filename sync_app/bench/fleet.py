"""A simulated fleet: `python -m sync_app.bench.fleet --instances N --port P [--hang PCT] [--reject PCT]
[--hang-checks PCT]`.

One process, one origin per instance (127.x.y.z, the same port), speaking the agent's protocol. It is made to be
cheap, so that what is measured is the client: a body is parsed and digested once and then known again,
where a real agent parses every one, validates, writes and reloads. Prints one JSON line when it listens.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import resource
import socket
import time
from dataclasses import dataclass, field

import uvloop
from webhook_agent import protocol

EMPTY = protocol.digest({})
Digests = dict[str, str]
_last: tuple[bytes, Digests] = (b"", {})  # a request body, and what it brings: all of a rollout are alike


@dataclass(slots=True)
class Instance:
    """What one simulated instance runs, and how it misbehaves."""

    hangs: bool = False
    rejects: bool = False
    mute: bool = False  # answers nothing, no check either
    digests: Digests = field(default_factory=lambda: dict.fromkeys(protocol.KINDS, EMPTY))
    posts: int = 0

    def versions(self) -> dict[str, object]:
        short = {f"{kind}_version": protocol.short(digest) for kind, digest in self.digests.items()}
        return {**short, **{f"{kind}_digest": digest for kind, digest in self.digests.items()}, "last_reload": None}


def address(index: int) -> str:
    """127.1.0.1 onwards, 250 to each third octet."""
    return f"127.{1 + index // 62500}.{index // 250 % 250}.{1 + index % 250}"


class Connection(asyncio.Protocol):
    """Just enough HTTP/1.1: a request line, Content-Length, keep-alive."""

    def __init__(self, instance: Instance) -> None:
        self.instance = instance
        self.buffer = bytearray()
        self.needed = 0  # bytes of the request that is arriving, once its head is known
        self.transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport  # type: ignore[assignment]

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        while len(self.buffer) >= self.needed:
            head_end = self.buffer.find(b"\r\n\r\n")
            if head_end < 0:
                return
            head = bytes(self.buffer[:head_end])
            self.needed = head_end + 4 + _content_length(head)
            if len(self.buffer) < self.needed:
                return
            body = bytes(self.buffer[head_end + 4 : self.needed])
            del self.buffer[: self.needed]
            self.needed = 0
            self._answer(head, body)

    def _answer(self, head: bytes, body: bytes) -> None:
        if self.instance.mute:
            return
        path = head.split(b" ", 2)[1]
        status, answer = 200, self.instance.versions()
        if path.endswith(b"/config-update"):
            self.instance.posts += 1
            if self.instance.hangs:
                return
            if self.instance.rejects:
                words = {"status": "error", "error": "Unknown module 'simulated'", "code": "rejected"}
                status, answer = 422, {**words, "outcome": "rejected"}
            else:
                self.instance.digests = {**self.instance.digests, **_digests(body)}
                answer = {"status": "success", "outcome": "applied", **self.instance.versions()}
        elif path.endswith(b"/instance-info"):
            answer |= {"agent_version": "bench", "protocol": 1, "capabilities": ["batch", "digest", "sequence"]}
            answer |= {"health": "healthy", "health_reason": None, "uptime_seconds": int(time.monotonic())}
        content = json.dumps(answer).encode()
        self.transport.write(
            b"HTTP/1.1 %d X\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b"
            % (status, len(content), content)
        )
        if b"onnection: close" in head:
            self.transport.close()


def _content_length(head: bytes) -> int:
    for line in head.split(b"\r\n"):
        if line[:15].lower() == b"content-length:":
            return int(line[15:])
    return 0


def _digests(body: bytes) -> Digests:
    global _last
    if body != _last[0]:
        request = json.loads(body)
        parts = request.get("configs") or [request]
        _last = (body, {part["type"]: protocol.digest(part["config"]) for part in parts})
    return _last[1]


async def serve(instances: int, port: int, *, hang: float, reject: float, mute: float) -> None:
    loop = asyncio.get_running_loop()
    hangs, rejects = round(instances * hang / 100), round(instances * reject / 100)
    mutes = round(instances * mute / 100)
    for index in range(instances):
        instance = Instance(hangs=index < hangs, rejects=hangs <= index < hangs + rejects, mute=index < mutes)
        listener = socket.socket()
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # accepted sockets inherit it
        listener.bind((address(index), port))
        listener.listen(16)
        listener.setblocking(False)
        await loop.create_server(lambda instance=instance: Connection(instance), sock=listener)  # type: ignore[misc]
    print(json.dumps({"ready": instances, "port": port}), flush=True)  # noqa: T201 - the contract
    await asyncio.Event().wait()


def main() -> None:
    parser = argparse.ArgumentParser(prog="sync_app.bench.fleet")
    parser.add_argument("--instances", type=int, required=True)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--hang", type=float, default=0.0)
    parser.add_argument("--reject", type=float, default=0.0)
    parser.add_argument("--hang-checks", type=float, default=0.0)
    options = parser.parse_args()
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    faults = {"hang": options.hang, "reject": options.reject, "mute": options.hang_checks}
    uvloop.run(serve(options.instances, options.port, **faults))


if __name__ == "__main__":
    main()
