"""How a rollout begins: publish, start, retry. What becomes of it is in `rollout_control` and `rollbacks`.

One path for everything that changes an instance: whatever the reason, it is a rollout to the desired bundle,
created with its deliveries in one transaction. Locks are taken in one order: environment, rollout, audit.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping, Sequence, Set
from typing import Any

from django.conf import settings
from django.db import transaction
from django.db.models import Max
from django.utils import timezone

from configs_app import changes, documents
from configs_app.models import Bundle, Change
from console import audit
from console.errors import Refused
from console.models import User
from instances_app import plans
from instances_app.models import Environment, Instance
from instances_app.plans import Plan
from sync_app import alone, blocklist, deliveries, freezing, maintenance, push, tasks, waves
from sync_app.models import GOING, UNFINISHED, WITH_REASON, Cause, Delivery, DeliveryState, Rollout, RolloutState


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
        documents.lock(change.environment)
        lock_going(change.environment)  # before the audit trail is held
        changes.publish(change, actor=actor, glass_reason=glass_reason)
        change.refresh_from_db()  # what was proposed last
        if change.environment.protected:
            instances = changes.targets_of(change) or []
            _refuse_carrying(change.environment, instances)
        rollout = start(
            change.environment,
            actor=actor,
            cause=Cause.PUBLISH,
            instances=instances if instances is not None else change.targets,
            change=change,
            supersede=supersede,
        )
        _refuse_other_waves(rollout, approved=changes.waves_of(change))
    return rollout


def plan_for(environment: Environment, change: Change | None = None) -> Plan:
    """In which waves: as the change says, where protected as it was approved; else as the environment does."""
    return changes.plan_of(change) if change is not None else Plan.of(environment.plan)


def going(environment: Environment) -> Rollout | None:
    """The environment's rollout that has not ended."""
    return Rollout.objects.filter(environment=environment, state__in=GOING).first()


def lock_going(environment: Environment) -> Rollout | None:
    """The same, held until the transaction ends."""
    return Rollout.objects.select_for_update().filter(environment=environment, state__in=GOING).first()


def start(
    environment: Environment,
    *,
    actor: User | None,
    cause: Cause,
    instances: Collection[int] | None = None,
    change: Change | None = None,
    retries: Rollout | None = None,
    plan: Plan | None = None,
    supersede: bool = False,
    carry: bool = True,
) -> Rollout:
    """Bring instances (None: every managed one) to the environment's desired bundle, in the waves of the plan.

    Refused in a freeze, for a bundle that is blocked, and while another rollout has not ended, unless that is to be
    superseded; then the new one also takes over the instances that the old one has not finished (`carry`). Instances
    in maintenance are left out, by name.
    """
    with transaction.atomic():
        environment = documents.lock(environment)
        freezing.refuse(environment, cause=cause)
        bundle = documents.desired(environment)
        if bundle is None:
            raise Refused(f"{environment} has no revisions yet. Import or publish its documents first.")
        blocklist.refuse_blocked(bundle)
        managed = Instance.objects.managed().filter(environment=environment)
        wanted = {one.pk: one for one in managed.values_list("pk", "name", "labels", named=True)}  # no models: cheaper
        chosen = set(wanted) if instances is None else wanted.keys() & set(instances)
        old = lock_going(environment)
        if old is not None:
            if not supersede:
                raise Refused(f"Rollout {old.number} is still {old.state}. Wait for it, cancel it, or supersede it.")
            if carry:
                unfinished = old.deliveries.filter(state__in=UNFINISHED).values_list("instance_id", flat=True)
                chosen |= wanted.keys() & set(unfinished)
        if not chosen:
            raise Refused(
                "No instance is chosen. Register one, or choose at least one that is managed and not retired."
            )
        alone.refuse(bundle, environment=environment, cause=cause, actor=actor, chosen=chosen)
        plan = plan or plan_for(environment, change or alone.published_by(bundle))
        left_out = maintenance.among(managed, chosen)
        if len(left_out) == len(chosen):
            raise Refused(f"Every chosen instance is in maintenance: {maintenance.names(left_out)}. End that first.")
        approved = change is not None and environment.protected
        made = _waves(plan, [wanted[pk] for pk in chosen], {one["id"] for one in left_out}, approved=approved)
        if old is not None:
            end(old, RolloutState.SUPERSEDED)
        rollout = _create(
            environment,
            bundle=bundle,
            author=actor,
            cause=cause,
            change=change,
            retries=retries,
            plan=plan.data,
            waves=len(made),
            left_out=left_out,
        )
        deliveries.create(rollout, made)
        if old is not None:
            old.superseded_by = rollout
            old.save(update_fields=["superseded_by"])
            tasks.wake(old.pk)
        audit.record(
            "rollout.started",
            actor=actor,
            target=rollout,
            cause=str(cause),
            bundle=str(bundle),
            digests=bundle.digests(),
            instances=len(chosen) - len(left_out),
            left_out=[one["name"] for one in left_out],
            waves=[len(wave) for wave in made],
            superseded=old.number if old else None,
        )
        tasks.wake(rollout.pk, turns=push.turns(plan, made))
    return rollout


