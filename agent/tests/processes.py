"""The sample service as a real process, talked to over HTTP."""

from __future__ import annotations

import json
import os
import selectors
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

from tests.parts import TOKEN

AGENT = Path(__file__).resolve().parent.parent
DEADLINE = 15.0  # seconds


# How the documents come to where they are.
PLAIN = "files in a folder"
FILES = "each file mounted by itself"  # no rename goes over it: EBUSY
CLOSED = "each file mounted by itself into a read-only folder"  # nothing can be made beside it either
MOUNTS = (PLAIN, FILES, CLOSED)


def mounted(mount: str, folder: Path) -> list[str]:
    """The words before a command that give it real mounts of its own, without any right (user namespaces)."""
    if mount == PLAIN:
        return []
    lines = [f"mount --bind {folder} {folder}"] if mount == CLOSED else []
    lines += [f"mount --bind {folder}/{kind}.json {folder}/{kind}.json" for kind in ("webhooks", "connections")]
    lines += [f"mount -o remount,bind,ro {folder}"] if mount == CLOSED else []
    return ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", " && ".join([*lines, 'exec "$@"']), "sh"]


def can_mount() -> bool:
    command = ["unshare", "--user", "--map-root-user", "--mount", "true"]
    try:
        return subprocess.run(command, capture_output=True).returncode == 0
    except OSError:
        return False


class NotStarted(Exception):
    """It ended before it was ready; the message is what it printed."""


class Process:
    """One instance, of one or several worker processes; switches go in as environment."""

    def __init__(self, folder: Path, *, workers: int = 1, mount: str = PLAIN, **environment: str) -> None:
        self.folder = folder
        began = time.monotonic()
        self.process = subprocess.Popen(
            mounted(mount, folder)
            + [sys.executable, "-m", "sample_service", "--port", "0", "--dir", str(folder), "--name", "proc"]
            + (["--workers", str(workers)] if workers > 1 else []),
            cwd=AGENT,
            env={"PATH": os.environ.get("PATH", ""), "CONFIG_ADMIN_TOKEN": TOKEN, **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        self._printed = b""
        printed = [self.line()]
        while printed[-1] and not printed[-1].startswith("listening: "):  # what it warns about comes first
            printed.append(self.line())
        self.started_in = time.monotonic() - began
        if not printed[-1]:
            self.close()
            raise NotStarted("".join(printed))
        self.url = printed[-1].removeprefix("listening: ").strip()

    def __enter__(self) -> Process:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def line(self) -> str:
        """The next line it prints; empty when it ended. Unbuffered: a selector does not see what a buffer holds."""
        assert self.process.stdout is not None
        with selectors.DefaultSelector() as selector:
            selector.register(self.process.stdout, selectors.EVENT_READ)
            while b"\n" not in self._printed:
                assert selector.select(DEADLINE), "it prints nothing"
                chunk = os.read(self.process.stdout.fileno(), 65536)
                if not chunk:
                    break
                self._printed += chunk
        line, end, self._printed = self._printed.partition(b"\n")
        return (line + end).decode()

    def call(
        self, path: str, body: Any = None, *, timeout: float = DEADLINE, headers: dict[str, str] | None = None
    ) -> tuple[int, Any]:
        data = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
        request = urllib.request.Request(  # noqa: S310 - the address is our own
            self.url + path, data=data, headers={"Authorization": f"Bearer {TOKEN}", **(headers or {})}
        )
        try:
            with urllib.request.urlopen(request, timeout=timeout) as answer:  # noqa: S310
                return answer.status, json.loads(answer.read())
        except urllib.error.HTTPError as error:
            with error:
                return error.code, json.loads(error.read())
        except socket.timeout:
            raise TimeoutError from None

    def push(self, body: Any, *, timeout: float = DEADLINE) -> tuple[int, Any]:
        return self.call("/admin/config-update", body, timeout=timeout)

    def memory_mb(self) -> float:
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(next(line for line in status.splitlines() if line.startswith("VmRSS")).split()[1]) / 1024

    def wait(self) -> int:
        return self.process.wait(DEADLINE)

    def kill(self) -> None:
        self.process.kill()
        self.close()

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(DEADLINE)
            except subprocess.TimeoutExpired:
                self.process.kill()
        self.process.wait(DEADLINE)
        if self.process.stdout is not None:
            self.process.stdout.close()
