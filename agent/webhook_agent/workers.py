"""The worker processes of one service: each keeps a record of what it has loaded.

A record is a small file; a lock on it says that its process lives. The lock is a POSIX one: it falls with the
process, and a process that the host forks does not inherit it (a flock would outlive its worker there). It also
falls when the process closes any other descriptor of the file, so nobody opens a record of its own process.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

NAME = ".webhook_agent.workers"
_LONGEST = 4096  # bytes of a record


@dataclass(frozen=True)
class Worker:
    """What a process has loaded: up to which generation of the journal, which digests, and why not more."""

    pid: int
    generation: int = -1  # it has not said anything yet
    digests: Mapping[str, str | None] | None = None
    failed: str = ""


class Workers:
    """The records beside the journal. Cheap to ask: one small file for each process."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder / NAME
        self._descriptor = -1
        self._path: Path | None = None

    @property
    def joined(self) -> bool:
        return self._path is not None

    def join(self) -> None:
        """Make this process's record. Raises OSError where nothing can be written."""
        self._folder.mkdir(mode=0o700, exist_ok=True)
        while True:
            path = self._folder / f"{_here()}{secrets.token_hex(4)}"
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            try:
                fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if os.stat(path).st_ino == os.fstat(descriptor).st_ino:
                    break
            except OSError:
                pass
            os.close(descriptor)  # a sibling took it for a dead one's in the instant before the lock
        self._descriptor, self._path = descriptor, path

    def tell(self, worker: Worker) -> None:
        """Write this process's record."""
        if self._path is None:
            return
        content = {"generation": worker.generation, "digests": worker.digests, "failed": worker.failed[:500]}
        data = json.dumps(content).encode()
        os.pwrite(self._descriptor, data, 0)
        os.ftruncate(self._descriptor, len(data))

    def others(self) -> list[Worker]:
        """The living siblings, oldest record first; records of dead ones are swept away."""
        if self._path is None:
            return []
        found = []
        for name in sorted(os.listdir(self._folder)):
            if name.startswith(_here()):
                continue
            worker = _living(self._folder / name)
            if worker is not None:
                found.append(worker)
        return found

    def leave(self) -> None:
        if self._path is not None:
            with contextlib.suppress(OSError):
                self._path.unlink()
            os.close(self._descriptor)
            self._path = None


def _here() -> str:
    """The beginning of this process's records. Containers on one volume have process ids of their own."""
    try:
        space = os.readlink("/proc/self/ns/pid").strip("pid:[]")
    except OSError:
        space = "0"
    return f"{space}-{os.getpid()}-"


def _living(path: Path) -> Worker | None:
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        try:
            fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return _read(path, os.pread(descriptor, _LONGEST, 0))
        with contextlib.suppress(FileNotFoundError):
            path.unlink()
        return None
    finally:
        os.close(descriptor)


def _read(path: Path, data: bytes) -> Worker:
    pid = int(path.name.split("-")[1]) if path.name.count("-") == 2 else 0
    try:
        found = json.loads(data)
        return Worker(pid, int(found["generation"]), dict(found["digests"] or {}), str(found["failed"]))
    except (ValueError, KeyError, TypeError):  # being written, or nothing said yet
        return Worker(pid)
