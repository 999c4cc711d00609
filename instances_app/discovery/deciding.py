"""What people do about what was found: add, leave out, retire."""

from __future__ import annotations

from collections.abc import Collection

from django.db import IntegrityError, transaction

from console import audit
from console.errors import Refused
from console.models import User
from instances_app.discovery import looking
from instances_app.models import DiscoverySource, Environment, FoundInstance, FoundState
from instances_app.registry import NAMED

ADDABLE = (FoundState.PROPOSED, FoundState.REFUSED, FoundState.RETIRED)


def accept(source: DiscoverySource, chosen: Collection[int], *, token: str = "", actor: User) -> int:
    """Register these, with the typed token or the source's; put changed labels on those that are there. How many."""
    try:
        with transaction.atomic():
            environment, source, rows = _chosen(source, chosen)
            new = [row for row in rows if row.state in ADDABLE]
            changed = [row for row in rows if row.is_changed]
            if not new and not changed:
                raise Refused("Nothing is ticked that can be added. Somebody may have been here before you.")
            token = token.strip() or source.token
            if new and not token:
                raise Refused("Type the agents' token: this source has none.")
            looking.register(environment, source, new, token=token, actor=actor)
            looking.follow(source, changed, actor=actor)
    except IntegrityError:
        raise Refused("One of these addresses was registered meanwhile. Look again, then add the others.") from None
    return len(new) + len(changed)


def refuse(source: DiscoverySource, chosen: Collection[int], *, actor: User) -> int:
    """Leave these out from now on, whatever the source tells. How many."""
    with transaction.atomic():
        _, source, rows = _chosen(source, chosen)
        out = [row for row in rows if row.state in {FoundState.PROPOSED, FoundState.RETIRED}]
        if not out:
            raise Refused("Nothing is ticked that waits for a decision. Somebody may have been here before you.")
        for row in out:
            row.state, row.reason = FoundState.REFUSED, f"{actor.username} left it out."
        FoundInstance.objects.bulk_update(out, ["state", "reason"], looking.BATCH)
        for start in range(0, len(out), NAMED):
            some = [row.base_url for row in out[start : start + NAMED]]
            audit.record("source.left_out", actor=actor, target=source, count=len(some), addresses=some)
    return len(out)


def retire(source: DiscoverySource, chosen: Collection[int], *, actor: User) -> int:
    """Retire the instances that the source tells of no more. How many."""
    with transaction.atomic():
        environment, source, rows = _chosen(source, chosen)
        gone = [row for row in rows if row.state == FoundState.GONE]
        if not gone:
            raise Refused("Nothing is ticked that is gone. Somebody may have been here before you, or it came back.")
        looking.retire(environment, source, gone, actor=actor)
    return len(gone)


def _chosen(
    source: DiscoverySource, chosen: Collection[int]
) -> tuple[Environment, DiscoverySource, list[FoundInstance]]:
    environment = Environment.objects.select_for_update(no_key=True).get(pk=source.environment_id)
    locked = DiscoverySource.objects.select_for_update(no_key=True).filter(pk=source.pk).first()
    if locked is None:
        raise Refused("This source is not there any more.")
    return environment, locked, list(locked.found.filter(pk__in=chosen).order_by("pk"))
