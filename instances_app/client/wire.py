"""HTTP/1.1 (RFC 9112) as a rollout needs it: one connection to one instance, a few exchanges over it, then closed.

A general client costs more than twice the CPU for a push and its read-back. This one follows no redirects, keeps no
pool, asks for no compression, and knows at every moment the one thing a rollout has to know of a failure: whether what
was asked may have arrived. Parsing is llhttp's (httptools); TLS, names and sockets are the event loop's.
"""

from __future__ import annotations

import asyncio
import re
import socket
import ssl
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Self
from urllib.parse import quote

import httptools

from console import __version__
from instances_app.addresses import is_forbidden
from instances_app.client import tls
from instances_app.client.replies import Outcome, Target
from instances_app.client.tls import Trust

OVERHEAD = 64 * 1024  # bytes of head and of chunk sizes that an answer may have beside its content
MOST_LOOKS = 30
DEFAULT_PORTS = {"http": 80, "https": 443}
CONSTANT = f"User-Agent: webhook-console/{__version__}\r\nAccept-Encoding: identity\r\n"
# What `registry.clean_base_url` lets through. urlsplit takes a tenth of the CPU of a whole push.
BASE_URL = re.compile(
    r"(?P<scheme>https?)://(?:\[(?P<ipv6>[0-9a-fA-F:.]+)\]|(?P<name>[^\s/:?#@\[\]\\]+))(?::(?P<port>[0-9]{1,5}))?"
    r"(?P<path>/[^?#]*)?"
)


class WireError(Exception):
    """An exchange that brought no answer: what is known of it, a code for programs and words for people."""

    def __init__(self, outcome: Outcome, code: str, error: str) -> None:
        super().__init__(error)
        self.outcome, self.code, self.error = outcome, code, error


class TooLarge(Exception):
    """The answer is larger than asked for; its status."""

    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    headers: dict[str, str]  # names as in RFC 9110, Retry-After; values as they came
    content: bytes


@dataclass(frozen=True, slots=True)
class Address:
    """Where a base URL leads, and the head that every request to it has in common."""

    host: str
    port: int
    tls: bool
    path: str  # before /admin/…, percent-encoded
    head: bytes = field(repr=False)  # holds the token
    trust: Trust

    @classmethod
    def of(cls, target: Target) -> Self:
        """Raises WireError for an address or a token that cannot be put on the wire, or may not."""
        refused = target.way.refusal(target.base_url)
        if refused is not None:
            raise WireError(Outcome.UNREACHABLE, *refused)
        found = BASE_URL.fullmatch(target.base_url)
        host, port = "", 0
        if found is not None:
            host, port = found["ipv6"] or found["name"], int(found["port"] or DEFAULT_PORTS[found["scheme"]])
            with suppress(UnicodeError):  # then it is no name, as DNS will say
                host = host if host.isascii() else host.encode("idna").decode("ascii")
        if found is None or not host.isascii() or not 0 < port < 65536:
            raise WireError(Outcome.UNREACHABLE, "address", "The address cannot be used. Correct it.")
        if any(mark in target.token for mark in "\r\n\0"):
            text = "The stored token has a line break in it. Store it again on the instance's page."
            raise WireError(Outcome.UNREACHABLE, "token", text)
        authority = f"[{host}]" if ":" in host else host
        if port != DEFAULT_PORTS[found["scheme"]]:
            authority += f":{port}"
        authorization = "".join(f"{name}: {value}\r\n" for name, value in target.headers().items())
        head = f"Host: {authority}\r\n{CONSTANT}{authorization}".encode()
        path = quote(found["path"].rstrip("/"), safe="/%:@!$&'()*+,;=~-._") if found["path"] else ""
        return cls(host, port, found["scheme"] == "https", path, head, target.way.trust)


