"""The discussion of a change: comments on it as a whole or on one entry, kept as they were written."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

from django.db import transaction
from django.utils import timezone

from configs_app import documents, secrets
from configs_app.discussion_models import Comment
from configs_app.json_text import JsonError
from configs_app.members import printable, read
from configs_app.models import Change
from console import audit, live
from console.errors import Refused, storable
from console.models import User
from instances_app.models import Kind

LONGEST = 4000  # characters
SHORTEST_SECRET = 4  # shorter ones cannot be told from words
LONG_SECRET = 8  # from here on it counts as pasted inside of longer words, too
# What somebody would paste of a secret that is written with more around it.
_CORES = (
    re.compile(r"\A(?:Bearer|Basic|Token)\s+(.+)\Z", re.IGNORECASE | re.DOTALL),
    re.compile(r"//[^/@\s:]*:([^@\s]+)@"),
    re.compile(r"\{\$(?:vault:[^}:]+|\w+):([^}]+)\}"),
)


def write(change: Change, *, text: str, actor: User, kind: str = "", entry: str | None = None) -> Comment:
    """Say something about the change, or about one entry of one of its documents.

    Refused for a text that holds a literal secret of these documents: everybody who sees the change reads it.
    """
    text = storable(text).replace("\r\n", "\n").strip()
    if not text:
        raise Refused("Type the comment first.")
    if len(text) > LONGEST:
        raise Refused(f"A comment has up to {LONGEST:,} characters; this one has {len(text):,}. Shorten it.")
    if kind or entry is not None:
        _need_entry(change, kind, entry)
    if secrets_in(change, text):
        with transaction.atomic():
            audit.record("change.comment_refused", actor=actor, target=change, reason="it holds a secret")
        raise Refused(
            "This comment holds a secret of these documents, and everybody who sees the change would read it. "
            "It was not kept. Name the entry and the key instead."
        )
    with transaction.atomic():
        Change.objects.select_for_update(no_key=True).only("pk").get(pk=change.pk)
        comment = Comment.objects.create(
            change=change, kind=kind, key="" if entry is None else json.dumps(entry), text=text, author=actor
        )
        _record("change.commented", comment, actor)
    return comment


def withdraw(comment: Comment, *, actor: User) -> Comment:
    """Take one's own words back. That something was said, when and by whom stays."""
    with transaction.atomic():
        comment = _locked(comment)
        if actor.pk != comment.author_id:
            raise Refused(f"Only {comment.author}, who wrote it, can withdraw this comment.")
        if comment.withdrawn_at is not None:
            raise Refused("This comment is withdrawn already.")
        comment.text, comment.withdrawn_at = "", timezone.now()
        comment.save()
        _record("change.comment_withdrawn", comment, actor)
    return comment


def resolve(comment: Comment, *, actor: User) -> Comment:
    """Nothing is left to do about it."""
    with transaction.atomic():
        comment = _settled(comment, actor)
        if comment.resolved_at is None:
            comment.resolved_at, comment.resolved_by = timezone.now(), actor
            comment.save()
            _record("change.comment_resolved", comment, actor)
    return comment


def reopen(comment: Comment, *, actor: User) -> Comment:
    """There is something left to do about it after all."""
    with transaction.atomic():
        comment = _settled(comment, actor)
        if comment.resolved_at is not None:
            comment.resolved_at = comment.resolved_by = None
            comment.save()
            _record("change.comment_reopened", comment, actor)
    return comment


def may_settle(comment: Comment, person: User) -> bool:
    """Whether this person says what is resolved: whoever wrote the change, or the comment."""
    return person.pk in {comment.author_id, comment.change.author_id}


def without_secrets(change: Change, text: str) -> str:
    """What was typed, to be shown again after a refusal."""
    for secret in sorted(secrets_in(change, text), key=len, reverse=True):
        text = text.replace(secret, "‹secret›")
    return text


def secrets_in(change: Change, text: str) -> set[str]:
    """The literal secrets of the change's documents, of its bases and of what is current that stand in the text."""
    return {secret for secret in _literals(change) if _stands_in(secret, text)}


def _stands_in(secret: str, text: str) -> bool:
    if len(secret) < SHORTEST_SECRET or secret not in text:
        return False
    return len(secret) >= LONG_SECRET or re.search(rf"(?<!\w){re.escape(secret)}(?!\w)", text) is not None


def _literals(change: Change) -> Iterator[str]:
    for text in _texts(change):
        for secret in secrets.values(text):
            yield secret.strip()
            for core in _CORES:
                yield from (found.strip() for found in core.findall(secret))


def _texts(change: Change) -> set[str]:
    kept = list(change.documents.select_related("base"))
    bundle = documents.desired(change.environment)
    revisions = [*(bundle.revisions() if bundle else ()), *(document.base for document in kept if document.base)]
    return {document.text for document in kept} | {revision.text for revision in revisions}


def _need_entry(change: Change, kind: str, entry: str | None) -> None:
    if kind not in Kind.values or entry is None:
        raise Refused("Choose what the comment is about: the change as a whole, or an entry of one document.")
    document = change.documents.filter(kind=kind).select_related("base").first()
    current = documents.current(change.environment, kind)
    texts = [document.text, document.base.text if document.base else None] if document else []
    if not any(entry in _names(text) for text in [*texts, current.text if current else None] if text is not None):
        raise Refused(f"{kind} has no entry {printable(entry)!r}, neither in this change nor as it is current.")


def _names(text: str) -> set[str]:
    try:
        return {member.name for member in read(text)}
    except JsonError:
        return set()


def _settled(comment: Comment, actor: User) -> Comment:
    comment = _locked(comment)
    if not may_settle(comment, actor):
        people = " and ".join(sorted({str(comment.author), str(comment.change.author)}))
        raise Refused(f"Only {people} can say whether this is resolved: who wrote the change, and who commented.")
    if comment.withdrawn_at is not None:
        raise Refused("This comment is withdrawn.")
    return comment


def _locked(comment: Comment) -> Comment:
    query = Comment.objects.select_for_update(of=("self",)).select_related(
        "author", "change__author", "change__environment"
    )
    return query.get(pk=comment.pk)


def _record(action: str, comment: Comment, actor: User) -> None:
    """Never the words; open pages fetch the discussion once it is committed."""
    about: dict[str, Any] = {"comment": comment.pk}
    if comment.entry is not None:
        about |= {"document": comment.kind, "entry": printable(comment.entry)}
    audit.record(action, actor=actor, target=comment.change, **about)
    environment_id, topic = comment.change.environment_id, f"change-{comment.change_id}"
    transaction.on_commit(lambda: live.ping(environment_id, topic), robust=True)
