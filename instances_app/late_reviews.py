"""Reviews after the fact: what somebody did alone in a protected environment waits here for another person."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from datetime import timedelta
from typing import Any

from django.conf import settings
from django.contrib.auth.models import AnonymousUser
from django.db import transaction
from django.db.models import QuerySet
from django.utils import timezone

from console import access, audit
from console.errors import Refused
from console.models import User
from instances_app.models import Environment, LateReview

logger = logging.getLogger(__name__)

LEAST_REASON = 20  # characters: a sentence, not a shrug


def open_for(
    environment: Environment,
    *,
    cause: LateReview.Cause,
    subject: str,
    reason: str,
    actor: User,
    had_part: Iterable[int] = (),
) -> LateReview:
    """Ask others to look at it, within REVIEW_DAYS. Belongs into the transaction of the deed, which records it."""
    reason = need_reason(reason)
    review = LateReview.objects.create(
        environment=environment,
        cause=cause,
        subject=subject[:500],
        reason=reason,
        by=actor,
        excluded=sorted({actor.pk, *had_part}),
        due_at=timezone.now() + timedelta(days=settings.REVIEW_DAYS),
    )
    # The reason stays out of the log: it is free text and may hold anything.
    transaction.on_commit(
        lambda: logger.warning("%s, in %s by %s: waits for a review", subject, environment, actor.username)
    )
    return review


def open_if_looser(environment: Environment, looser: list[str], *, reason: str, actor: User) -> dict[str, Any]:
    """The same for rules that become `looser`, a sentence each; what the event of it says of the review.

    Nothing, where they do not. Before the environment changes: the database looks for the review.
    """
    if not looser:
        return {}
    review = open_for(
        environment,
        cause=LateReview.Cause.RULES,
        subject=f"{actor.username} loosened the rules. {' '.join(looser)}",
        reason=reason,
        actor=actor,
    )
    return {"looser": looser, "reason": review.reason, "review": review.pk}


def need_reason(reason: str) -> str:
    """The reason as it is kept; refused when it is none."""
    reason = reason.strip()[:500]
    if len(reason) < LEAST_REASON:
        raise Refused(f"Give a reason of at least {LEAST_REASON} characters; whoever reviews this later reads it.")
    return reason


def open_ones(user: User | AnonymousUser) -> QuerySet[LateReview]:
    """What waits in the environments that this person sees, the most urgent first."""
    return (
        LateReview.objects.filter(closed_at=None, environment__in=Environment.objects.visible_to(user))
        .select_related("environment", "by")
        .order_by("due_at", "pk")
    )


def may_close(review: LateReview, person: User) -> bool:
    """Whoever may approve there and had no part in it."""
    return person.pk not in review.excluded and access.allows(person, "change.review", review.environment)


def close(review: LateReview, *, note: str, actor: User) -> LateReview:
    """Say what one found; with that it is off everybody's pages."""
    note = note.strip()[:500]
    with transaction.atomic():
        review = LateReview.objects.select_for_update(of=("self",)).select_related("environment").get(pk=review.pk)
        if review.closed_at is not None:
            raise Refused(f"{review.closed_by} has closed this review already.")
        if not may_close(review, actor):
            raise Refused("Somebody who may approve changes here and had no part in this has to close it.")
        if not note:
            raise Refused("Say what you found; the note stays with the review.")
        review.closed_at, review.closed_by, review.note = timezone.now(), actor, note
        review.save(update_fields=["closed_at", "closed_by", "note"])
        audit.record(f"{review.cause}.reviewed", actor=actor, target=review, note=note, by=review.by.username)
    return review
