"""A rotation of tokens begins, is stopped and ends here; what becomes of each instance in it is in `exchanges`.

Locks: environment, rotation, instances by number, exchanges, audit.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection

from django.db import transaction
from django.db.models import Count, Max
from django.utils import timezone

from console import audit, live
from console.errors import Refused
from console.models import User
from instances_app import selections
from instances_app.models import Environment
from instances_app.rotation_models import GOING, OPEN, Exchange, ExchangeState, Rotation, RotationState


def start(environment: Environment, instances: Collection[int], *, actor: User) -> Rotation:
    """Give these instances new tokens, from now on and in the background. One rotation of an environment at a time."""
    with transaction.atomic():
        Environment.objects.select_for_update(no_key=True).only("pk").get(pk=environment.pk)
        going = environment.rotations.filter(state__in=GOING).first()
        if going is not None:
            raise Refused(f"{str(going).capitalize()} of {environment} is under way. Stop it, or wait for its end.")
        chosen = list(environment.instances.managed().filter(pk__in=instances).order_by("pk").values_list("pk", "name"))
        if not chosen:
            raise Refused(selections.NOBODY)
        last = environment.rotations.aggregate(number=Max("number"))["number"]
        rotation = Rotation.objects.create(environment=environment, number=(last or 0) + 1, author=actor)
        Exchange.objects.bulk_create([Exchange(rotation=rotation, instance_id=pk) for pk, _ in chosen], batch_size=1000)
        names = sorted(name for _, name in chosen)
        audit.record("rotation.started", actor=actor, target=rotation, number=len(names), instances=names)
        ping(rotation)
    return rotation


def stop(rotation: Rotation, *, actor: User) -> Rotation:
    """Begin with nobody else. Who was given a token comes to its end, so that nobody is left with two."""
    with transaction.atomic():
        held = lock(rotation.pk)
        if held is None or held.state != RotationState.RUNNING:
            raise Refused(f"{str(rotation).capitalize()} is not running any more: there is nothing to stop.")
        held.state, held.stopped_at, held.stopped_by = RotationState.STOPPING, timezone.now(), actor
        held.save(update_fields=["state", "stopped_at", "stopped_by"])
        end_waiting(held)
        audit.record("rotation.stopped", actor=actor, target=held, exchanges=dict(counts(held)))
        ping(held)
    return held


def end_waiting(rotation: Rotation) -> None:
    """Of a rotation that is being stopped, held by its lock: who was not begun with is left as it is."""
    waiting = rotation.exchanges.filter(state=ExchangeState.WAITING)
    waiting.update(
        state=ExchangeState.STOPPED,
        changed_at=timezone.now(),
        next_attempt_at=None,
        token_old_sealed=None,
        token_next_sealed=None,
    )


def close(rotation_id: int) -> None:
    """End it when every exchange has; nothing when it has ended already."""
    with transaction.atomic():
        held = lock(rotation_id)
        if held is None or held.exchanges.filter(state__in=OPEN).exists():
            return
        stopped = held.state == RotationState.STOPPING
        held.state = RotationState.STOPPED if stopped else RotationState.FINISHED
        held.finished_at = timezone.now()
        held.save(update_fields=["state", "finished_at"])
        audit.record("rotation.finished", actor=None, target=held, state=held.state.value, exchanges=dict(counts(held)))
        ping(held)


def lock(rotation_id: int) -> Rotation | None:
    """The rotation, held, while it has not ended."""
    Rotation.objects.select_for_update(no_key=True).only("pk").get(pk=rotation_id)
    return Rotation.objects.select_related("environment").filter(pk=rotation_id, state__in=GOING).first()


def counts(rotation: Rotation) -> Counter[str]:
    """State → how many instances."""
    found: Counter[str] = Counter()
    for state, number in rotation.exchanges.values_list("state").annotate(Count("pk")).order_by():
        found[state] = number
    return found


def topic(rotation: Rotation) -> str:
    """What open pages of it are pinged with."""
    return f"rotation-{rotation.pk}"


def ping(rotation: Rotation) -> None:
    environment_id, name = rotation.environment_id, topic(rotation)
    transaction.on_commit(lambda: live.ping(environment_id, name), robust=True)
