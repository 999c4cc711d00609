"""What checks say about an instance: the word it is called by, its samples, its transitions.

A single check is a fact (`Instance.health`; gates ask it). What people are shown is calmer: a missed check or two are
*late*, MISSES in a row are *down*, and anything else has to hold for HOLDS checks before an instance is called so.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from django.conf import settings
from django.db import connection
from django.utils import timezone

from instances_app.client import Looked, Outcome
from instances_app.client.replies import printable
from instances_app.health_models import HOLDS, MISSES
from instances_app.identity import Place
from instances_app.models import CheckSample, Health

NOTHING_KNOWN: Mapping[int, Place] = {}
BUCKET_SECONDS = 900  # one sample

# `was` is the row before, `seen` the check. A silence of the checker ends a streak: nobody knows what held meanwhile.
RECORD = """
    WITH seen AS MATERIALIZED (
        SELECT * FROM jsonb_to_recordset(%(seen)s::jsonb) AS t(
            id bigint, health text, detail text, info jsonb, answered boolean, refused boolean, ms integer,
            certificate timestamptz, identity text, stranger text)
    ), streaks AS (
        SELECT was.id, was.health_called, was.health_at IS NOT NULL AND was.health <> seen.health AS changed,
            was.bucket_at IS NOT DISTINCT FROM %(bucket)s AS same_bucket,
            CASE WHEN was.health = seen.health AND was.health_at >= %(at)s - make_interval(secs => %(silence)s)
                THEN least(was.health_streak + 1, 1000) ELSE 1 END AS streak
        FROM instances_app_instance was JOIN seen ON seen.id = was.id
        WHERE was.health_at IS NULL OR was.health_at <= %(at)s
    ), found AS MATERIALIZED (
        SELECT seen.*, s.health_called, s.changed, s.same_bucket, s.streak,
            CASE WHEN s.health_called = 'new' AND seen.health <> 'down'
                OR s.health_called <> 'new'
                    AND s.streak >= CASE seen.health WHEN 'down' THEN %(misses)s ELSE %(holds)s END
                THEN seen.health ELSE s.health_called END AS called
        FROM streaks s JOIN seen ON seen.id = s.id
    ), transitions AS (
        INSERT INTO instances_app_healthtransition (instance_id, at, before, after, detail)
        SELECT id, %(at)s, health_called, called, detail FROM found WHERE called <> health_called ORDER BY id
    ), samples AS (
        INSERT INTO instances_app_checksample
            (instance_id, at, checks, failures, degraded, changes, ms_mean, ms_max)
        SELECT i.id, i.bucket_at, i.bucket_checks, i.bucket_failures, i.bucket_degraded, i.bucket_changes,
            i.bucket_ms / nullif(i.bucket_checks - i.bucket_failures, 0),
            CASE WHEN i.bucket_checks > i.bucket_failures THEN i.bucket_ms_max END
        FROM instances_app_instance i JOIN found ON found.id = i.id
        WHERE NOT found.same_bucket AND i.bucket_at IS NOT NULL
        ON CONFLICT DO NOTHING
    )
    UPDATE instances_app_instance i SET
        health = found.health, health_at = %(at)s, health_detail = found.detail, health_streak = found.streak,
        health_called = found.called,
        health_called_at = CASE WHEN found.called <> i.health_called OR i.health_called_at IS NULL
            THEN %(at)s ELSE i.health_called_at END,
        latency_ms = found.ms,
        certificate_until = CASE WHEN i.base_url LIKE 'https:%%'
            THEN coalesce(found.certificate, i.certificate_until) END,
        info = CASE WHEN found.info - 'uptime_seconds' IS DISTINCT FROM i.info - 'uptime_seconds'
            THEN coalesce(found.info, i.info) ELSE i.info END,
        info_at = CASE WHEN found.answered THEN %(at)s ELSE i.info_at END,
        identity = coalesce(found.identity, i.identity),
        identity_at = CASE WHEN found.identity <> i.identity THEN %(at)s ELSE i.identity_at END,
        stranger = coalesce(found.stranger, i.stranger),
        stranger_at = CASE WHEN found.stranger = '' THEN NULL
            WHEN found.stranger <> '' THEN coalesce(i.stranger_at, %(at)s) ELSE i.stranger_at END,
        token_refused_at = CASE WHEN found.answered THEN NULL
            WHEN found.refused THEN coalesce(i.token_refused_at, %(at)s) ELSE i.token_refused_at END,
        bucket_at = %(bucket)s,
        bucket_checks = CASE WHEN found.same_bucket THEN least(i.bucket_checks, 32000) ELSE 0 END + 1,
        bucket_failures = CASE WHEN found.same_bucket THEN least(i.bucket_failures, 32000) ELSE 0 END
            + (found.health = 'down')::int,
        bucket_degraded = CASE WHEN found.same_bucket THEN least(i.bucket_degraded, 32000) ELSE 0 END
            + (found.health = 'degraded')::int,
        bucket_changes = CASE WHEN found.same_bucket THEN least(i.bucket_changes, 32000) ELSE 0 END
            + found.changed::int,
        bucket_ms = CASE WHEN found.same_bucket THEN i.bucket_ms ELSE 0 END + coalesce(found.ms, 0),
        bucket_ms_max = greatest(CASE WHEN found.same_bucket THEN i.bucket_ms_max ELSE 0 END, coalesce(found.ms, 0))
    FROM found WHERE found.id = i.id