class Connection(asyncio.Protocol):
    """One connection; `ask` is called by one task at a time."""

    def __init__(self, loop: asyncio.AbstractEventLoop, trust: Trust) -> None:
        self._loop = loop
        self._trust = trust
        self._answered = False  # once at least
        self._transport: asyncio.Transport | None = None
        self._exchange: _Exchange | None = None
        self._certificate: dict[str, Any] | None = None

    @property
    def is_open(self) -> bool:
        return self._transport is not None and not self._transport.is_closing()

    async def ask(self, request: Sequence[bytes], *, timeout: float, limit: int) -> Answer:
        """One request (head and body) and its answer; `timeout` is the longest silence in seconds.

        Raises TooLarge for content over `limit` bytes, else WireError.
        """
        if self._transport is None or self._transport.is_closing():
            raise _broken()
        self._exchange = exchange = _Exchange(self._loop, limit)
        watch = _Watch(self._loop, self._transport, exchange, timeout)
        try:
            self._transport.writelines(request)
            answer = await exchange.answer
        except BaseException:
            self.close()
            raise
        finally:
            watch.stop()
            self._exchange = None
        self._answered = True
        if not exchange.keeps_open:
            self.close()
        return answer

    def close(self) -> None:
        """At once: the answer is here, or whatever is still unsent is of no use to anybody."""
        if self._transport is not None:
            self._transport.abort()

    def certificate_until(self) -> datetime | None:
        """When the certificate that the other side showed ends; None without TLS."""
        end = self._certificate.get("notAfter") if self._certificate else None
        return datetime.fromtimestamp(ssl.cert_time_to_seconds(end), UTC) if end else None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport  # type: ignore[assignment]  # a stream transport, as create_connection makes them
        self._certificate = transport.get_extra_info("peercert")

    def data_received(self, data: bytes) -> None:
        if self._exchange is not None:
            self._exchange.feed(data)
        else:
            self.close()  # an answer that nobody asked for

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        if self._exchange is None:
            return
        if not self._answered and not self._exchange.received and tls.refuses_us(exc):
            # TLS 1.3: our side is done with the handshake before the other one has looked at our certificate.
            self._exchange.fail(WireError(Outcome.UNREACHABLE, *tls.failure(exc, self._trust)))
        self._exchange.end(exc)


async def connect(address: Address, *, timeout: float) -> Connection:
    """A connection within `timeout` seconds, TLS included. Raises WireError: in no case has anything been asked."""
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(timeout):
            transport, connection = await loop.create_connection(
                lambda: Connection(loop, address.trust),
                address.host,
                address.port,
                ssl=address.trust.context if address.tls else None,
                server_hostname=address.host if address.tls else None,
            )
        peer = transport.get_extra_info("peername")  # None: it is gone again already
        if peer is None or not is_forbidden(peer[0]):
            return connection
        transport.abort()  # a name may lead anywhere, and elsewhere tomorrow; the token has not been sent
        code, text = "address", "The host name leads to a link-local or cloud metadata address. Correct it."
    except TimeoutError:
        code, text = "connect_timeout", "No connection in time. Is the host up?"
    except ssl.SSLError as error:
        code, text = tls.failure(error, address.trust)
    except socket.gaierror:
        code, text = "dns", "The host name is not known."
    except ConnectionResetError:
        code, text = ("tls", "TLS failed: the other side closed.") if address.tls else _REFUSED
    except OSError:
        code, text = _REFUSED
    except (ValueError, UnicodeError):
        code, text = "address", "The address cannot be used. Correct it."
    raise WireError(Outcome.UNREACHABLE, code, text)


def request(method: str, address: Address, path: str, *, body: bytes | None = None, last: bool = False) -> list[bytes]:
    """The bytes of a request for /admin/`path`, or for `path` itself if it begins with a slash; `last` asks the other
    side to close afterwards.
    """
    where = path if path.startswith("/") else f"/admin/{path}"
    lines = [f"{method} {address.path}{where} HTTP/1.1\r\n".encode(), address.head]
    if body is not None:
        lines.append(b"Content-Type: application/json\r\nContent-Length: %d\r\n" % len(body))
    if last:
        lines.append(b"Connection: close\r\n")
    return [b"".join([*lines, b"\r\n"]), *([body] if body else [])]


