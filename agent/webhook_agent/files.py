"""Writing so that a kill leaves old bytes or new, and a lock among processes.

Everything here blocks on the disk; the agent calls it from a thread.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import itertools
import os
import stat
import time
from collections.abc import Iterator
from pathlib import Path

# A rename onto the file fails: it is a mount point, on another device than its copies, or its folder is closed.
_IN_PLACE = frozenset({errno.EBUSY, errno.EXDEV, errno.EACCES, errno.EROFS})

# Failure drills, read once; never set them in production. CRASH_AT is a step's name, or its number counted from the
# start of the process: it ends there, as if killed. STEPS_TO is a file that the names of the steps are added to.
_CRASH_AT = os.environ.get("WEBHOOK_AGENT_CRASH_AT", "")
_STEPS_TO = os.environ.get("WEBHOOK_AGENT_STEPS_TO", "")
_steps = itertools.count(1)


def reached(step: str) -> None:
    """Marks a step of an update, so that a test can end the process exactly there."""
    if not (_CRASH_AT or _STEPS_TO):
        return
    number = next(_steps)
    if _STEPS_TO:
        with open(_STEPS_TO, "a") as file:
            file.write(f"{step}\n")
    if _CRASH_AT in (step, str(number)):
        os._exit(137)


def is_read_only(error: OSError) -> bool:
    return error.errno in (errno.EROFS, errno.EACCES, errno.EPERM)


def free(folder: Path) -> int:
    """Bytes that this process may still write there; 0 when no more files can be made. Raises OSError."""
    disk = os.statvfs(folder)
    full = disk.f_files > 0 and disk.f_favail == 0
    return 0 if full else disk.f_bavail * disk.f_frsize


def write_atomically(path: Path, data: bytes) -> None:
    """`path` holds `data`, durably, or what it held before."""
    write_whole(path, data, like=None)
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
def folder_lock(folder: Path, *, wait: float, shared: bool = False) -> Iterator[None]:
    """Hold a lock on the folder among processes, alone or with others that only read. TimeoutError after `wait` s.

    It lies on the folder itself, so it works where nothing can be written, and it falls with the process.
    """
    deadline = time.monotonic() + wait
    descriptor = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        while True:
            try:
                fcntl.flock(descriptor, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() >= deadline:
                    raise TimeoutError("another process is updating these documents") from None
                time.sleep(0.02)  # flock has no timeout of its own
        yield
    finally:
        os.close(descriptor)


def write_whole(path: Path, data: bytes, *, like: os.stat_result | None) -> None:
    """`path` holds all of `data`, or what it held before; owner and mode as in `like`."""
    write(half_written(path), data, like=like)
    os.replace(half_written(path), path)


def write(path: Path, data: bytes, *, like: os.stat_result | None) -> None:
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


def replace(source: Path, target: Path) -> None:
    try:
        os.replace(source, target)
    except OSError as error:
        if error.errno not in _IN_PLACE:
            raise
        # The file is itself a mount point (a single file mounted into a container): no rename goes over it.
        # Its bytes are replaced in place; the journal makes up for that not being one step.
        data = source.read_bytes()
        with open(target, "r+b") as file:
            file.write(data[: len(data) // 2])
            file.flush()
            reached("half-written")
            file.write(data[len(data) // 2 :])
            file.truncate()
            file.flush()
            os.fsync(file.fileno())
        source.unlink()
