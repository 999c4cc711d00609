"""What has to be true before a rollout goes on: the conditions that decide it are the ones that its page shows.

A gate stands between two waves. It opens on proof only: every delivery of the wave has ended, verified ones are among
them, the limits of the plan hold, and after the soak each verified instance said that it is well and runs this bundle.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from django.db.models import Count, Max
from django.utils import timezone
from webhook_agent import protocol

from instances_app.models import Health, Instance, Observation, is_fresh
from instances_app.plans import Plan, Unreachable
from sync_app import comparing, draining, maintenance
from sync_app.models import UNFINISHED, DeliveryState, Rollout

NAMED = 3  # instances in one sentence


@dataclass(frozen=True, slots=True)
class Condition:
    """`met` is None while nobody can know. `wait`: the seconds until that may change; `look`: asking may change it."""

    met: bool | None
    text: str
    wait: float | None = None
    look: bool = False


@dataclass(slots=True)
class Tally:
    """One wave in numbers."""

    states: Counter[str] = field(default_factory=Counter)
    verified_at: datetime | None = None  # the last one

    @property
    def size(self) -> int:
        return sum(self.states.values())

    @property
    def unfinished(self) -> int:
        return sum(self.states[state] for state in UNFINISHED)


def tallies(rollout: Rollout) -> dict[int, Tally]:
    """Wave → its numbers, in one query."""
    found: dict[int, Tally] = {}
    rows = rollout.deliveries.values_list("wave", "state").annotate(n=Count("pk"), at=Max("finished_at")).order_by()
    for wave, state, number, at in rows:
        tally = found.setdefault(wave, Tally())
        tally.states[state] = number
        if state == DeliveryState.VERIFIED:
            tally.verified_at = at
    return found


def total(tallies: Mapping[int, Tally]) -> Counter[str]:
    """state → deliveries of all waves."""
    return sum((tally.states for tally in tallies.values()), Counter())


def soak_until(plan: Plan, tally: Tally) -> datetime | None:
    """When the soak of a wave ends; None while one of its deliveries has not ended, or none was verified."""
    if tally.unfinished or tally.verified_at is None:
        return None
    return tally.verified_at + timedelta(seconds=plan.soak_seconds)


def conditions(rollout: Rollout, tallies: Mapping[int, Tally]) -> list[Condition]:
    """What the open wave has to meet. One that is not met halts the rollout, also while the wave is being sent."""
    plan = Plan.of(rollout.plan)
    found = list(_limits(rollout, plan, tallies))
    if rollout.wave < rollout.waves:
        found += _gate(rollout, plan, tallies)
    return found


def _limits(rollout: Rollout, plan: Plan, tallies: Mapping[int, Tally]) -> Iterable[Condition]:
    """What ends the sending at once."""
    counts = total(tallies)
    held_against = counts - Counter(rollout.overlooked)
    if rollout.waves > 1 and rollout.wave == 1:
        rejected = held_against[DeliveryState.REJECTED]
        names = _names(rollout, DeliveryState.REJECTED) if rejected else ""
        yield Condition(not rejected, f"rejected by {names}" if rejected else "none of the first wave rejects it")
    allowed = plan.failures_allowed(sum(counts.values()))
    if allowed is not None:
        states = [DeliveryState.REJECTED, DeliveryState.FAILED]
        if plan.unreachable == Unreachable.BLOCK:
            states.append(DeliveryState.UNREACHABLE)
        failed = sum(held_against[state] for state in states)
        who = f": {_names(rollout, *states)}" if failed > allowed else ""
        yield Condition(failed <= allowed, f"{failed} failed, {allowed} may ({plan.failure_limit}){who}")
    if plan.drain:
        still = draining.left(rollout).filter(state__in=draining.ANSWERED).order_by("instance__name")
        drained = list(still.values_list("instance__name", flat=True))
        fine = len(drained) <= rollout.overlooked.get(draining.OVERLOOKED, 0)
        yield Condition(fine, f"still drained: {_some(drained)}" if drained else "none stays drained")


def _gate(rollout: Rollout, plan: Plan, tallies: Mapping[int, Tally]) -> list[Condition]:
    tally = tallies.get(rollout.wave, Tally())
    ended = tally.unfinished == 0
    found = [Condition(ended or None, f"{tally.size - tally.unfinished} of {tally.size} deliveries have ended")]
    unreachable = (total(tallies) - Counter(rollout.overlooked))[DeliveryState.UNREACHABLE]
    allowed = plan.tolerate if plan.unreachable == Unreachable.TOLERATE else 0
    counted = plan.unreachable == Unreachable.BLOCK and plan.failure_limit  # then it stands among the failures
    if plan.unreachable != Unreachable.EXCLUDE and not counted:
        who = f": {_names(rollout, DeliveryState.UNREACHABLE)}" if unreachable > allowed else ""
        met = unreachable <= allowed if ended else None
        found.append(Condition(met, f"{unreachable} unreachable, {allowed} may be{who}"))
    verified = tally.states[DeliveryState.VERIFIED]
    found.append(Condition(verified > 0 if ended else None, f"{verified} verified, at least one has to be"))
    until = soak_until(plan, tally)
    left = (until - timezone.now()).total_seconds() if until else 0.0
    if plan.soak_seconds:
        soak = f"{plan.soak_seconds} s of soak after the last one was verified"
        found.append(Condition(True if until and left <= 0 else None, soak, wait=max(left, 0.0) if until else None))
    if plan.compare:
        found.append(Condition(*comparing.standing(rollout, plan)))
    if until and left <= 0:
        found.append(_health(rollout, until))
    else:
        found.append(Condition(None, "then the verified ones are asked whether they are healthy and still run it"))
    return found


def verified_instances(rollout: Rollout) -> list[Instance]:
    """Those of the open wave on which the gate rests; none that is retired or in maintenance."""
    deliveries = rollout.deliveries.filter(wave=rollout.wave, state=DeliveryState.VERIFIED)
    deliveries = deliveries.exclude(maintenance.not_held_against(rollout))
    return [delivery.instance for delivery in deliveries.select_related("instance").order_by("instance__name")]


def _health(rollout: Rollout, since: datetime) -> Condition:
    instances = verified_instances(rollout)
    asked = {one.pk for one in instances if one.health_at and one.health_at >= since and is_fresh(one.health_at)}
    ill = [f"{one} is {one.health}" for one in instances if one.pk in asked and one.health != Health.HEALTHY]
    wanted = rollout.bundle.digests()
    reports = [
        (instance_id, kind, digest, seen_at)
        for instance_id, kind, digest, seen_at in Observation.objects.filter(
            instance__in=asked, until=None
        ).values_list("instance_id", "kind", "digest", "seen_at")
        if kind in wanted
    ]
    others = {pk for pk, kind, digest, _ in reports if not protocol.same(wanted[kind], digest)}
    said = Counter(pk for pk, _, _, seen_at in reports if seen_at >= since)  # an older report proves nothing now
    asked = {one.pk for one in instances if one.pk in asked and said[one.pk] == len(wanted)}
    ill += [f"{one} runs something else again" for one in instances if one.pk in others]
    if not instances:
        return Condition(False, "after the soak none of the verified ones is left to ask")
    if ill:
        return Condition(False, f"after the soak {_some(ill)}")
    if len(asked) < len(instances):
        text = f"{len(instances) - len(asked)} of {len(instances)} have not said yet how they are since the soak"
        return Condition(None, text, look=True)
    return Condition(True, "after the soak the verified ones are healthy and still run it")


def _names(rollout: Rollout, *states: str) -> str:
    found = rollout.deliveries.filter(state__in=states).order_by("instance__name")
    return _some(list(found.values_list("instance__name", flat=True)))


def _some(words: list[str]) -> str:
    more = f" and {len(words) - NAMED} more" if len(words) > NAMED else ""
    return ", ".join(words[:NAMED]) + more
