"""Everything a person does with a rollout: publish, start, cancel, retry.

One path for everything that changes an instance: whatever the reason, it is a rollout to the desired bundle,
created with its deliveries in one transaction. Locks are taken in one order: environment, rollout, audit.
"""

from __future__ import annotations

import time
from collections.abc import Collection

from django.conf import settings
from django.db import transaction
from django.db.models import Max
from django.utils import timezone

from configs_app import changes, documents
from configs_app.models import Change
from console import audit, live
from console.errors import Refused
from console.models import User
from instances_app.models import Environment, Instance
from sync_app import deliveries, tasks
from sync_app.models import UNFINISHED, Cause, Delivery, DeliveryState, Rollout, RolloutState


def publish(
    change: Change,
    *,
    actor: User,
    instances: Collection[int] | None = None,
    supersede: bool = False,
    glass_reason: str | None = None,
) -> Rollout:
    """Make the change the desired state and start bringing it to all instances, or to these, as one step.

    In a protected environment it goes to the instances that were approved, whatever is chosen here.
    With a `glass_reason` an admin does not wait for the approvals; everything else is the same.
    """
    with transaction.atomic():
        changes.publish(change, actor=actor, glass_reason=glass_reason)
        change.refresh_from_db()  # what was proposed last; its plan: changes.plan_of(change)
        if change.environment.protected:
            instances = changes.targets_of(change) or []
            _refuse_carrying(change.environment, instances)
        return start(
            change.environment,
            actor=actor,
            cause=Cause.PUBLISH,
            instances=instances,
            change=change,
            supersede=supersede,
        )


def start(
    environment: Environment,
    *,
    actor: User | None,
    cause: Cause,
    instances: Collection[int] | None = None,
    change: Change | None = None,
    retries: Rollout | None = None,
    supersede: bool = False,
) -> Rollout:
    """Bring instances (None: every active one) to the environment's desired bundle.

    Refused while another rollout runs there, unless it is to be superseded; then the new one also takes over the
    instances that the old one has not finished.
    """
    with transaction.atomic():
        environment = documents.lock(environment)
        bundle = documents.desired(environment)
        if bundle is None:
            raise Refused(f"{environment} has no revisions yet. Import or publish its documents first.")
        wanted = set(Instance.objects.active().filter(environment=environment).values_list("pk", flat=True))
        chosen = wanted if instances is None else wanted & set(instances)
        running = (
            Rollout.objects.select_for_update().filter(environment=environment, state=RolloutState.RUNNING).first()
        )
        if running is not None:
            if not supersede:
                raise Refused(f"Rollout {running.number} is still running. Wait for it, cancel it, or supersede it.")
            unfinished = running.deliveries.filter(state__in=UNFINISHED).values_list("instance_id", flat=True)
            chosen |= wanted & set(unfinished)
        if not chosen:
            raise Refused("No instance is chosen. Register one, or choose at least one that is not retired.")
        rollout = _create(environment, bundle_id=bundle.pk, actor=actor, cause=cause, change=change, retries=retries)
        Delivery.objects.bulk_create(
            [Delivery(rollout=rollout, instance_id=pk, kinds=list(bundle.digests())) for pk in sorted(chosen)],
            batch_size=2000,
        )
        audit.record(
            "rollout.started",
            actor=actor,
            target=rollout,
            cause=str(cause),
            bundle=str(bundle),
            digests=bundle.digests(),
            instances=len(chosen),
            superseded=running.number if running else None,
        )
        tasks.wake(rollout.pk)
    return rollout


def cancel(rollout: Rollout, *, actor: User) -> Rollout:
    """Send nothing more. What may have arrived is still read back, so that the end is known."""
    with transaction.atomic():
        documents.lock(rollout.environment)
        rollout = Rollout.objects.select_for_update().get(pk=rollout.pk)
        if rollout.state != RolloutState.RUNNING:
            raise Refused(f"Rollout {rollout.number} has ended already: {rollout.state}.")
        untouched = _end(rollout, RolloutState.CANCELLED, DeliveryState.CANCELLED)
        audit.record("rollout.cancelled", actor=actor, target=rollout, untouched=untouched)
        tasks.wake(rollout.pk)
        environment_id, topic = rollout.environment_id, f"rollout-{rollout.pk}"
        transaction.on_commit(lambda: live.ping(environment_id, topic, "fleet"), robust=True)
    return rollout


def retry(rollout: Rollout, *, actor: User) -> Rollout:
    """A new rollout of today's desired bundle for the instances that this one left unverified."""
    if rollout.state == RolloutState.RUNNING:
        raise Refused(f"Rollout {rollout.number} is still running; it retries by itself.")
    left = rollout.deliveries.exclude(state=DeliveryState.VERIFIED).values_list("instance_id", flat=True)
    return start(rollout.environment, actor=actor, cause=Cause.RETRY, instances=set(left), retries=rollout)


def _refuse_carrying(environment: Environment, approved: Collection[int]) -> None:
    """Superseding also brings the bundle to the instances which the old rollout has not finished."""
    left = Delivery.objects.filter(
        rollout__environment=environment, rollout__state=RolloutState.RUNNING, state__in=UNFINISHED
    ).exclude(instance__in=approved)
    names = sorted(left.values_list("instance__name", flat=True))
    if names:
        raise Refused(
            f"The running rollout has not finished with {names[0]}{f' and {len(names) - 1} more' * (len(names) > 1)}, "
            "which this change was not approved for. Wait for it, or cancel it first."
        )


def _create(
    environment: Environment,
    *,
    bundle_id: int,
    actor: User | None,
    cause: Cause,
    change: Change | None,
    retries: Rollout | None,
) -> Rollout:
    running = Rollout.objects.filter(environment=environment, state=RolloutState.RUNNING).first()
    last = Rollout.objects.filter(environment=environment).aggregate(number=Max("number"), sequence=Max("sequence"))
    if running is not None:
        _end(running, RolloutState.SUPERSEDED, DeliveryState.SUPERSEDED)
    rollout = Rollout.objects.create(
        environment=environment,
        number=(last["number"] or 0) + 1,
        bundle_id=bundle_id,
        change=change,
        cause=cause,
        sequence=max((last["sequence"] or 0) + 1, time.time_ns() // 1_000_000),
        max_attempts=settings.MAX_ATTEMPTS,
        author=actor,
        retries=retries,
    )
    if running is not None:
        running.superseded_by = rollout
        running.save(update_fields=["superseded_by"])
        tasks.wake(running.pk)
    return rollout


def _end(rollout: Rollout, state: RolloutState, waiting_become: DeliveryState) -> int:
    rollout.state, rollout.finished_at = state, timezone.now()
    rollout.save(update_fields=["state", "finished_at"])
    return deliveries.end_waiting(rollout, state=waiting_become)
