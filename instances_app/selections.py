"""What is done to many instances at once: in one transaction, one event, and exactly said."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from django.db import transaction
from django.utils import timezone

from console import audit
from console.errors import Refused
from console.models import User
from instances_app.models import Environment, Instance

NOBODY = "No instance is chosen. Tick some on the fleet page, or choose all that match its filter."


@dataclass(frozen=True, slots=True)
class Done:
    """Names, sorted: of those that it was done to, and of those that it had no effect on."""

    changed: list[str]
    unchanged: list[str]


def retire(environment: Environment, instances: Collection[int], *, actor: User) -> Done:
    """Let them go, as `registry.retire` does one. Those that were retired meanwhile are left as they are."""
    with transaction.atomic():
        chosen = locked(environment, instances)
        going = [one for one in chosen if one.retired_at is None]
        if going:
            ids = [one.pk for one in going]
            Instance.objects.filter(pk__in=ids).update(retired_at=timezone.now(), retired_by=actor)
            record("instances.retired", environment, going, actor)
    return done(chosen, going)


def label(
    environment: Environment,
    instances: Collection[int],
    *,
    put: Mapping[str, str],
    remove: Collection[str] = (),
    actor: User,
) -> Done:
    """Give them these labels, and take those keys away; the other labels of each stay."""
    if not put and not remove:
        raise Refused("Say which labels are put on (key=value), or which are taken off.")
    both = sorted(put.keys() & set(remove))
    if both:
        raise Refused(f"{both[0]} is put on and taken off at once. Choose one of the two.")
    with transaction.atomic():
        chosen = [one for one in locked(environment, instances) if one.retired_at is None]
        changed = []
        for one in chosen:
            labels = {key: value for key, value in {**one.labels, **put}.items() if key not in remove}
            if labels != one.labels:
                one.labels = labels
                changed.append(one)
        if changed:
            Instance.objects.bulk_update(changed, ["labels"], batch_size=500)
            record("instances.labelled", environment, changed, actor, put=dict(put), removed=sorted(remove))
    return done(chosen, changed)


def locked(environment: Environment, instances: Collection[int]) -> list[Instance]:
    """In the order in which everybody locks instances."""
    found = environment.instances.filter(pk__in=instances).defer("token_sealed", "info").order_by("pk")
    chosen = list(found.select_for_update(no_key=True))
    if not chosen:
        raise Refused(NOBODY)
    return chosen


def record(action: str, environment: Environment, instances: Collection[Instance], actor: User, **data: Any) -> None:
    names = sorted(one.name for one in instances)
    audit.record(action, actor=actor, target=environment, number=len(names), instances=names, **data)


def done(chosen: Collection[Instance], changed: Collection[Instance]) -> Done:
    names = {one.name for one in changed}
    return Done(sorted(names), sorted(one.name for one in chosen if one.name not in names))
