"""One document file: reading it as it is, and replacing it with a way back. Blocks on the disk."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

from webhook_agent import files, protocol

MISSING = "missing"


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
    """One document's file and the files that stand beside it.

    `staged`    what is about to replace it
    `undo`      what it held before, while an update is under way
    `previous`  what it held before the last update that was kept
    `good`      what the host loaded last; what `boot_guard` falls back on

    They stand in the file's own folder, or in `spare` where nothing can be made there (a file mounted alone into
    a read-only container).
    """

    def __init__(self, path: str | os.PathLike[str], *, spare: Path | None = None) -> None:
        """Raises ValueError for a link that leads out of the file's folder."""
        self.path = Path(os.path.abspath(path))
        self._spare = spare
        self._known: Snapshot | None = None
        if not self._is_inside():
            raise ValueError("the file is a link that leads out of its folder; name the file itself")

    @property
    def target(self) -> Path:
        """Where a rename has to go: a link itself is left alone. Raises PermissionError when it leads elsewhere.

        Looked up every time: a volume may swap the folder that a link goes through.
        """
        if not self._is_inside():
            raise PermissionError(errno.EPERM, "The link leads out of its folder")
        return Path(os.path.realpath(self.path))

    def _is_inside(self) -> bool:
        home = os.path.realpath(self.path.parent)
        return os.path.commonpath([home, os.path.realpath(self.path)]) == home

    @property
    def staged(self) -> Path:
        return self._beside(f".{self.path.name}.new")

    @property
    def undo(self) -> Path:
        return self._beside(f".{self.path.name}.undo")

    @property
    def previous(self) -> Path:
        return self._beside(f"{self.path.name}.previous")

    @property
    def good(self) -> Path:
        return self._beside(f".{self.path.name}.good")

    @property
    def bad(self) -> Path:
        """Where `boot_guard` keeps a file it did not let the host start with."""
        return self._beside(f"{self.path.name}.refused")

    def _beside(self, name: str) -> Path:
        folder = self.target.parent
        return (self._spare if self._spare is not None and not os.access(folder, os.W_OK) else folder) / name

    def is_writable(self) -> bool:
        """Whether an update could be written: beside the file and renamed, or from the spare folder in place."""
        try:
            target = self.target
            if os.access(target.parent, os.W_OK):
                return True
            return self._spare is not None and os.access(self._spare, os.W_OK) and os.access(target, os.W_OK)
        except OSError:
            return False

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

    def fingerprint(self) -> str:
        """SHA-256 of the bytes on disk, whatever they are; empty without a file."""
        try:
            return hashlib.sha256(self.path.read_bytes()).hexdigest()
        except FileNotFoundError:
            return ""

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
            files.write(self.staged, data, like=None)
            return False
        files.write(self.staged, data, like=like)
        files.write_whole(self.undo, held, like=like)  # so that an `undo` is always whole
        return True

    def swap(self) -> None:
        """The staged bytes become the file."""
        files.replace(self.staged, self.target)

    def put_back(self, *, existed: bool) -> None:
        """The file is what it was before `stage`. May be repeated."""
        if not existed:
            self.target.unlink(missing_ok=True)
        elif self.undo.exists():
            files.replace(self.undo, self.target)
        self.staged.unlink(missing_ok=True)

    def tidy(self) -> None:
        """Nothing is under way: drop what an update left, and keep what it replaced as `previous`."""
        for half in (self.staged, files.half_written(self.undo), files.half_written(self.good)):
            half.unlink(missing_ok=True)
        try:
            kept = self.undo.read_bytes()
        except FileNotFoundError:
            return
        if self.target.exists() and self.target.read_bytes() == kept:
            self.undo.unlink()
        else:
            os.replace(self.undo, self.previous)

    def is_good(self) -> bool:
        """Whether the file holds what the host loaded last."""
        try:
            return self.target.read_bytes() == self.good.read_bytes()
        except FileNotFoundError:
            return False

    def keep_good(self) -> None:
        """The host loaded the file as it is. A copy, never a link: the file may be edited in place."""
        try:
            with open(self.target, "rb") as file:
                files.write_whole(self.good, file.read(), like=os.fstat(file.fileno()))
        except FileNotFoundError:
            self.good.unlink(missing_ok=True)

    def fall_back(self) -> bool:
        """Put the last good bytes in the file's place and what it held aside; whether there were any."""
        try:
            good = self.good.read_bytes()
        except FileNotFoundError:
            return False
        with contextlib.suppress(FileNotFoundError):
            files.write_whole(self.bad, self.target.read_bytes(), like=os.stat(self.target))
        like = os.stat(self.target) if self.target.exists() else os.stat(self.good)
        files.write(self.staged, good, like=like)
        files.replace(self.staged, self.target)
        files.sync_folder(self.target.parent)
        return True
