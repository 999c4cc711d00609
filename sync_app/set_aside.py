"""Setting a drift aside: ignored (this content on these instances) or snoozed (these instances, whatever they run).

Nothing of it changes what a status says: a drifted instance stays drifted on every page. It stops to be counted and to
be told, and self-heal leaves it alone. Its time ends it by itself; other content alarms at once.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime, timedelta
from typing import Any

from django.db import transaction
from django.db.models import QuerySet
from django.utils import timezone

from configs_app import documents, reasons
from console import audit
from console.errors import Refused
from console.models import User
from instances_app.models import Environment, Instance
from sync_app import drift
from sync_app.models import LiveCopy, SetAside

LONGEST = timedelta(days=90)
HOURS = (1, 4, 8, 24, 72)  # that an instance may be snoozed for
NAMED = 20  # instances in one audit event


def ignore(
    environment: Environment,
    kind: str,
    short: str,
    *,
    instances: Collection[int],
    until: datetime,
    reason: str,
    actor: User,
) -> SetAside:
    """This content, on those of the instances that drift to it now, needs nobody until then."""
    reason = reasons.tidy(reason, missing="Say why it may stay as it is; others read it here and in the audit trail.")
    reasons.refuse_secrets(reason, reasons.current(environment) | copies(environment, kind, short))
    now = timezone.now()
    if until <= now:
        raise Refused("Choose a day that is still to come.")
    if until > now + LONGEST:
        raise Refused(f"At most {LONGEST.days} days: until then it is adopted, overwritten, or ignored once more.")
    with transaction.atomic():
        environment = documents.lock(environment)
        found = drift.members(documents.desired(environment), kind, short, instances=instances)
        chosen = {one.instance_id: one.name for one in found}
        if not chosen:
            raise Refused("None of the chosen instances drifts to this content any more. Look again.")
        aside = SetAside.objects.create(
            environment=environment,
            instances=sorted(chosen),
            kind=kind,
            short=short,
            until=until,
            reason=reason,
            by=actor,
        )
        audit.record(
            "drift.ignored",
            actor=actor,
            target=aside,
            until=until.isoformat(timespec="minutes"),
            reason=reason,
            **_told(chosen.values()),
        )
    return aside


def snooze(
    environment: Environment, *, instances: Collection[int], hours: int, reason: str = "", actor: User
) -> SetAside:
    """Whatever these instances run needs nobody for some hours."""
    if hours not in HOURS:
        raise Refused(f"Choose {', '.join(map(str, HOURS[:-1]))} or {HOURS[-1]} hours.")
    reason = reasons.tidy(reason)
    reasons.refuse_secrets(reason, reasons.current(environment) | copies(environment))
    with transaction.atomic():
        environment = documents.lock(environment)
        managed = Instance.objects.managed().filter(environment=environment, pk__in=instances)
        chosen = dict(managed.values_list("pk", "name"))
        if not chosen:
            raise Refused("Choose at least one instance that is not retired.")
        until = timezone.now() + timedelta(hours=hours)
        aside = SetAside.objects.create(
            environment=environment, instances=sorted(chosen), until=until, reason=reason, by=actor
        )
        audit.record("drift.snoozed", actor=actor, target=aside, hours=hours, reason=reason, **_told(chosen.values()))
    return aside


def take_back(aside: SetAside, *, actor: User) -> SetAside:
    """From now on it counts again."""
    with transaction.atomic():
        documents.lock(aside.environment)
        found = SetAside.objects.select_for_update(of=("self",)).select_related("environment").get(pk=aside.pk)
        if found.ended_at is not None or found.until <= timezone.now():
            raise Refused("This has ended already.")
        found.ended_at, found.ended_by = timezone.now(), actor
        found.save(update_fields=["ended_at", "ended_by"])
        audit.record("drift.set_aside_ended", actor=actor, target=found, instances=len(found.instances))
    return found


def copies(environment: Environment, kind: str = "", short: str = "") -> set[str]:
    """The texts that were read of what drifts now, whatever it is; or of this content, also when it is over."""
    which = {"drift__kind": kind, "drift__short": short} if short else {"drift__ended_at": None}
    return {copy.text for copy in LiveCopy.objects.filter(drift__environment=environment, **which)}


def standing(environment: Environment) -> QuerySet[SetAside]:
    """What holds now, the first to end first."""
    return SetAside.objects.filter(environment=environment, ended_at=None, until__gt=timezone.now()).select_related(
        "by"
    )


def _told(names: Collection[str]) -> dict[str, Any]:
    return {"instances": len(names), "names": sorted(names)[:NAMED]}
