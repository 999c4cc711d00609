"""Instances in maintenance: left out of rollouts, of gates and of alarms for a while, by name and with a reason.

They stay registered and are still asked what they run, so afterwards they are honestly out of sync, and a sync brings
them up. What may have been sent to one comes to its end as ever. Locks: environment, rollout, instance, audit.
"""

from __future__ import annotations

from collections.abc import Collection, Set
from datetime import datetime
from typing import Any

from django.db import transaction
from django.db.models import Q
from django.utils import timezone

from configs_app import documents, reasons
from console import audit, live
from console.errors import Refused
from console.models import User
from instances_app.freeze_models import LAST
from instances_app.models import Instance, InstanceQuerySet, maintained
from sync_app.models import GOING, WAITING, DeliveryState, Rollout

SKIPPED = "Nothing was sent: the instance is in maintenance. Sync it afterwards."
RETIRED = "Nothing was sent: the instance was retired meanwhile."


def begin(instance: Instance, *, reason: str, until: datetime | None = None, actor: User) -> Instance:
    """Leave it out from now on, until then or until somebody ends it. What waits for it in a rollout is skipped."""
    reason = reasons.tidy(reason, missing="Say why; the pages show it wherever the instance is left out.")
    with transaction.atomic():
        environment = documents.lock(instance.environment)
        reasons.refuse_secrets(reason, reasons.current(environment))
        going = Rollout.objects.select_for_update().filter(environment=environment, state__in=GOING).first()
        instance = _locked(instance)
        if instance.retired_at is not None:
            raise Refused(f"{instance} is retired; nothing is sent to it anyway.")
        if until is not None and until <= timezone.now():
            raise Refused("The end lies in the past. Leave it empty when it is not known yet.")
        if until is not None and until > LAST:
            raise Refused("The end lies behind the year 2100. Leave it empty when it is not known yet.")
        instance.maintenance_since, instance.maintenance_until = timezone.now(), until
        instance.maintenance_reason, instance.maintenance_by = reason, actor
        _save(instance)
        skipped = skip(going) if going is not None else 0
        audit.record(
            "instance.maintenance_begun",
            actor=actor,
            target=instance,
            reason=reason,
            until=until.isoformat(timespec="minutes") if until else "somebody ends it",
            skipped_in=going.number if going is not None and skipped else None,
        )
    return instance


def end(instance: Instance, *, actor: User) -> Instance:
    """Rollouts reach it again; what it missed, a sync brings."""
    with transaction.atomic():
        documents.lock(instance.environment)
        instance = _locked(instance)
        if not instance.in_maintenance:
            raise Refused(f"{instance} is not in maintenance.")
        instance.maintenance_since = instance.maintenance_until = instance.maintenance_by = None
        instance.maintenance_reason = ""
        _save(instance)
        audit.record("instance.maintenance_ended", actor=actor, target=instance)
    return instance


def skip(rollout: Rollout) -> int:
    """End what waits for instances that are in maintenance or were retired, and cannot have arrived. The caller holds
    the rollout's lock.
    """
    here = Instance.objects.filter(environment=rollout.environment_id)
    retired = list(here.filter(retired_at__gte=rollout.started_at).values_list("pk", flat=True))
    resting = list(here.in_maintenance().values_list("pk", flat=True))  # a small index
    return sum(_skip(rollout, ids, why) for ids, why in ((retired, RETIRED), (resting, SKIPPED)) if ids)


def _skip(rollout: Rollout, instances: list[int], why: str) -> int:
    waiting = rollout.deliveries.filter(instance__in=instances, state__in=WAITING, sent_at=None)
    if _guards(rollout):  # what was tried stays for the gate to see
        author = Q(instance__maintenance_by=rollout.author_id) | Q(instance__retired_by=rollout.author_id)
        waiting = waiting.exclude(Q(wave=rollout.wave, attempts__gt=0) & author)
    now = timezone.now()
    return waiting.update(
        state=DeliveryState.SKIPPED, finished_at=now, changed_at=now, next_attempt_at=None, evidence=why
    )


def among(instances: InstanceQuerySet, chosen: Set[int]) -> list[dict[str, Any]]:
    """Those of the chosen ones (ids) in maintenance, by name, as a rollout keeps whom it left out."""
    resting = instances.in_maintenance().order_by("name").values_list("pk", "name", "maintenance_reason")
    return [{"id": pk, "name": name, "reason": reason} for pk, name, reason in resting if pk in chosen]


def not_held_against(rollout: Rollout) -> Q:
    """Deliveries whose instances a gate does not ask: those in maintenance, and those that are retired.

    In a protected environment not those that the rollout's own author put there or retired: nobody quiets a gate alone.
    """
    resting, gone = maintained("instance__"), Q(instance__retired_at__isnull=False)
    if _guards(rollout):
        resting &= ~Q(instance__maintenance_by=rollout.author_id)
        gone &= ~Q(instance__retired_by=rollout.author_id)
    return resting | gone


def _guards(rollout: Rollout) -> bool:
    """Whether its gates are closed to its own author."""
    return rollout.environment.protected and rollout.author_id is not None


def names(left_out: Collection[dict[str, Any]]) -> str:
    return ", ".join(str(one["name"]) for one in left_out)


def _locked(instance: Instance) -> Instance:
    query = Instance.objects.select_for_update(no_key=True, of=("self",)).select_related("environment")
    return query.get(pk=instance.pk)


def _save(instance: Instance) -> None:
    instance.save(update_fields=["maintenance_since", "maintenance_until", "maintenance_reason", "maintenance_by"])
    environment_id = instance.environment_id
    transaction.on_commit(lambda: live.ping(environment_id, "fleet"), robust=True)
