"""A change's comments as one person sees them: in the discussion, and beside the entries they are about."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from configs_app import comments
from configs_app.diffs import Difference
from configs_app.discussion_models import Comment
from configs_app.models import Change
from console.errors import Refused
from console.models import User

OFFERED = 300  # entries of one document that a comment can be put on from the page


@dataclass(frozen=True, slots=True)
class Said:
    comment: Comment
    mine: bool
    settles: bool  # this person may say what is resolved

    @property
    def about(self) -> str:
        """The form's value for the entry that it is about; see `offered`."""
        return json.dumps([self.comment.kind, self.comment.entry])


def of_change(change: Change, person: User) -> list[Said]:
    """Oldest first."""
    found = change.comments.select_related("author", "resolved_by", "change")
    return [
        Said(comment, mine=comment.author_id == person.pk, settles=comments.may_settle(comment, person))
        for comment in found
    ]


def unresolved(said: Iterable[Said]) -> int:
    return sum(item.comment.is_open for item in said)


def beside(said: Iterable[Said], kind: str, difference: Difference) -> tuple[dict[str, list[Said]], list[Said]]:
    """Comments on entries of one document: by the anchor of the line that they stand below, and those without one."""
    placed: dict[str, list[Said]] = {}
    elsewhere: list[Said] = []
    for item in said:
        if item.comment.kind != kind or item.comment.withdrawn_at is not None:
            continue
        anchor = difference.anchors.get(item.comment.entry or "")
        if anchor is not None and anchor in difference.placed:
            placed.setdefault(anchor, []).append(item)
        else:
            elsewhere.append(item)
    return placed, elsewhere


def offered(differences: Mapping[str, Difference]) -> list[tuple[str, str, str]]:
    """What a comment can be about: value for the form, document, name of the entry."""
    found = []
    for kind, difference in differences.items():
        changes = difference.entries
        if changes is not None:
            lists = (changes.added, changes.changed, changes.removed, changes.moved, changes.key_order)
            names = dict.fromkeys(name for names in (*lists, changes.formatting) for name in names)
            found += [(json.dumps([kind, name]), kind, name) for name in list(names)[:OFFERED]]
    return found


def about(value: str) -> tuple[str, str | None]:
    """The document and the entry that a form's value names; ("", None) for the change as a whole."""
    if not value:
        return "", None
    try:
        kind, entry = json.loads(value)
    except (ValueError, TypeError):
        kind, entry = None, None
    if not isinstance(kind, str) or not isinstance(entry, str):
        raise Refused("Choose what the comment is about: the change as a whole, or an entry.")
    return kind, entry
