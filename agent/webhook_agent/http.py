"""The little of HTTP the agent needs on top of ASGI."""

from __future__ import annotations

import json
import math
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from typing import Any
from urllib.parse import parse_qs

from webhook_agent import protocol
from webhook_agent.errors import Problem

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

# A sender over the limit may go on to this many times the limit, unread: cut off in the middle of writing,
# most clients report a broken connection and never see the 413.
_DRAINED = 4


class Disconnected(Exception):
    """The client went away before its request was whole."""


class Request:
    """`endpoint` is the last part of the path, as the agent names its endpoints."""

    def __init__(self, scope: Scope, receive: Receive, *, endpoint: str) -> None:
        self._scope = scope
        self._receive = receive
        self.endpoint = endpoint

    @property
    def method(self) -> str:
        return str(self._scope["method"])

    @property
    def client(self) -> str:
        """The peer's address; behind a proxy the server has to translate it (uvicorn: --proxy-headers)."""
        peer = self._scope.get("client")
        return str(peer[0]) if peer else ""

    def header(self, name: bytes) -> bytes:
        """The header's value; empty when it is absent or stands there twice."""
        values = [value for key, value in self._scope["headers"] if key.lower() == name]
        return bytes(values[0]) if len(values) == 1 else b""

    def query(self, name: str) -> str:
        query = parse_qs(self._scope.get("query_string", b"").decode("latin-1"))
        value: str = query.get(name, [""])[-1]
        return value

    async def body(self, limit: int) -> bytes:
        """Raises Problem(TOO_LARGE) for more than `limit` bytes, counted as they arrive; Disconnected."""
        announced = self.header(b"content-length")
        too_large = announced.isdigit() and int(announced) > limit
        chunks: list[bytes] = []
        size = 0
        more = True
        while more and size <= limit * _DRAINED:
            message = await self._receive()
            if message["type"] == "http.disconnect":
                raise Disconnected
            chunk = message.get("body", b"")
            size += len(chunk)
            too_large = too_large or size > limit
            if too_large:
                chunks.clear()
            else:
                chunks.append(chunk)
            more = message.get("more_body", False)
        if too_large:
            raise Problem(413, protocol.TOO_LARGE, f"The request is over the limit of {limit} bytes.")
        return b"".join(chunks)


class Response:
    """`retry_after` is in seconds."""

    def __init__(
        self,
        status: int,
        body: Mapping[str, Any] | bytes,
        headers: Mapping[str, str] | None = None,
        *,
        retry_after: float | None = None,
    ) -> None:
        self.status = status
        self.body = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.headers = dict(headers or {})
        if retry_after is not None:
            self.headers["retry-after"] = str(max(1, math.ceil(retry_after)))

    async def send(self, send: Send) -> None:
        headers = {
            "content-type": "application/json",
            "content-length": str(len(self.body)),
            "cache-control": "no-store",
            "x-content-type-options": "nosniff",
            **self.headers,
        }
        raw = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()]
        await send({"type": "http.response.start", "status": self.status, "headers": raw})
        await send({"type": "http.response.body", "body": self.body})


def refusal(problem: Problem) -> Response:
    headers = {}
    if problem.status == 401:
        headers["www-authenticate"] = "Bearer"
    if problem.allow:
        headers["allow"] = problem.allow
    body = {"status": "error", "error": problem.message, "code": problem.code, **problem.more}
    return Response(problem.status, body, headers, retry_after=problem.retry_after)
