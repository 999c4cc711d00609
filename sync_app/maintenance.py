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
from instances_app import selections
from instances_app.freeze_models import LAST
from instances_app.models import Environment, Instance, InstanceQuerySet, maintained
from instances_app.selections import Done
from sync_app.models import GOING, WAITING, DeliveryState, Rollout

SKIPPED = "Nothing was sent: the instance is in maintenance. Sync it afterwards."
FIELDS = ["maintenance_since", "maintenance_until", "maintenance_reason", "maintenance_by"]
RETIRED = "Nothing was sent: the instance was retired meanwhile."


def begin(instance: Instance, *, reason: str, until: datetime | None = None, actor: User) -> Instance:
    """Leave it out from now on, until then or until somebody ends it. What waits for it in a rollout is skipped."""
    reason = _tidy(reason)
    with transaction.atomic():
        environment, going = _held(instance.environment, reason, until)
        instance = _locked(instance)
        if instance.retired_at is not None:
            raise Refused(f"{instance} is retired; nothing is sent to it anyway.")
        instance.maintenance_since, instance.maintenance_until = timezone.now(), until
        instance.maintenance_reason, instance.maintenance_by = reason, actor
        instance.save(update_fields=FIELDS)
        data = _said(going, reason, until)
        audit.record("instance.maintenance_begun", actor=actor, target=instance, **data)
        _ping(environment)
    return instance


def begin_many(
    environment: Environment, instances: Collection[int], *, reason: str, until: datetime | None = None, actor: User
) -> Done:
    """The same for many: in one transaction, with one event. Those that were in maintenance have this reason now."""
    reason = _tidy(reason)
    with transaction.atomic():
        environment, going = _held(environment, reason, until)
        chosen = selections.locked(environment, instances)
        resting = [one for one in chosen if one.retired_at is None]
        values: dict[str, Any] = {"maintenance_since": timezone.now(), "maintenance_until": until}
        values |= {"maintenance_reason": reason, "maintenance_by": actor}
        Instance.objects.filter(pk__in=[one.pk for one in resting]).update(**values)
        data = _said(going, reason, until)
        if resting:
            selections.record("instances.maintenance_begun", environment, resting, actor, **data)
        _ping(environment)
    return selections.done(chosen, resting)


def end(instance: Instance, *, actor: User) -> Instance:
    """Rollouts reach it again; what it missed, a sync brings."""
    with transaction.atomic():
        environment = documents.lock(instance.environment)
        instance = _locked(instance)
        if not instance.in_maintenance:
            raise Refused(f"{instance} is not in maintenance.")
        instance.maintenance_since = instance.maintenance_until = instance.maintenance_by = None
        instance.maintenance_reason = ""
        instance.save(update_fields=FIELDS)
        audit.record("instance.maintenance_ended", actor=actor, target=instance)
        _ping(environment)
    return instance


def end_many(environment: Environment, instances: Collection[int], *, actor: User) -> Done:
    """The same for many; those that are in none are left as they are."""
    with transaction.atomic():
        environment = documents.lock(environment)
        chosen = selections.locked(environment, instances)
        back = [one for one in chosen if one.in_maintenance]
        if back:
            ids = [one.pk for one in back]
            empty = {"maintenance_since": None, "maintenance_until": None, "maintenance_by": None}
            Instance.objects.filter(pk__in=ids).update(**empty, maintenance_reason="")
            selections.record("instances.maintenance_ended", environment, back, actor)
        _ping(environment)
    return selections.done(chosen, back)


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


def _tidy(reason: str) -> str:
    return reasons.tidy(reason, missing="Say why; the pages show it wherever the instance is left out.")


def _held(environment: Environment, reason: str, until: datetime | None) -> tuple[Environment, Rollout | None]:
    """The environment and its rollout that is going, locked, if maintenance may begin with these words."""
    environment = documents.lock(environment)
    reasons.refuse_secrets(reason, reasons.current(environment))
    going = Rollout.objects.select_for_update().filter(environment=environment, state__in=GOING).first()
    if until is not None and until <= timezone.now():
        raise Refused("The end lies in the past. Leave it empty when it is not known yet.")
    if until is not None and until > LAST:
        raise Refused("The end lies behind the year 2100. Leave it empty when it is not known yet.")
    return environment, going


def _said(going: Rollout | None, reason: str, until: datetime | None) -> dict[str, Any]:
    """What the event has, after what waits in the rollout that is going was skipped."""
    skipped = skip(going) if going is not None else 0
    return {
        "reason": reason,
        "until": until.isoformat(timespec="minutes") if until else "somebody ends it",
        "skipped_in": going.number if going is not None and skipped else None,
    }


def _ping(environment: Environment) -> None:
    transaction.on_commit(lambda: live.ping(environment.pk, "fleet"), robust=True)
