"""TLS against real servers, with both clients: whom is believed, who we are, and nothing over plain http."""

from __future__ import annotations

import json
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from instances_app.client import (
    DryPush,
    DryPushed,
    Fleet,
    Outcome,
    Push,
    Pushed,
    Reply,
    Sample,
    Sampled,
    Target,
    Trust,
    Undrain,
    Undrained,
    Way,
    dry,
    single,
)
from instances_app.tests.authorities import Authority

Ask = Callable[[Target], Reply]
BODY = {"webhooks_version": "a" * 16, "connections_version": "b" * 16}


@dataclass
class Agent:
    """Answers every request alike, and keeps which ones came."""

    url: str
    heard: list[str] = field(default_factory=list)

    def target(self, way: Way) -> Target:
        return Target(self.url, "the-token", way=way)


@contextmanager
def agent(tls: ssl.SSLContext | None = None, *, redirect: str = "") -> Iterator[Agent]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            running.heard.append(f"{self.command} {self.path} {self.headers.get('Authorization', '')}")
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            content = json.dumps(BODY).encode()
            self.send_response(302 if redirect else 200)
            if redirect:
                self.send_header("Location", redirect)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_POST = do_GET

        def log_message(self, *_: Any) -> None:
            pass

    class Server(ThreadingHTTPServer):
        def handle_error(self, *_: Any) -> None:
            pass  # handshakes that fail are what is tested

        def finish_request(self, request: Any, client_address: Any) -> None:
            if tls is None:
                super().finish_request(request, client_address)
                return
            with tls.wrap_socket(request, server_side=True) as shaken:  # in the connection's own thread
                super().finish_request(shaken, client_address)

    server = Server(("127.0.0.1", 0), Handler)
    running = Agent(f"{'https' if tls else 'http'}://127.0.0.1:{server.server_port}")
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield running
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def with_httpx(target: Target) -> Reply:
    return single.versions(target)


def with_fleet(target: Target) -> Reply:
    """A push: nothing is asked before it."""
    with Fleet(connect_timeout=2, read_timeout=2) as fleet:
        fleet.submit(Push(1, target, (b"{}",), look_first=False, wanted={"webhooks": "a" * 64}))
        (result,) = fleet.results(timeout=30)
    assert isinstance(result, Pushed)
    return result.sent[0]


CLIENTS = pytest.mark.parametrize("ask", [with_httpx, with_fleet], ids=["httpx", "fleet"])


@CLIENTS
def test_the_ca_of_an_environment_is_believed_and_no_other_one(tmp_path: Path, ask: Ask) -> None:
    ours, theirs = Authority("ours"), Authority("theirs")
    with agent(ours.server(tmp_path)) as running:
        believed = ask(running.target(Way(trust=Trust(authorities=ours.pem))))
        both = ask(running.target(Way(trust=Trust(authorities=theirs.pem + ours.pem))))
        other = ask(running.target(Way(trust=Trust(authorities=theirs.pem))))
        machine = ask(running.target(Way()))
    assert [reply.outcome for reply in (believed, both)] == [Outcome.OK, Outcome.OK]
    assert (other.outcome, other.code) == (Outcome.UNREACHABLE, "tls")
    assert "not trusted by the CA of this environment" in other.error
    assert (machine.outcome, machine.code) == (Outcome.UNREACHABLE, "tls")
    assert "not trusted by the machine" in machine.error
    assert len([line for line in running.heard if "the-token" in line]) == len(running.heard)
    assert {line.split()[1] for line in running.heard} <= {"/admin/config-version", "/admin/config-update"}


@CLIENTS
def test_an_expired_certificate_says_so(tmp_path: Path, ask: Ask) -> None:
    ours = Authority()
    with agent(ours.server(tmp_path, days=-1)) as running:
        reply = ask(running.target(Way(trust=Trust(authorities=ours.pem))))
    assert (reply.outcome, reply.code) == (Outcome.UNREACHABLE, "tls")
    assert "has expired" in reply.error
    assert running.heard == []


@CLIENTS
@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3], ids=["1.2", "1.3"])
def test_a_client_certificate_is_shown_where_one_is_demanded(tmp_path: Path, ask: Ask, version: ssl.TLSVersion) -> None:
    servers, clients = Authority("servers"), Authority("clients")
    tls = servers.server(tmp_path, clients=clients.pem)
    tls.minimum_version = tls.maximum_version = version
    given, wrong, old = clients.issue(), Authority("clients").issue(), clients.issue(days=-1)

    def way(certificate: str = "", key: str = "") -> Way:
        return Way(trust=Trust(authorities=servers.pem, certificate=certificate, key=key))

    with agent(tls) as running:
        good = ask(running.target(way(given.certificate, given.key)))
        heard = len(running.heard)
        missing = ask(running.target(way()))
        refused = [ask(running.target(way(pair.certificate, pair.key))) for pair in (wrong, old)]
    assert good.outcome == Outcome.OK
    assert (missing.outcome, missing.code) == (Outcome.UNREACHABLE, "client_certificate")
    assert "there is none for this environment" in missing.error
    for reply in refused:
        assert (reply.outcome, reply.code) == (Outcome.UNREACHABLE, "client_certificate")
        assert "refused the console's client certificate" in reply.error
    assert len(running.heard) == heard  # nobody was asked anything without a handshake


@CLIENTS
def test_a_redirect_is_not_followed_over_tls_either(tmp_path: Path, ask: Ask) -> None:
    ours = Authority()
    with agent() as plain, agent(ours.server(tmp_path), redirect=f"{plain.url}/admin/config-version") as running:
        reply = ask(running.target(Way(plain_http=True, trust=Trust(authorities=ours.pem))))
    assert (reply.outcome, reply.code) == (Outcome.WRONG_PROTOCOL, "redirect")
    assert plain.heard == []


def test_nothing_leaves_over_plain_http_where_it_is_not_allowed() -> None:
    """Whatever the job: no token, no document, not even a connection."""
    with agent() as running:
        target = running.target(Way())
        body = dry.body([("webhooks", "a" * 64, "{}")], request_id="r")
        jobs = (Push(1, target, (b"{}",), look_first=False, wanted={}), DryPush(2, target, body))
        with Fleet(connect_timeout=2, read_timeout=2) as fleet:
            fleet.submit(*jobs, Undrain(3, target), Sample(4, target))
            results = fleet.results(timeout=10)
            while len(results) < 4:
                results += fleet.results(timeout=10)
        replies = [single.versions(target), single.info(target), single.document(target, "webhooks")]
        for result in results:
            match result:
                case Pushed():
                    replies += result.sent
                case DryPushed():
                    assert result.answer is None
                    replies.append(result.info)
                case Undrained():
                    replies.append(result.reply)
                case Sampled():
                    replies += [result.health, result.stats]
        assert [(reply.outcome, reply.code) for reply in replies] == [(Outcome.UNREACHABLE, "plain_http")] * 8
        assert all("under Transport" in reply.error for reply in replies)
        assert running.heard == []
        assert single.versions(running.target(Way(plain_http=True))).outcome == Outcome.OK
