"""Telling people outside the console what must not wait until somebody opens a page.

The audit trail is the outbox: it has no gaps and is in commit order. Everything after the last event that was told is
looked through, and what is LOUD is posted to CONSOLE_NOTIFY_URL, one event at a time. A post that gets no 2xx is tried
again from there on, so nothing is left out; whoever receives may see an event twice and knows it by its sequence.
"""

from __future__ import annotations

import logging

import httpx
from django.conf import settings
from django.db.models import Max

from console import __version__
from console.audit_sentences import sentence
from console.models import AuditEvent, NotificationCursor

logger = logging.getLogger(__name__)

LOUD = frozenset(
    {
        "bundle.block_lifted",
        "drift.found",
        "drift.found_many",
        "drift.heal_stopped",
        "environment.loosened",
        "freeze.lifted",
        "freeze.reviewed",
        "freeze.skipped",
        "glass.broken",
        "glass.reviewed",
        "instance.pinned_anew",
        "instances.others_answer",
        "rollout.halted",
        "rollout.rolled_back",
        "rules.reviewed",
        "source.failed",
        "source.held",
    }
)
BATCH = 100  # events in one turn
PATIENCE = 5.0  # seconds


def send_due() -> int:
    """Post what is due; how many events were told. Stops at the first that could not be told."""
    told = 0
    cursor = _cursor()
    due = AuditEvent.objects.filter(sequence__gt=cursor.sequence).order_by("sequence")
    with httpx.Client(timeout=PATIENCE, follow_redirects=False, trust_env=False) as client:
        for event in due.filter(action__in=LOUD)[:BATCH]:
            if not _post(client, event):
                return told
            told += 1
            _advance(cursor, event.sequence)
    if told < BATCH:
        _advance(cursor, due.aggregate(last=Max("sequence"))["last"] or cursor.sequence)
    return told


def forget() -> None:
    """Nobody is to be told: whoever is later hears of what happens then."""
    NotificationCursor.objects.all().delete()


def message(event: AuditEvent) -> dict[str, object]:
    """What is posted: `text` is for people, as chat services show it; the rest for programs."""
    where = f"{event.environment}: " if event.environment else ""
    return {
        "text": f"{where}{event.actor_name} — {sentence(event)}",
        "action": event.action,
        "actor": event.actor_name,
        "environment": event.environment,
        "target": event.target_label,
        "at": event.at.isoformat(timespec="seconds"),
        "sequence": event.sequence,
        "url": f"{settings.PUBLIC_URL}/audit/{event.sequence}/" if settings.PUBLIC_URL else "",
    }


def _cursor() -> NotificationCursor:
    """The last event that was told. The first time it is the newest one: nobody wants to hear of last year."""
    newest = AuditEvent.objects.aggregate(last=Max("sequence"))["last"] or 0
    return NotificationCursor.objects.get_or_create(pk=1, defaults={"sequence": newest})[0]


def _advance(cursor: NotificationCursor, sequence: int) -> None:
    """Compare and set: a worker that was slower does not put it back."""
    NotificationCursor.objects.filter(pk=1, sequence__lt=sequence).update(sequence=sequence)
    cursor.sequence = sequence


def _post(client: httpx.Client, event: AuditEvent) -> bool:
    """Whether it was taken. The address may hold a secret, so the log names the event and the status only."""
    try:
        answer = client.post(
            settings.NOTIFY_URL, json=message(event), headers={"User-Agent": f"webhook-console/{__version__}"}
        )
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        logger.warning("Event %s could not be told: %s. It is tried again.", event.sequence, type(error).__name__)
        return False
    if not answer.is_success:
        logger.warning("Event %s could not be told: HTTP %s. It is tried again.", event.sequence, answer.status_code)
    return answer.is_success
