"""The journal: what was applied last, and how to get back when an update was cut short.

One small JSON file, replaced atomically. While `pending` is set, a start puts the documents back to what they
were; the write that clears it is the moment an update counts. So a kill leaves the old pair or the new one.

`generation` grows whenever the files come to rest after a change. Agents in sibling processes watch it.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from webhook_agent import files, protocol
from webhook_agent.document_file import DocumentFile
from webhook_agent.files import reached

log = logging.getLogger("webhook_agent")

NAME = ".webhook_agent.journal"


@dataclass(frozen=True)
class Record:
    """What the journal says. An empty one before the first update."""

    sequence: int | None = None  # of the last update that was kept
    generation: int = 0
    kinds: tuple[str, ...] = ()  # the documents that the last generation is about
    pending: Mapping[str, bool] = field(default_factory=dict)  # kind → whether there was a file before
    refused: Mapping[str, str] = field(default_factory=dict)  # kind → fingerprint of a file the host did not load


class Journal:
    """Moves several document files together. One user at a time: callers hold the lock."""

    def __init__(self, folder: Path, documents: Mapping[str, DocumentFile]) -> None:
        self._path = folder / NAME
        self._documents = documents

    def read(self) -> Record:
        """Raises ProtocolError for a journal that no agent wrote; OSError."""
        try:
            found = protocol.parse(self._path.read_bytes())
        except FileNotFoundError:
            return Record()
        return _record(found, self._documents.keys())

    def mark(self) -> tuple[int, int] | None:
        """Changes whenever the journal does; costs one stat."""
        try:
            found = os.stat(self._path)
        except OSError:
            return None
        return found.st_ino, found.st_mtime_ns

    def settle(self) -> list[str]:
        """Undo an update that was cut short and tidy up; the kinds put back. May itself be cut short."""
        pending = self.read().pending
        if pending:
            log.warning("An update was cut short; the previous %s are put back.", " and ".join(pending))
            self._put_back(pending)
        for document in self._documents.values():
            document.tidy()
        files.half_written(self._path).unlink(missing_ok=True)
        return list(pending)

    def begin(self, documents: Mapping[str, bytes]) -> None:
        """The files hold the new documents, with a way back. Raises OSError; `undo` is called then."""
        pending = {kind: self._documents[kind].stage(data) for kind, data in documents.items()}
        reached("staged")
        self._sync(pending)
        self._save(replace(self.read(), pending=pending))
        reached("journalled")
        for number, kind in enumerate(pending, start=1):
            self._documents[kind].swap()
            reached(f"swapped-{number}")
        self._sync(pending)
        reached("swapped")

    def keep(self, sequence: int | None) -> int:
        """The update counts; its generation. A lower sequence is refused from now on."""
        before = self.read()
        kinds = tuple(before.pending)
        after = replace(
            before,
            sequence=before.sequence if sequence is None else sequence,
            generation=before.generation + 1,
            kinds=kinds,
            pending={},
            refused={kind: mark for kind, mark in before.refused.items() if kind not in kinds},
        )
        self._save(after)
        reached("kept")
        for kind in kinds:
            self._documents[kind].keep_good()
        reached("copied")
        for document in self._documents.values():
            document.tidy()
        reached("tidied")
        return after.generation

    def undo(self) -> None:
        """The files hold what they held before `begin`, wherever it stopped."""
        self._put_back(self.read().pending)
        for document in self._documents.values():
            document.tidy()

    def raise_sequence(self, sequence: int | None) -> None:
        """Remember a higher sequence whose documents were there already, if anything can be written."""
        held = self.read()
        if sequence is not None and (held.sequence is None or sequence > held.sequence):
            self._save_if_possible(replace(held, sequence=sequence))

    def announce(self, kinds: Iterable[str]) -> int:
        """The host loaded these as they are on disk, and siblings are to do the same; the generation."""
        held = self.read()
        kinds = tuple(kinds)
        after = replace(
            held,
            generation=held.generation + 1,
            kinds=kinds,
            refused={kind: mark for kind, mark in held.refused.items() if kind not in kinds},
        )
        if not self._save_if_possible(after):
            return held.generation
        for kind in kinds:
            self._documents[kind].keep_good()
        return after.generation

    def refuse(self, kinds: Iterable[str]) -> None:
        """The host did not load these as they are on disk: `boot_guard` must not let it start with them.

        It does not say which of several it stumbled over; one that it loaded before is not to blame.
        """
        held = self.read()
        suspects = [kind for kind in kinds if not self._documents[kind].is_good()]
        marks = {kind: mark for kind in suspects if (mark := self._documents[kind].fingerprint())}
        if any(held.refused.get(kind) != mark for kind, mark in marks.items()):
            self._save_if_possible(replace(held, refused={**held.refused, **marks}))

    def _put_back(self, pending: Mapping[str, bool]) -> None:
        if not pending:
            return
        for number, (kind, existed) in enumerate(pending.items(), start=1):
            self._documents[kind].put_back(existed=existed)
            reached(f"restored-{number}")
        self._sync(pending)
        # A new generation: a sibling that started meanwhile may have loaded what is taken back here.
        held = self.read()
        self._save(replace(held, pending={}, generation=held.generation + 1, kinds=tuple(pending)))
        reached("restored")

    def _sync(self, kinds: Iterable[str]) -> None:
        for folder in {self._documents[kind].target.parent for kind in kinds}:
            files.sync_folder(folder)

    def _save_if_possible(self, record: Record) -> bool:
        try:
            self._save(record)
        except OSError as error:
            if not files.is_read_only(error):
                raise
            return False
        return True

    def _save(self, record: Record) -> None:
        content = {
            "sequence": record.sequence,
            "generation": record.generation,
            "kinds": list(record.kinds),
            "pending": dict(record.pending),
            "refused": dict(record.refused),
        }
        files.write_atomically(self._path, json.dumps(content).encode() + b"\n")


def _record(found: Mapping[str, Any], known: Iterable[str]) -> Record:
    """Fields that an older agent did not write have their first value."""
    sequence, generation = found.get("sequence"), found.get("generation", 0)
    kinds, pending, refused = found.get("kinds", []), found.get("pending"), found.get("refused", {})
    known = set(known)
    if (
        not isinstance(pending, dict)
        or not isinstance(refused, dict)
        or not isinstance(kinds, list)
        or type(generation) is not int
        or not (sequence is None or type(sequence) is int)
        or not {*pending, *refused, *map(str, kinds)} <= known
    ):
        raise protocol.ProtocolError(protocol.MALFORMED, "The agent's journal is not one it wrote.")
    return Record(sequence, generation, tuple(kinds), pending, refused)
