"""What happened to a change, oldest first. It is read off the audit trail: nothing else keeps books."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from configs_app.discussion_models import Comment
from configs_app.models import Change, Revision
from console.audit_sentences import words
from console.models import AuditEvent

SHOWN = 200  # of one change, the latest
NAMED = 12  # entries of one event
WORDS = {
    "change.opened": "opened the change",
    "change.edited": "edited the documents",
    "change.proposed": "proposed it for approval",
    "change.aimed": "chose where it goes, or its plan",
    "change.dry_run_started": "started a dry run",
    "change.dry_run_finished": "ended the dry run",
    "change.approved": "approved it",
    "change.rejected": "rejected it",
    "change.rebased": "kept the text and put it on today’s base",
    "change.merged": "merged it with what was current",
    "change.withdrawn": "withdrew it",
    "change.published": "published it",
    "change.commented": "commented",
    "change.comment_withdrawn": "withdrew a comment",
    "change.comment_resolved": "marked a comment as resolved",
    "change.comment_reopened": "marked a comment as not resolved",
    "change.comment_refused": "tried to comment with a secret in the text",
    "glass.broken": "published it without waiting for approvals",
    "secret.revealed": "looked at secrets",
}


@dataclass(frozen=True, slots=True)
class Named:
    """One document in an event: its digest then, the revision that has it now, names of entries."""

    kind: str
    digest: str
    revision: Revision | None
    entries: list[str]
    more: int  # entries that are not named


@dataclass(frozen=True, slots=True)
class Moment:
    event: AuditEvent
    words: str
    documents: list[Named] = field(default_factory=list)
    comment: Comment | None = None

    @property
    def detail(self) -> str:
        """What the event says in words of its own: why it was rejected, that approvals are void."""
        data = self.event.data
        if self.event.action == "change.rejected":
            return str(data.get("reason", ""))
        if self.event.action == "change.dry_run_finished":
            return words(data.get("answers"))
        if self.event.action == "change.approved" and data.get("way_back"):
            found = data.get("way_back_errors")
            errors = f"{found} error{'' if found == 1 else 's'} by the rules of then" if found else "valid"
            return f"to be rolled back to {data['way_back']}, {errors}"
        return "approvals given before are void" if data.get("reopened") else ""


def of_change(change: Change) -> tuple[list[Moment], int]:
    """The moments, oldest first, and how many earlier ones are left out."""
    trail = AuditEvent.objects.filter(target_type="change", target_id=str(change.pk)).order_by("-sequence")
    events = list(trail[:SHOWN])[::-1]
    earlier = trail.count() - len(events) if len(events) == SHOWN else 0
    revisions = _revisions(change, events)
    comments = {comment.pk: comment for comment in change.comments.select_related("author")}
    moments = [
        Moment(
            event,
            WORDS.get(event.action) or event.action.partition(".")[2].replace("_", " "),
            list(_named(event, revisions)),
            comments.get(event.data.get("comment", 0)),
        )
        for event in events
    ]
    return moments, earlier


def _named(event: AuditEvent, revisions: dict[tuple[str, str], Revision]) -> Iterator[Named]:
    digests, entries = event.data.get("digests") or {}, event.data.get("entries") or {}
    entries = entries | {kind: _merged(told) for kind, told in (event.data.get("merged") or {}).items()}
    for kind in dict.fromkeys([*digests, *entries]):
        names, digest = list(entries.get(kind, ())), digests.get(kind, "")
        yield Named(kind, digest, revisions.get((kind, digest)), names[:NAMED], max(0, len(names) - NAMED))


def _merged(told: dict[str, object]) -> list[str]:
    """The names of a merge's entries, whichever side they come from."""
    return [str(name) for names in told.values() if isinstance(names, list) for name in names]


def _revisions(change: Change, events: Iterable[AuditEvent]) -> dict[tuple[str, str], Revision]:
    """(document, digest) → the first revision of the environment with that content."""
    digests = {digest for event in events for digest in (event.data.get("digests") or {}).values() if digest}
    found = Revision.objects.filter(document__environment=change.environment, digest__in=digests)
    newest_first = found.select_related("document").defer("content_sealed").order_by("-number")
    return {(revision.document.kind, revision.digest): revision for revision in newest_first}
