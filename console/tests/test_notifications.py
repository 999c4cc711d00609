"""Loud events reach people outside the console: in order, none left out, whatever the other side does meanwhile."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest

from console import audit, notifications, tasks, testing
from console.testing import Cast

pytestmark = pytest.mark.django_db


class Chat:
    """A chat service on loopback: what it was sent, and how it answers."""

    def __init__(self) -> None:
        self.received: list[dict[str, Any]] = []
        self.status = 200
        chat = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                if chat.status == 200:
                    chat.received.append(body)
                self.send_response(chat.status)
                self.end_headers()

            def log_message(self, format: str, *args: object) -> None:
                pass

        self.server = HTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/hooks/s3cret"


@pytest.fixture
def chat(settings: Any) -> Iterator[Chat]:
    found = Chat()
    thread = threading.Thread(target=found.server.serve_forever, daemon=True)
    thread.start()
    settings.NOTIFY_URL, settings.PUBLIC_URL = found.url, "https://console.example.com"
    yield found
    found.server.shutdown()
    found.server.server_close()


@pytest.fixture
def cast() -> Cast:
    found = testing.cast("production", protected=True)
    audit.record("glass.broken", actor=found.adam, target=found.environment)  # before anybody was to be told
    notifications.send_due()
    return found


def halted(cast: Cast, reason: str) -> int:
    return audit.record("rollout.halted", actor=None, target=cast.environment, reason=reason).sequence


def test_what_is_loud_is_told_in_words_and_the_rest_is_not(chat: Chat, cast: Cast) -> None:
    audit.record("change.edited", actor=cast.olga, target=cast.environment)
    number = halted(cast, "1 rejected it.")
    audit.record("change.edited", actor=cast.olga, target=cast.environment)
    tasks.notify()
    (told,) = chat.received
    assert told["text"] == "production: system — halted production: 1 rejected it."
    assert (told["action"], told["sequence"]) == ("rollout.halted", number)
    assert told["url"] == f"https://console.example.com/audit/{number}/"
    tasks.notify()
    assert len(chat.received) == 1


def test_nothing_is_left_out_while_the_other_side_is_away(
    chat: Chat, cast: Cast, settings: Any, caplog: pytest.LogCaptureFixture
) -> None:
    first, second = halted(cast, "one."), halted(cast, "two.")
    chat.status = 503
    tasks.notify()
    settings.NOTIFY_URL = "http://127.0.0.1:1/hooks/s3cret"
    tasks.notify()
    settings.NOTIFY_URL, chat.status = chat.url, 200
    third = halted(cast, "three.")
    tasks.notify()
    assert [told["sequence"] for told in chat.received] == [first, second, third]
    assert "HTTP 503" in caplog.text
    assert "s3cret" not in caplog.text  # the address is the key to it


def test_what_happened_while_nobody_was_to_be_told_is_not_told_later(chat: Chat, cast: Cast, settings: Any) -> None:
    settings.NOTIFY_URL = ""
    halted(cast, "one.")
    tasks.notify()
    settings.NOTIFY_URL = chat.url
    tasks.notify()
    number = halted(cast, "two.")
    tasks.notify()
    assert [told["sequence"] for told in chat.received] == [number]
