"""`manage.py chaos --minutes M --seed S --instances N`: what can be killed, frozen or cut off is, and nothing is lost.

Nothing of the console's data is touched: a real `up` in a folder of its own, real instances, a second worker. What is
promised, and how it is watched, is in docs/architecture.md.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from console.bootstrap import ROOT
from console.embedded.children import Child, die_with_parent

# Short, so that a few minutes hold many leases, ticks and rounds.
TIMINGS = {
    "CONSOLE_LEASE_SECONDS": "3",
    "CONSOLE_TICK_SECONDS": "1",
    "CONSOLE_READ_SECONDS": "2",
    "CONSOLE_CONNECT_SECONDS": "1",
    "CONSOLE_BACKOFF_SECONDS": "1",
    "CONSOLE_OBSERVE_SECONDS": "5",
    "CONSOLE_STALE_SECONDS": "20",
    "CONSOLE_CHECKPOINT_SECONDS": "10",
}
KEPT = ("PATH", "HOME", "LANG", "VIRTUAL_ENV", "CONSOLE_BOOTSTRAP")
PROMISES = ("lost", "stuck", "half_applied", "untrue", "unseen")
START_SECONDS = 120.0
SHOWN_EVENTS = 80


class Command(BaseCommand):
    help = "Kill, freeze and cut off everything of a real console for some minutes, and see that its promises hold."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--minutes", type=float, default=5.0, help="of faults; then it comes to rest")
        parser.add_argument("--seed", type=int, default=None, help="of what is done and broken; default: by chance")
        parser.add_argument("--instances", type=int, default=12, help="4 to 99")
        parser.add_argument("--every", type=float, default=0.8, help="seconds from one fault to the next, on average")
        parser.add_argument("--keep", metavar="DIR", help="leave logs and the record of events there")
        parser.add_argument("--json", action="store_true", help="print one JSON object")

    def handle(self, *args: Any, **options: Any) -> None:
        if not 4 <= options["instances"] <= 99:
            raise CommandError("--instances must be from 4 to 99.")
        seed = options["seed"] if options["seed"] is not None else int(time.time())
        folder = Path(tempfile.mkdtemp(prefix="chaos-"))
        folder.chmod(0o711)  # Postgres may run as another account
        try:
            figures = self.run(folder, seed, options)
            figures["left_over"] = _left_over(folder)
            if figures["broken"]:
                self.stderr.write(f"The last events of seed {seed}:\n{_last_events(folder)}")
        finally:
            if options["keep"]:
                _keep(folder, Path(options["keep"]))
            shutil.rmtree(folder, ignore_errors=True)
        self.say(figures, as_json=options["json"])
        if any(figures[promise] for promise in PROMISES) or figures["left_over"]:
            sys.exit(1)

    def run(self, folder: Path, seed: int, options: dict[str, Any]) -> dict[str, Any]:
        """A real `up`, started again when it is killed, and the run beside it."""
        (folder / "logs").mkdir()
        data, port = folder / "data", _free_port()
        environment = {name: os.environ[name] for name in KEPT if name in os.environ} | TIMINGS
        environment |= {"CONSOLE_DATA_DIR": str(data), "CONSOLE_DEMO": "0", "CONSOLE_PORT": str(port)}
        command = [sys.executable, str(ROOT / "manage.py"), "up"]
        up = Child("up", command, environment, patience=60.0, cwd=ROOT, log=folder / "logs" / "up.log", echo=False)
        up.start()
        try:
            facts = _facts(up, data)
            program = [sys.executable, "-m", "sync_app.chaos", "--folder", str(folder), "--url", facts["url"]]
            program += [
                "--seconds",
                str(60 * options["minutes"]),
                "--seed",
                str(seed),
                "--every",
                str(options["every"]),
            ]
            program += ["--instances", str(options["instances"])]
            paths = os.pathsep.join([str(ROOT), str(ROOT / "agent")])
            with subprocess.Popen(
                program,
                cwd=ROOT,
                env={
                    **environment,
                    **facts["environment"],
                    "PYTHONPATH": paths,
                    "DJANGO_SETTINGS_MODULE": "console.settings",
                },
                preexec_fn=die_with_parent(signal.SIGTERM),
            ) as run:
                while run.poll() is None:
                    up.keep_alive()
                    time.sleep(0.2)
        finally:
            up.restart = False
            up.stop()
        if run.returncode:
            raise CommandError(f"The run itself failed (seed {seed}); see above.")
        found: dict[str, Any] = json.loads((folder / "figures.json").read_text())
        return found

    def say(self, figures: dict[str, Any], *, as_json: bool) -> None:
        if as_json:
            self.stdout.write(json.dumps(figures))
            return
        for name, value in figures.items():
            if name not in PROMISES and name != "broken":
                self.stdout.write(f"{name:20} {value}")
        self.stdout.write(", ".join(f"{promise.replace('_', '-')} {figures[promise]}" for promise in PROMISES))
        for promise, found in figures["broken"].items():
            for text in found:
                self.stdout.write(f"{promise}: {text}")


def _facts(up: Child, data: Path) -> dict[str, Any]:
    """What `up` says once a page can be used: its address and the environment of its services."""
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and up.running:
        try:
            facts = json.loads((data / "up.lock").read_text())
        except (OSError, ValueError):
            facts = {}
        if facts.get("url"):
            return dict(facts)
        time.sleep(0.1)
    raise CommandError(f"`up` did not start:\n{(up.log.read_text() if up.log else '')[-2000:]}")


def _last_events(folder: Path) -> str:
    return "\n".join((folder / "events.log").read_text().splitlines()[-SHOWN_EVENTS:])


def _left_over(folder: Path) -> list[str]:
    """Command lines of processes that still work on the folder: nobody ended them."""
    found = []
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            command = entry.read_bytes().replace(b"\0", b" ").decode(errors="replace")
            state = (entry.parent / "stat").read_text().rsplit(")", 1)[1].split()[0]
        except OSError:
            continue
        if str(folder) in command and state != "Z":
            found.append(command)
    return found


def _keep(folder: Path, target: Path) -> None:
    target.mkdir(parents=True, exist_ok=True)
    for path in [folder / "events.log", *(folder / "logs").iterdir(), *(folder / "data" / "logs").iterdir()]:
        if path.exists():
            shutil.copy(path, target / path.name)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
