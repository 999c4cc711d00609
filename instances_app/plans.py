"""In what order a rollout reaches the instances, and when it stops by itself. Pure: data in, lists of names out.

A plan is part of what people approve, so it is plain JSON with one spelling (`Plan.data`), and the waves that it makes
of given instances are the same every time (`waves`).
"""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any, Protocol, Self, TypeVar

from console.errors import Refused

AMOUNT = re.compile(r"\A(?:(?P<count>[1-9]\d{0,6})|(?P<percent>\d{1,3})%)\Z")
LIMIT = re.compile(r"\A(?:(?P<count>\d{1,7})|(?P<percent>\d{1,3})%)\Z")
SELECTOR = re.compile(r"\A(?P<key>[A-Za-z][\w.-]{0,39})=(?P<value>[\w.:/ -]{0,80})\Z")
LONGEST_SOAK = 24 * 3600
MOST_WAVES = 20
LONGEST_DRAIN = 600
LATER = frozenset(
    {"drain", "drain_seconds", "compare", "compare_margin"}
)  # came after plans were sealed into approvals


class Unreachable(StrEnum):
    """What an instance counts as that never answers."""

    BLOCK = "block"  # as a failure; without a failure limit a single one keeps the gate of its wave closed
    TOLERATE = "tolerate"  # up to `tolerate` of them are left behind
    EXCLUDE = "exclude"  # never held against the rollout


class Unclear(StrEnum):
    """Whether canaries are compared with untouched instances, and what follows when that says nothing."""

    NO = ""
    HOLD = "hold"  # the rollout halts, and a person decides
    CONTINUE = "continue"


class Member(Protocol):
    """What a plan needs to know of an instance."""

    @property
    def pk(self) -> Any: ...
    @property
    def name(self) -> Any: ...
    @property
    def labels(self) -> Any: ...


M = TypeVar("M", bound=Member)


@dataclass(frozen=True, slots=True)
class Plan:
    """Waves, their gates and their limits.

    `waves` are cumulative amounts ("1", "10%", "100%") or label selectors ("region=eu"); what no wave names comes with
    the last. `failure_limit` is how many deliveries ("2", or "5%" of the instances) may fail before the rollout halts;
    empty: as many as like. `canaries` are the ids of instances that stand first.
    """

    waves: tuple[str, ...] = ("100%",)
    soak_seconds: int = 0  # from the last verified delivery of a wave until the next one opens
    failure_limit: str = ""
    unreachable: str = Unreachable.BLOCK
    tolerate: int = 0
    at_once: int = 0  # the most instances that are sent to at the same time; 0: as many as the workers can
    canaries: tuple[int, ...] = field(default=())
    drain: bool = False  # each instance takes no traffic while it is pushed to
    drain_seconds: int = 0  # from draining until the push
    compare: str = Unclear.NO
    compare_margin: int = 10  # per cent that the canaries may be worse

    @classmethod
    def of(cls, data: Mapping[str, Any]) -> Self:
        """The plan that `data` (JSON) describes; missing keys have their defaults. Refused says what is wrong."""
        unknown = sorted(set(data) - set(cls.__dataclass_fields__))
        if unknown:
            raise Refused(f"A plan has no {unknown[0]!r}.")
        try:
            plan = cls(
                waves=tuple(str(wave).strip() for wave in data.get("waves", ("100%",))),
                soak_seconds=int(data.get("soak_seconds", 0)),
                failure_limit=str(data.get("failure_limit", "")).strip(),
                unreachable=Unreachable(data.get("unreachable", Unreachable.BLOCK)),
                tolerate=int(data.get("tolerate", 0)),
                at_once=int(data.get("at_once", 0)),
                canaries=tuple(sorted({int(pk) for pk in data.get("canaries", ())})),
                drain=bool(data.get("drain", False)),
                drain_seconds=int(data.get("drain_seconds", 0)),
                compare=Unclear(data.get("compare", Unclear.NO)),
                compare_margin=int(data.get("compare_margin", 10)),
            )
        except (TypeError, ValueError):
            raise Refused(
                "The plan's numbers must be whole numbers, its waves a list, each like 1, 10% or region=eu."
            ) from None
        plan._check()
        return plan

    @property
    def data(self) -> dict[str, Any]:
        """JSON that `of` reads back. What plans could not say before is left out where it is not used: seals hold."""
        parts = {**asdict(self), "waves": list(self.waves), "canaries": list(self.canaries)}
        unused = Plan()
        return {name: part for name, part in parts.items() if name not in LATER or part != getattr(unused, name)}

    @property
    def words(self) -> str:
        """The plan in one line, for people."""
        parts = ["all at once" if len(self.waves) == 1 else f"waves of {', '.join(self.waves)}"]
        if self.soak_seconds and len(self.waves) > 1:
            parts.append(f"{self.soak_seconds} s of soak between them")
        if self.failure_limit:
            parts.append(f"halts above {self.failure_limit} failed")
        if self.unreachable == Unreachable.TOLERATE:
            parts.append(f"up to {self.tolerate} unreachable tolerated")
        elif self.unreachable == Unreachable.EXCLUDE:
            parts.append("unreachable ones left out")
        if self.at_once:
            parts.append(f"{self.at_once} at once")
        if self.drain:
            parts.append(f"each drained {self.drain_seconds} s before its push")
        if self.compare:
            unclear = "halts" if self.compare == Unclear.HOLD else "goes on"
            parts.append(f"canaries compared with untouched ones (margin {self.compare_margin}%, {unclear} if unclear)")
        return "; ".join(parts)

    def failures_allowed(self, instances: int) -> int | None:
        """How many deliveries of `instances` may fail; None: any number."""
        found = LIMIT.match(self.failure_limit)
        if found is None:
            return None
        return int(found["count"]) if found["count"] else instances * int(found["percent"]) // 100

    def _check(self) -> None:
        if not 1 <= len(self.waves) <= MOST_WAVES:
            raise Refused(f"A plan has 1 to {MOST_WAVES} waves.")
        for wave in self.waves:
            amount = AMOUNT.match(wave)
            if not amount and not SELECTOR.match(wave):
                raise Refused(f"{wave[:60]!r} is no wave. Use a number (1), a percentage (10%) or a label (region=eu).")
            if amount and amount["percent"] and not 1 <= int(amount["percent"]) <= 100:
                raise Refused(f"A wave of {wave} is none: percentages go from 1% to 100%.")
        limit = LIMIT.match(self.failure_limit)
        if self.failure_limit and (not limit or (limit["percent"] and int(limit["percent"]) > 100)):
            raise Refused("The failure limit is a number (2) or a percentage (5%), or empty.")
        if not 0 <= self.soak_seconds <= LONGEST_SOAK:
            raise Refused(f"The soak is between 0 and {LONGEST_SOAK} seconds.")
        if self.tolerate < 0 or self.at_once < 0:
            raise Refused("The plan's numbers are not negative.")
        if not 0 <= self.drain_seconds <= LONGEST_DRAIN:
            raise Refused(f"Between draining and the push are 0 to {LONGEST_DRAIN} seconds.")
        if not 0 <= self.compare_margin <= 100:
            raise Refused("The margin of the comparison is between 0 and 100 per cent.")
        if self.compare and not (self.soak_seconds and len(self.waves) > 1):
            raise Refused("A comparison takes place during the soak of a wave: give the plan a soak and two waves.")
        if self.drain and not self.at_once:
            raise Refused("Draining needs a limit “at once”: without one, the whole fleet would be drained together.")


