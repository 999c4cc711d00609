"""Asking services whether they serve: after deliveries, by beat at a low rate, and by hand.

A probe with headers or a body goes by itself only to where a delivery was verified at the present address: whoever
may register an instance would otherwise be sent what is sealed.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from django.conf import settings
from django.db import connection
from django.db.models import Exists, F, OuterRef, Q, QuerySet
from django.db.models.functions import Coalesce
from django.utils import timezone

from configs_app import reasons
from console import live
from console.errors import Refused
from instances_app import probes
from instances_app.client import Outcome
from instances_app.client.probing import Answered, ask
from instances_app.models import Environment, Instance, Probe, Service
from sync_app.models import Delivery, DeliveryState
from sync_app.turn_lock import alone

TURN_LOCK = 0x5E84E  # of the session that asks by beat
BATCH = 100  # asked, and kept, together: so many answers are in memory at once
RECORD = """
INSERT INTO instances_app_served AS s (instance_id, version, word, since, at, status, ms, detail, said)
SELECT t.id, t.version, t.word, t.at, t.at, t.status, t.ms, t.detail, t.said
FROM jsonb_to_recordset(%s::jsonb) AS t(id bigint, address text, version bigint, word text, at timestamptz, status int,
    ms int, detail text, said text)
WHERE EXISTS (SELECT 1 FROM instances_app_instance i WHERE i.id = t.id AND i.base_url = t.address)
ORDER BY t.id
ON CONFLICT (instance_id) DO UPDATE SET
    since = CASE WHEN s.word = excluded.word AND s.version = excluded.version THEN s.since ELSE excluded.since END,
    version = excluded.version, word = excluded.word, at = excluded.at, status = excluded.status, ms = excluded.ms,
    detail = excluded.detail, said = excluded.said
WHERE s.at <= excluded.at AND s.version <= excluded.version
"""


@dataclass(frozen=True, slots=True)
class Found:
    """What one probe found; `said` is the beginning of the answer: untrusted, on one line, without secrets."""

    instance_id: int
    address: str  # where it was asked
    word: str
    at: datetime
    detail: str
    said: str
    status: int | None
    ms: int


def run(probe: Probe, instances: Iterable[Instance]) -> list[Found]:
    """Ask these and keep what was found, in batches, for as long as the probe stays as it is."""
    chosen = list(instances)
    wanted = probes.Settings.of(probe)
    found: list[Found] = []
    for start in range(0, len(chosen), BATCH):
        if start and not Probe.objects.filter(pk=probe.pk, version=probe.version).exists():
            break  # somebody changed it, or took it away: perhaps because of what it does
        part = look(probe.environment, wanted, chosen[start : start + BATCH])
        _record(probe, part)
        found += part
        live.ping(probe.environment_id, "fleet")
    return found


def look(
    environment: Environment, wanted: probes.Settings, instances: Sequence[Instance], *, curious: bool = False
) -> list[Found]:
    """Ask these; nothing is kept. `curious`: what was said is of interest although it was as expected."""
    answers = ask([wanted.ask(instance) for instance in instances], connect_timeout=settings.CONNECT_SECONDS)
    own = wanted.hiding()
    hide: Callable[[str], str] | None = None
    found = []
    address = {instance.pk: instance.base_url for instance in instances}
    for answered in answers:
        word, detail = wanted.judge(answered)
        said = own(answered.text) if curious or word == Service.WRONG else ""
        if said:
            hide = hide or reasons.hiding(reasons.current(environment))
            said = hide(said)[:300]
        found.append(_found(answered, address[answered.key], word, detail, said))
    return found


def by_hand(probe: Probe, instance: Instance) -> Found:
    """Ask this one now, whoever else asks, and keep what was found. Refused where sealed headers or body may not go."""
    if probe.secrets_sealed is not None:
        refuse_unproven(instance)
    (found,) = run(probe, [instance])
    return found


def refuse_unproven(instance: Instance) -> None:
    """What is sealed goes only to where documents went: whoever may register an instance would be sent it otherwise."""
    if not is_proven(instance):
        raise Refused(
            f"No delivery was verified on {instance} at its present address, so the probe's sealed headers and body "
            "are not sent there. Sync it first."
        )


def after(rollout_id: int) -> int | None:
    """Ask those that a delivery of this rollout was verified on since they were asked last. How many; None while
    somebody else is asking in this environment: two at once would ask the same ones twice, and a POST does work.
    """
    probe = Probe.objects.filter(environment__rollouts=rollout_id).select_related("environment").first()
    if probe is None:
        return 0
    proven = Delivery.objects.filter(
        Q(instance__served=None)
        | Q(instance__served__at__lt=F("finished_at"))
        | Q(instance__served__version__lt=probe.version),
        rollout=rollout_id,
        state=DeliveryState.VERIFIED,
    )
    with alone(_lock(probe)) as held:
        return len(run(probe, _asked(probe).filter(pk__in=proven.values("instance")))) if held else None


def turn() -> int:
    """Beat's: every environment's share of those whose last answer is old enough. How many were asked."""
    asked = 0
    with alone(TURN_LOCK) as held:
        for probe in Probe.objects.filter(every__gt=0).select_related("environment").order_by("pk") if held else ():
            with alone(_lock(probe)) as free:
                asked += len(run(probe, due(probe))) if free else 0
    return asked


def _lock(probe: Probe) -> int:
    """Of the session that asks by itself in the probe's environment."""
    return TURN_LOCK << 32 | probe.environment_id


