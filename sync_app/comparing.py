"""Canaries against as many untouched instances, in the same minutes, by what each service says of itself.

When a wave has been sent, both groups are asked for the service's `/health` and `/stats`; at the end of the soak the
same ones again. A service counts what it accepted, for each webhook, and no errors: so what is compared is the share
that is healthy, and how many requests each instance accepted in between. Answers are untrusted: only bounded numbers
are kept.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from django.conf import settings
from django.db import transaction
from django.utils import timezone
from django.utils.dateparse import parse_datetime

from instances_app import plans
from instances_app.client import Fleet, Outcome, Reply, Sample, Sampled, service
from instances_app.models import Instance, maintained
from instances_app.plans import Plan, Unclear
from sync_app.models import UNFINISHED, DeliveryState, Rollout, RolloutState

MOST = 20  # instances in a group
LEAST = 20  # requests that a group has to have accepted, so that a difference says anything
FLUSH_SECONDS = 0.25


class Verdict(NamedTuple):
    """What a gate's condition is made of: met or not (None: not known yet), words, seconds until that may change."""

    met: bool | None
    text: str
    wait: float | None = None


@dataclass(frozen=True, slots=True)
class Group:
    """What is known of one group: how many said they are well, of those that could be asked; what they accepted."""

    healthy: int
    asked: int
    accepted: int
    counted: int  # instances whose counters could be compared

    @property
    def words(self) -> str:
        return f"{self.healthy} of {self.asked}"

    @property
    def share(self) -> float:
        return self.healthy / self.asked

    @property
    def rate(self) -> float:
        return self.accepted / self.counted


def due(rollout: Rollout, plan: Plan) -> bool:
    """Whether the groups are to be asked now, if the open wave has been sent and something of it is verified."""
    if not plan.compare or rollout.wave >= rollout.waves or rollout.state != RolloutState.RUNNING:
        return False
    kept = of_wave(rollout)
    if "begin" not in kept:
        return True
    return "end" not in kept and _ends(kept, plan) <= timezone.now()


def ask(rollout: Rollout, canaries: Iterable[Instance]) -> None:
    """Ask both groups, and keep the answers as the begin or the end of this wave's comparison, whichever is missing.

    `canaries` are the verified instances of the open wave. Safe to call at any time, by anybody.
    """
    unfinished = rollout.deliveries.filter(wave=rollout.wave, state__in=UNFINISHED)
    canaries = plans.ranked(canaries)[:MOST]
    if not canaries or not due(rollout, Plan.of(rollout.plan)) or unfinished.exists():
        return
    kept = of_wave(rollout)
    part = "end" if "begin" in kept else "begin"
    groups = {name: kept[name] for name in ("canaries", "untouched")} if kept else _groups(rollout, canaries)
    answers = _ask({pk for ids in groups.values() for pk in ids})
    with transaction.atomic():
        held = Rollout.objects.select_for_update().get(pk=rollout.pk)
        found = of_wave(held)
        if held.wave == rollout.wave and part not in found:
            at = timezone.now().isoformat()
            held.comparison = {**groups, **found, "wave": held.wave, part: {"at": at, "answers": answers}}
            held.save(update_fields=["comparison"])


def of_wave(rollout: Rollout) -> dict[str, Any]:
    """What is kept of the comparison of the open wave."""
    kept: dict[str, Any] = rollout.comparison
    return kept if kept.get("wave") == rollout.wave else {}


def standing(rollout: Rollout, plan: Plan) -> Verdict:
    """How far it is, and with which numbers."""
    kept = of_wave(rollout)
    if "begin" not in kept:
        return Verdict(None, "then canaries and as many untouched ones are asked for their health and counts")
    if "end" not in kept:
        wait = max(0.0, (_ends(kept, plan) - timezone.now()).total_seconds())
        text = f"{len(kept['canaries'])} canaries are compared with {len(kept['untouched'])} untouched ones"
        return Verdict(None, f"{text} at the end of the soak", wait=wait)
    return judge(_group(kept, "canaries"), _group(kept, "untouched"), plan)


