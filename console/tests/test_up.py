"""`manage.py up`: starts, is alone, comes back after kill -9, and leaves nothing running."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from console.bootstrap import ROOT
from console.testing_processes import free_port, until


class Up:
    """One `up` on a data folder of its own."""

    def __init__(self, data: Path, **environment: str) -> None:
        kept = {name: value for name, value in os.environ.items() if name in {"PATH", "HOME", "LANG", "VIRTUAL_ENV"}}
        self.process = subprocess.Popen(
            [sys.executable, str(ROOT / "manage.py"), "up"],
            env={**kept, "CONSOLE_DATA_DIR": str(data), **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self.lines: list[str] = []
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        with self.process.stdout:
            self.lines.extend(iter(self.process.stdout.readline, ""))

    @property
    def output(self) -> str:
        return "".join(self.lines)

    def ready(self) -> str:
        """The URL it prints once a page can be used."""
        found = until(lambda: re.search(r"^ready: (\S+)$", self.output, re.MULTILINE), seconds=90, what="ready")
        return str(found.group(1))

    def end(self, sig: signal.Signals) -> int:
        self.process.send_signal(sig)
        code = self.process.wait(40)
        self.reader.join(10)
        return code


@pytest.fixture
def data() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="wc-up-"))
    folder.chmod(0o711)
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


def processes_on(data: Path) -> dict[int, str]:
    """Process id → command line of what works on the data folder: it stands in its arguments or its environment."""
    found = {}
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            command = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            environment = (entry / "environ").read_bytes().decode(errors="replace")
            state = (entry / "stat").read_text().rsplit(")", 1)[1].split()[0]
        except OSError:
            continue
        if f"{data}/" in command + environment and state != "Z":
            found[int(entry.name)] = command
    return found


def running_on(data: Path) -> list[str]:
    return list(processes_on(data).values())


def working_on(data: Path, word: str) -> list[int]:
    """The celery processes with this word."""
    return [pid for pid, command in processes_on(data).items() if " celery " in command and word in command]


def get(url: str) -> int:
    with urllib.request.urlopen(url, timeout=10) as answer:  # noqa: S310 - our own http address
        return int(answer.status)


def test_it_starts_is_alone_survives_kill_9_and_stops_cleanly(data: Path) -> None:
    port = str(free_port())
    first = Up(data, CONSOLE_PORT=port)
    url = first.ready()
    assert get(f"{url}login/") == 200
    people = json.loads((data / "credentials.json").read_text())
    assert set(people) == {"viewer", "operator", "approver", "admin", "auditor"}
    assert people["operator"]["password"] in first.output  # shown once
    assert first.output.count("ready: ") == 1  # who waits for that word gets the console, not a sample instance
    assert (data / "credentials.json").stat().st_mode & 0o077 == 0
    instances = json.loads((data / "instances.json").read_text())
    assert sorted(item["environment"] for item in instances) == ["production"] * 2 + ["staging"] * 3
    assert [get(f"{item['base_url']}/health") for item in instances] == [200] * 5
    verified = subprocess.run(
        [sys.executable, str(ROOT / "manage.py"), "audit", "verify"],
        env={"PATH": os.environ["PATH"], "CONSOLE_DATA_DIR": str(data)},
        capture_output=True,
        text=True,
    )
    assert (verified.returncode, "the chain is whole" in verified.stdout) == (0, True), verified.stderr

    (beat,) = working_on(data, " beat ")
    (worker,) = working_on(data, " worker ")
    for pid in (beat, worker):
        os.kill(pid, signal.SIGKILL)
    until(lambda: working_on(data, " beat ") not in ([], [beat]), seconds=30, what="another beat")
    until(lambda: working_on(data, " worker ") not in ([], [worker]), seconds=30, what="another worker")
    assert (len(working_on(data, " beat ")), len(working_on(data, " worker "))) == (1, 1)

    second = Up(data)
    assert second.process.wait(30) == 1
    second.reader.join(10)
    assert f"already at {url}" in second.output

    first.end(signal.SIGKILL)
    until(lambda: not running_on(data), what="the end of every child of the killed one")

    again = Up(data, CONSOLE_PORT=port)
    assert get(f"{again.ready()}login/") == 200
    assert people["operator"]["password"] not in again.output
    assert json.loads((data / "credentials.json").read_text()) == people
    assert json.loads((data / "instances.json").read_text()) == instances

    assert again.end(signal.SIGINT) == 0
    assert running_on(data) == []


def test_a_taken_port_that_was_asked_for_is_a_clear_error(data: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        up = Up(data, CONSOLE_PORT=str(port))
        assert up.process.wait(30) == 1
        up.reader.join(10)
    assert f"Port {port} is taken" in up.output


def test_an_empty_console_has_one_admin_and_no_sample_instances(data: Path) -> None:
    up = Up(data, CONSOLE_PORT=str(free_port()), CONSOLE_DEMO="0")
    url = up.ready()
    assert get(f"{url}healthz") == 200
    assert set(json.loads((data / "credentials.json").read_text())) == {"admin"}
    assert not (data / "instances.json").exists()
    assert up.end(signal.SIGTERM) == 0
    assert running_on(data) == []


def test_two_commands_do_not_share_a_data_folder_by_accident(data: Path) -> None:
    kept = {name: value for name, value in os.environ.items() if name in {"PATH", "HOME", "LANG", "VIRTUAL_ENV"}}
    command = [sys.executable, str(ROOT / "manage.py")]
    environment = {**kept, "CONSOLE_DATA_DIR": str(data)}
    with subprocess.Popen(
        [*command, "shell", "-v", "0"],
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as first:
        until(lambda: list(data.glob("postgres/**/postmaster.pid")), seconds=60, what="the first command's Postgres")

        second = subprocess.run([*command, "migrate"], env=environment, capture_output=True, text=True, timeout=60)

        assert second.returncode == 1
        assert "another command, has this data folder" in second.stderr
        said, errors = first.communicate(
            "from django.db import connection\nwith connection.cursor() as c:\n c.execute('SELECT 6 * 7')\n"
            " print(c.fetchone())\n",
            timeout=60,
        )
    assert "(42,)" in said, errors
    until(lambda: not running_on(data), seconds=20, what="the end of what the command started")
