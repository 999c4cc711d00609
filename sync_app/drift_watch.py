"""Beat's turn at drift: note what is new and what is over, keep a copy of what is there, let self-heal work.

One turn at a time: an instance that answers slowly holds up this one and not every worker. Running it twice at once
would change nothing: what is written, is written under the environment's lock, and the desk reads the observations
themselves.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping

from django.db import transaction
from django.db.models import F, Q
from django.utils import timezone

from configs_app import documents
from console import audit, live
from console.errors import Refused
from instances_app.models import Environment, Instance
from sync_app import drift, drift_content, self_heal, turn_lock
from sync_app.drift import Group
from sync_app.models import Drift

logger = logging.getLogger(__name__)

TURN_LOCK = 0x57434446  # the next beat comes anyway
READS = 3  # contents of one environment that a turn asks for
ASKED = 3  # instances that are asked for one content, until one hands it over
NAMED = 20  # instances in one audit event
SEPARATE = 5  # new contents of one turn that are told one by one


def turn() -> None:
    """Every environment, one after the other. One that finds another turn at work does nothing."""
    with turn_lock.alone(TURN_LOCK) as is_ours:
        if not is_ours:
            return
        for environment in Environment.objects.all():
            for found in note(environment):
                keep(found)
            self_heal.run(environment)
        drift_content.forget_old()


def note(environment: Environment) -> list[Drift]:
    """Open a drift for each new content, end those that are gone, and tell of instances that nobody was told of.

    Returns READS of those whose content nobody has handed over yet, and that may be asked for (again).
    """
    if _news(environment, _groups(environment)):
        with transaction.atomic():
            environment = documents.lock(environment)
            _write(environment, _news(environment, _groups(environment)))
        live.ping(environment.pk, "drift")
    unread = Drift.objects.filter(environment=environment, ended_at=None, copy=None)
    due = unread.filter(Q(tried_at=None) | Q(tried_at__lt=timezone.now() - drift_content.AGAIN))
    return list(due.order_by(F("tried_at").asc(nulls_first=True), "pk")[:READS])


def keep(found: Drift) -> None:
    """Have a copy of the content, from one of the instances that run it; a refusal is kept beside it."""
    members = drift.members(documents.desired(found.environment), found.kind, found.short)
    fresh = [one.instance_id for one in members if one.fresh and not one.token_refused][:ASKED]
    try:
        drift_content.read(found, Instance.objects.filter(pk__in=fresh).order_by("name"))
    except Refused as refusal:
        logger.info("The content of drift %s was not handed over: %s", found.pk, refusal)


def _groups(environment: Environment) -> dict[tuple[str, str], Group]:
    return {(group.kind, group.short): group for group in drift.groups(documents.desired(environment))}


def _news(environment: Environment, groups: Mapping[tuple[str, str], Group]) -> list[tuple[Drift, Group | None]]:
    """What has to be written: drifts that are new, reach other instances than were told of, or (None) are over."""
    standing = {(one.kind, one.short): one for one in Drift.objects.filter(environment=environment, ended_at=None)}
    news: list[tuple[Drift, Group | None]] = [(one, None) for key, one in standing.items() if key not in groups]
    for key, group in groups.items():
        if key not in standing and not group.sure_ids:
            continue
        found = standing.get(key) or Drift(environment=environment, kind=group.kind, short=group.short)
        if found.pk is None or _told(found, group) != found.instances:
            found.digest = group.digest
            news.append((found, group))
    return news


def _told(found: Drift, group: Group) -> list[int]:
    """Whom people know of after this: who surely drifts, and who did before and is silent now.

    A single report tells nobody: it may have been on its way while a rollout sent, and be older than the push.
    """
    before = set(found.instances) & set(group.ids) - set(group.aside_ids)
    return sorted(before | set(group.sure_ids))


def _write(environment: Environment, news: list[tuple[Drift, Group | None]]) -> None:
    """All of it in a few statements: a fleet may drift in as many ways as it has instances."""
    over = [found.pk for found, group in news if group is None]
    Drift.objects.filter(pk__in=over).update(ended_at=timezone.now())
    new = {(found.kind, found.short): set(group.sure_ids) - set(found.instances) for found, group in news if group}
    going = [(found, group) for found, group in news if group]
    for found, group in going:
        found.instances = _told(found, group)
    Drift.objects.bulk_create([found for found, _ in going if found.pk is None])
    Drift.objects.bulk_update([found for found, _ in going if found.pk is not None], ["instances", "digest"], 500)
    to_tell = [found for found, _ in going if new[found.kind, found.short]]
    if len(to_tell) > SEPARATE:
        instances = len(set().union(*new.values()))
        audit.record("drift.found_many", actor=None, target=environment, contents=len(to_tell), instances=instances)
        return
    for found in to_tell:
        ids = new[found.kind, found.short]
        names = Instance.objects.filter(pk__in=ids).order_by("name").values_list("name", flat=True)
        audit.record(
            "drift.found",
            actor=None,
            target=found,
            kind=found.kind,
            digest=found.short,
            instances=len(ids),
            names=list(names[:NAMED]),
        )
