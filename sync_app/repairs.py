"""What people do about a drift: overwrite it with the desired bundle, or make it a change."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from django.db import transaction
from django.utils import timezone

from configs_app import changes, documents
from configs_app.models import Change
from console import audit
from console.errors import Refused
from console.models import User
from instances_app.models import Environment
from sync_app import drift, maintenance, rollouts
from sync_app.drift import Drifting
from sync_app.models import Cause, Drift, LiveCopy, Repair, Rollout

NAMED = 20  # instances in one audit event


def overwrite(environment: Environment, kind: str, short: str, *, instances: Collection[int], actor: User) -> Rollout:
    """Bring those of the instances that still drift to this content back to the desired bundle, both documents."""
    with transaction.atomic():
        environment = documents.lock(environment)
        bundle = documents.desired(environment)
        chosen = {one.instance_id for one in drift.members(bundle, kind, short, instances=instances)}
        if not chosen:
            raise Refused("None of the chosen instances drifts to this content any more. Look again.")
        overwritten = drift.members(bundle, instances=chosen)
        rollout = rollouts.start(environment, actor=actor, cause=Cause.REPAIR, instances=chosen)
        sent_to = set(rollout.deliveries.values_list("instance_id", flat=True))  # not those in maintenance
        overwritten = [one for one in overwritten if one.instance_id in sent_to]
        record(rollout, overwritten, by_itself=False)
        audit.record(
            "drift.overwritten",
            actor=actor,
            target=rollout,
            kind=kind,
            digest=short,
            instances=len(sent_to),
            names=sorted({one.name for one in overwritten})[:NAMED],
            left_out=maintenance.names(rollout.left_out[:NAMED]) or None,
        )
    return rollout


def record(rollout: Rollout, overwritten: Iterable[Drifting], *, by_itself: bool) -> None:
    """What a rollout is sent over, in its transaction."""
    Repair.objects.bulk_create(
        [
            Repair(rollout=rollout, instance_id=one.instance_id, kind=one.kind, short=one.short, by_itself=by_itself)
            for one in overwritten
        ]
    )


def adopt(environment: Environment, kind: str, short: str, *, actor: User) -> Change:
    """A draft with what runs there, on today's revision; from there on it goes the way of every change."""
    with transaction.atomic():
        environment = documents.lock(environment)
        bundle = documents.desired(environment)
        copy = copy_of(environment, kind, short)
        if bundle is None or copy is None:
            raise Refused("What runs there has not been read yet. Read it first.")
        there = drift.members(bundle, kind, short)
        since = min((one.since for one in there), default=timezone.now())
        base = bundle.revision(kind)
        change = changes.open_draft(environment, actor=actor, title=f"Adopt {kind} of {copy.instance}"[:200])
        changes.save(
            change,
            {kind: copy.text},
            bases={kind: base.pk if base else None},
            actor=actor,
            reason=f"It runs on {len(there)} instance{'s' * (len(there) != 1)} since {since:%Y-%m-%d %H:%M} UTC.",
        )
        audit.record("drift.adopted", actor=actor, target=change, kind=kind, digest=short, instances=len(there))
    return change


def copy_of(environment: Environment, kind: str, short: str) -> LiveCopy | None:
    """The newest copy of this content."""
    copies = LiveCopy.objects.filter(drift__environment=environment, drift__kind=kind, drift__short=short)
    return copies.select_related("drift", "instance").order_by("-read_at").first()


def found(environment: Environment, kind: str, short: str) -> Drift | None:
    """When it was found: the drift that goes on, or the last one with this content."""
    drifts = Drift.objects.filter(environment=environment, kind=kind, short=short)
    return (
        drifts.order_by("-ended_at").first() if not drifts.filter(ended_at=None).exists() else drifts.get(ended_at=None)
    )
