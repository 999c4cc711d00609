"""The secrets of an open editor that stand nowhere but in its draft, sealed into the page.

A draft saves itself. Two seconds after somebody cuts a mark, a secret that only the draft had is gone from the console,
and the mark would stand for nothing when it is pasted elsewhere or brought back by undo. So the page carries what its
marks stand for, and sends it along with the text.
"""

from __future__ import annotations

import json

from configs_app import documents, marks
from configs_app.models import Change
from console.sealing import SealBroken, seal, unseal


def packed(change: Change) -> str:
    """Sealed, for this change alone: mark → literal of what its bases and the current documents do not have."""
    kept = list(change.documents.select_related("base"))
    bundle = documents.desired(change.environment)
    revisions = [*(bundle.revisions() if bundle else []), *(document.base for document in kept if document.base)]
    elsewhere = marks.known(revision.text for revision in revisions)
    own = {mark: literal for mark, literal in marks.known(one.text for one in kept).items() if mark not in elsewhere}
    return seal(json.dumps([change.pk, own])).decode() if own else ""


def unpacked(change: Change, pages: str) -> dict[str, str | None]:
    """What one page or several carried, apart by spaces; nothing of what was packed for another change."""
    pairs: list[tuple[str, str]] = []
    for one in pages.split():
        try:
            change_id, own = json.loads(unseal(one.encode()))
        except SealBroken:
            continue  # by a key that is gone: its marks are refused in words
        if change_id == change.pk:
            pairs += [(mark, literal) for mark, literal in own.items() if literal is not None]
    return marks.collected(pairs)
