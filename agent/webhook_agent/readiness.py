"""Whether an update could be put in place here: what a dry run tells beside the verdict on the documents.

Names and yes or no, never a value: it answers for the placeholders of the documents that were sent, and for nothing
else.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from webhook_agent import files, placeholders, protocol
from webhook_agent.document_file import DocumentFile
from webhook_agent.host import Host
from webhook_agent.update import Proposed

YES = "yes"  # there is a value
DEFAULT = "default"  # there is none, and every place that names it has a default
NO = "no"  # there is none
UNKNOWN = "unknown"  # the agent cannot tell
WORDS = (YES, DEFAULT, NO, UNKNOWN)


class Readiness:
    def __init__(self, documents: Mapping[str, DocumentFile], host: Host) -> None:
        self._files = documents
        self._host = host

    async def of(self, proposed: Mapping[str, Proposed]) -> dict[str, Any]:
        """`writable`, `room`, `free_bytes`, `needed_bytes`, `validator`, `placeholders`, `placeholders_left_out`."""
        disk = await asyncio.to_thread(self._disk, proposed)
        named, left_out = await asyncio.to_thread(
            placeholders.names, *(document.document for document in proposed.values())
        )
        there = await self._host.can_resolve(tuple(named))
        return {
            **disk,
            "validator": self._host.validates,
            "placeholders": {name: _word(name, has_default, there) for name, has_default in named.items()},
            "placeholders_left_out": left_out,
        }

    def _disk(self, proposed: Mapping[str, Proposed]) -> dict[str, Any]:
        """Room for each document beside the file, for the copy of what it replaces, and for the last good one.

        Null where the disk does not say.
        """
        needed: dict[int, int] = {}
        free: dict[int, int] = {}
        try:
            for kind, new in proposed.items():
                file = self._files[kind]
                size = len(protocol.written(new.document))
                folder: Path = file.staged.parent
                disk = os.stat(folder).st_dev
                needed[disk] = needed.get(disk, 0) + 2 * size + file.read().size
                free[disk] = files.free(folder)
            tightest = min(needed, key=lambda disk: free[disk] - needed[disk])
        except OSError:
            return {"writable": self._writable(), "room": None, "free_bytes": None, "needed_bytes": None}
        return {
            "writable": self._writable(),
            "room": free[tightest] >= needed[tightest],
            "free_bytes": free[tightest],
            "needed_bytes": needed[tightest],
        }

    def _writable(self) -> bool:
        return all(document.is_writable() for document in self._files.values())


def _word(name: str, has_default: bool, there: Mapping[str, bool]) -> str:
    if name not in there:
        return UNKNOWN
    if there[name]:
        return YES
    return DEFAULT if has_default else NO
