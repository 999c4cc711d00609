"""The discussion of a change: comments on it as a whole or on one entry, kept as they were written."""

from __future__ import annotations

import json
from typing import Any

from django.db import transaction
from django.utils import timezone

from configs_app import documents, reasons
from configs_app.discussion_models import Comment
from configs_app.json_text import JsonError
from configs_app.members import printable, read
from configs_app.models import Change
from console import audit, live
from console.errors import Refused
from console.models import User
from instances_app.models import Kind

LONGEST = 4000  # characters


def write(change: Change, *, text: str, actor: User, kind: str = "", entry: str | None = None) -> Comment:
    """Say something about the change, or about one entry of one of its documents.

    Refused for a text that holds a literal secret of these documents: everybody who sees the change reads it.
    """
    text = reasons.tidy(text, what="comment", longest=LONGEST, missing="Type the comment first.")
    if kind or entry is not None:
        _need_entry(change, kind, entry)
    try:
        reasons.refuse_secrets(text, reasons.beside_change(change), what="comment")
    except Refused:
        with transaction.atomic():
            audit.record("change.comment_refused", actor=actor, target=change, reason="it holds a secret")
        raise
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
