"""The journal: which sequence was applied last, and how to get back when an update was cut short.

One small JSON file, replaced atomically. While `pending` is set, a start puts the documents back to what they
were; the write that clears it is the moment an update counts. So a kill leaves the old pair or the new one.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from webhook_agent import files, protocol
from webhook_agent.files import DocumentFile, reached

log = logging.getLogger("webhook_agent")

NAME = ".webhook_agent.journal"


class Journal:
    """Moves several document files together. One user at a time: callers hold the lock."""

    def __init__(self, folder: Path, documents: Mapping[str, DocumentFile]) -> None:
        self._path = folder / NAME
        self._documents = documents

    def sequence(self) -> int | None:
        """The sequence of the last update that was kept; None before there was one."""
        sequence: int | None = self._load()["sequence"]
        return sequence

    def is_pending(self) -> bool:
        return bool(self._load()["pending"])

    def settle(self) -> list[str]:
        """Undo an update that was cut short and tidy up; the kinds put back. May itself be cut short."""
        record = self._load()
        pending: dict[str, bool] = record["pending"]
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
        self._save(sequence=self.sequence(), pending=pending)
        reached("journalled")
        for number, kind in enumerate(pending, start=1):
            self._documents[kind].swap()
            reached(f"swapped-{number}")
        self._sync(pending)
        reached("swapped")

    def keep(self, sequence: int | None) -> None:
        """The update counts. A lower sequence is refused from now on."""
        if sequence is None:
            sequence = self.sequence()
        self._save(sequence=sequence, pending={})
        reached("kept")
        for document in self._documents.values():
            document.tidy()
        reached("tidied")

    def undo(self) -> None:
        """The files hold what they held before `begin`, wherever it stopped."""
        self._put_back(self._load()["pending"])
        for document in self._documents.values():
            document.tidy()

    def raise_sequence(self, sequence: int | None) -> None:
        """Remember a higher sequence whose documents were there already, if anything can be written."""
        held = self.sequence()
        if sequence is not None and (held is None or sequence > held):
            try:
                self._save(sequence=sequence, pending={})
            except OSError as error:
                if not files.is_read_only(error):
                    raise

    def _put_back(self, pending: Mapping[str, bool]) -> None:
        if not pending:
            return
        for number, (kind, existed) in enumerate(pending.items(), start=1):
            self._documents[kind].put_back(existed=existed)
            reached(f"restored-{number}")
        self._sync(pending)
        self._save(sequence=self.sequence(), pending={})
        reached("restored")

    def _sync(self, kinds: Iterable[str]) -> None:
        for folder in {self._documents[kind].target.parent for kind in kinds}:
            files.sync_folder(folder)

    def _load(self) -> dict[str, Any]:
        try:
            record = protocol.parse(self._path.read_bytes())
        except FileNotFoundError:
            return {"sequence": None, "pending": {}}
        pending = record.get("pending")
        sequence = record.get("sequence")
        if not isinstance(pending, dict) or not pending.keys() <= self._documents.keys():
            raise protocol.ProtocolError(protocol.MALFORMED, "The agent's journal is not one it wrote.")
        if sequence is not None and type(sequence) is not int:
            raise protocol.ProtocolError(protocol.MALFORMED, "The agent's journal is not one it wrote.")
        return {"sequence": sequence, "pending": pending}

    def _save(self, *, sequence: int | None, pending: Mapping[str, bool]) -> None:
        record = {"sequence": sequence, "pending": dict(pending)}
        files.write_atomically(self._path, json.dumps(record).encode() + b"\n")
