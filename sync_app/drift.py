"""Which instances drift: what they last reported, held against the desired bundle and what rollouts left there.

A document of an instance **drifts** when all of this is true:

- its last report is not the desired content;
- it is known what should be there: a delivery to it was verified once, or it was seen on the desired content since that
  is desired;
- no rollout left the reported content there: neither the last verified delivery nor a push since then that may have
  arrived;
- no delivery to it is on its way. One that waits in a rollout which is paused or halted is not.

Otherwise what differs is *out of sync*: behind, and nobody's hand in it. All of it is one statement, whatever the
number of instances. Where the report of one document is too old to believe, all of the instance comes with ``fresh``
false and counts for nothing: it is unknown, as the fleet page says.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.conf import settings
from django.db import connection
from django.db.models import Q
from django.utils import timezone
from webhook_agent import protocol

from configs_app.models import Bundle
from instances_app.models import Glance, Kind, monitored
from sync_app.models import UNFINISHED, Delivery, DeliveryState, RolloutState

NAMED = 5  # instances that a group names before it counts the rest
FEW = 500  # instances that are looked at closely without another question before

_DRIFTING = """
    WITH wanted AS (
        SELECT * FROM unnest(%(kinds)s::text[], %(digests)s::text[]) AS t(kind, digest)
    ), on_its_way AS MATERIALIZED (
        SELECT u.instance_id FROM sync_app_delivery u JOIN sync_app_rollout r ON r.id = u.rollout_id
        WHERE u.state IN ('pending', 'retrying', 'unknown', 'sending') AND r.environment_id = %(environment)s
            AND NOT (u.state = 'pending' AND r.state IN ('paused', 'halted'))
            AND (%(instances)s::bigint[] IS NULL OR u.instance_id = ANY(%(instances)s::bigint[]))
    ), aside AS MATERIALIZED (
        SELECT m.instance_id, a.kind, a.short FROM sync_app_setaside a, unnest(a.instances) AS m(instance_id)
        WHERE a.environment_id = %(environment)s AND a.ended_at IS NULL AND a.until > %(now)s
    ), differing AS (
        SELECT i.id AS instance_id, i.name, i.token_refused_at IS NOT NULL AS token_refused,
            i.maintenance_since IS NOT NULL AND coalesce(i.maintenance_until > %(now)s, true) AS in_maintenance,
            o.kind, o.digest, left(o.digest, 16) AS short, o.since AS reported_since, o.seen_at,
            v.verified_at, v.revision_id, v.proven, h.seen_at AS desired_seen_at, r.fresh
        FROM instances_app_instance i
        JOIN instances_app_observation o ON o.instance_id = i.id AND o.until IS NULL
        JOIN wanted w ON w.kind = o.kind AND o.digest <> w.digest
            AND NOT (length(o.digest) = 16 AND o.digest = left(w.digest, 16))
        LEFT JOIN LATERAL (
            SELECT d.changed_at AS verified_at,
                CASE o.kind WHEN 'webhooks' THEN b.webhooks_id ELSE b.connections_id END AS revision_id,
                coalesce(bw.digest, '') = %(webhooks)s AND coalesce(bc.digest, '') = %(connections)s
                    AND d.changed_at > coalesce(i.moved_at, '-infinity') AS proven
            FROM sync_app_delivery d
            JOIN sync_app_rollout r ON r.id = d.rollout_id
            JOIN configs_app_bundle b ON b.id = r.bundle_id
            LEFT JOIN configs_app_revision bw ON bw.id = b.webhooks_id
            LEFT JOIN configs_app_revision bc ON bc.id = b.connections_id
            WHERE d.instance_id = i.id AND d.state = 'verified'
            ORDER BY d.changed_at DESC LIMIT 1
        ) v ON true
        CROSS JOIN LATERAL (
            SELECT max(h.seen_at) AS seen_at FROM instances_app_observation h
            WHERE h.instance_id = i.id AND h.kind = o.kind AND left(h.digest, 16) = left(w.digest, 16)
                AND h.until > %(desired_at)s
        ) h
        CROSS JOIN LATERAL (
            SELECT count(*) = (SELECT count(*) FROM wanted) AS fresh FROM instances_app_observation q
            WHERE q.instance_id = i.id AND q.until IS NULL AND q.kind IN (SELECT kind FROM wanted)
                AND q.seen_at >= %(now)s - make_interval(secs => %(stale)s)
        ) r
        WHERE i.environment_id = %(environment)s AND i.retired_at IS NULL AND NOT i.monitored_only
            AND (%(instances)s::bigint[] IS NULL OR i.id = ANY(%(instances)s::bigint[]))
            AND i.id NOT IN (SELECT instance_id FROM on_its_way)
    ), drifting AS (
        SELECT f.instance_id, f.name, f.kind, f.digest, f.short, f.seen_at, f.token_refused,
            f.in_maintenance, f.verified_at,
            f.revision_id, coalesce(f.proven, false) AS proven,
            f.fresh, f.seen_at > f.reported_since AS seen_twice,
            coalesce(began.since, f.reported_since) AS since, other.seen_at AS right_at,
            (f.instance_id, f.kind, f.short) IN (SELECT instance_id, kind, short FROM aside) AS ignored,
            f.in_maintenance OR f.instance_id IN (SELECT instance_id FROM aside WHERE kind = '') AS snoozed
        FROM differing f
        LEFT JOIN LATERAL (
            SELECT q.since, q.seen_at FROM instances_app_observation q
            WHERE q.instance_id = f.instance_id AND q.kind = f.kind AND left(q.digest, 16) <> f.short
            ORDER BY q.since DESC LIMIT 1
        ) other ON true
        CROSS JOIN LATERAL (
            SELECT min(p.since) AS since FROM instances_app_observation p
            WHERE p.instance_id = f.instance_id AND p.kind = f.kind
                AND (other.since IS NULL OR p.since > other.since)
        ) began
        WHERE (f.revision_id IS NOT NULL OR f.desired_seen_at IS NOT NULL)
            AND NOT EXISTS (
                SELECT 1 FROM sync_app_delivery d
                JOIN sync_app_rollout r ON r.id = d.rollout_id
                JOIN configs_app_bundle b ON b.id = r.bundle_id
                JOIN configs_app_revision x
                    ON x.id = CASE f.kind WHEN 'webhooks' THEN b.webhooks_id ELSE b.connections_id END
                WHERE d.instance_id = f.instance_id AND (d.state = 'verified' OR d.sent_at IS NOT NULL)
                    AND d.changed_at >= coalesce(greatest(f.verified_at, f.desired_seen_at), d.changed_at)
                    AND left(x.digest, 16) = f.short)
    )
