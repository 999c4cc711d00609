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
from django.utils import timezone

from configs_app import reasons
from console import live
from instances_app import probes
from instances_app.client import Outcome
from instances_app.client.probing import Answered, ask
from instances_app.models import Environment, Instance, Probe, Service
from sync_app.models import Delivery, DeliveryState
from sync_app.turn_lock import alone

TURN_LOCK = 0x5E84E  # of the session that asks by beat
BATCH = 500  # asked, and kept, together
RECORD = """
INSERT INTO instances_app_served AS s (instance_id, version, word, since, at, status, ms, detail, said)
SELECT t.id, t.version, t.word, t.at, t.at, t.status, t.ms, t.detail, t.said
FROM jsonb_to_recordset(%s::jsonb) AS t(id bigint, version bigint, word text, at timestamptz, status int, ms int,
    detail text, said text)
WHERE EXISTS (SELECT 1 FROM instances_app_instance i WHERE i.id = t.id)
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
    word: str
    at: datetime
    detail: str
    said: str
    status: int | None
    ms: int


def run(probe: Probe, instances: Iterable[Instance]) -> list[Found]:
    """Ask these and keep what was found, in batches."""
    chosen = list(instances)
    found: list[Found] = []
    for start in range(0, len(chosen), BATCH):
        part = look(probe.environment, probes.Settings.of(probe), chosen[start : start + BATCH])
        _record(probe, part)
        found += part
        live.ping(probe.environment_id, "fleet")
    return found


def look(
    environment: Environment, wanted: probes.Settings, instances: Sequence[Instance], *, curious: bool = False
) -> list[Found]:
    """Ask these; nothing is kept. `curious`: what was said is of interest although it was as expected."""
    answers = ask([wanted.ask(instance) for instance in instances], connect_timeout=settings.CONNECT_SECONDS)
    hide: Callable[[str], str] | None = None
    found = []
    for answered in answers:
        word, detail = wanted.judge(answered)
        said = wanted.masked(answered.text) if curious or word == Service.WRONG else ""
        if said:
            hide = hide or reasons.hiding(reasons.current(environment))
            said = hide(said)[:300]
        found.append(_found(answered, word, detail, said))
    return found


def after(rollout_id: int) -> int:
    """Ask those that a delivery of this rollout was verified on since they were asked last. How many."""
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
    return len(run(probe, _asked(probe).filter(pk__in=proven.values("instance"))))


def turn() -> int:
    """Beat's: every environment's share of those whose last answer is old enough. How many were asked."""
    with alone(TURN_LOCK) as held:
        if not held:
            return 0
        return sum(
            len(run(probe, due(probe)))
            for probe in Probe.objects.filter(every__gt=0).select_related("environment").order_by("pk")
        )


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


def proven() -> Exists:
    """That a delivery was verified at the address that the instance has now."""
    return Exists(
        Delivery.objects.filter(
            Q(instance__moved_at=None) | Q(finished_at__gt=F("instance__moved_at")),
            instance=OuterRef("pk"),
            state=DeliveryState.VERIFIED,
        )
    )


def _found(answered: Answered, word: Service, detail: str, said: str) -> Found:
    at = datetime.fromtimestamp(answered.at, UTC)
    ms = answered.ms if answered.outcome == Outcome.OK else 0
    return Found(answered.key, str(word), at, detail[:300], said, answered.status, ms)


def _record(probe: Probe, found: Sequence[Found]) -> None:
    """One statement. What is older than what is known, or of an older probe, changes nothing."""
    rows = [
        {
            "id": one.instance_id,
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
