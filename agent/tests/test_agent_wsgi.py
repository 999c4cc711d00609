"""The agent in front of a WSGI service, on a real server: its own requests go through a loop, the host's do not."""

from __future__ import annotations

import json
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

import pytest

from tests.parts import NEW, OLD, TOKEN, Service, agent_for, held, pair
from webhook_agent.workers import NAME


class Quiet(WSGIRequestHandler):
    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def threads() -> list[str]:
    return []


@pytest.fixture
def server(service: Service, threads: list[str]) -> Iterator[WSGIServer]:
    def host(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        threads.append(threading.current_thread().name)
        known = environ["PATH_INFO"].rpartition("/")[2] in service.loaded["webhooks"]
        start_response("200 OK" if known else "404 Not Found", [("Content-Type", "text/plain")])
        return [environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))]

    running = make_server("127.0.0.1", 0, agent_for(service).wrap_wsgi(host), handler_class=Quiet)
    thread = threading.Thread(target=running.serve_forever, name="server", daemon=True)
    thread.start()
    yield running
    running.shutdown()
    running.server_close()
    thread.join()


def call(
    server: WSGIServer, path: str, body: bytes | None = None, *, token: str = TOKEN
) -> tuple[int, bytes, dict[str, str]]:
    url = f"http://127.0.0.1:{server.server_port}{path}"
    request = urllib.request.Request(url, data=body, headers={"Authorization": f"Bearer {token}"})
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310 - our own address
            return answer.status, answer.read(), dict(answer.headers)
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read(), dict(error.headers)


def test_an_update_goes_through_and_the_host_serves_it(server: WSGIServer, service: Service) -> None:
    assert call(server, "/webhook/new", b"{}")[0] == 404
    code, body, _ = call(server, "/admin/config-update", json.dumps(pair()).encode())
    assert (code, json.loads(body)["outcome"]) == (200, "applied")
    assert held(service.folder) == NEW
    assert call(server, "/webhook/new", b"kept as sent")[:2] == (200, b"kept as sent")


def test_a_body_over_the_limit_and_a_wrong_token_are_answered(server: WSGIServer, service: Service) -> None:
    assert call(server, "/admin/config-update", b"x" * (9 * 1024 * 1024))[0] == 413
    code, body, headers = call(server, "/admin/config-version", token="wrong")
    assert (code, json.loads(body)["code"]) == (401, "unauthorised")
    assert headers["www-authenticate"] == "Bearer"
    assert held(service.folder) == OLD


def test_the_host_is_called_in_its_own_thread_and_the_process_has_its_record(
    server: WSGIServer, service: Service, threads: list[str]
) -> None:
    call(server, "/anything")
    assert threads == ["server"]
    assert len(list((service.folder / NAME).iterdir())) == 1
