"""pytest fixtures that run the real parts as separate processes against the test database.

    redis_process      a Redis of its own, to be killed and restarted; the worker and the pages use it when asked for
    web_process        console.server on a free port: `.url`
    worker_process     a real Celery worker with beat: `.kill()` is SIGKILL, `.start()` starts another
    sample_instances   factory: ``sample_instances(3)`` starts real sample services, each `.base_url`, `.token`,
                       `.folder`, `.kill()`, `.start()`

Tests that use them need ``@pytest.mark.django_db(transaction=True)``, so that other processes see their rows.
Timings are short (see TIMINGS); wait for conditions with `until`, never with a fixed sleep.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import pytest
import redis as redis_client
from django.conf import settings
from django.db import connection

from console import live
from console.bootstrap import ROOT
from console.celery import use_broker
from console.embedded import redis, up
from console.embedded.children import die_with_parent

TIMINGS = {
    "CONSOLE_LEASE_SECONDS": "2",
    "CONSOLE_TICK_SECONDS": "1",
    "CONSOLE_READ_SECONDS": "2",
    "CONSOLE_CONNECT_SECONDS": "1",
    "CONSOLE_BACKOFF_SECONDS": "1",
    "CONSOLE_OBSERVE_SECONDS": "3600",
}


def until(condition: Callable[[], Any], *, seconds: float = 20.0, what: str = "the condition") -> Any:
    """The first true value of the condition; fails the test when there is none in time."""
    deadline = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            pytest.fail(f"{what} did not come within {seconds:.0f} seconds")
        time.sleep(0.05)


class Process:
    """One real process; its output goes to a file that a failing test can show."""

    def __init__(self, command: list[str], environment: dict[str, str], output: Path) -> None:
        self.command = command
        self.environment = environment
        self.output = output
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with self.output.open("ab") as output:
            self.process = subprocess.Popen(
                self.command,
                cwd=ROOT,
                env=self.environment,
                stdout=output,
                stderr=output,
                process_group=0,
                preexec_fn=die_with_parent(signal.SIGKILL),
            )

    def kill(self) -> None:
        """SIGKILL: nothing gets a chance to tidy up."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        self._end(signal.SIGTERM)

    def _end(self, sig: signal.Signals) -> None:
        if self.process is not None and self.process.poll() is None:
            os.killpg(self.process.pid, sig)
            try:
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                os.killpg(self.process.pid, signal.SIGKILL)
                self.process.wait()


class Web(Process):
    url = ""

    def start(self) -> None:
        super().start()
        until(lambda: _ok(f"{self.url}/healthz"), what="the web server")


class SampleInstance(Process):
    """A real sample service with the agent in it."""

    base_url = ""
    token = ""
    folder = Path()


@pytest.fixture
def scratch() -> Iterator[Path]:
    """A short folder: Unix socket paths may not be long."""
    folder = Path(tempfile.mkdtemp(prefix="wc-"))
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def redis_process(scratch: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Process]:
    server = redis.prepare(scratch / "redis")
    child = server.child()
    process = Process(list(child.command), dict(child.environment), scratch / "redis.log")

    def start() -> None:
        Process.start(process)
        until(lambda: _answers(server.url()), what="Redis")

    process.start = start  # type: ignore[method-assign]
    process.start()
    monkeypatch.setattr(settings, "REDIS_URL", server.url())
    monkeypatch.setattr(live, "_publisher", None)
    use_broker(server.url())
    yield process
    process.stop()
    use_broker(os.environ["REDIS_URL"])


@pytest.fixture
def web_process(transactional_db: None, scratch: Path) -> Iterator[Web]:
    port = free_port()
    command = [sys.executable, "-m", "console.server", "--port", str(port)]
    web = Web(command, _environment(), scratch / "web.log")
    web.url = f"http://127.0.0.1:{port}"
    web.start()
    yield web
    web.stop()
    _print_output(web)


@pytest.fixture
def worker_process(transactional_db: None, scratch: Path, request: pytest.FixtureRequest) -> Iterator[Process]:
    if "redis_process" in request.fixturenames:
        request.getfixturevalue("redis_process")
    redis_client.Redis.from_url(settings.REDIS_URL).flushall()  # wake-ups of other tests
    command = [sys.executable, "-m", "celery", "-q", "-A", "console", "worker", "-P", "threads", "-c", "4"]
    command += ["-B", "-s", str(scratch / "beat"), "--without-gossip", "--without-mingle", "-l", "INFO"]
    worker = Process(command, {**up.WORKER_ENVIRONMENT, **_environment()}, scratch / "worker.log")
    worker.start()
    yield worker
    worker.kill()
    _print_output(worker)


@pytest.fixture
def sample_instances(scratch: Path) -> Iterator[Callable[..., list[SampleInstance]]]:
    started: list[SampleInstance] = []

    def start(number: int, **environment: str) -> list[SampleInstance]:
        new = []
        for _ in range(number):
            index, port = len(started) + 1, free_port()
            folder = scratch / f"instance-{index}"
            folder.mkdir()
            command = [sys.executable, "-m", "sample_service", "--name", f"instance-{index}"]
            command += ["--port", str(port), "--dir", str(folder)]
            token = f"token-of-instance-{index}-{os.urandom(8).hex()}"
            instance = SampleInstance(
                command,
                {**_plain(), "CONFIG_ADMIN_TOKEN": token, "SAMPLE_ALLOW_EMPTY": "1", **environment},
                scratch / f"instance-{index}.log",
            )
            instance.base_url, instance.token, instance.folder = f"http://127.0.0.1:{port}", token, folder
            (folder / "webhooks.json").write_text("{}")
            (folder / "connections.json").write_text("{}")
            instance.start()
            new.append(instance)
            started.append(instance)
        for instance in new:
            url = f"{instance.base_url}/health"
            until(lambda url=url: _ok(url), what="a sample instance")  # type: ignore[misc]
        return new

    yield start
    for instance in started:
        instance.kill()
        _print_output(instance)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _environment() -> dict[str, str]:
    """What a process needs to work on the test database and the test's Redis."""
    url = urlsplit(os.environ["DATABASE_URL"])
    database = urlunsplit(url._replace(path=f"/{connection.settings_dict['NAME']}"))
    return {**_plain(), **os.environ, **TIMINGS, "DATABASE_URL": database, "REDIS_URL": settings.REDIS_URL}


def _plain() -> dict[str, str]:
    paths = os.pathsep.join([str(ROOT), str(ROOT / "agent")])
    return {"PATH": os.environ.get("PATH", ""), "PYTHONPATH": paths, "HOME": os.environ.get("HOME", "/")}


def _ok(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=2) as answer:  # noqa: S310 - our own http address
            return bool(answer.status == 200)
    except OSError:
        return False


def _answers(url: str) -> bool:
    client = redis_client.Redis.from_url(url)
    try:
        return bool(client.ping())
    except redis_client.RedisError:
        return False
    finally:
        client.close()


def _print_output(process: Process) -> None:
    """pytest shows it when the test fails."""
    sys.stdout.write(f"--- {process.output.name}\n{process.output.read_text(errors='replace')[-4000:]}\n")
