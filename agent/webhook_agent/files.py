"""The document files: reading them as they are, and replacing them so that a kill leaves old bytes or new.

Everything here blocks on the disk; the agent calls it from a thread.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import stat
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from webhook_agent import protocol

MISSING = "missing"

# Failure drill: the process ends at the named step, as if killed. Read once; never set it in production.
_CRASH_AT = os.environ.get("WEBHOOK_AGENT_CRASH_AT", "")


def reached(step: str) -> None:
    """Marks a step of an update, so that a test can end the process exactly there."""
    if step == _CRASH_AT:
        os._exit(137)


@dataclass(frozen=True)
class Snapshot:
    """A document file as found. `problem` is "", "missing", or why it is no document and has no digest."""

    raw: bytes | None
    digest: str | None
    entries: int
    problem: str

    @property
    def size(self) -> int:
        return len(self.raw or b"")


def snapshot(raw: bytes | None) -> Snapshot:
    if raw is None:
        return Snapshot(None, None, 0, MISSING)
    try:
        document = protocol.parse(raw)
    except protocol.ProtocolError as error:
        return Snapshot(raw, None, 0, error.message)
    return Snapshot(raw, protocol.digest(document), len(document), "")


class DocumentFile:
    """One document's file and the three files that stand beside it.

    `staged`    what is about to replace it
    `undo`      what it held before, while an update is under way
    `previous`  what it held before the last update that was kept
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(os.path.abspath(path))
        self._known: Snapshot | None = None

    @property
    def target(self) -> Path:
        """Where a rename has to go: a link itself is left alone."""
        return Path(os.path.realpath(self.path))

    @property
    def staged(self) -> Path:
        return self.target.with_name(f".{self.target.name}.new")

    @property
    def undo(self) -> Path:
        return self.target.with_name(f".{self.target.name}.undo")

    @property
    def _half_undo(self) -> Path:
        return self.target.with_name(f".{self.target.name}.undo.new")

    @property
    def previous(self) -> Path:
        return self.target.with_name(f"{self.target.name}.previous")

    def read(self) -> Snapshot:
        """The file as it is now. Raises OSError for anything but a missing file.

        Always reads the bytes, and parses them only when they are not the ones seen last: comparing time
        stamps instead would miss two edits within one tick of the file system's clock.
        """
        try:
            raw = self.path.read_bytes()
        except FileNotFoundError:
            return snapshot(None)
        known = self._known
        if known is None or known.raw != raw:
            known = self._known = snapshot(raw)
        return known

    def expect(self, written: Snapshot) -> None:
        """These bytes were just written: finding them again needs no parsing."""
        self._known = written

    def stage(self, data: bytes) -> bool:
        """Write `data` beside the file and keep a copy of what the file holds; whether there was a file.

        Owner and mode are the file's; a new file is for its owner only, since documents hold secrets.
        """
        try:
            with open(self.target, "rb") as file:
                like = os.fstat(file.fileno())
                held = file.read()
        except FileNotFoundError:
            _write(self.staged, data, like=None)
            return False
        _write(self.staged, data, like=like)
        _write(self._half_undo, held, like=like)
        os.replace(self._half_undo, self.undo)  # so that an `undo` is always whole
        return True

    def swap(self) -> None:
        """The staged bytes become the file."""
        _replace(self.staged, self.target)

    def put_back(self, *, existed: bool) -> None:
        """The file is what it was before `stage`. May be repeated."""
        if not existed:
            self.target.unlink(missing_ok=True)
        elif self.undo.exists():
            _replace(self.undo, self.target)
        self.staged.unlink(missing_ok=True)

    def tidy(self) -> None:
        """Nothing is under way: drop what an update left, and keep what it replaced as `previous`."""
        self.staged.unlink(missing_ok=True)
        self._half_undo.unlink(missing_ok=True)
        try:
            kept = self.undo.read_bytes()
        except FileNotFoundError:
            return
        if self.target.exists() and self.target.read_bytes() == kept:
            self.undo.unlink()
        else:
            os.replace(self.undo, self.previous)


def is_read_only(error: OSError) -> bool:
    return error.errno in (errno.EROFS, errno.EACCES, errno.EPERM)


def write_atomically(path: Path, data: bytes) -> None:
    """`path` holds `data`, durably, or what it held before."""
    temporary = half_written(path)
    _write(temporary, data, like=None)
    os.replace(temporary, path)
    sync_folder(path.parent)


def half_written(path: Path) -> Path:
    """Where `write_atomically` prepares the bytes; a kill may leave it."""
    return path.with_name(f"{path.name}.new")


def sync_folder(folder: Path) -> None:
    """Renames in `folder` survive a power cut."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def folder_lock(folder: Path, *, wait: float) -> Iterator[None]:
    """Hold a lock on the folder among processes. Raises TimeoutError after `wait` seconds.

    It lies on the folder itself, so it works where nothing can be written, and it falls with the process.
    """
    deadline = time.monotonic() + wait
    descriptor = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() >= deadline:
                    raise TimeoutError("another process is updating these documents") from None
                time.sleep(0.02)  # flock has no timeout of its own
        yield
    finally:
        os.close(descriptor)


def _write(path: Path, data: bytes, *, like: os.stat_result | None) -> None:
    path.unlink(missing_ok=True)
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
    descriptor = os.open(path, flags, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        if like is not None:
            with contextlib.suppress(PermissionError):
                os.fchown(descriptor, like.st_uid, like.st_gid)
            os.fchmod(descriptor, stat.S_IMODE(like.st_mode))
        file.write(data)
        file.flush()
        os.fsync(descriptor)


def _replace(source: Path, target: Path) -> None:
    try:
        os.replace(source, target)
    except OSError as error:
        if error.errno != errno.EBUSY:
            raise
        # The file is itself a mount point (a single file mounted into a container): no rename goes over it.
        # Its bytes are replaced in place; the journal makes up for that not being one step.
        with open(target, "r+b") as file:
            file.write(source.read_bytes())
            file.truncate()
            file.flush()
            os.fsync(file.fileno())
        source.unlink()
