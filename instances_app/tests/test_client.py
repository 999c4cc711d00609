"""Every way an instance can answer, or fail to: both clients say the same, and say whether a push may have arrived."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass

import pytest

from instances_app import addresses
from instances_app.client import (
    Fleet,
    Look,
    Looked,
    Outcome,
    Push,
    Pushed,
    Reply,
    Sample,
    Sampled,
    Target,
    Way,
    replies,
    single,
)

PLAIN = Way(plain_http=True)
Answer = Callable[[socket.socket], None]
Ask = Callable[[Target], Reply]


@dataclass(frozen=True)
class Peer:
    """A server on loopback that answers every connection in one way."""

    target: Target
    requests: list[bytes]


@pytest.fixture
def peer() -> Iterator[Callable[[Answer], Peer]]:
    servers: list[socket.socket] = []

    def start(answer: Answer) -> Peer:
        server = socket.create_server(("127.0.0.1", 0))
        servers.append(server)
        requests: list[bytes] = []

        def serve() -> None:
            while True:
                try:
                    connection, _ = server.accept()
                except OSError:
                    return
                threading.Thread(target=handle, args=(connection,), daemon=True).start()

        def handle(connection: socket.socket) -> None:
            with connection:
                requests.append(connection.recv(65536))
                answer(connection)

        threading.Thread(target=serve, daemon=True).start()
        return Peer(Target(f"http://127.0.0.1:{server.getsockname()[1]}", "the-token", way=PLAIN), requests)

    yield start
    for server in servers:
        server.close()


def says(status: str, body: str, *headers: str) -> Answer:
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body.encode())}", "Connection: close", *headers, "", body]
    return lambda connection: connection.sendall("\r\n".join(lines).encode())


def hangs(connection: socket.socket) -> None:
    """Until the client gives up and closes."""
    connection.recv(65536)


def breaks_off(connection: socket.socket) -> None:
    connection.sendall(b'HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n{"webhooks')


def speaks_no_http(connection: socket.socket) -> None:
    connection.sendall(b"220 mail.example ESMTP ready\r\n")


def drips(beginning: str) -> Answer:
    """So, and then a byte now and again until the client closes: never a silence, never an end."""

    def answer(connection: socket.socket) -> None:
        connection.sendall(beginning.encode())
        connection.settimeout(0.05)
        with suppress(ConnectionError):
            while True:
                try:
                    if not connection.recv(1):
                        return
                except TimeoutError:
                    connection.sendall(b"x")

    return answer


def raw(*parts: str) -> Answer:
    return lambda connection: connection.sendall("".join(parts).encode())


def with_httpx(target: Target) -> Reply:
    return single.versions(target)


def with_fleet(target: Target) -> Reply:
    with Fleet(connect_timeout=1, read_timeout=0.5) as fleet:
        fleet.submit(Look(1, target))
        (looked,) = fleet.results(timeout=20)
    assert isinstance(looked, Looked)
    return looked.versions


@pytest.fixture(params=[with_httpx, with_fleet], ids=["httpx", "fleet"])
def ask(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Ask:
    monkeypatch.setattr(single, "READ_SECONDS", 0.5)
    monkeypatch.setattr(single, "CONNECT_SECONDS", 1.0)
    single._client.cache_clear()
    return request.param  # type: ignore[no-any-return]


ANSWERS = [
    (says("200 OK", '{"webhooks_version": "aa"}'), Outcome.OK, "", ""),
    (says("200 OK", "<h1>Welcome to nginx</h1>"), Outcome.WRONG_PROTOCOL, "not_json", "not an agent"),
    (says("200 OK", "[1, 2]"), Outcome.WRONG_PROTOCOL, "not_json", "not an agent"),
    (says("200 OK", '{"a":' * 5000), Outcome.WRONG_PROTOCOL, "not_json", "not an agent"),
    (says("200 OK", "x" * (replies.ANSWER_LIMIT + 1)), Outcome.WRONG_PROTOCOL, "too_large", "far larger"),
    (says("301 Moved", "", "Location: https://elsewhere.example/"), Outcome.WRONG_PROTOCOL, "redirect", "redirects"),
    (says("400 Bad", '{"error": "no module", "code": "rejected"}'), Outcome.REJECTED, "rejected", "no module"),
    (says("401 No", '{"error": "x"}'), Outcome.UNAUTHORISED, "unauthorised", "refused our token"),
    (says("403 No", "forbidden"), Outcome.UNAUTHORISED, "unauthorised", "refused our token"),
    (says("404 Not Found", "{}"), Outcome.WRONG_PROTOCOL, "not_found", "not an agent"),
    (says("409 Conflict", '{"error": "older", "code": "stale"}'), Outcome.REJECTED, "stale", "older"),
    (says("422 No", '{"error": "bad"}'), Outcome.REJECTED, "rejected", "bad"),
    (says("422 No", "no object"), Outcome.WRONG_PROTOCOL, "wrong_answer", "not an agent"),
    (says("408 Late", ""), Outcome.BUSY, "busy", "busy"),
    (says("429 Slow down", "{}", "Retry-After: 7"), Outcome.BUSY, "busy", "busy"),
    (says("503 Busy", '{"error": "reloading", "code": "busy"}'), Outcome.BUSY, "busy", "reloading"),
    (says("500 Oops", "Traceback"), Outcome.SERVER_ERROR, "server_error", "HTTP 500"),
    (
        raw('HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\n{"a\r\n4\r\n":1}\r\n0\r\n\r\n'),
        Outcome.OK,
        "",
        "",
    ),
    (raw('HTTP/1.1 200 OK\r\n\r\n{"a": 1}'), Outcome.OK, "", ""),  # it ends where the connection does
    (raw('HTTP/1.0 200 OK\r\n\r\n{"a": 1}'), Outcome.OK, "", ""),
    (raw('HTTP/1.1 103 Early\r\nA: b\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\n{"a":1}'), Outcome.OK, "", ""),
    (raw("HTTP/1.1 204 None\r\n\r\n"), Outcome.WRONG_PROTOCOL, "not_json", "not an agent"),
    (raw("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nff\r\n{}"), Outcome.UNKNOWN, None, ""),
    (raw("HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 9\r\n\r\n{}   "), Outcome.UNKNOWN, None, ""),
    (raw(""), Outcome.UNKNOWN, "disconnected", "broke"),
    (hangs, Outcome.UNKNOWN, "read_timeout", "No answer within"),
    (breaks_off, Outcome.UNKNOWN, None, ""),
    (speaks_no_http, Outcome.UNKNOWN, None, ""),
]


@pytest.mark.parametrize(("answer", "outcome", "code", "words"), ANSWERS)
def test_both_clients_give_every_answer_the_same_meaning(
    ask: Ask, peer: Callable[[Answer], Peer], answer: Answer, outcome: Outcome, code: str | None, words: str
) -> None:
    reply = ask(peer(answer).target)

    assert reply.outcome == outcome
    assert code is None or reply.code == code
    assert words in reply.error
    assert bool(reply.error) == (outcome != Outcome.OK)


def test_a_refused_connection_certainly_delivered_nothing(ask: Ask) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    reply = ask(Target(f"http://127.0.0.1:{port}", "t", way=PLAIN))
    assert (reply.outcome, reply.code) == (Outcome.UNREACHABLE, "refused")


def test_a_name_nobody_knows_is_told_from_a_refused_connection(ask: Ask) -> None:
    reply = ask(Target("http://nowhere.invalid:9", "t", way=PLAIN))
    assert (reply.outcome, reply.code) == (Outcome.UNREACHABLE, "dns")


@pytest.fixture
def loopback_is_metadata(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """As if it were one. What is forbidden is remembered, so it has to be forgotten before and after."""
    addresses.is_forbidden.cache_clear()
    monkeypatch.setattr(addresses, "METADATA_ADDRESSES", frozenset({"127.0.0.1"}))
    yield
    monkeypatch.undo()
    addresses.is_forbidden.cache_clear()


def test_a_name_that_leads_to_a_metadata_service_is_not_told_the_token(
    ask: Ask, peer: Callable[[Answer], Peer], loopback_is_metadata: None
) -> None:
    listening = peer(hangs)
    reply = ask(Target(listening.target.base_url.replace("127.0.0.1", "localhost"), "t", way=PLAIN))
    assert (reply.outcome, reply.code) == (Outcome.UNREACHABLE, "address")
    assert "metadata" in reply.error
    assert b"".join(listening.requests) == b""


def test_tls_to_something_else_says_tls(ask: Ask, peer: Callable[[Answer], Peer]) -> None:
    plain = peer(says("400 Bad", "this port speaks plain HTTP")).target
    reply = ask(Target(plain.base_url.replace("http:", "https:"), "t", way=PLAIN))
    assert (reply.outcome, reply.code) == (Outcome.UNREACHABLE, "tls")


def test_retry_after_is_read_as_seconds_or_a_date_and_bounded(ask: Ask, peer: Callable[[Answer], Peer]) -> None:
    def after(value: str) -> float | None:
        return ask(peer(says("429 Slow down", "{}", f"Retry-After: {value}")).target).retry_after

    assert after("7") == 7
    assert after("86400") == replies.LONGEST_RETRY_AFTER
    assert after("Wed, 21 Oct 2015 07:28:00 GMT") == 0
    assert after("soon") is None


def test_the_token_goes_in_the_header_and_never_in_the_address(ask: Ask, peer: Callable[[Answer], Peer]) -> None:
    listening = peer(says("200 OK", '{"a": 1}'))
    ask(listening.target)
    first_line, rest = listening.requests[0].split(b"\r\n", 1)
    assert b"the-token" not in first_line
    assert b"Bearer the-token" in rest
    assert "the-token" not in repr(listening.target)


def test_an_instances_words_lose_what_could_lie_on_a_screen(ask: Ask, peer: Callable[[Answer], Peer]) -> None:
    hostile = r'{"error": "safe\u202etxt.exe\u0007\n\n<b>bold</b> ' + "x" * 900 + '"}'
    reply = ask(peer(says("422 No", hostile)).target)
    assert reply.error.startswith("safe txt.exe <b>bold</b> ")  # kept as words; the pages escape them
    assert len(reply.error) == 300


@pytest.mark.parametrize(
    "beginning",
    ["", "HTTP/1.1 200 OK\r\nX-", "HTTP/1.1 200 OK\r\nContent-Length: 9000000\r\n\r\n", "HTTP/1.1 200 OK\r\n\r\n"],
    ids=["head", "header", "body", "body without a length"],
)
def test_nobody_waits_for_ever_for_an_answer_that_drips(
    peer: Callable[[Answer], Peer], monkeypatch: pytest.MonkeyPatch, beginning: str
) -> None:
    monkeypatch.setattr(single, "TOTAL_SECONDS", 0.5)
    reply = single.document(peer(drips(beginning)).target, "webhooks")
    assert (reply.outcome, reply.code, reply.text) == (Outcome.UNKNOWN, "read_timeout", "")
    assert "No complete answer" in reply.error


def test_a_document_is_fetched_as_it_stands(peer: Callable[[Answer], Peer]) -> None:
    text = '{\r\n  "ü": 1.0 }\n'
    single._client.cache_clear()
    assert single.document(peer(says("200 OK", text)).target, "webhooks").text == text


def test_a_push_stops_at_the_first_no_and_is_not_read_back(peer: Callable[[Answer], Peer]) -> None:
    refusing = peer(says("422 No", '{"error": "bad"}'))
    push = Push(5, refusing.target, (b'{"first":1}', b'{"second":2}'), look_first=False, wanted={"webhooks": "a" * 64})
    with Fleet(connect_timeout=1, read_timeout=1) as fleet:
        fleet.submit(push)
        (pushed,) = fleet.results(timeout=20)
    assert isinstance(pushed, Pushed)
    assert [reply.outcome for reply in pushed.sent] == [Outcome.REJECTED]
    assert pushed.read_back is None
    assert len(refusing.requests) == 1


def test_a_push_that_looks_first_sends_nothing_when_its_digest_is_there(peer: Callable[[Answer], Peer]) -> None:
    running = peer(says("200 OK", f'{{"webhooks_version": "{"a" * 16}"}}'))
    push = Push(5, running.target, (b"{}",), look_first=True, wanted={"webhooks": "a" * 64})
    with Fleet(connect_timeout=1, read_timeout=1) as fleet:
        fleet.submit(push)
        (pushed,) = fleet.results(timeout=20)
    assert isinstance(pushed, Pushed)
    assert (pushed.sent, pushed.sent_at) == ((), None)
    assert all(request.startswith(b"GET ") for request in running.requests)


def test_the_services_own_endpoints_are_asked_without_the_agents_token(peer: Callable[[Answer], Peer]) -> None:
    asked = peer(says("200 OK", '{"status": "healthy"}'))
    with Fleet() as fleet:
        fleet.submit(Sample(key=7, target=Target(f"{asked.target.base_url}/behind", "the-token", way=PLAIN)))
        while not (found := fleet.results(timeout=1)):
            pass
    (sampled,) = found
    assert isinstance(sampled, Sampled)
    assert (sampled.key, sampled.health.body, sampled.stats.outcome) == (7, {"status": "healthy"}, Outcome.OK)
    assert [request.split(b" ")[1] for request in asked.requests] == [b"/behind/health", b"/behind/stats"]
    assert b"the-token" not in b"".join(asked.requests)
    assert b"Authorization" not in b"".join(asked.requests)
