"""What the page of a rollout shows: numbers by the database, one page of deliveries, its waves and their gates.

It is asked anew with every ping, so nothing here grows with the number of instances but one aggregate. The address
says which deliveries: ?state= (a group), ?wave=, ?q= (part of the name), ?after= or ?before= (a place in the list).
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from django.db.models import Count, QuerySet
from django.http import QueryDict
from django.utils import timezone

from console import access
from console.http import whole
from console.models import User
from instances_app import freezes
from instances_app.plans import Plan
from sync_app import blocklist, draining, gates, rollbacks
from sync_app.gates import Condition, Tally
from sync_app.models import ATTENTION, UNFINISHED, WITH_REASON, Delivery, DeliveryState, Rollout, RolloutState
from sync_app.seen import Seen

SHOWN = 100  # deliveries on a page
SAID = "rollout-said"  # the element with the words for people who listen
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
# The list begins with what needs attention; the rest stands in the order of sending, where it stays while it changes.
TIERS: tuple[tuple[str, ...], ...] = (ATTENTION, tuple(state for state in DeliveryState if state not in ATTENTION))
COLUMNS = (
    "rollout_id",
    "state",
    "wave",
    "attempts",
    "next_attempt_at",
    "changed_at",
    "error",
    "evidence",
    "drained_since",
    "drain_error",
    "instance__name",
)
PLACE = re.compile(r"\A([01])-(\d{1,18})\Z", re.ASCII)


@dataclass(frozen=True, slots=True)
class Page:
    """`before` and `after` are where the pages beside it are, None where there is none."""

    deliveries: list[Delivery]
    before: str | None
    after: str | None


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
    environment = rollout.environment
    tallies = gates.tallies(rollout)
    counts = gates.total(tallies)
    total = sum(counts.values())
    group, wave = asked.get("state", ""), whole(asked.get("wave", ""))
    text = asked.get("q", "").replace("\0", "").strip()
    listed = rollout.deliveries.filter(instance__name__icontains=text) if text else rollout.deliveries.all()
    listed = listed if wave is None else listed.filter(wave=wave)
    numbers = _numbers(listed) if text else gates.total({k: v for k, v in tallies.items() if wave in {None, k}})
    found = _page(listed, group, after=asked.get("after", ""), before=asked.get("before", ""))
    verified, way = counts[DeliveryState.VERIFIED], rollbacks.way_back(rollout)
    said = _said(rollout, counts)
    drained = _drained(rollout)
    return {
        "rollout": rollout,
        "environment": environment,
        "may": access.verbs(user, environment),
        "plan": Plan.of(rollout.plan),
        "counts": counts,
        "groups": {name: sum(numbers[state] for state in states) for name, states in GROUPS.items()},
        "number": sum(numbers[state] for state in GROUPS.get(group, numbers)),
        "matching": sum(numbers.values()),
        "total": total,
        "verified": verified,
        "failed": sum(counts[state] for state in ATTENTION),
        "unverified": total - verified,
        "waves": _waves(rollout, tallies) if rollout.waves > 1 or rollout.is_going else [],
        "page": found,
        "said": said,
        "seen": Seen({SAID: said, **{one.key: _shown(one) for one in found.deliveries}}),
        "group": group,
        "wave": wave,
        "q": text,
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


def _page(listed: QuerySet[Delivery], group: str, *, after: str, before: str) -> Page:
    """The deliveries behind that place, or those before it: tier by tier, each along an index."""
    tiers = (GROUPS[group],) if group in GROUPS else TIERS
    back = PLACE.match(before)
    place = back or PLACE.match(after)
    found = _behind(listed, tiers, (int(place[1]), int(place[2])) if place else None, back=bool(back))
    more, found = len(found) > SHOWN, found[:SHOWN]
    if back:
        found.reverse()
    first, last = (f"{tier}-{one.pk}" for tier, one in (found[0], found[-1])) if found else ("", "")
    return Page(
        [one for _, one in found],
        before=first if found and (more if back else place) else None,
        after=last if found and (back or more) else None,
    )


def _behind(
    listed: QuerySet[Delivery], tiers: Sequence[Sequence[str]], place: tuple[int, int] | None, *, back: bool
) -> list[tuple[int, Delivery]]:
    """A page's worth, and one more, with the tier of each; `back`: those before the place, the nearest first."""
    found: list[tuple[int, Delivery]] = []
    for tier in range(len(tiers) - 1, -1, -1) if back else range(len(tiers)):
        query = listed.filter(state__in=tiers[tier])
        if place is not None and (tier > place[0] if back else tier < place[0]):
            continue
        if place is not None and tier == place[0]:
            query = query.filter(pk__lt=place[1]) if back else query.filter(pk__gt=place[1])
        query = query.select_related("instance").only(*COLUMNS).order_by("-pk" if back else "pk")
        found += [(tier, one) for one in query[: SHOWN + 1 - len(found)]]
        if len(found) > SHOWN:
            break
    return found


def _numbers(listed: QuerySet[Delivery]) -> Counter[str]:
    return Counter(dict(listed.values_list("state").annotate(n=Count("pk")).order_by()))


def _shown(delivery: Delivery) -> tuple[object, ...]:
    """Everything that its row shows."""
    return (
        delivery.state,
        delivery.wave,
        delivery.attempts,
        delivery.error,
        delivery.evidence,
        delivery.next_attempt_at,
        delivery.changed_at,
        delivery.drained_since is None and delivery.drain_error,
        delivery.instance.name,
    )


def _said(rollout: Rollout, counts: Mapping[str, int]) -> str:
    """For people who listen: said anew when it changes, so every tenth part, not every instance."""
    total, failed = sum(counts.values()), sum(counts[state] for state in ATTENTION)
    tenths = 10 * counts[DeliveryState.VERIFIED] // total if total else 0
    wave = f", wave {rollout.wave} of {rollout.waves}" if rollout.waves > 1 else ""
    trouble = f", {failed} failed or unknown" if failed else ""
    return f"Rollout {rollout.number} is {rollout.state}{wave}: {10 * tenths} percent verified{trouble}."


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
