"""What was seen when: the observations of instances, read for any moment, and how sure the answer is.

Known is what lies between two reports of the same digest with at most STALE_SECONDS between them, and what a report of
the last STALE_SECONDS said. Everything else is told as it is: *changing* between the last report of one digest and the
first of another, *unknown* where nothing was heard for longer.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from django.conf import settings
from django.db import connection
from django.utils import timezone

from instances_app.models import Environment, Instance, Kind

KNOWN = "known"  # it reported this before and after, or lately
CHANGING = "changing"  # one digest or the next: the change was not seen itself
UNKNOWN = "unknown"  # no report yet, or a silence
FAR = datetime.max.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Sight:
    """What is known of one document of one instance at a moment."""

    word: str
    digest: str = ""  # the last one reported, of 64 or 16 hex digits; empty: none yet
    following: str = ""  # the next one reported, where the word is not known; empty: none yet
    since: datetime | None = None  # the first report of the digest
    seen_at: datetime | None = None  # the last report of it
    until: datetime | None = None  # the next report, of something else or after a silence; None: none yet


@dataclass(frozen=True, slots=True)
class Stood:
    """An instance that was active at the moment, and what it ran: kind → sight, for both documents."""

    instance_id: int
    name: str
    sights: dict[str, Sight]


@dataclass(frozen=True, slots=True)
class Stretch:
    """A stretch of one instance's time on one digest; an empty digest is a silence."""

    kind: str
    digest: str
    since: datetime
    seen_at: datetime  # it is certain until then
    until: datetime | None  # it has ended by then; None: it goes on, as far as anybody knows


# The last observation that began by a moment, and the one after it. Both walk the index (instance, kind, since).
_AT = """
    SELECT i.id, i.name, k.kind, i.retired_at, o.digest, o.since, o.seen_at, o.until, n.digest
    FROM instances_app_instance i
    CROSS JOIN unnest(%(kinds)s::text[]) WITH ORDINALITY AS k(kind, place)
    LEFT JOIN LATERAL (
        SELECT * FROM instances_app_observation o
        WHERE o.instance_id = i.id AND o.kind = k.kind AND o.since <= %(at)s
        ORDER BY o.since DESC, o.id DESC LIMIT 1
    ) o ON true
    LEFT JOIN LATERAL (
        SELECT n.digest FROM instances_app_observation n
        WHERE n.instance_id = i.id AND n.kind = k.kind AND n.since >= o.until AND n.id > o.id
        ORDER BY n.since, n.id LIMIT 1
    ) n ON o.until IS NOT NULL AND o.seen_at < %(at)s
"""


def at(environment: Environment, moment: datetime, *, now: datetime | None = None) -> list[Stood]:
    """Every instance that was active then, by name, with what is known of it; in one query.

    Those that are monitored only are not among them: nobody could ever know.
    """
    where = """
        WHERE i.environment_id = %(environment)s AND i.created_at <= %(at)s
            AND (i.retired_at IS NULL OR i.retired_at > %(at)s) AND NOT i.monitored_only
        ORDER BY i.name, i.id, k.place"""
    stood: dict[int, Stood] = {}
    for pk, name, kind, *seen in _rows(_AT + where, {"environment": environment.pk, "at": moment}):
        stood.setdefault(pk, Stood(pk, name, {})).sights[kind] = _sight(seen, moment, now or timezone.now())
    return list(stood.values())


def of_instance(instance: Instance, moment: datetime, *, now: datetime | None = None) -> dict[str, Sight]:
    """kind → what is known of it then. Whether the instance was active then, the caller looks up."""
    rows = _rows(_AT + "WHERE i.id = %(instance)s ORDER BY k.place", {"instance": instance.pk, "at": moment})
    return {kind: _sight(seen, moment, now or timezone.now()) for _, _, kind, *seen in rows}


def stretches(
    instance: Instance, *, newest: int | None = None, now: datetime | None = None
) -> tuple[list[Stretch], bool]:
    """What an instance ran, newest first, silences included; and whether there are older ones.

    `newest` limits the number of observations that are read of each document.
    """
    end = min(now or timezone.now(), instance.retired_at or FAR)
    found: list[Stretch] = []
    older = False
    for kind in Kind.values:
        observations = instance.observations.filter(kind=kind).order_by("-since", "-pk")
        listed = list(observations[: newest + 1] if newest is not None else observations)
        older = older or (newest is not None and len(listed) > newest)
        for observation in listed[:newest]:
            certain = certain_until(observation.seen_at, observation.until, end)
            until = observation.until or instance.retired_at
            if certain != end and is_silence(observation.seen_at, observation.until or end):
                found.append(Stretch(kind, "", certain, certain, until))
                until = certain
            found.append(Stretch(kind, observation.digest, observation.since, certain, until))
    return sorted(found, key=lambda stretch: (stretch.since, stretch.seen_at), reverse=True), older


def certain_until(seen_at: datetime, until: datetime | None, now: datetime) -> datetime:
    """How long an observation is certain: to its last report, or to now (or to its retirement) while that is fresh."""
    return now if until is None and not is_silence(seen_at, now) else seen_at


def is_silence(seen_at: datetime, until: datetime) -> bool:
    return until - seen_at > timedelta(seconds=settings.STALE_SECONDS)


def _sight(seen: Sequence[Any], moment: datetime, now: datetime) -> Sight:
    retired_at, digest, since, seen_at, until, following = seen
    if digest is None:
        return Sight(UNKNOWN)
    if moment <= certain_until(seen_at, until, min(now, retired_at or FAR)):
        return Sight(KNOWN, digest, "", since, seen_at, until)
    word = UNKNOWN if until is None or is_silence(seen_at, until) else CHANGING
    return Sight(word, digest, following or "", since, seen_at, until)


def _rows(statement: str, values: dict[str, Any]) -> Iterator[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(statement, {"kinds": Kind.values, **values})
        yield from cursor.fetchall()
