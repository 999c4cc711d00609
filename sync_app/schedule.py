"""When each instance is due to be asked: once in an interval, at a moment of its own that no restart moves.

Whoever asks takes the time until one interval from now, in one row of the database. So no check is given out twice,
and when whoever took it dies, the rest of that time is all that is missed.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from sync_app.models import CheckClock

GOLDEN = 0.6180339887498949  # its multiples, without their whole part, are spread evenly, however many there are
CLOCK = 1


@dataclass(frozen=True, slots=True)
class Turn:
    """A stretch of time in which one worker asks everybody who is due; POSIX timestamps."""

    begins: float
    ends: float


def take(now: datetime | None = None) -> Turn | None:
    """The turn from now for one interval, or from where the last one ends; None while another one has long to go.

    What was due since the last turn ended is caught up, unless that is more than half an interval ago: everybody is due
    within the next interval, and asking all at once is what the spreading is there to avoid.
    """
    now = now or timezone.now()
    interval = timedelta(seconds=settings.OBSERVE_SECONDS)
    CheckClock.objects.bulk_create([CheckClock(pk=CLOCK, until=now - interval)], ignore_conflicts=True)
    with transaction.atomic():
        clock = CheckClock.objects.select_for_update().get(pk=CLOCK)
        if clock.until - now > interval / 2:
            if clock.until - now <= interval * 2:
                return None
            clock.until = now  # nobody takes that much: the clock was set back, or the interval made shorter
        begins = clock.until if now - clock.until <= interval / 2 else now
        clock.until = now + interval
        clock.save(update_fields=["until"])
    return Turn(begins.timestamp(), clock.until.timestamp())


def give_back(turn: Turn) -> None:
    """Let the next worker begin at once, if nobody has taken more since."""
    ends = datetime.fromtimestamp(turn.ends, tz=timezone.now().tzinfo)
    CheckClock.objects.filter(pk=CLOCK, until=ends).update(until=timezone.now())


def due(ids: Iterable[int], turn: Turn) -> list[tuple[float, int]]:
    """(when, instance id) of every check of the turn, in order of time."""
    interval = float(settings.OBSERVE_SECONDS)
    found = []
    for pk in ids:
        offset = pk * GOLDEN % 1.0 * interval
        at = turn.begins + (offset - turn.begins) % interval
        while at < turn.ends:
            found.append((at, pk))
            at += interval
    found.sort()
    return found
