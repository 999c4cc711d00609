"""Notes, tags and pins: what people put on a revision, which itself never changes.

Each verb holds the document's row, so that two people who tag at once come one after the other.
"""

from __future__ import annotations

import re

from django.db import transaction

from configs_app import reasons
from configs_app.models import Document, Revision, RevisionNote, RevisionPin, RevisionTag
from console import audit
from console.errors import Refused, storable
from console.models import User

LONGEST_NOTE = 2000  # characters
TAG = re.compile(r"\A[a-z][a-z0-9._-]{0,39}\Z")
TAKEN = re.compile(r"\Ar[0-9]+\Z|\Acurrent\Z")  # these name revisions already


def write_note(revision: Revision, *, text: str, actor: User) -> None:
    """Replace the revision's note; an empty text removes it. The audit trail keeps who and when, not the words."""
    text = reasons.tidy(text, what="note", longest=LONGEST_NOTE)
    reasons.refuse_secrets(text, {revision.text} | reasons.current(revision.environment), what="note")
    with transaction.atomic():
        _lock(revision)
        before = RevisionNote.objects.filter(revision=revision).first()
        if text == (before.text if before else ""):
            return
        if text:
            RevisionNote.objects.update_or_create(revision=revision, defaults={"text": text, "editor": actor})
        elif before:
            before.delete()
        audit.record("revision.noted", actor=actor, target=revision, characters=len(text))


def pin(revision: Revision, *, actor: User) -> None:
    with transaction.atomic():
        _lock(revision)
        _, created = RevisionPin.objects.get_or_create(revision=revision, defaults={"by": actor})
        if created:
            audit.record("revision.pinned", actor=actor, target=revision)


def unpin(revision: Revision, *, actor: User) -> None:
    with transaction.atomic():
        _lock(revision)
        deleted, _ = RevisionPin.objects.filter(revision=revision).delete()
        if deleted:
            audit.record("revision.unpinned", actor=actor, target=revision)


def tag(revision: Revision, *, name: str, actor: User) -> Revision | None:
    """Put the word on this revision; the revision it was taken from, if any."""
    name = name.strip().lower()
    if not TAG.match(name) or TAKEN.match(name):
        raise Refused(
            f"{name!r} cannot be a tag. A tag starts with a letter and has up to 40 lower-case letters, digits, dots, "
            "dashes and underscores; r17 and “current” name revisions already."
        )
    with transaction.atomic():
        _lock(revision)
        before = RevisionTag.objects.filter(document=revision.document, name=name).select_related("revision__document")
        taken = next((found.revision for found in before if found.revision_id != revision.pk), None)
        if taken is None and before:
            return None  # it is there already
        RevisionTag.objects.update_or_create(
            document=revision.document, name=name, defaults={"revision": revision, "by": actor}
        )
        audit.record("revision.tagged", actor=actor, target=revision, tag=name, was=str(taken) if taken else "")
    return taken


def untag(revision: Revision, *, name: str, actor: User) -> None:
    name = storable(name)
    with transaction.atomic():
        _lock(revision)
        deleted, _ = RevisionTag.objects.filter(revision=revision, name=name).delete()
        if deleted:
            audit.record("revision.untagged", actor=actor, target=revision, tag=name)


def _lock(revision: Revision) -> None:
    Document.objects.select_for_update(no_key=True).get(pk=revision.document_id)
