"""`boot_guard`: before the service is imported, make sure that its files are ones it can start with."""

from __future__ import annotations

import logging
import os
from pathlib import Path

from webhook_agent import files
from webhook_agent.document_file import MISSING, DocumentFile
from webhook_agent.journal import Journal

log = logging.getLogger("webhook_agent")


def boot_guard(
    *,
    webhooks_path: str | os.PathLike[str],
    connections_path: str | os.PathLike[str],
    state_folder: str | os.PathLike[str] | None = None,
    lock_wait: float = 10.0,
) -> list[str]:
    """Settle an update that was cut short, and put the last good document in the place of a bad one.

    Bad is a file that is not strict JSON, or one that the host refused to load when it was told to. What was there
    is kept as `<name>.refused`. Returns what was done, in sentences, and logs it. Never raises for a file: with
    no last good document, or nothing writable, it says so and leaves the file.

    Services that read their files while they are imported (the real one does) call this before that.
    """
    paths = {"webhooks": Path(webhooks_path), "connections": Path(connections_path)}
    folder = Path(state_folder) if state_folder is not None else paths["webhooks"].absolute().parent
    said: list[str] = []
    try:
        documents = {kind: DocumentFile(path, spare=folder) for kind, path in paths.items()}
        journal = Journal(folder, documents)
        with files.folder_lock(folder, wait=lock_wait):
            said += [f"{kind}: an update was cut short; the previous document is back." for kind in journal.settle()]
            refused = journal.read().refused
            for kind, document in documents.items():
                said += _guarded(kind, document, refused.get(kind, ""))
    except TimeoutError:
        said.append("Another process is updating the documents; they are left to it.")
    except (OSError, ValueError) as error:
        reason = (error.strerror if isinstance(error, OSError) else None) or type(error).__name__
        said.append(f"The documents could not be looked after ({reason}).")
    for sentence in said:
        log.warning("%s", sentence)
    return said


def _guarded(kind: str, document: DocumentFile, refused: str) -> list[str]:
    found = document.read()
    if found.problem == MISSING:
        return []
    if found.problem:
        why = f"the file does not parse: {found.problem}"
    elif refused and document.fingerprint() == refused:
        why = "the service refused this file before."
    else:
        return []
    if document.fall_back():
        return [f"{kind}: {why} The last good document is back; what was there is kept as {document.bad.name}."]
    return [f"{kind}: {why} There is no earlier good document to go back to."]
