"""The agent in front of a WSGI service (Flask, Django): an event loop in a thread of its own, for admin requests."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from http import HTTPStatus
from typing import Any

from webhook_agent.http import Message, Scope, Send

Environ = dict[str, Any]
StartResponse = Callable[..., Any]
WsgiApp = Callable[[Environ, StartResponse], Iterable[bytes]]
Start = Callable[[], Coroutine[Any, Any, None]]
Answer = Callable[[Scope, Callable[[], Awaitable[Message]], Send], Awaitable[None]]

_CHUNK = 65536


class Bridge:
    """Calls an ASGI answer from WSGI. The loop starts with the first request, so after the server has forked."""

    def __init__(self, app: WsgiApp, *, answer: Answer, is_ours: Callable[[str], bool], start: Start) -> None:
        self._app = app
        self._answer = answer
        self._is_ours = is_ours
        self._start = start
        self._guard = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._pid = 0

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        loop = self._loop if self._pid == os.getpid() and self._loop is not None else self._started()
        path = environ.get("PATH_INFO", "")
        if not self._is_ours(path):
            return self._app(environ, start_response)
        return self._answered(loop, environ, start_response)

    def _started(self) -> asyncio.AbstractEventLoop:
        with self._guard:
            if self._pid == os.getpid() and self._loop is not None:
                return self._loop
            loop = asyncio.new_event_loop()
            threading.Thread(target=loop.run_forever, name="webhook-agent", daemon=True).start()
            asyncio.run_coroutine_threadsafe(self._start(), loop).result()
            self._loop, self._pid = loop, os.getpid()
            return loop

    def _answered(
        self, loop: asyncio.AbstractEventLoop, environ: Environ, start_response: StartResponse
    ) -> Iterable[bytes]:
        body = environ["wsgi.input"]
        announced = str(environ.get("CONTENT_LENGTH") or "0")
        left = int(announced) if announced.isdigit() else 0
        sent: list[Message] = []

        async def receive() -> Message:
            nonlocal left
            chunk = await asyncio.to_thread(body.read, min(left, _CHUNK)) if left else b""
            left = left - len(chunk) if chunk else 0
            return {"type": "http.request", "body": chunk, "more_body": left > 0}

        async def send(message: Message) -> None:
            sent.append(message)

        asyncio.run_coroutine_threadsafe(_run(self._answer(_scope(environ), receive, send)), loop).result()
        status = sent[0]["status"]
        headers = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in sent[0]["headers"]]
        start_response(f"{status} {HTTPStatus(status).phrase}", headers)
        return [message.get("body", b"") for message in sent[1:]]


async def _run(work: Awaitable[None]) -> None:
    await work


def _scope(environ: Environ) -> Scope:
    headers = [
        (name[5:].replace("_", "-").lower().encode("latin-1"), str(value).encode("latin-1"))
        for name, value in environ.items()
        if name.startswith("HTTP_")
    ]
    if environ.get("CONTENT_LENGTH"):
        headers.append((b"content-length", str(environ["CONTENT_LENGTH"]).encode("latin-1")))
    address = environ.get("REMOTE_ADDR")
    return {
        "type": "http",
        "method": environ["REQUEST_METHOD"],
        "path": environ.get("PATH_INFO", ""),
        "root_path": "",
        "query_string": environ.get("QUERY_STRING", "").encode("latin-1"),
        "headers": headers,
        "client": (address, 0) if address else None,
    }