"""
_COLUMNS = (
    "instance_id, name, kind, digest, short, since, right_at, seen_at, verified_at, revision_id, fresh, seen_twice, "
    "proven, token_refused, in_maintenance, ignored, snoozed"
)


@dataclass(frozen=True, slots=True)
class Drifting:
    """One document of one instance that drifts."""

    instance_id: int
    name: str
    kind: str
    digest: str  # as reported: 64 or 16 hex digits
    short: str  # its first 16: equal for equal content
    since: datetime  # the first report of it, across silences
    right_at: datetime | None  # the last report of something else before
    seen_at: datetime
    verified_at: datetime | None  # of the last verified delivery
    revision_id: int | None  # which that left there; None: it was only seen on the desired one
    fresh: bool  # else nobody knows whether it still drifts
    seen_twice: bool  # by more than one report
    proven: bool  # the last verified delivery left the whole desired bundle there, at the address that it has now
    token_refused: bool
    in_maintenance: bool
    ignored: bool
    snoozed: bool  # or the instance is in maintenance

    @property
    def is_open(self) -> bool:
        """Somebody has to look at it."""
        return self.fresh and not self.ignored and not self.snoozed


@dataclass(frozen=True, slots=True)
class Group:
    """The same content of one document on some instances; numbers are of instances."""

    kind: str
    short: str
    digest: str  # the longest that was reported
    since: datetime  # the first of them
    total: int
    open: int  # somebody has to look at these
    ignored: int
    snoozed: int
    in_maintenance: int
    silent: int  # not heard of lately: unknown
    names: list[str]  # the first NAMED, those that are open first
    ids: list[int]  # of all of them
    sure_ids: list[int]  # of those that are open, by more than one report
    aside_ids: list[int]  # ignored, snoozed or in maintenance

    @property
    def more(self) -> int:
        return self.total - len(self.names)

    @property
    def once(self) -> int:
        """Open by a single report, which may have been on its way while a rollout sent."""
        return self.open - len(self.sure_ids)


def groups(bundle: Bundle | None) -> list[Group]:
    """Every content that instances drift to, what needs somebody first, then the most instances; one query."""
    open_ = "fresh AND NOT ignored AND NOT snoozed"
    aside = "ignored OR snoozed"
    rows = _rows(
        bundle,
        f"""SELECT kind, short, max(digest), min(since), count(*),
            count(*) FILTER (WHERE {open_}) AS open,
            count(*) FILTER (WHERE fresh AND ignored AND NOT in_maintenance),
            count(*) FILTER (WHERE fresh AND snoozed AND NOT ignored AND NOT in_maintenance),
            count(*) FILTER (WHERE fresh AND in_maintenance),
            count(*) FILTER (WHERE NOT fresh),
            (array_agg(name ORDER BY ({open_}) DESC, name))[1:{NAMED}],
            array_agg(instance_id),
            coalesce(array_agg(instance_id) FILTER (WHERE {open_} AND seen_twice), ARRAY[]::bigint[]),
            coalesce(array_agg(instance_id) FILTER (WHERE {aside}), ARRAY[]::bigint[])
        FROM drifting GROUP BY kind, short
        ORDER BY open DESC, count(*) DESC, kind DESC, short""",
    )
    return [Group(*row) for row in rows]


def members(
    bundle: Bundle | None, kind: str = "", short: str = "", *, instances: Collection[int] | None = None
) -> list[Drifting]:
    """Every document that drifts, or those with this content or of these instances, by name; one query."""
    which = "WHERE kind = %(kind)s AND short = %(short)s" if short else ""
    rows = _rows(
        bundle,
        f"SELECT {_COLUMNS} FROM drifting {which} ORDER BY name, kind DESC",
        instances=instances,
        kind=kind,
        short=short,
    )
    return [Drifting(*row) for row in rows]


def differing(bundle: Bundle) -> list[int]:
    """Active instances that may drift: they last reported something else. Few, and found by a narrow scan; only they
    have to be looked at closely. Of many, those that a rollout is at are left out here already.
    """
    others = Q()
    for kind, digest in bundle.digests().items():
        others |= Q(**{f"{kind}_digest__isnull": False}) & ~Q(**{f"{kind}_digest__in": forms(digest)})
    found = Glance.objects.filter(others, environment=bundle.environment_id).exclude(
        pk__in=monitored(bundle.environment_id)
    )
    few = list(found.values_list("pk", flat=True)[: FEW + 1])
    if len(few) <= FEW:
        return few
    on_its_way = Delivery.objects.filter(rollout__environment=bundle.environment_id, state__in=UNFINISHED).exclude(
        state=DeliveryState.PENDING, rollout__state__in=[RolloutState.PAUSED, RolloutState.HALTED]
    )
    return list(found.exclude(pk__in=on_its_way.values("instance")).values_list("pk", flat=True))


def forms(digest: str) -> list[str]:
    """A digest whole, and as the 16 digits that a seed-only service reports."""
    return [digest, protocol.short(digest)]


def told(bundle: Bundle | None) -> dict[int, bool]:
    """The instances that drift, fresh reports or not → whether somebody has to look: it surely drifts, and nobody has
    set it aside. Two queries, for the words of a fleet and for the number of those that need somebody.
    """
    if bundle is None:
        return {}
    rows = _rows(
        bundle,
        """SELECT instance_id, bool_or(fresh AND seen_twice AND NOT ignored AND NOT snoozed)
        FROM drifting GROUP BY instance_id""",
        instances=differing(bundle),
    )
    return dict(rows)


def count(bundle: Bundle | None) -> int:
    """How many need somebody; two queries."""
    return sum(told(bundle).values())


def _rows(
    bundle: Bundle | None, select: str, *, instances: Collection[int] | None = None, **values: Any
) -> Iterator[tuple[Any, ...]]:
    if bundle is None or (instances is not None and not instances):
        return
    wanted = bundle.digests()
    values |= {
        "environment": bundle.environment_id,
        "kinds": list(wanted),
        "digests": list(wanted.values()),
        "webhooks": wanted.get(Kind.WEBHOOKS, ""),
        "connections": wanted.get(Kind.CONNECTIONS, ""),
        "desired_at": bundle.created_at,
        "instances": None if instances is None else list(instances),
        "stale": settings.STALE_SECONDS,
        "now": timezone.now(),
    }
    with connection.cursor() as cursor:
        cursor.execute(_DRIFTING + select, values)
        yield from cursor.fetchall()
