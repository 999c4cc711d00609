"""Everything that moves a Rollout by itself: its next wave opens, its plan halts it, its last delivery closes it.

All of it happens in `advance`, under the rollout's lock: by whichever worker comes first, once.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import timedelta

from django.db import transaction
from django.db.models import Min, QuerySet
from django.utils import timezone

from console import audit, live
from console.models import User
from instances_app import freezes
from instances_app.freezes import Frozen
from instances_app.plans import Plan
from sync_app import comparing, deliveries, draining, gates, maintenance
from sync_app.gates import Tally
from sync_app.models import FINAL, UNFINISHED, WAITING, Cause, Delivery, DeliveryState, Rollout, RolloutState

PATIENCE = timedelta(minutes=5)  # for answers after the soak; then a person decides


@dataclass(frozen=True, slots=True)
class Step:
    """What to do next about a rollout."""

    delay: float | None = None  # seconds until its next delivery is due, or its soak is over; None: nothing to wait for
    look: bool = False  # ask the instances of the open wave how they are, then advance again
    opened: bool = False  # a wave has just opened
    compare: bool = False  # ask canaries and untouched instances, then advance again


def advance(rollout_id: int) -> Step:
    """Open the next wave, halt or close the rollout if it is time; else say what it waits for.

    Safe to call twice, at any time, by anybody.
    """
    step = Step()
    with transaction.atomic():
        rollout = (
            Rollout.objects.select_for_update(of=("self",))
            .select_related("environment", "bundle__webhooks__document", "bundle__connections__document")
            .defer("bundle__webhooks__content_sealed", "bundle__connections__content_sealed")
            .get(pk=rollout_id)
        )
        maintenance.skip(rollout)
        tallies = gates.tallies(rollout)
        counts = gates.total(tallies)
        if not any(counts[state] for state in UNFINISHED):
            if rollout.is_going and not _waits_for_undrain(rollout):
                _close(rollout, counts)
            return step
        if rollout.state == RolloutState.RUNNING:
            step = _pass(rollout, tallies)
        elif not rollout.is_going and any(counts[state] for state in WAITING):
            deliveries.end_waiting(rollout)  # an attempt ended while somebody cancelled
    delay = _due(rollout)
    return step if delay is None else replace(step, delay=delay)


def open_next(rollout: Rollout, *, actor: User | None = None) -> None:
    """Let the next wave be sent. The caller holds the rollout's lock."""
    rollout.wave += 1
    rollout.wave_opened_at, rollout.asked_at = timezone.now(), None
    rollout.save(update_fields=["wave", "wave_opened_at", "asked_at"])
    audit.record("rollout.wave_opened", actor=actor, target=rollout, wave=rollout.wave, of=rollout.waves)
    ping(rollout)


def ping(rollout: Rollout) -> None:
    """Tell open pages, once the transaction has committed."""
    environment_id, topic = rollout.environment_id, f"rollout-{rollout.pk}"
    transaction.on_commit(lambda: live.ping(environment_id, topic, "fleet"), robust=True)


def _pass(rollout: Rollout, tallies: Mapping[int, Tally]) -> Step:
    """Pause for a freeze, halt, open the gate, or wait at it."""
    freeze = freezes.pausing(rollout.environment) if rollout.cause != Cause.ROLLBACK else None
    if freeze is not None:
        _freeze(rollout, freeze)
        return Step()
    conditions = gates.conditions(rollout, tallies)
    refused = [condition.text for condition in conditions if condition.met is False]
    waiting = [condition for condition in conditions if condition.met is None]
    if refused:
        _halt(rollout, f"Wave {rollout.wave}: {'; '.join(refused)}.", tallies)
    elif rollout.wave < rollout.waves and not waiting:
        open_next(rollout)
        return Step(opened=True)
    elif _compares(rollout, tallies):
        return Step(compare=True)
    elif any(condition.look for condition in waiting):
        if rollout.asked_at is None:
            rollout.asked_at = timezone.now()
            rollout.save(update_fields=["asked_at"])
        elif timezone.now() - rollout.asked_at > PATIENCE:
            _halt(rollout, f"Wave {rollout.wave}: {waiting[0].text}, and were asked for five minutes.", tallies)
            return Step()
        return Step(look=True)
    return Step(delay=next((condition.wait for condition in waiting if condition.wait is not None), None))


def _compares(rollout: Rollout, tallies: Mapping[int, Tally]) -> bool:
    plan = Plan.of(rollout.plan)
    sent = gates.soak_until(plan, tallies.get(rollout.wave, Tally())) is not None
    return sent and comparing.due(rollout, plan)


def _due(rollout: Rollout) -> float | None:
    waiting: QuerySet[Delivery] = rollout.deliveries.filter(wave__lte=rollout.wave)
    waiting = waiting.exclude(state__in=[*FINAL, DeliveryState.SENDING])
    if rollout.state != RolloutState.RUNNING:
        waiting = waiting.filter(state=DeliveryState.UNKNOWN)
    if waiting.filter(next_attempt_at=None).exists():
        return 0.0
    due = waiting.aggregate(at=Min("next_attempt_at"))["at"]
    return None if due is None else max(0.0, (due - timezone.now()).total_seconds())


def _halt(rollout: Rollout, reason: str, tallies: Mapping[int, Tally]) -> None:
    rollout.state, rollout.halt_reason = RolloutState.HALTED, reason[:500]
    rollout.held_at, rollout.held_by = timezone.now(), None
    rollout.save(update_fields=["state", "halt_reason", "held_at", "held_by"])
    counts = dict(gates.total(tallies))
    audit.record(
        "rollout.halted", actor=None, target=rollout, wave=rollout.wave, reason=rollout.halt_reason, deliveries=counts
    )
    ping(rollout)


def _freeze(rollout: Rollout, freeze: Frozen) -> None:
    rollout.state, rollout.frozen_by = RolloutState.PAUSED, freeze.by
    rollout.held_at, rollout.held_by = timezone.now(), None
    rollout.save(update_fields=["state", "frozen_by", "held_at", "held_by"])
    audit.record("rollout.frozen", actor=None, target=rollout, wave=rollout.wave, reason=freeze.words)
    ping(rollout)


def _waits_for_undrain(rollout: Rollout) -> bool:
    """Beat asks what is still drained; after PATIENCE the rollout ends without, as incomplete."""
    recent = draining.left(rollout).filter(changed_at__gt=timezone.now() - PATIENCE)
    return "drain" in rollout.plan and recent.exists()


def _close(rollout: Rollout, counts: Mapping[str, int]) -> None:
    all_verified = set(counts) <= {DeliveryState.VERIFIED}
    if "drain" in rollout.plan:
        all_verified = all_verified and not draining.left(rollout).exists()
    rollout.state = RolloutState.SUCCEEDED if all_verified else RolloutState.INCOMPLETE
    rollout.finished_at = timezone.now()
    rollout.save(update_fields=["state", "finished_at"])
    audit.record("rollout.finished", actor=None, target=rollout, state=rollout.state, deliveries=dict(counts))
    ping(rollout)