def waves(plan: Plan, instances: Iterable[M]) -> list[list[M]]:
    """The instances of each wave, in order; every instance stands in exactly one, and no wave is empty.

    The order is that of a hash of the names, canaries first: neighbours in a rack or a region tend to have neighbouring
    names, and should not be the first wave together.
    """
    if len(plan.waves) == 1 and not plan.at_once:  # nobody goes before anybody
        return [whole] if (whole := sorted(instances, key=lambda one: one.pk)) else []
    left = sorted(instances, key=lambda one: (one.pk not in plan.canaries, _rank(str(one.name)), one.pk))
    total, placed = len(left), 0
    made: list[list[M]] = []
    for wave in plan.waves:
        taken = _taken(wave, left, total=total, placed=placed)
        chosen = {one.pk for one in taken}
        left = [one for one in left if one.pk not in chosen]
        placed += len(taken)
        made.append(taken)
    made[-1] += left  # also when its label fits nobody: the rest never joins the canaries
    return [wave for wave in made if wave]


def numbers(plan: Plan, instances: Iterable[Member]) -> dict[int, int]:
    """The id of each instance → the number of its wave, from 1."""
    made = enumerate(waves(plan, instances), start=1)
    return {one.pk: number for number, wave in made for one in wave}


def ranked(instances: Iterable[M]) -> list[M]:
    """In the order in which waves take them, without regard to a plan."""
    return sorted(instances, key=lambda one: (_rank(str(one.name)), one.pk))


def names(plan: Plan, instances: Iterable[M]) -> list[list[str]]:
    """The waves for people: who is in each, by name."""
    return [sorted(str(one.name) for one in wave) for wave in waves(plan, instances)]


def _taken(wave: str, left: Sequence[M], *, total: int, placed: int) -> list[M]:
    selector = SELECTOR.match(wave)
    if selector:
        return [one for one in left if one.labels.get(selector["key"]) == selector["value"]]
    amount = AMOUNT.match(wave)
    if amount is None:
        return []
    upto = int(amount["count"]) if amount["count"] else math.ceil(total * int(amount["percent"]) / 100)
    return list(left[: max(0, upto - placed)])


def _rank(name: str) -> str:
    return hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()
