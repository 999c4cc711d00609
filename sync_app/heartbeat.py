"""When the checker last asked everybody what runs, and how many answered: how much the words on the pages are worth.

A round is kept when it has been completed, for each environment that it asked. One that a dead worker left unfinished
leaves no trace, so a missing heartbeat is never hidden by a half one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.conf import settings
from django.utils import timezone

from instances_app.models import Environment, Instance
from sync_app.models import CheckRound

PATIENCE = 3  # rounds that may be missing before a page says so


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """The last completed round of an environment's checks."""

    at: datetime | None  # None: there was none yet
    asked: int = 0
    answered: int = 0
    seconds: float = 0.0
    behind: int = 0  # of the asked: later than they were due
    late: bool = False
    silent_for: str = ""  # "4 minutes", when it is late


def record(
    asked: Mapping[int, int], answered: Mapping[int, int], *, seconds: float, late: Mapping[int, int] | None = None
) -> None:
    """Keep a completed round: environment id → instances asked, and of them answered, asked late; one statement."""
    now = timezone.now()
    rounds = [
        CheckRound(
            environment_id=pk,
            finished_at=now,
            seconds=seconds,
            asked=number,
            answered=answered.get(pk, 0),
            late=late.get(pk, 0) if late else 0,
        )
        for pk, number in sorted(asked.items())
    ]
    CheckRound.objects.bulk_create(
        rounds,
        update_conflicts=True,
        unique_fields=["environment"],
        update_fields=["finished_at", "seconds", "asked", "answered", "late"],
    )


def of(environment: Environment) -> Heartbeat:
    """What the pages say; one query."""
    last = CheckRound.objects.filter(environment=environment).first()
    if last is None:
        return Heartbeat(None)
    age = timezone.now() - last.finished_at
    late = _is_late(last)
    return Heartbeat(
        last.finished_at, last.asked, last.answered, last.seconds, last.late, late, _span(age) if late else ""
    )


def longest() -> timedelta:
    """The age of a round from which on the checker counts as stopped."""
    return timedelta(seconds=PATIENCE * settings.OBSERVE_SECONDS)


def missing() -> list[str]:
    """The environments whose instances nobody has asked for too long, by name."""
    waiting = Instance.objects.active().filter(created_at__lt=timezone.now() - longest()).values("environment")
    lately = [one.environment_id for one in CheckRound.objects.all() if not _is_late(one)]
    found = Environment.objects.filter(pk__in=waiting).exclude(pk__in=lately)
    return list(found.order_by("name").values_list("name", flat=True))


def oldest() -> datetime | None:
    """The round that is longest ago, of environments that have instances."""
    with_instances = Instance.objects.active().values("environment")
    rounds = CheckRound.objects.filter(environment__in=with_instances).order_by("finished_at")
    return rounds.values_list("finished_at", flat=True).first()


def _is_late(last: CheckRound) -> bool:
    """A round takes an interval, and longer where many hang; the next one is under way then."""
    more = max(last.seconds - settings.OBSERVE_SECONDS, 0.0)
    return timezone.now() - last.finished_at > longest() + timedelta(seconds=more)


def _span(age: timedelta) -> str:
    seconds = round(age.total_seconds())
    for unit, length in (("day", 86400), ("hour", 3600), ("minute", 60)):
        if seconds >= 2 * length or (unit == "minute" and seconds >= length):
            number = seconds // length
            return f"{number} {unit}{'s' * (number != 1)}"
    return f"{seconds} seconds"
