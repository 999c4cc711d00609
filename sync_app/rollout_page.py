"""What the page of a rollout shows: numbers by the database, one page of deliveries, its waves and their gates.

It is drawn anew with every ping, so nothing here grows with the number of instances but two aggregates.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from django.db.models import Case, QuerySet, Value, When
from django.http import QueryDict
from django.utils import timezone

from console import access
from console.http import whole
from console.models import User
from instances_app import freezes
from instances_app.plans import Plan
from sync_app import blocklist, draining, gates, rollbacks
from sync_app.gates import Condition, Tally
from sync_app.models import UNFINISHED, WITH_REASON, Delivery, DeliveryState, Rollout, RolloutState

SHOWN = 100  # deliveries on a page
GROUPS: dict[str, tuple[str, ...]] = {  # every state is in one of them; what needs a person first
    "failed": WITH_REASON,
    "unknown": (DeliveryState.UNKNOWN,),
    "under way": (DeliveryState.SENDING, DeliveryState.RETRYING),
    "untouched": (
        DeliveryState.PENDING,
        DeliveryState.SKIPPED,
        DeliveryState.CANCELLED,
        DeliveryState.SUPERSEDED,
    ),
    "verified": (DeliveryState.VERIFIED,),
}
RANK = Case(
    *(When(state__in=states, then=Value(rank)) for rank, states in enumerate(GROUPS.values())), default=Value(9)
)


@dataclass(frozen=True, slots=True)
class Wave:
    """One wave as the page shows it."""

    number: int
    size: int
    states: dict[str, int]
    word: str
    conditions: list[Condition] = field(default_factory=list)  # of the open one
    soak_until: datetime | None = None


def context(rollout: Rollout, user: User, asked: QueryDict) -> dict[str, Any]:
    """`asked` may narrow the list: ?state= (a group), ?wave=, ?page=."""
    environment = rollout.environment
    tallies = gates.tallies(rollout)
    counts = gates.total(tallies)
    total = sum(counts.values())
    group, wave = asked.get("state", ""), whole(asked.get("wave", ""))
    shown, page, pages = _deliveries(rollout, tallies, group, wave, whole(asked.get("page", "")) or 1)
    way = rollbacks.way_back(rollout)
    drained = _drained(rollout)
    return {
        "rollout": rollout,
        "environment": environment,
        "may": access.verbs(user, environment),
        "plan": Plan.of(rollout.plan),
        "counts": counts,
        "groups": {name: sum(counts[state] for state in states) for name, states in GROUPS.items()},
        "total": total,
        "verified": counts[DeliveryState.VERIFIED],
        "failed": sum(counts[state] for state in (*WITH_REASON, DeliveryState.UNKNOWN)),
        "unverified": total - counts[DeliveryState.VERIFIED],
        "waves": _waves(rollout, tallies) if rollout.waves > 1 or rollout.is_going else [],
        "deliveries": shown,
        "group": group,
        "wave": wave,
        "page": page,
        "pages": pages,
        "way": way,
        "blocked": blocklist.of(rollout.bundle),
        "deciders": deciders(rollout) if rollout.state == RolloutState.HALTED else [],
        "pausing": freezes.pausing(environment) if rollout.frozen_by_id else None,
        "drained": drained,
        "live": rollout.is_going or bool(drained) or any(counts[state] for state in UNFINISHED),
        "now": timezone.now(),
    }


def _drained(rollout: Rollout) -> list[Delivery]:
    """Whose instances take no traffic, because of this rollout and with no worker at them."""
    if "drain" not in rollout.plan:
        return []
    return list(draining.left(rollout).select_related("instance").order_by("instance__name")[:SHOWN])


def deciders(rollout: Rollout) -> list[str]:
    """Who may let a halted rollout continue."""
    names = access.who_can("rollout.continue", rollout.environment)
    if rollout.environment.protected and rollout.author is not None:
        return [name for name in names if name != rollout.author.username]
    return names


def _deliveries(
    rollout: Rollout, tallies: Mapping[int, Tally], group: str, wave: int | None, page: int
) -> tuple[QuerySet[Delivery], int, int]:
    """One page of the deliveries, its number, and how many pages there are."""
    states = GROUPS.get(group)
    number = sum(
        tally.states[state]
        for key, tally in tallies.items()
        if wave is None or key == wave
        for state in states or tally.states
    )
    pages = max(1, -(-number // SHOWN))
    page = min(max(page, 1), pages)
    found = rollout.deliveries.select_related("instance").order_by(RANK, "instance__name", "pk")
    if states:
        found = found.filter(state__in=states)
    if wave is not None:
        found = found.filter(wave=wave)
    return found[(page - 1) * SHOWN : page * SHOWN], page, pages


def _waves(rollout: Rollout, tallies: Mapping[int, Tally]) -> list[Wave]:
    plan = Plan.of(rollout.plan)
    found = []
    for number in range(1, rollout.waves + 1):
        tally = tallies.get(number, Tally())
        drawn = tally.size, dict(tally.states)  # a template would ask a Counter for its "items"
        if number == rollout.wave and rollout.is_going:
            conditions = gates.conditions(rollout, tallies)
            until = gates.soak_until(plan, tally) if number < rollout.waves and plan.soak_seconds else None
            found.append(Wave(number, *drawn, _word(rollout, tally), conditions, until))
        elif number <= rollout.wave:
            found.append(Wave(number, *drawn, "passed" if number < rollout.wave else "ended"))
        else:
            found.append(Wave(number, *drawn, "not open" if rollout.is_going else "never opened"))
    return found


def _word(rollout: Rollout, tally: Tally) -> str:
    if rollout.state != RolloutState.RUNNING:
        return rollout.state
    return "sending" if tally.unfinished else "at its gate"
