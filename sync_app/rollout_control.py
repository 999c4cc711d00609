"""What a person does with a rollout that has not ended: pause, resume, continue, cancel.

Pausing and cancelling work in every state of such a rollout. Locks are taken in one order: environment, rollout, audit.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from django.db import transaction
from django.utils import timezone

from configs_app import documents, reasons
from console import audit
from console.errors import Refused
from console.models import User
from sync_app import draining, freezing, gates, rollouts, tasks, waves
from sync_app.models import WITH_REASON, Rollout, RolloutState


def pause(rollout: Rollout, *, actor: User) -> Rollout:
    """Send nothing until somebody resumes it; what may have arrived is still read back. One that is held stays held."""
    with _locked(rollout) as rollout:
        if rollout.state == RolloutState.RUNNING:
            _hold(rollout, RolloutState.PAUSED, actor)
            audit.record("rollout.paused", actor=actor, target=rollout, wave=rollout.wave)
    return rollout


def resume(rollout: Rollout, *, actor: User) -> Rollout:
    """Go on where it was paused."""
    with _locked(rollout) as rollout:
        if rollout.state == RolloutState.HALTED:
            raise Refused(f"Rollout {rollout.number} is halted, not paused. Continue it with a reason, or end it.")
        if rollout.state == RolloutState.PAUSED:
            freezing.refuse_going_on(rollout)
            _release(rollout)
            audit.record("rollout.resumed", actor=actor, target=rollout, wave=rollout.wave)
    return rollout


def continue_(rollout: Rollout, *, actor: User, reason: str) -> Rollout:
    """Go on although its plan said no: what failed so far is no longer held against it.

    A wave that has ended is followed by the next one; one that has not is sent to its end. In a protected environment
    it takes somebody else than the person who started it: the plan is part of what was approved.
    """
    reason = reasons.tidy(reason, missing="Say why it may go on; the audit trail keeps it.")
    reasons.refuse_secrets(reason, reasons.beside_bundles(rollout.bundle))
    with _locked(rollout) as rollout:
        if rollout.state != RolloutState.HALTED:
            raise Refused(f"Rollout {rollout.number} is {rollout.state}, not halted.")
        if rollout.environment.protected and rollout.author_id == actor.pk:
            raise Refused(f"{rollout.environment} is protected: somebody other than {actor} has to decide to go on.")
        freezing.refuse_going_on(rollout)
        tallies = gates.tallies(rollout)
        counts = gates.total(tallies)
        rollout.overlooked = {str(state): counts[state] for state in WITH_REASON if counts[state]}
        drained = draining.left(rollout).filter(state__in=draining.ANSWERED).count()
        if drained:
            rollout.overlooked[draining.OVERLOOKED] = drained
        _release(rollout)
        if rollout.wave < rollout.waves and not tallies[rollout.wave].unfinished:
            waves.open_next(rollout)
        audit.record(
            "rollout.continued",
            actor=actor,
            target=rollout,
            wave=rollout.wave,
            reason=reason,
            overlooked=rollout.overlooked,
        )
    return rollout


def cancel(rollout: Rollout, *, actor: User) -> Rollout:
    """Send nothing more. What may have arrived is still read back, so that the end is known."""
    with _locked(rollout) as rollout:
        untouched = rollouts.end(rollout, RolloutState.CANCELLED)
        audit.record("rollout.cancelled", actor=actor, target=rollout, untouched=untouched)
        tasks.wake(rollout.pk)
    return rollout


@contextmanager
def _locked(rollout: Rollout) -> Iterator[Rollout]:
    """The rollout as it is now, held until the transaction ends; refused when it has ended."""
    with transaction.atomic():
        documents.lock(rollout.environment)
        found = Rollout.objects.select_for_update(of=("self",)).select_related("environment").get(pk=rollout.pk)
        if not found.is_going:
            raise Refused(f"Rollout {found.number} has ended already: {found.state}.")
        yield found


def _hold(rollout: Rollout, state: RolloutState, actor: User) -> None:
    rollout.state, rollout.held_at, rollout.held_by = state, timezone.now(), actor
    rollout.save(update_fields=["state", "held_at", "held_by"])
    waves.ping(rollout)


def _release(rollout: Rollout) -> None:
    rollout.state, rollout.halt_reason = RolloutState.RUNNING, ""
    rollout.held_at = rollout.held_by = rollout.frozen_by = rollout.asked_at = None
    rollout.save(update_fields=["state", "halt_reason", "overlooked", "held_at", "held_by", "frozen_by", "asked_at"])
    waves.ping(rollout)
    tasks.wake(rollout.pk)
