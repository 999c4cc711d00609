"""What the agent does, free of HTTP: apply an update, reload, report. What changes things needs a turn."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from webhook_agent import files, protocol
from webhook_agent.document_file import MISSING, DocumentFile, Snapshot
from webhook_agent.errors import Problem, Rejected, ReloadFailed
from webhook_agent.files import reached
from webhook_agent.host import Host
from webhook_agent.journal import Journal
from webhook_agent.protocol import KINDS, same, short
from webhook_agent.readiness import Readiness
from webhook_agent.state import State
from webhook_agent.update import Proposed, Update

log = logging.getLogger("webhook_agent")


class Documents:
    """The two files of an instance, its host, and what the host runs."""

    def __init__(self, paths: Mapping[str, Path], *, folder: Path, host: Host, wait: float) -> None:
        """Settles what a killed process left; the host may load its files afterwards. `wait` in seconds."""
        self._files = {kind: DocumentFile(path, spare=folder) for kind, path in paths.items()}
        self._journal = Journal(folder, self._files)
        self._host = host
        trouble = ""
        self.generation = -1  # of the journal: what this process has loaded, or is about to load
        try:
            with files.folder_lock(folder, wait=wait):
                self._journal.settle()
                self.generation = self._journal.read().generation
        except TimeoutError:
            log.warning("Another process is updating the documents; leaving them to it.")
        except OSError as error:
            if not files.is_read_only(error):
                raise
            log.warning("The documents cannot be written here; updates will be refused.")
            held = self._journal.read()
            self.generation = held.generation
            if held.pending:
                trouble = "An update was cut short and cannot be undone: its files are read-only."
        self.state = State(self.read())
        if trouble:
            self.state.troubled(trouble)

    def readiness(self) -> Readiness:
        return Readiness(self._files, self._host)

    def read(self, kinds: Iterable[str] = KINDS) -> dict[str, Snapshot]:
        """The files as they are now. Blocks on the disk; raises OSError."""
        return {kind: self._files[kind].read() for kind in kinds}

    def sequence(self) -> int | None:
        return self._journal.read().sequence

    def is_writable(self) -> bool:
        """Whether an update could be written, as far as can be told without writing."""
        return all(document.is_writable() for document in self._files.values())

    def mark(self) -> tuple[int, int] | None:
        """Changes when a sibling process may have changed the documents."""
        return self._journal.mark()

    def is_behind(self) -> bool:
        """Whether a sibling process has put something in place that this one has not loaded."""
        held = self._journal.read()
        return held.generation > self.generation and not held.pending

    async def adopt(self) -> str:
        """Load what a sibling process has put in place; why the host did not, or nothing. Holds the lock, shared."""
        held = await asyncio.to_thread(self._journal.read)
        if held.pending or held.generation <= self.generation:
            return ""
        found = await asyncio.to_thread(self.read)
        kinds = set(held.kinds if held.generation == self.generation + 1 else KINDS)
        kinds |= {kind for kind in KINDS if not same(self.state.digest(kind), found[kind].digest)}
        self.generation = held.generation
        try:
            await self._load([kind for kind in KINDS if kind in kinds])
        except Problem as problem:
            log.warning("This worker process could not load what another one has put in place: %s", problem.message)
            return problem.message
        return ""

    async def announce(self, kinds: Iterable[str]) -> None:
        """Siblings are to load these again. Holds the lock."""
        self.generation = await asyncio.to_thread(self._journal.announce, tuple(kinds))

    async def apply(self, update: Update) -> dict[str, Any]:
        """Bring the host to these documents, all or none; the fields of the answer that tell how it went.

        Raises Problem: STALE, REJECTED, ROLLED_BACK, READ_ONLY, WRITE_FAILED. The host then runs what it ran.
        """
        if (await asyncio.to_thread(self._journal.read)).pending:  # a sibling died in the middle of an update
            await asyncio.to_thread(self._journal.settle)
        held = await asyncio.to_thread(self.sequence)
        if update.sequence is not None and held is not None and update.sequence < held:
            raise Problem(
                409,
                protocol.STALE,
                f"Sequence {held} has been applied already; {update.sequence} is older.",
                more={"outcome": protocol.STALE, "sequence": held},
            )
        for kind, proposed in update.documents.items():
            try:
                await self._host.validate(kind, proposed.document)
            except Rejected as refusal:
                more = {"outcome": protocol.REJECTED, "details": {"type": kind}}
                raise Problem(422, protocol.REJECTED, refusal.reason, more=more) from None
        found = await asyncio.to_thread(self.read)
        changed = {
            kind: proposed
            for kind, proposed in update.documents.items()
            if not (same(self.state.digest(kind), proposed.digest) and same(found[kind].digest, proposed.digest))
        }
        if update.dry_run:
            details = {
                kind: {
                    "digest": proposed.digest,
                    "entries": len(proposed.document),
                    "changed": kind in changed,
                }
                for kind, proposed in update.documents.items()
            }
            return {"outcome": protocol.VALIDATED, "details": details, "sequence": held}
        try:
            if changed:
                await self._replace(changed, update.sequence)
            else:
                await asyncio.to_thread(self._journal.raise_sequence, update.sequence)
        except OSError as error:
            log.error("An update could not be written: %s", error.strerror or type(error).__name__)
            raise _disk_problem(error) from None
        found = await asyncio.to_thread(self.read)
        digests = ", ".join(f"{kind} {short(update.documents[kind].digest)}" for kind in update.documents)
        log.info("%s: %s", protocol.APPLIED if changed else protocol.UNCHANGED, digests)
        details = {
            kind: {
                "digest": found[kind].digest,
                "size": found[kind].size,
                "entries": found[kind].entries,
                "changed": kind in changed,
                "version": proposed.version,
            }
            for kind, proposed in update.documents.items()
        }
        return {
            "outcome": protocol.APPLIED if changed else protocol.UNCHANGED,
            "details": details,
            "sequence": await asyncio.to_thread(self.sequence),
        }

    async def reload(self, kinds: Iterable[str]) -> list[str]:
        """The host loads what is on disk, and siblings are told to; the kinds it loaded. Problem: see `_load`."""
        kinds = tuple(kinds)
        try:
            loaded = await self._load(kinds)
        except Problem:
            await self.refuse(kinds)
            raise
        await self.announce(loaded)
        return loaded

    async def refuse(self, kinds: Iterable[str]) -> None:
        """The host does not load these as they are on disk; `boot_guard` keeps it from starting with them."""
        await asyncio.to_thread(self._journal.refuse, tuple(kinds))

    async def _load(self, kinds: Iterable[str]) -> list[str]:
        """The host of this process loads what is on disk; the kinds it loaded.

        A kind without a file is passed over when the host runs without one, too. Raises Problem(REJECTED), or
        MALFORMED and NOT_FOUND before the host is asked: a half-written file must not be loaded.
        """
        found = await asyncio.to_thread(self.read, tuple(kinds))
        for kind, snapshot in list(found.items()):
            if snapshot.problem == MISSING:
                if self.state.digest(kind) is not None:
                    raise Problem(422, protocol.NOT_FOUND, f"There is no {kind} file any more.")
                del found[kind]
            elif snapshot.problem:
                raise Problem(422, protocol.MALFORMED, f"The {kind} file on disk: {snapshot.problem}")
        if not found:
            return []
        try:
            await self._host.reload(found)
        except ReloadFailed as failure:
            self.state.failed(found, failure.reason)
            raise Problem(422, protocol.REJECTED, failure.reason, more={"outcome": protocol.REJECTED}) from None
        self.state.succeeded(found)
        return list(found)

    async def _replace(self, proposed: Mapping[str, Proposed], sequence: int | None) -> None:
        """Raises OSError or Problem(ROLLED_BACK), both with the previous files back and loaded."""
        data = await asyncio.to_thread(_written, proposed)
        try:
            await asyncio.to_thread(self._journal.begin, {kind: new.raw or b"" for kind, new in data.items()})
        except OSError:
            await self._put_back(data)
            raise
        try:
            await self._host.reload(data)
            reached("reloaded")
            self.generation = await asyncio.to_thread(self._journal.keep, sequence)
        except OSError:
            await self._put_back(data)
            await self._load_again(data)
            raise
        except ReloadFailed as failure:
            log.warning("The host refused an update; the previous files are put back.")
            await self._put_back(data)
            more: dict[str, Any] = {"outcome": protocol.ROLLED_BACK, "details": {"types": list(data)}}
            again = await self._load_again(data)
            if again:
                more["details"]["after_rollback"] = again
            raise Problem(422, protocol.ROLLED_BACK, failure.reason, more=more) from None
        for kind, new in data.items():
            self._files[kind].expect(new)
        self.state.succeeded(data)

    async def _put_back(self, kinds: Iterable[str]) -> None:
        try:
            await asyncio.to_thread(self._journal.undo)
            self.generation = (await asyncio.to_thread(self._journal.read)).generation
        except OSError:
            reason = "The previous files could not be put back; a restart settles it."
            log.exception("%s", reason)
            self.state.failed(kinds, reason)
            raise

    async def _load_again(self, kinds: Iterable[str]) -> str:
        """The host loads the files that were put back; why it does not take them, or nothing.

        Not only tidiness: the real service keeps a refused file in memory and would bring it live with its
        next reload of the other file.
        """
        kinds = tuple(kinds)
        found = await asyncio.to_thread(self.read, kinds)
        try:
            await self._host.reload(kinds)
        except ReloadFailed as failure:
            self.state.failed(kinds, f"After a rollback: {failure.reason}")
            return failure.reason
        self.state.succeeded(found)
        return ""


def _written(proposed: Mapping[str, Proposed]) -> dict[str, Snapshot]:
    return {
        kind: Snapshot(protocol.written(new.document), new.digest, len(new.document), "")
        for kind, new in proposed.items()
    }


def _disk_problem(error: OSError) -> Problem:
    """What to answer when the disk says no; names neither file nor folder."""
    if files.is_read_only(error):
        return Problem(409, protocol.READ_ONLY, "The documents of this instance cannot be written here.")
    return Problem(500, protocol.WRITE_FAILED, f"The disk refused ({error.strerror or type(error).__name__}).")