def judge(canaries: Group, untouched: Group, plan: Plan) -> Verdict:
    """Whether the canaries are worse than the margin allows, or whether that cannot be said."""
    margin, worse, said, unclear = plan.compare_margin / 100, False, [], []
    if canaries.asked and untouched.asked:
        worse |= canaries.share < untouched.share - margin - 1e-9
        said.append(f"healthy {canaries.words} canaries, {untouched.words} untouched ones")
    else:
        unclear.append("no answers about health")
    if not canaries.counted or not untouched.counted:
        unclear.append("no counts of accepted requests")
    elif untouched.accepted < LEAST:
        unclear.append(f"{untouched.accepted} requests accepted by untouched ones, {LEAST} are needed")
    else:
        worse |= canaries.rate < untouched.rate * (1 - margin) - 1e-9
        said.append(f"accepted {canaries.rate:.1f} requests per canary, {untouched.rate:.1f} per untouched one")
    numbers = "; ".join(said)
    if worse:
        return Verdict(False, f"canaries are worse than {plan.compare_margin}% below untouched ones: {numbers}")
    if unclear:
        why = f"not comparable: {', '.join(unclear)}{f' ({numbers})' if numbers else ''}"
        return Verdict(plan.compare == Unclear.CONTINUE, why)
    return Verdict(True, f"canaries are not worse than untouched ones: {numbers}")


def _ends(kept: Mapping[str, Any], plan: Plan) -> datetime:
    """When the groups are asked again: a whole soak after the first answers."""
    begun = parse_datetime(kept["begin"]["at"])
    return (begun or timezone.now()) + timedelta(seconds=plan.soak_seconds)


def _groups(rollout: Rollout, canaries: Sequence[Instance]) -> dict[str, list[int]]:
    """Ids of the canaries, and of as many that nothing of this rollout was sent to: the same ones each time."""
    waiting = rollout.deliveries.filter(
        state=DeliveryState.PENDING, sent_at=None, wave__gt=rollout.wave, instance__retired_at=None
    ).exclude(maintained("instance__"))
    untouched = plans.ranked(one.instance for one in waiting.select_related("instance"))[: len(canaries)]
    return {"canaries": [one.pk for one in canaries], "untouched": [one.pk for one in untouched]}


def _ask(ids: Collection[int]) -> dict[str, list[Any]]:
    """id (as JSON has it) → [healthy or null, requests accepted since it began or null]."""
    instances = list(Instance.objects.managed().filter(pk__in=ids).select_related("environment"))
    answers: dict[str, list[Any]] = {}
    with Fleet(connect_timeout=settings.CONNECT_SECONDS, read_timeout=settings.READ_SECONDS) as fleet:
        for one in instances:
            fleet.submit(Sample(key=one.pk, target=one.target))
        while len(answers) < len(instances):
            for got in fleet.results(timeout=FLUSH_SECONDS):
                if isinstance(got, Sampled):
                    answers[str(got.key)] = [healthy(got.health), accepted(got.stats)]
    return answers


def healthy(reply: Reply) -> bool | None:
    """What `/health` says; None where there is none."""
    if reply.outcome in {Outcome.WRONG_PROTOCOL, Outcome.UNAUTHORISED}:
        return None
    well = reply.body.get("status") == "healthy" and not service.ill_components(reply)
    return reply.outcome == Outcome.OK and well


def accepted(reply: Reply) -> int | None:
    """How many requests `/stats` has counted in all since it began; None for an answer of another shape.

    Nothing counted yet is an empty object, which the client takes for no agent's answer.
    """
    if reply.status != 200 or (reply.outcome != Outcome.OK and reply.code != "empty"):
        return None
    total = 0
    for counts in reply.body.values():
        number = counts.get("total") if isinstance(counts, dict) else None
        if type(number) is not int or not 0 <= number < 10**15:
            return None
        total += number
    return total


def _group(kept: Mapping[str, Any], name: str) -> Group:
    begin, end = kept["begin"]["answers"], kept["end"]["answers"]
    return group([(begin.get(str(pk), [None, None]), end.get(str(pk), [None, None])) for pk in kept[name]])


def group(answers: Iterable[tuple[Sequence[Any], Sequence[Any]]]) -> Group:
    """Of (first answer, last answer) of each instance. A counter that went back began anew: it says nothing."""
    well = asked = sum_ = counted = 0
    for (_, before), (health, after) in answers:
        asked += health is not None
        well += health is True
        if before is not None and after is not None and after >= before:
            counted += 1
            sum_ += after - before
    return Group(well, asked, sum_, counted)
