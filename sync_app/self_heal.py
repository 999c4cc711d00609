"""Self-heal: the console brings drifted instances back by itself, where an environment wants that, within a budget.

It repairs only what is certain: an instance whose last verified delivery left the whole desired bundle there, at the
address that it still has, which reported the other content more than once and lately, and which nobody has set aside.
It is an ordinary rollout, without an author. It sends nothing that is blocked, nothing while another rollout has not
ended, and nothing past a gate that said no. It does not fight with a person: content that is there again
after COMES_BACK repairs is left alone, and told.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta

from django.db import transaction
from django.db.models import Q
from django.utils import timezone

from configs_app import documents
from configs_app.models import Bundle
from console import audit
from console.errors import Refused
from instances_app.models import Environment
from sync_app import blocklist, drift, freezing, repairs, rollouts
from sync_app.drift import Drifting
from sync_app.models import Cause, Drift, Repair, Rollout, RolloutState

logger = logging.getLogger(__name__)

COMES_BACK = 2  # repairs after which the same content is somebody's will, or something's
DAY, HOUR = timedelta(days=1), timedelta(hours=1)
NAMED = 20  # instances in one audit event

STOPS = {  # why self-heal leaves a drift alone that it would repair otherwise
    "comes_back": f"The same content is there again after {COMES_BACK} repairs. Something or somebody puts it there: "
    "find out who, then overwrite it, adopt it, or ignore it.",
    "instance_budget": "This instance has been repaired as often as is allowed in 24 hours.",
    "hour_budget": "As many repairs as are allowed in an hour have been made in this environment.",
}


@dataclass(frozen=True, slots=True)
class Standing:
    """What self-heal would do now."""

    on: bool
    waits: str = ""  # why it repairs nothing at all now
    due: Mapping[int, list[Drifting]] = field(default_factory=dict)  # instance → what would be overwritten
    stops: Mapping[int, str] = field(default_factory=dict)  # instance → key of STOPS
    left: Mapping[int, str] = field(default_factory=dict)  # instance → why it is none of self-heal's business
    stopped: Mapping[tuple[str, str], str] = field(default_factory=dict)  # (kind, short) → key of STOPS
    used: int = 0  # repairs of the last hour, of `per_hour`


def run(environment: Environment) -> Rollout | None:
    """Repair what is due, as one rollout; None when nothing is. Whoever comes second finds that rollout, and waits."""
    if not environment.self_heal:
        return None
    with transaction.atomic():
        environment = documents.lock(environment)
        standing = look(environment)
        if not standing.on or standing.waits:
            return None
        _tell(environment, standing)
        if not standing.due:
            return None
        try:
            rollout = rollouts.start(environment, actor=None, cause=Cause.REPAIR, instances=standing.due.keys())
        except Refused as refusal:  # not now: the next turn comes anyway
            logger.info("Self-heal in %s: %s", environment, refusal)
            return None
        repairs.record(rollout, [one for rows in standing.due.values() for one in rows], by_itself=True)
    return rollout


def look(environment: Environment) -> Standing:
    """What it would do, and why not more; changes nothing. A fixed number of queries."""
    bundle = documents.desired(environment)
    if not environment.self_heal or bundle is None:
        return Standing(environment.self_heal)
    now = timezone.now()
    hour = Repair.objects.filter(rollout__environment=environment, by_itself=True, at__gt=now - HOUR)
    used = hour.values("rollout", "instance").distinct().count()
    try:
        refuse_now(environment, bundle)
    except Refused as refusal:
        return Standing(True, waits=str(refusal), used=used)
    wanted, alone = _sorted(environment, bundle)
    stops = _stops(environment, bundle, wanted)
    willing = [pk for pk in sorted(wanted, key=lambda pk: min(one.since for one in wanted[pk])) if pk not in stops]
    left = max(0, environment.heals_per_hour - used)
    stops |= dict.fromkeys(willing[left:], "hour_budget")
    stopped: dict[tuple[str, str], str] = {}
    for key in reversed(STOPS):  # the first of them is the gravest
        for pk, stop in stops.items():
            if stop == key:
                stopped |= {(one.kind, one.short): stop for one in wanted[pk]}
    due = {pk: wanted[pk] for pk in willing[:left]}
    return Standing(True, due=due, stops=stops, left=alone, stopped=stopped, used=used)


def refuse_now(environment: Environment, bundle: Bundle) -> None:
    """Why nothing may be repaired at this moment, whatever drifts.

    `rollouts.start` asks most of this as well; here it lets the desk say why nothing happens.
    """
    blocklist.refuse_blocked(bundle)
    freezing.refuse(environment, cause=Cause.REPAIR)
    going = rollouts.going(environment)
    if going is not None:
        raise Refused(f"Rollout {going.number} is {going.state}.")
    last = Rollout.objects.filter(environment=environment, bundle=bundle).order_by("-number").first()
    if last is None:
        return
    if last.halt_reason:
        raise Refused(f"Rollout {last.number} halted, and nobody has decided to go on: {last.halt_reason}")
    if last.author_id is None and last.state == RolloutState.CANCELLED:
        raise Refused(f"Somebody cancelled the repair, rollout {last.number}. It waits until a person starts another.")


def _sorted(environment: Environment, bundle: Bundle) -> tuple[dict[int, list[Drifting]], dict[int, str]]:
    """Instances where everything that differs may be overwritten, for a rollout brings both documents; and why others
    are left alone."""
    rows: dict[int, list[Drifting]] = {}
    for one in drift.members(bundle):
        rows.setdefault(one.instance_id, []).append(one)
    drifts = Drift.objects.filter(environment=environment, ended_at=None)
    answered = drifts.exclude(tried_at=None).filter(Q(copy__isnull=False) | ~Q(read_error=""))
    asked = set(answered.values_list("kind", "short"))
    wanted: dict[int, list[Drifting]] = {}
    left: dict[int, str] = {}
    for pk, found in rows.items():
        why = next(filter(None, (_why_left(one, asked) for one in found)), "")
        if why:
            left[pk] = why
        else:
            wanted[pk] = found
    return wanted, left


def _why_left(one: Drifting, asked: set[tuple[str, str]]) -> str:
    if one.in_maintenance:
        return "it is in maintenance"
    if one.ignored or one.snoozed:
        return f"its {one.kind} document is set aside"
    if not one.fresh:
        return "it has not been heard of lately"
    if one.token_refused:
        return "it refuses our token"
    if not one.proven:
        return "no delivery has proven the desired bundle there"
    if not one.seen_twice:
        return "it has been reported only once so far"
    if (one.kind, one.short) not in asked:  # a copy is kept first, or an instance has said that there will be none
        return "what is there has not been read yet"
    return ""


def _stops(environment: Environment, bundle: Bundle, wanted: Mapping[int, list[Drifting]]) -> dict[int, str]:
    """Instances that were repaired too often already, by the content there or by the day."""
    day_ago = timezone.now() - DAY
    lately: Counter[int] = Counter()
    same: Counter[tuple[int, str, str]] = Counter()
    seen: set[tuple[int, int]] = set()
    books = Repair.objects.filter(Q(at__gt=day_ago) | Q(rollout__bundle=bundle), instance__in=wanted.keys())
    columns = ("rollout_id", "rollout__bundle_id", "instance_id", "kind", "short", "by_itself", "at")
    for rollout_id, bundle_id, pk, kind, short, by_itself, at in books.order_by("pk").values_list(*columns):
        if not by_itself:  # a person has looked: what was before does not count against the same content any more
            same[pk, kind, short] = 0
            continue
        same[pk, kind, short] += bundle_id == bundle.pk
        if at > day_ago and (rollout_id, pk) not in seen:
            seen.add((rollout_id, pk))
            lately[pk] += 1
    stops = {pk: "instance_budget" for pk in wanted if lately[pk] >= environment.heals_per_instance}
    for pk, found in wanted.items():
        if any(same[pk, one.kind, one.short] >= COMES_BACK for one in found):
            stops[pk] = "comes_back"
    return stops


def _tell(environment: Environment, standing: Standing) -> None:
    """Say once of each drift why it is left alone; that it is not any more needs no words."""
    for found in Drift.objects.filter(environment=environment, ended_at=None).order_by("pk"):
        stop = standing.stopped.get((found.kind, found.short), "")
        if stop == found.heal_stop:
            continue
        found.heal_stop = stop
        found.save(update_fields=["heal_stop"])
        if stop:
            audit.record("drift.heal_stopped", actor=None, target=found, kind=found.kind, why=STOPS[stop])