"""


def record(looks: Iterable[Looked], at: datetime, places: Mapping[int, Place] = NOTHING_KNOWN) -> None:
    """Keep what these checks found, in one statement; the caller holds the rows. An older check changes nothing.

    `places`: what is known of instances' places after them; the others' stay.
    """
    values: dict[str, Any] = {
        "at": at,
        "bucket": bucket(at),
        "silence": settings.STALE_SECONDS,
        "misses": MISSES,
        "holds": HOLDS,
        "seen": json.dumps([_row(look, places.get(look.key)) for look in looks]),
    }
    with connection.cursor() as cursor:
        cursor.execute(RECORD, values)


def _row(look: Looked, place: Place | None) -> dict[str, Any]:
    word, detail = of(look)
    answered = look.info.outcome == Outcome.OK
    until = look.certificate_until
    return {
        "id": look.key,
        "health": word,
        "detail": detail,
        "info": look.info.body if answered else None,
        "answered": answered,
        "refused": Outcome.UNAUTHORISED in {look.info.outcome, look.versions.outcome},
        "ms": None if word == Health.DOWN else look.versions.elapsed_ms,
        "certificate": None if until is None else until.isoformat(),
        "identity": place and place.pinned,
        "stranger": place and place.stranger,
    }


def of(look: Looked) -> tuple[str, str]:
    """The health word a check stands for, and the reason in words (empty when healthy)."""
    for reply in (look.versions, look.info):
        if reply.outcome == Outcome.OK:
            continue
        answered = reply.outcome in {Outcome.BUSY, Outcome.UNAUTHORISED, Outcome.REJECTED}
        return (Health.DEGRADED if answered else Health.DOWN), reply.error[:300]
    if look.info.body.get("health") in (None, "healthy"):  # whatever it wrote there: a set would want to hash it
        return Health.HEALTHY, ""
    reason = look.info.body.get("health_reason") or "The service says that it is degraded."
    return Health.DEGRADED, printable(reason)


def bucket(at: datetime) -> datetime:
    """The beginning of the sample that a moment belongs to."""
    return datetime.fromtimestamp(at.timestamp() // BUCKET_SECONDS * BUCKET_SECONDS, UTC)


def thin() -> int:
    """Delete samples older than CONSOLE_SAMPLE_DAYS. Transitions stay for ever."""
    return CheckSample.objects.filter(at__lt=timezone.now() - timedelta(days=settings.SAMPLE_DAYS)).delete()[0]
