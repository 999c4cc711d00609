"""How long a fleet was split, and how long what was published took to reach everybody.

A fleet is split in a document while instances run different contents of it, or something other than is desired. An
instance counts as on the old content until a report of the new one, and as unknown during a silence. Times are to
the second: finer than checks come.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from django.conf import settings
from django.db import connection
from django.utils import timezone
from webhook_agent import protocol

from configs_app.models import Bundle
from instances_app.models import Environment, Kind

LONGEST_DAYS = 31
Step = tuple[str, int]  # a content's first 16 digits, and how many instances came to it (more than 0) or left it
FAR = datetime(9000, 1, 1, tzinfo=UTC)


@dataclass(slots=True)
class Split:
    """One interval in which one document was not the same everywhere, or not what it should be."""

    kind: str
    since: datetime
    until: datetime
    began_before: bool  # it was split when the period began
    still: bool  # it was split when the period ended
    digests: set[str] = field(default_factory=set)  # the first 16 digits of what ran
    desired: list[str] = field(default_factory=list)  # the same of what was desired meanwhile, in order
    peak: int = 0  # the most instances that did not run what was desired, at one time
    unknown_at_end: int = 0  # instances of which nobody knew what they ran when it ended

    @property
    def seconds(self) -> float:
        return (self.until - self.since).total_seconds()


@dataclass(frozen=True, slots=True)
class Spread:
    """How a bundle reached the instances that were there when it was published and stayed until the next one."""

    bundle: Bundle
    ended_at: datetime | None  # the next bundle; None: it is still desired
    instances: int
    proven: int
    first_seconds: float | None  # from publishing to the first and to the last proof, of those proven
    last_seconds: float | None

    @property
    def complete(self) -> bool:
        return self.proven == self.instances


# Who came to a content and who left it, second by second. An empty kind counts the fleet itself.
_EVENTS = """
    WITH fleet AS (
        SELECT i.id, greatest(i.created_at, %(since)s) AS came,
            least(i.retired_at, %(until)s) AS went,
            least(i.retired_at, %(now)s) AS looked
        FROM instances_app_instance i
        WHERE i.environment_id = %(environment)s AND i.created_at < %(until)s AND NOT i.monitored_only
            AND (i.retired_at IS NULL OR i.retired_at > %(since)s)
    ), spans AS (
        SELECT o.kind, left(o.digest, 16) AS digest, greatest(o.since, f.came) AS came, least(f.went, CASE
            WHEN o.until IS NULL AND f.looked <= o.seen_at + make_interval(secs => %(silence)s) THEN f.went
            WHEN o.until <= o.seen_at + make_interval(secs => %(silence)s) THEN o.until
            ELSE o.seen_at END) AS went
        FROM fleet f JOIN instances_app_observation o ON o.instance_id = f.id
        WHERE o.since < %(until)s AND (o.until IS NULL OR o.until > %(since)s)
        UNION ALL
        SELECT '', '', came, went FROM fleet
    )
    SELECT extract(epoch FROM date_trunc('second', at))::bigint AS second, kind, digest, sum(step)::int
    FROM (SELECT kind, digest, came AS at, 1 AS step FROM spans WHERE came < went
          UNION ALL SELECT kind, digest, went, -1 FROM spans WHERE came < went) events
    GROUP BY second, kind, digest HAVING sum(step) <> 0"""


def splits(environment: Environment, since: datetime, until: datetime, *, now: datetime | None = None) -> list[Split]:
    """The intervals between two moments in which the fleet was split, newest first; in three queries."""
    now = now or timezone.now()
    since, until = _second(since), _second(min(until, now))
    steps: dict[str, dict[int, list[Step]]] = {"": {}, **{kind: {} for kind in Kind.values}}
    values: dict[str, Any] = {
        "environment": environment.pk,
        "since": since,
        "until": until,
        "now": now,
        "silence": settings.STALE_SECONDS,
    }
    with connection.cursor() as cursor:
        cursor.execute(_EVENTS, values)
        for second, kind, digest, step in cursor.fetchall():
            steps[kind].setdefault(second, []).append((digest, step))
    found = []
    for kind in Kind.values:
        desired = _desired(environment, kind, since, until)
        found += _sweep(kind, steps[kind], steps[""], desired, since, until)
    return sorted(found, key=lambda split: (split.since, split.kind), reverse=True)


def _sweep(
    kind: str,
    seen: Mapping[int, list[Step]],
    present: Mapping[int, list[Step]],
    desired: Mapping[int, str],
    since: datetime,
    until: datetime,
) -> list[Split]:
    """Walk one document's seconds in order, and note where the fleet parts and where it meets again."""
    running: dict[str, int] = {}  # first 16 digits → instances that run it
    active, known, wanted = 0, 0, ""
    found: list[Split] = []
    split: Split | None = None
    for second in sorted({*seen, *present, *desired}):
        if second >= until.timestamp():
            break
        for digest, step in seen.get(second, ()):
            known += step
            running[digest] = running.get(digest, 0) + step
            if not running[digest]:
                del running[digest]
        active += sum(step for _, step in present.get(second, ()))
        wanted = desired.get(second, wanted)
        right = running.get(wanted, 0) if wanted or not running else max(running.values())
        if known > right:
            if split is None:
                split = Split(kind, _at(second), until, began_before=second == since.timestamp(), still=True)
                found.append(split)
            split.digests.update(running)
            if wanted and wanted not in split.desired:
                split.desired.append(wanted)
            split.peak = max(split.peak, known - right)
        elif split is not None:
            split.until, split.still, split.unknown_at_end = _at(second), False, active - known
            split = None
    return found


