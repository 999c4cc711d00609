"""Asking one instance while a person waits: short timeouts, one shared client, no redirects, no proxies."""

from __future__ import annotations

import socket
import ssl
import threading
import time
from contextlib import suppress
from dataclasses import replace
from functools import lru_cache
from typing import Any, Self

import httpx

from console import __version__
from instances_app.addresses import is_forbidden
from instances_app.client import places, replies, service, tls
from instances_app.client.fleet import Look, Looked
from instances_app.client.replies import Outcome, Reply, Target, silent

CONNECT_SECONDS = 2.0
READ_SECONDS = 5.0
TOTAL_SECONDS = 30.0  # from the first word to the last; the two above are for one step each


class ForbiddenPeer(Exception):
    """A name led to where no instance lives; nothing was asked there."""


def look(question: Look) -> Looked:
    """What a check asks, by the shorter timeouts of somebody who waits."""
    target = question.target
    if question.service:
        said = service.health(_get(replace(target, token=""), service.HEALTH))
        return Looked(question.key, said, said, service=True)
    return Looked(question.key, versions=versions(target), info=info(target))


def info(target: Target) -> Reply:
    """GET /admin/instance-info."""
    return _get(target, "instance-info")


def versions(target: Target) -> Reply:
    """GET /admin/config-version."""
    return _get(target, "config-version")


def document(target: Target, kind: str) -> Reply:
    """GET /admin/config: the document as the instance has it on disk, in `text`. Of the place that is meant only."""
    if target.identity:
        reply = places.held_against(target.identity, versions(target))
        if reply.outcome != Outcome.OK:
            return reply
    return _get(target, f"config?type={kind}", limit=replies.DOCUMENT_LIMIT, whole=True)


@lru_cache(maxsize=16)
def _client(trust: ssl.SSLContext) -> httpx.Client:
    return httpx.Client(
        verify=trust,
        timeout=httpx.Timeout(READ_SECONDS, connect=CONNECT_SECONDS),
        follow_redirects=False,
        trust_env=False,
        headers={"User-Agent": f"webhook-console/{__version__}", "Accept-Encoding": "identity"},
        # A connection that idled may be gone without our knowing; a new one costs a person nothing.
        limits=httpx.Limits(max_keepalive_connections=0),
    )


def _get(target: Target, path: str, *, limit: int = replies.ANSWER_LIMIT, whole: bool = False) -> Reply:
    started = time.monotonic()
    refused = target.way.refusal(target.base_url)
    if refused is not None:
        return silent(Outcome.UNREACHABLE, *refused, started=started)
    with _Deadline() as deadline:
        reply = _asked(target, path, deadline, limit=limit, whole=whole, started=started)
    if deadline.passed:  # whatever there is of an answer may be half of it
        text = f"No complete answer within {TOTAL_SECONDS:.0f} seconds."
        return silent(Outcome.UNKNOWN, "read_timeout", text, started=started)
    return reply


def _asked(target: Target, path: str, deadline: _Deadline, *, limit: int, whole: bool, started: float) -> Reply:
    extensions = {"trace": deadline.watch}
    try:
        client = _client(target.way.trust.context)
        with client.stream("GET", target.url(path), headers=target.headers(), extensions=extensions) as response:
            content = b""
            for chunk in response.iter_raw():
                content += chunk
                if len(content) > limit:
                    return replies.too_large(response.status_code, started=started)
            if whole and response.status_code == 200:
                text = content.decode("utf-8")
                return Reply(Outcome.OK, 200, text=text, elapsed_ms=round((time.monotonic() - started) * 1000))
            return replies.classify(
                response.status_code, response.headers, content, started=started, token=target.token
            )
    except UnicodeDecodeError:
        error = "The document is not UTF-8 text."
        return silent(Outcome.WRONG_PROTOCOL, "not_text", error, started=started)
    except ForbiddenPeer:
        text = "The host name leads to a link-local or cloud metadata address. Correct it."
        return silent(Outcome.UNREACHABLE, "address", text, started=started)
    except httpx.ConnectTimeout:
        return silent(Outcome.UNREACHABLE, "connect_timeout", "No connection in time. Is the host up?", started=started)
    except httpx.ConnectError as error:
        return _not_connected(error, target, started=started)
    except httpx.TimeoutException:
        text = f"No answer within {READ_SECONDS:.0f} seconds."
        return silent(Outcome.UNKNOWN, "read_timeout", text, started=started)
    except (httpx.InvalidURL, httpx.UnsupportedProtocol):
        return silent(Outcome.UNREACHABLE, "address", "The address cannot be used. Correct it.", started=started)
    except httpx.TransportError as error:
        alert = tls.cause(error)
        if tls.refuses_us(alert):  # TLS 1.3: our side is done before the other one has looked at our certificate
            return silent(Outcome.UNREACHABLE, *tls.failure(alert, target.way.trust), started=started)
        text = "The connection broke before the answer was complete."
        return silent(Outcome.UNKNOWN, "disconnected", text, started=started)


class _Deadline:
    """Ends a connection after TOTAL_SECONDS. httpx waits for each read anew, so an answer could drip for ever."""

    def __init__(self) -> None:
        self.passed = False
        self._socket: socket.socket | None = None
        self._timer = threading.Timer(TOTAL_SECONDS, self._end)
        self._timer.daemon = True

    def __enter__(self) -> Self:
        self._timer.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._timer.cancel()

    def watch(self, event: str, info: dict[str, Any]) -> None:
        """httpx's trace: the socket is another one once TLS is spoken on it."""
        _refuse_forbidden(event, info)
        if event in {"connection.connect_tcp.complete", "connection.start_tls.complete"}:
            self._socket = info["return_value"].get_extra_info("socket")

    def _end(self) -> None:
        self.passed = True
        if self._socket is not None:
            with suppress(OSError):  # closed meanwhile
                # The plain socket's: TLS would take leave of the other side, or lose its state under the reader.
                socket.socket.shutdown(self._socket, socket.SHUT_RDWR)


def _refuse_forbidden(event: str, info: dict[str, Any]) -> None:
    """httpcore tells each of its steps: this one stands between connecting and sending the token."""
    if event != "connection.connect_tcp.complete":
        return
    stream, peer = info["return_value"], ""
    with suppress(OSError):  # it is gone again already
        peer = stream.get_extra_info("server_addr")[0]
    if is_forbidden(peer):
        stream.close()
        raise ForbiddenPeer


def _not_connected(error: httpx.ConnectError, target: Target, *, started: float) -> Reply:
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ssl.SSLError):
            return silent(Outcome.UNREACHABLE, *tls.failure(cause, target.way.trust), started=started)
        if isinstance(cause, OSError) and "gaierror" in type(cause).__name__:
            return silent(Outcome.UNREACHABLE, "dns", "The host name is not known.", started=started)
        cause = cause.__cause__ or cause.__context__
    text = "Connection refused: nothing listens at that address and port."
    return silent(Outcome.UNREACHABLE, "refused", text, started=started)
