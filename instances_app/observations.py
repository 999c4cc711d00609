"""What instances report to run, and how healthy they say they are. Everything a reply teaches is kept here."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from django.conf import settings
from django.db import connection, transaction
from django.utils import timezone

from instances_app import health, identity
from instances_app.client import Looked, Outcome, Reply
from instances_app.models import Kind

DIGEST = re.compile(r"[0-9a-fA-F]{16,64}")
REPORTED_AS = [(str(kind), (f"{kind}_digest", f"{kind}_version")) for kind in Kind]


@dataclass(frozen=True, slots=True)
class Sighting:
    """One instance's report of what it runs: kind → digest (64 or 16 hex digits), as of `at`."""

    instance_id: int
    digests: dict[str, str]
    at: datetime = field(default_factory=timezone.now)


def reported_digests(reply: Reply) -> dict[str, str]:
    """kind → the most exact digest a config-version answer carries; empty for any other answer."""
    if reply.outcome != Outcome.OK:
        return {}
    digests: dict[str, str] = {}
    for kind, names in REPORTED_AS:
        for name in names:
            value = reply.body.get(name)
            if isinstance(value, str) and DIGEST.fullmatch(value):
                digests[kind] = value.lower()
                break
    return digests


def record(sightings: Iterable[Sighting]) -> None:
    """Open, prolong or close observations, in two statements whatever the number.

    The same digest prolongs an observation only while no more than STALE_SECONDS lie between two reports. After a
    longer silence another one begins, so that history shows the hours of which nobody knows anything.

    Two workers may report the same instance at once: the rows are taken in one order, and a report older than
    what is known changes nothing.
    """
    rows = {
        (sighting.instance_id, kind): (digest, sighting.at)
        for sighting in sightings
        for kind, digest in sighting.digests.items()
    }
    if not rows:
        return
    # One text for all rows: psycopg writes an array's elements one by one, which took longer than the statements.
    seen = [
        {"instance_id": instance, "kind": kind, "digest": digest, "at": at.isoformat()}
        for (instance, kind), (digest, at) in sorted(rows.items())
    ]
    values: dict[str, Any] = {"silence": settings.STALE_SECONDS, "seen": json.dumps(seen)}
    # The same digest, whole or as the 16 digits that a seed-only service reports.
    same = """(o.digest = seen.digest OR
        left(o.digest, 16) = left(seen.digest, 16) AND 16 IN (length(o.digest), length(seen.digest)))"""
    goes_on = f"({same} AND seen.at <= o.seen_at + make_interval(secs => %(silence)s))"
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(
            "SELECT 1 FROM instances_app_instance WHERE id = ANY(%s) ORDER BY id FOR NO KEY UPDATE",
            [sorted({instance for instance, _ in rows})],
        )
        # Another statement, for what was committed while this one waited; and one only, so that the glances, which
        # follow at its end, never see an instance between two observations.
        cursor.execute(
            f"""
            WITH seen AS MATERIALIZED (
                SELECT * FROM jsonb_to_recordset(%(seen)s::jsonb)
                    AS t(instance_id bigint, kind text, digest text, at timestamptz)
            ), known AS (
                UPDATE instances_app_observation o
                SET seen_at = CASE WHEN {goes_on} THEN greatest(o.seen_at, seen.at) ELSE o.seen_at END,
                    until = CASE WHEN {goes_on} OR seen.at < o.seen_at THEN NULL ELSE seen.at END
                FROM seen WHERE o.instance_id = seen.instance_id AND o.kind = seen.kind AND o.until IS NULL
                RETURNING o.instance_id, o.kind, o.until
            )
            INSERT INTO instances_app_observation (instance_id, kind, digest, since, seen_at)
            SELECT seen.instance_id, seen.kind, seen.digest, seen.at, seen.at
            FROM seen LEFT JOIN known USING (instance_id, kind)
            WHERE known.instance_id IS NULL OR known.until IS NOT NULL
            """,
            values,
        )


def forget(instance_ids: Collection[int]) -> None:
    """End what these report: they have moved, and nobody has asked at the new address. The caller holds their rows."""
    with connection.cursor() as cursor:
        cursor.execute(
            """UPDATE instances_app_observation SET until = greatest(seen_at, %s)
                WHERE instance_id = ANY(%s) AND until IS NULL""",
            [timezone.now(), list(instance_ids)],
        )


def record_looks(looks: Iterable[Looked]) -> None:
    """Keep the answers of a check: what runs, how healthy, what the agent can do. Four statements for any number.

    The service's answer says nothing of an instance whose agent has been found meanwhile, nor an agent's of one that is
    monitored only by now: those are dropped.
    """
    looks = list(looks)
    if not looks:
        return
    now = timezone.now()
    with transaction.atomic():
        before = identity.hold([look.key for look in looks])
        looks = [look for look in looks if look.key in before and before[look.key].monitored_only == look.service]
        looks, after = identity.judge(looks, before)
        record(Sighting(look.key, reported_digests(look.versions), now) for look in looks)
        health.record(looks, now, after)
        identity.tell(before, after)