def due(probe: Probe) -> QuerySet[Instance]:
    """Who is asked now: the longest unasked first, and never more than would be everybody in `every` checks."""
    wait = timedelta(seconds=(probe.every - 0.5) * settings.OBSERVE_SECONDS)
    old = Q(served=None) | Q(served__version__lt=probe.version) | Q(served__at__lt=timezone.now() - wait)
    share = math.ceil(probe.environment.instances.managed().count() / probe.every)
    return _asked(probe).filter(old).order_by(F("served__at").asc(nulls_first=True), "pk")[:share]


def _asked(probe: Probe) -> QuerySet[Instance]:
    """Whom this probe goes to by itself. A service that is monitored only is asked for its health, and nothing else."""
    managed = probe.environment.instances.managed().defer("info", "labels")
    return managed if probe.secrets_sealed is None else managed.filter(proven())


def is_proven(instance: Instance) -> bool:
    return Instance.objects.filter(proven(), pk=instance.pk).exists()


def proven() -> Exists:
    """That a delivery was verified at the address that the instance has now."""
    return Exists(
        Delivery.objects.annotate(began=Coalesce("sent_at", "finished_at")).filter(
            Q(instance__moved_at=None) | Q(began__gt=F("instance__moved_at")),
            instance=OuterRef("pk"),
            state=DeliveryState.VERIFIED,
        )
    )


def _found(answered: Answered, address: str, word: Service, detail: str, said: str) -> Found:
    at = datetime.fromtimestamp(answered.at, UTC)
    ms = answered.ms if answered.outcome == Outcome.OK else 0
    return Found(answered.key, address, str(word), at, detail[:300], said, answered.status, ms)


def _record(probe: Probe, found: Sequence[Found]) -> None:
    """One statement. What is older than what is known, of an older probe, or of another address, changes nothing."""
    rows = [
        {
            "id": one.instance_id,
            "address": one.address,
            "version": probe.version,
            "word": one.word,
            "at": one.at.isoformat(),
            "status": one.status,
            "ms": one.ms if one.status is not None else None,
            "detail": one.detail,
            "said": one.said,
        }
        for one in found
    ]
    with connection.cursor() as cursor:
        cursor.execute(RECORD, [json.dumps(rows)])
