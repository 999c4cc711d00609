"""Setting and lifting freezes, and what they forbid.

A freeze and a rollout's start take the environment's row first, so one of them is before the other: a rollout that
starts afterwards is refused, one that was before goes on or is paused, as the freeze says.
"""

from __future__ import annotations

from django.db import transaction
from django.utils import timezone

from configs_app import documents, reasons
from console import access, audit
from console.errors import Refused
from console.models import User
from instances_app import freezes, late_reviews
from instances_app.freeze_models import FIRST, LAST, Freeze
from instances_app.models import Environment, LateReview
from sync_app import tasks
from sync_app.models import GOING, Cause, Rollout

WAYS = "Cancelling, pausing and rolling back stay possible."


def add(freeze: Freeze, *, actor: User) -> Freeze:
    """Set a freeze or a maintenance window (a new, unsaved row).

    A window beside others lets rollouts start at more times: in a protected environment that opens a late review.
    """
    freeze.reason = reasons.tidy(freeze.reason, missing="Say why; it is what people read when a rollout is refused.")
    with transaction.atomic():
        environment = documents.lock(freeze.environment)
        reasons.refuse_secrets(freeze.reason, reasons.current(environment))
        if freeze.starts_at is not None and freeze.kind == Freeze.Kind.WINDOW:
            raise Refused("A maintenance window recurs every week. For one single time, set a freeze around it.")
        if freeze.starts_at is not None and freeze.ends_at is not None and freeze.ends_at <= timezone.now():
            raise Refused("That time is over already.")
        if any(one is not None and not FIRST <= one <= LAST for one in (freeze.starts_at, freeze.ends_at)):
            raise Refused("Choose days from 2000 to 2100; leave the end empty when it is not known yet.")
        if freeze.zone not in freezes.zones():
            raise Refused(f"No time zone is called {freeze.zone[:60]!r}. Choose one like Europe/Berlin.")
        looser = freezes.looser_with(environment, freeze)
        freeze.by = actor
        freeze.save()
        if looser and environment.protected:
            _review(
                environment, f"{actor} added a maintenance window: {freezes.schedule(freeze)}.", freeze.reason, actor
            )
        audit.record(
            "freeze.set",
            actor=actor,
            target=environment,
            noun=freeze.noun,
            schedule=freezes.schedule(freeze),
            policy=freeze.policy,
            reason=freeze.reason,
            looser=looser,
        )
        for pk in Rollout.objects.filter(environment=environment, state__in=GOING).values_list("pk", flat=True):
            tasks.wake(pk)  # it may have to pause
    return freeze


def lift(freeze: Freeze, *, reason: str, this_time: bool = False, actor: User) -> Freeze:
    """Let rollouts start again before its end; with `this_time`, a weekly one comes back the next week.

    In a protected environment that opens a late review, as every rule that becomes looser does.
    """
    reason = reasons.tidy(reason, missing="Say why; the audit trail keeps it.")
    with transaction.atomic():
        environment = documents.lock(freeze.environment)
        freeze = Freeze.objects.select_related("environment", "by").get(pk=freeze.pk)
        reasons.refuse_secrets(reason, reasons.current(environment))
        now = timezone.now()
        if freeze.lifted_at is not None:
            raise Refused("It has been lifted already.")
        if freeze.ends_at is not None and freeze.ends_at <= now:
            raise Refused("It is over already.")
        if this_time and not skippable(freeze):
            raise Refused("Only a weekly freeze that holds right now can be lifted for this time.")
        looser = freezes.looser_without(freeze)
        if looser and environment.protected:  # before the freeze changes: the database looks for it
            which = "for this time" if this_time else "for good" if freeze.starts_at is None else "before its end"
            _review(environment, f"{actor} lifted a {freeze.noun} {which}: {freezes.schedule(freeze)}.", reason, actor)
        if this_time:
            freeze.skipped_until = now
            freeze.save(update_fields=["skipped_until"])
        else:
            freeze.lifted_at, freeze.lifted_by, freeze.lift_reason = now, actor, reason
            freeze.save(update_fields=["lifted_at", "lifted_by", "lift_reason"])
        audit.record(
            "freeze.skipped" if this_time else "freeze.lifted",
            actor=actor,
            target=environment,
            noun=freeze.noun,
            schedule=freezes.schedule(freeze),
            why=freeze.reason,
            reason=reason,
            looser=looser,
        )
    return freeze


def skippable(freeze: Freeze) -> bool:
    """A weekly freeze whose time it is."""
    now = timezone.now()
    weekly = freeze.starts_at is None and freeze.kind == Freeze.Kind.FREEZE
    return weekly and any(
        one.since <= now and one.until is not None and now < one.until for one in freezes.times(freeze, now, now)
    )


def refuse(environment: Environment, *, cause: str) -> None:
    """For a rollout that is about to start. The caller holds the environment's lock.

    A rollback may: what it brings was the desired state before, and it takes away something that is worse.
    """
    if cause == Cause.ROLLBACK:
        return
    found = freezes.frozen(environment)
    if found is not None:
        raise Refused(f"{found.words} No rollout starts meanwhile. {WAYS} {lifting(environment)}")


def refuse_going_on(rollout: Rollout) -> None:
    """For a rollout that is held and is to go on, while a freeze pauses what runs."""
    if rollout.cause == Cause.ROLLBACK:
        return
    found = freezes.pausing(rollout.environment)
    if found is not None:
        raise Refused(f"{found.words} It pauses rollouts, too. {WAYS} {lifting(rollout.environment)}")


def lifting(environment: Environment) -> str:
    """Who can end it early, in a sentence."""
    names = access.who_can("freeze.lift", environment)
    return f"These people can lift it, with a reason: {', '.join(names)}." if names else "Nobody here can lift it."


def _review(environment: Environment, subject: str, reason: str, actor: User) -> None:
    late_reviews.open_for(environment, cause=LateReview.Cause.FREEZE, subject=subject, reason=reason, actor=actor)