_REFUSED = ("refused", "Connection refused: nothing listens at that address and port.")


def _broken() -> WireError:
    text = "The connection broke before the answer was complete."
    return WireError(Outcome.UNKNOWN, "disconnected", text)


class _Exchange:
    """The answer to one request as it arrives: what llhttp calls."""

    def __init__(self, loop: asyncio.AbstractEventLoop, limit: int) -> None:
        self.answer: asyncio.Future[Answer] = loop.create_future()
        self.received = 0
        self.keeps_open = False
        self._limit = limit
        self._chunks: list[bytes] = []
        self._size = 0
        self._headers: dict[str, str] = {}
        self._started = self._bounded = False
        self._parser = httptools.HttpResponseParser(self)

    def feed(self, data: bytes) -> None:
        self.received += len(data)
        if self.answer.done():
            self.keeps_open = False  # more than was asked for: what follows cannot be trusted
            return
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            self.keeps_open = False
            text = "The answer is not HTTP as an agent speaks it."
            self.fail(WireError(Outcome.UNKNOWN, "malformed_answer", text))
            return
        if self.received > self._limit + OVERHEAD or self._size > self._limit:
            self.fail(TooLarge(self._status))

    def end(self, error: Exception | None) -> None:
        """The connection is gone. Without a length, that is how an answer ends (RFC 9112, 6.3)."""
        if self._started and not self._bounded and error is None:
            self._finish()
        self.fail(_broken())

    def fail(self, error: Exception) -> None:
        if not self.answer.done():
            self.answer.set_exception(error)

    def on_message_begin(self) -> None:
        if self.answer.done():
            self.keeps_open = False

    def on_header(self, name: bytes, value: bytes) -> None:
        self._headers[name.decode("latin-1").title()] = value.decode("latin-1").strip()

    def on_headers_complete(self) -> None:
        self._started = True
        self._bounded = not {"Content-Length", "Transfer-Encoding"}.isdisjoint(self._headers)

    def on_body(self, body: bytes) -> None:
        self._size += len(body)
        if self._size <= self._limit:
            self._chunks.append(body)

    def on_message_complete(self) -> None:
        if self._status < 200:  # an interim answer; the real one follows
            self._headers, self._started = {}, False
            return
        self.keeps_open = bool(self._parser.should_keep_alive())
        if self._size <= self._limit:
            self._finish()

    @property
    def _status(self) -> int:
        return int(self._parser.get_status_code())

    def _finish(self) -> None:
        if not self.answer.done():
            self.answer.set_result(Answer(self._status, self._headers, b"".join(self._chunks)))


class _Watch:
    """Ends an exchange after `timeout` seconds in which nothing was read, and nothing written either.

    Nobody is let drip for ever: MOST_LOOKS times as long is the end in any case.
    """

    def __init__(
        self, loop: asyncio.AbstractEventLoop, transport: asyncio.Transport, exchange: _Exchange, timeout: float
    ) -> None:
        self._loop, self._transport, self._exchange, self._timeout = loop, transport, exchange, timeout
        self._seen = (0, 0)
        self._looks = 0
        self._timer = loop.call_later(timeout, self._look)

    def stop(self) -> None:
        self._timer.cancel()

    def _look(self) -> None:
        now = (self._exchange.received, self._transport.get_write_buffer_size())
        self._looks += 1
        if now == self._seen or self._looks == MOST_LOOKS:
            text = f"No answer within {self._timeout:.0f} seconds."
            self._exchange.fail(WireError(Outcome.UNKNOWN, "read_timeout", text))
            return
        self._seen = now
        self._timer = self._loop.call_later(self._timeout, self._look)