def retry(rollout: Rollout, *, actor: User, unstarted: bool = True) -> Rollout:
    """A new rollout of today's desired bundle for the instances that failed in this one, and those not started.

    Of a halted one it takes over what is not finished, in waves of its own.
    """
    with transaction.atomic():
        environment = documents.lock(rollout.environment)
        lock_going(environment)  # nobody continues it meanwhile
        rollout = Rollout.objects.get(pk=rollout.pk)
        if rollout.state in {RolloutState.RUNNING, RolloutState.PAUSED}:
            raise Refused(f"Rollout {rollout.number} is still {rollout.state}; it retries by itself.")
        left = rollout.deliveries.exclude(state=DeliveryState.VERIFIED)
        if not unstarted:
            left = left.filter(state__in=[*WITH_REASON, DeliveryState.UNKNOWN])
        chosen = set(left.values_list("instance_id", flat=True))
        if not chosen:
            raise Refused(f"Rollout {rollout.number} left nothing to retry.")
        return start(
            environment,
            actor=actor,
            cause=Cause.RETRY,
            instances=chosen,
            retries=rollout,
            supersede=rollout.state == RolloutState.HALTED,
        )


def _waves(plan: Plan, instances: Sequence[plans.Member], left_out: Set[int], *, approved: bool) -> list[list[int]]:
    """The ids in each wave, without those that are left out.

    Approved waves stay as they were approved: nobody else moves up into the first one. Otherwise they are made anew of
    those that are sent to.
    """
    if not approved:
        return [[one.pk for one in wave] for wave in plans.waves(plan, (i for i in instances if i.pk not in left_out))]
    whole = plans.waves(plan, instances)
    made = [[one.pk for one in wave if one.pk not in left_out] for wave in whole]
    for number, wave in enumerate(made, start=1):
        if not wave:
            names = ", ".join(sorted(one.name for one in whole[number - 1])[:3])
            raise Refused(
                f"Wave {number}, as it was approved, has only {names}, in maintenance. End that first, or propose the "
                "change again with another canary."
            )
    return made


def _refuse_carrying(environment: Environment, approved: Collection[int]) -> None:
    """Superseding also brings the bundle to the instances which the old rollout has not finished."""
    left = Delivery.objects.filter(
        rollout__environment=environment, rollout__state__in=GOING, state__in=UNFINISHED
    ).exclude(instance__in=approved)
    names = sorted(left.values_list("instance__name", flat=True))
    if names:
        raise Refused(
            f"The rollout before has not finished with {names[0]}{f' and {len(names) - 1} more' * (len(names) > 1)}, "
            "which this change was not approved for. Wait for it, or cancel it first."
        )


def _refuse_other_waves(rollout: Rollout, *, approved: Mapping[int, int] | None) -> None:
    """An instance may get another name or label between the look at the approvals and this, for nothing locks it."""
    made = rollout.deliveries.values_list("instance_id", "wave")
    if approved is not None and any(approved.get(pk) != wave for pk, wave in made):
        raise Refused("An instance was changed at this very moment and would be in another wave. Look again.")


def end(rollout: Rollout, state: RolloutState) -> int:
    """Send nothing more of it; the caller holds its lock. How many deliveries ended unsent."""
    rollout.state, rollout.finished_at = state, timezone.now()
    rollout.save(update_fields=["state", "finished_at"])
    waves.ping(rollout)
    return deliveries.end_waiting(rollout)


def _create(environment: Environment, *, bundle: Bundle, **columns: Any) -> Rollout:
    last = Rollout.objects.filter(environment=environment).aggregate(number=Max("number"), sequence=Max("sequence"))
    return Rollout.objects.create(
        environment=environment,
        number=(last["number"] or 0) + 1,
        bundle=bundle,
        sequence=max((last["sequence"] or 0) + 1, time.time_ns() // 1_000_000),
        max_attempts=settings.MAX_ATTEMPTS,
        **columns,
    )
