"""What the audit trail says of typing: one event for a sitting, not one for every autosave.

An event per autosave would bury the trail. The first of a sitting says that somebody is at it; what counts (saved,
proposed, published) is recorded with its own digests. Call these under the change's lock.
"""

from __future__ import annotations

from datetime import timedelta

from django.db.models import QuerySet
from django.utils import timezone

from configs_app.models import Change
from console.models import AuditEvent, User

LONGEST = timedelta(hours=1)  # then the next autosave is an event again


def begins(change: Change, *, actor: User) -> bool:
    """Whether this person's autosave is the first since anything else was recorded of the change."""
    last = _trail(change).first()
    if last is None or last.action != "change.edited" or last.actor_id != actor.pk:
        return True
    return timezone.now() - last.at > LONGEST


def recorded(change: Change, before: dict[str, str]) -> dict[str, str]:
    """The digests (by kind) that the trail knows, older than `before` when autosaves came in between."""
    last = _trail(change).filter(data__has_key="digests").first()
    return last.data["digests"] if last else before


def _trail(change: Change) -> QuerySet[AuditEvent]:
    """Newest first."""
    return AuditEvent.objects.filter(target_type="change", target_id=str(change.pk))
