"""Announcing to a console: in the background, again and again within bounds, and never at the host's cost."""

from __future__ import annotations

import json
import logging
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from tests.parts import TOKEN, lay
from webhook_agent import Announce, ConfigAgent, joining
from webhook_agent.joining import Announcer

JOIN = "join-7-a-token-that-nobody-may-read"


class Console(ThreadingHTTPServer):
    """Answers as told, the last answer for ever; keeps what it heard."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.answers: list[tuple[int, dict[str, str], bytes]] = [(202, {}, b'{"state": "waiting"}')]
        self.heard: list[tuple[str, dict[str, str], Any]] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class Handler(BaseHTTPRequestHandler):
    server: Console

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        answers = self.server.answers
        status, headers, content = answers.pop(0) if len(answers) > 1 else answers[0]
        self.server.heard.append((self.path, dict(self.headers), body))
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(content))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def console() -> Iterator[Console]:
    server = Console()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("FIRST_SECONDS", "BACKOFF_SECONDS", "LONGEST_RETRY_AFTER"):
        monkeypatch.setattr(joining, name, 0.01)


def until(condition: Callable[[], Any]) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline, "it did not come"
        time.sleep(0.005)


def announce(console: str, **more: Any) -> Announce:
    return Announce(console=console, join_token=JOIN, base_url="http://hook-1:8000", **more)


def test_it_tells_again_until_it_is_heard_and_then_now_and_then(
    console: Console, quick: None, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "webhook_agent")
    console.answers = [(503, {}, b"{}"), (429, {"Retry-After": "200"}, b"{}"), (202, {}, b'{"state": "waiting"}')]
    announcer = Announcer(announce(console.url, labels={"region": "eu"}), name="one", folder=tmp_path, every=0.02)
    announcer.start()
    announcer.start()  # once
    until(lambda: len(console.heard) >= 5)
    announcer.stop()
    path, headers, body = console.heard[0]
    assert path == "/api/agents/register"
    assert headers["Authorization"] == f"Bearer {JOIN}"
    assert body == {"base_url": "http://hook-1:8000", "name": "one", "labels": {"region": "eu"}}
    said = [record.getMessage() for record in caplog.records]
    assert said[-1] == "Announced to the console at 127.0.0.1: waiting."
    assert len(said) == 3, "what is so again is not said again"
    assert JOIN not in caplog.text
    assert JOIN not in repr(announce(console.url))


@pytest.mark.parametrize(
    ("status", "headers", "content", "words"),
    [
        (401, {}, b"{}", "join token has ended"),
        (302, {"Location": "http://elsewhere/"}, b"", "redirects"),
        (422, {}, b'{"error": "hook-1 is a metadata address."}', "hook-1 is a metadata address."),
        (422, {}, b'{"error": "\\u001b[2Jcleared"}', "without a reason"),
        (404, {}, b"[1]", "without a reason"),
    ],
)
def test_a_no_is_said_once_and_not_asked_again_soon(
    console: Console,
    quick: None,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    status: int,
    headers: dict[str, str],
    content: bytes,
    words: str,
) -> None:
    console.answers = [(status, headers, content)]
    announcer = Announcer(announce(console.url), name="one", folder=tmp_path, every=30)
    announcer.start()
    until(lambda: caplog.records)
    announcer.stop()
    assert words in caplog.text
    assert len(console.heard) == 1
    assert JOIN not in caplog.text


def test_nobody_there_ends_the_round_after_some_tries(quick: None, tmp_path: Path) -> None:
    told: list[int] = []

    class Mute(Announcer):
        def _tell(self) -> str:
            told.append(1)
            raise joining._Later("refused")

    Mute(announce("http://127.0.0.1:1"), name="one", folder=tmp_path)._round(threading.Event())
    assert len(told) == joining.TRIES


def test_of_several_processes_one_announces_and_a_read_only_folder_is_no_obstacle(tmp_path: Path) -> None:
    one = Announcer(announce("http://127.0.0.1:1"), name="one", folder=tmp_path)
    assert one._is_ours()
    script = (
        "import sys; from pathlib import Path; from webhook_agent.joining import Announce, Announcer; "
        "a = Announce(console='http://c', join_token='t', base_url='http://b'); "
        "print(Announcer(a, name='two', folder=Path(sys.argv[1]))._is_ours())"
    )
    command = [sys.executable, "-c", script, str(tmp_path)]
    said = subprocess.run(command, capture_output=True, text=True, check=True, env={"PYTHONPATH": ":".join(sys.path)})
    assert said.stdout.strip() == "False"
    assert Announcer(announce("http://127.0.0.1:1"), name="one", folder=tmp_path / "nowhere")._is_ours()


def test_a_certificate_that_nobody_trusts_is_not_told_the_token(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []
    original = ssl.create_default_context

    def remembered(**how: Any) -> ssl.SSLContext:
        asked.append(how)
        return original(**how)

    monkeypatch.setattr(ssl, "create_default_context", remembered)
    announcer = Announcer(announce("https://127.0.0.1:1", ca_file=""), name="one", folder=tmp_path)
    with pytest.raises(joining._Later):
        announcer._tell()
    assert asked == [{"cafile": None}], "the context that verifies, as the standard library makes it"


async def test_the_host_starts_at_once_whatever_the_console_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(joining, "FIRST_SECONDS", 0.0)
    lay(tmp_path)
    tried = threading.Event()

    def hang(self: Announcer) -> str:
        tried.set()
        time.sleep(0.3)
        raise RuntimeError("the thread breaks")

    monkeypatch.setattr(Announcer, "_tell", hang)
    agent = ConfigAgent(
        webhooks_path=tmp_path / "webhooks.json",
        connections_path=tmp_path / "connections.json",
        tokens=TOKEN,
        reload=lambda kinds: None,
        announce=announce("http://192.0.2.1:9"),
    )
    began = time.monotonic()
    await agent.start()
    assert time.monotonic() - began < 0.25
    until(tried.is_set)
    await agent.stop()
    until(lambda: all(one.name != "webhook_agent.joining" for one in threading.enumerate()))


def test_no_answer_however_odd_ends_the_announcing_and_a_fork_has_no_lock(tmp_path: Path) -> None:
    with pytest.raises(joining._Later):
        joining._state(503, "\xb2", b"")
    assert joining._state(202, "", b"[" * 16_000) == "taken"
    announcer = Announcer(announce("http://127.0.0.1:1"), name="one", folder=tmp_path)
    assert announcer._is_ours()
    announcer._process = -1  # as in a child
    announcer.start()
    assert announcer._lock < 0
    announcer.stop()


def test_the_environment_says_all_of_it_or_why_not(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    assert Announce.from_environment({}) is None
    (tmp_path / "token").write_text(f"{JOIN}\n")
    said = {
        "WEBHOOK_CONSOLE_URL": "https://console.example/",
        "WEBHOOK_CONSOLE_JOIN_TOKEN_FILE": str(tmp_path / "token"),
        "WEBHOOK_CONSOLE_BASE_URL": "http://hook-1:8000",
        "WEBHOOK_CONSOLE_NAME": "hook-1",
        "WEBHOOK_CONSOLE_LABELS": "region=eu, tier = web",
    }
    found = Announce.from_environment(said)
    assert found is not None
    assert (found.join_token, found.name, found.labels) == (JOIN, "hook-1", {"region": "eu", "tier": "web"})
    assert not caplog.records
    for wrong in (
        {"WEBHOOK_CONSOLE_BASE_URL": ""},
        {"WEBHOOK_CONSOLE_URL": "console.example"},
        {"WEBHOOK_CONSOLE_LABELS": "region"},
        {"WEBHOOK_CONSOLE_JOIN_TOKEN_FILE": str(tmp_path / "none")},
        {"WEBHOOK_CONSOLE_URL": "https://console.example:port"},
    ):
        caplog.clear()
        assert Announce.from_environment({**said, **wrong}) is None
        assert "Not announced" in caplog.text
    with pytest.raises(ValueError, match="join_token"):
        Announce(console="http://c", join_token="two words", base_url="http://b")