def _desired(environment: Environment, kind: str, since: datetime, until: datetime) -> dict[int, str]:
    """Second → the first 16 digits of what was desired from then on, beginning with the period."""
    digests = (
        Bundle.objects.filter(environment=environment, created_at__lt=until)
        .exclude(**{f"{kind}_id": None})
        .order_by("number")
        .values_list("created_at", f"{kind}__digest")
    )
    return {int(max(at, since).timestamp()): protocol.short(digest) for at, digest in digests}


def spreads(environment: Environment, since: datetime, until: datetime, *, newest: int) -> list[Spread]:
    """How the bundles published between two moments reached their instances, newest first."""
    bundles = list(
        Bundle.objects.filter(environment=environment, created_at__gte=since, created_at__lte=until)
        .select_related("webhooks__document", "connections__document")
        .defer("webhooks__content_sealed", "connections__content_sealed")
        .order_by("-number")[:newest]
    )
    return [spread(bundle) for bundle in bundles]


_PROOFS = """
    WITH fleet AS (
        SELECT i.id FROM instances_app_instance i
        WHERE i.environment_id = %(environment)s AND i.created_at <= %(published)s AND NOT i.monitored_only
            AND (i.retired_at IS NULL OR i.retired_at > %(ended)s)
    ), proofs AS (
        SELECT o.instance_id, o.kind, min(greatest(o.since, %(published)s)) AS at
        FROM fleet f JOIN instances_app_observation o ON o.instance_id = f.id
        JOIN unnest(%(kinds)s::text[], %(digests)s::text[]) AS k(kind, digest)
            ON o.kind = k.kind AND o.digest IN (k.digest, left(k.digest, 16))
        WHERE o.since < %(ended)s AND o.seen_at >= %(published)s
        GROUP BY o.instance_id, o.kind
    ), proven AS (
        SELECT max(at) AS at FROM proofs GROUP BY instance_id HAVING count(*) = cardinality(%(kinds)s::text[])
    )
    SELECT (SELECT count(*) FROM fleet), count(*), min(at), max(at) FROM proven"""


def spread(bundle: Bundle) -> Spread:
    """How long it took from publishing until the last instance reported all of the bundle's digests."""
    after = Bundle.objects.filter(environment_id=bundle.environment_id, number__gt=bundle.number).order_by("number")
    ended_at = after.values_list("created_at", flat=True).first()
    digests = bundle.digests()
    values: dict[str, Any] = {
        "environment": bundle.environment_id,
        "kinds": list(digests),
        "digests": list(digests.values()),
        "published": bundle.created_at,
        "ended": ended_at or FAR,
    }
    with connection.cursor() as cursor:
        cursor.execute(_PROOFS, values)
        row = cursor.fetchone()
    instances, proven, first, last = row or (0, 0, None, None)

    def seconds(at: datetime | None) -> float | None:
        return None if at is None else (at - bundle.created_at).total_seconds()

    return Spread(bundle, ended_at, instances, proven, seconds(first), seconds(last))


def _at(second: int) -> datetime:
    return datetime.fromtimestamp(second, UTC)


def _second(at: datetime) -> datetime:
    return at.astimezone(UTC).replace(microsecond=0)
