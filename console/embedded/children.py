"""Child processes that cannot outlive us, each in a process group of its own, their output prefixed and kept."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

LONGEST_BACKOFF = 10.0
KEEP_LOG_BYTES = 5_000_000


def die_with_parent(sig: signal.Signals) -> Callable[[], None]:
    """For preexec_fn: get `sig` when the parent dies, even by kill -9 (prctl(2), PR_SET_PDEATHSIG).

    The signal comes when the forking thread ends, so children are started from the main thread. Linux only;
    elsewhere a killed supervisor leaves its children running.
    """
    libc = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None
    parent = os.getpid()

    def prepare() -> None:
        if libc is not None:
            libc.prctl(1, int(sig), 0, 0, 0)
            if os.getppid() != parent:  # it died before prctl
                os.kill(os.getpid(), sig)

    return prepare


@dataclass
class Child:
    """One supervised process."""

    name: str
    command: Sequence[str]
    environment: Mapping[str, str]
    stop_with: signal.Signals = signal.SIGTERM
    patience: float = 10.0  # seconds from the stop signal to SIGKILL
    user: int | None = None
    cwd: Path | None = None
    restart: bool = True
    log: Path | None = None
    echo: bool = True
    process: subprocess.Popen[bytes] | None = field(default=None, init=False)
    started_at: float = field(default=0.0, init=False)
    failures: int = field(default=0, init=False)
    swept: bool = field(default=True, init=False)  # nothing of an ended one is left running

    def start(self) -> None:
        extra: dict[str, Any] = {}
        if self.user is not None:
            import pwd

            extra = {"user": self.user, "group": pwd.getpwuid(self.user).pw_gid, "extra_groups": []}
        self.process = subprocess.Popen(
            list(self.command),
            env=dict(self.environment),
            cwd=self.cwd,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            process_group=0,
            preexec_fn=die_with_parent(self.stop_with),
            **extra,
        )
        self.started_at, self.swept = time.monotonic(), False
        threading.Thread(target=self._copy, args=(self.process.stdout,), daemon=True).start()

    @property
    def running(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def keep_alive(self) -> None:
        """Start it again if it ended, later and later while it keeps ending."""
        if self.process is None or self.running:
            return
        self._sweep()
        if not self.restart:
            return
        lived = time.monotonic() - self.started_at
        self.failures = 0 if lived > LONGEST_BACKOFF * 2 else self.failures
        if lived < min(LONGEST_BACKOFF, 0.5 * 2**self.failures):
            return
        self.failures += 1
        say(self.name, f"ended with code {self.process.returncode}; starting it again")
        self.start()

    def stop(self) -> None:
        """Ask, wait, then kill; the whole process group."""
        if self.process is None:
            return
        if self.running:
            self._signal(self.stop_with)
            try:
                self.process.wait(self.patience)
            except subprocess.TimeoutExpired:
                say(self.name, "did not stop in time and is killed")
                self._signal(signal.SIGKILL)
                self.process.wait()
        self._sweep()

    def _sweep(self) -> None:
        """End what an ended one has left of its group: it may hold the port, or do the same work a second time.

        At once and once only: the number of the group may be given to somebody else later.
        """
        if not self.swept:
            self.swept = True
            self._signal(signal.SIGKILL)

    def _signal(self, sig: signal.Signals) -> None:
        if self.process is not None:
            try:
                os.killpg(self.process.pid, sig)
            except ProcessLookupError:
                return

    def _copy(self, stream: IO[bytes] | None) -> None:
        if stream is None:
            return
        if self.log is not None and self.log.exists() and self.log.stat().st_size > KEEP_LOG_BYTES:
            self.log.replace(self.log.with_suffix(".log.1"))
        log = self.log.open("ab") if self.log is not None else None
        with stream:
            for line in stream:
                if log is not None:
                    log.write(line)
                    log.flush()
                if self.echo:
                    say(self.name, line.decode(errors="replace").rstrip())
        if log is not None:
            log.close()


def say(name: str, text: str) -> None:
    print(f"{name:13} {text}", flush=True)
