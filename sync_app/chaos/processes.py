"""The processes of a run: those of the real `up`, found by what they are, and those that the run adds.

`up` starts Postgres, Redis, web server, worker and beat and starts again what ended. The run adds a second worker and
the instances, under the same kind of supervision (`console.embedded.children`).
"""

from __future__ import annotations

import os
import secrets
import signal
import sys
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from console.bootstrap import ROOT
from console.embedded import up
from console.embedded.children import Child
from sync_app.chaos.network import Relay

PORT = 8100
ROLES = {
    "postgres": (b"/postgres", b"-D"),
    "redis": (b"redis-server",),
    "web": (b"console.server",),
    "worker": (b"celery", b"worker"),
    "beat": (b"celery", b"beat"),
}


@dataclass
class Member:
    """One instance of the fleet: a real sample service, some of them behind a network that misbehaves."""

    name: str
    environment: str
    folder: Path  # of its documents
    state: Path  # of the agent's journal
    token: str
    child: Child
    address: tuple[str, int]  # where it listens itself
    relay: Relay | None
    pk: int = 0

    @property
    def base_url(self) -> str:
        """As the console knows it."""
        host, port = self.relay.listen if self.relay else self.address
        return f"http://{host}:{port}"

    def pids(self) -> list[int]:
        """The service, and its worker processes if it has some."""
        process = self.child.process
        return [process.pid, *children_of(process.pid)] if process is not None and process.poll() is None else []


def fleet(number: int, environments: tuple[str, ...], folder: Path, network: str) -> list[Member]:
    """As many instances, in turns in these environments. Every third is behind a relay, every third keeps its journal
    elsewhere, every fourth has two worker processes. `network`: the first three numbers of their addresses.
    """
    made = []
    for index in range(number):
        name = f"i{index:02}"
        home = folder / "instances" / name
        state = folder / "state" / name if index % 3 == 1 else home
        for made_folder in (home, state):
            made_folder.mkdir(parents=True, exist_ok=True)
        for kind in ("webhooks", "connections"):
            (home / f"{kind}.json").write_text("{}")
        address = (f"{network}.{index + 1}", PORT)
        relay = Relay((f"{network}.{index + 101}", PORT), address) if index % 3 == 2 else None
        token = secrets.token_urlsafe(24)
        command = [sys.executable, "-m", "sample_service", "--name", name, "--host", address[0], "--port", str(PORT)]
        command += ["--dir", str(home), *(["--workers", "2"] if index % 4 == 3 else [])]
        environment = {
            "PATH": os.environ.get("PATH", ""),
            "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "agent")]),
            "CONFIG_ADMIN_TOKEN": token,
            "SAMPLE_ALLOW_EMPTY": "1",
            "SAMPLE_RATE": "500",  # the run asks far more often than a console does
            **({"SAMPLE_STATE": str(state)} if state != home else {}),
        }
        child = Child(name, command, environment, cwd=ROOT, log=folder / "logs" / f"{name}.log", echo=False)
        made.append(Member(name, environments[index % len(environments)], home, state, token, child, address, relay))
    return made


def second_worker(folder: Path) -> Child:
    command = [sys.executable, "-m", "celery", "-q", "-A", "console", *up.WORKER_OPTIONS, "-n", "second@%h"]
    environment = {**up.WORKER_ENVIRONMENT, **os.environ}
    return Child("second", command, environment, cwd=ROOT, log=folder / "logs" / "second.log", echo=False)


def console_processes() -> dict[str, int]:
    """Role → process id of what `up` runs now, and "up" itself: our elder sibling."""
    siblings = {pid: words for pid, words in children_of(os.getppid()).items() if pid != os.getpid()}
    supervisor = next((pid for pid, words in siblings.items() if b"up" in words), None)
    if supervisor is None:
        return {}
    found = {"up": supervisor}
    for pid, words in children_of(supervisor).items():
        line = b" ".join(words)
        role = next((role for role, marks in ROLES.items() if all(mark in line for mark in marks)), None)
        if role is not None:
            found[role] = pid
    return found


def children_of(parent: int) -> dict[int, list[bytes]]:
    """Process id → command line of its children. A zombie has none."""
    found = {}
    for entry in os.scandir("/proc"):
        if entry.name.isdigit():
            with suppress(OSError):
                fields = Path(entry.path, "stat").read_text().rsplit(")", 1)[1].split()
                if int(fields[1]) == parent and fields[0] != "Z":
                    found[int(entry.name)] = Path(entry.path, "cmdline").read_bytes().split(b"\0")
    return found


def send(pid: int, number: signal.Signals) -> bool:
    """Whether there was such a process."""
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return False
    return True
