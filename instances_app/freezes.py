"""When no rollout starts in an environment, and until when: what follows from its freezes and maintenance windows.

A freeze holds in its time. Maintenance windows, as soon as there is one, hold outside of all of them. Both are read
from the clock whenever it matters; nothing has to happen for one to begin or to end.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from zoneinfo import ZoneInfo, available_timezones

from django.utils import timezone

from instances_app.freeze_models import Freeze
from instances_app.models import Environment

DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
WEEK = timedelta(days=7)
SOON = {False: timedelta(days=14), True: timedelta(days=1)}  # what is announced; weekly ones: the day before
MOST_LINKS = 60  # freezes that follow one another without a gap


@dataclass(frozen=True, slots=True)
class Frozen:
    """A time in which no rollout starts, and what makes it so: a freeze, or the window that opens at its end."""

    by: Freeze
    since: datetime
    until: datetime | None  # None: until somebody lifts it

    @property
    def pauses(self) -> bool:
        return self.by.policy == Freeze.Policy.PAUSE

    @property
    def outside(self) -> bool:
        """It is not a freeze that holds, but that no window is open."""
        return self.by.kind == Freeze.Kind.WINDOW

    @property
    def begins(self) -> str:
        return clock(self.since, self.by.zone)

    @property
    def ends(self) -> str:
        return f"{clock(self.until, self.by.zone)} ({self.by.zone})" if self.until else "until somebody lifts it"

    @property
    def words(self) -> str:
        """One sentence for people: what holds, until when, why, who set it."""
        end = f"until {self.ends}" if self.until else self.ends
        what = "outside of its maintenance windows" if self.outside else "frozen"
        return f"{self.by.environment} is {what} {end}: {self.by.reason.rstrip('.')} (set by {self.by.by})."


def standing(environment: Environment) -> list[Freeze]:
    """What is in force, now or later: neither lifted nor over."""
    rows = Freeze.objects.filter(environment=environment, lifted_at=None).select_related("environment", "by")
    now = timezone.now()
    return [row for row in rows if row.ends_at is None or row.ends_at > now]


def frozen(environment: Environment, *, at: datetime | None = None) -> Frozen | None:
    """What holds at that moment (None: now), with the end of all that holds from then on without a gap."""
    return _joined(standing(environment), at or timezone.now())


def pausing(environment: Environment) -> Frozen | None:
    """What holds now and pauses the rollouts that run."""
    return next((one for one in _holding(standing(environment), timezone.now()) if one.pauses), None)


def in_force(environment: Environment) -> list[Freeze]:
    """The freezes that hold now, and the windows that are open."""
    now = timezone.now()
    return [row for row in standing(environment) if any(_within(time, now) for time in times(row, now, now))]


def coming(environment: Environment) -> list[Frozen]:
    """What begins soon, the next first; of each freeze the next time only."""
    now, found = timezone.now(), []
    for row in standing(environment):
        if row.kind == Freeze.Kind.FREEZE:
            last = now + SOON[row.starts_at is None]
            later = [time for time in times(row, now, last) if now < time.since <= last]
            found += later[:1]
    return sorted(found, key=lambda one: one.since)


def times(freeze: Freeze, first: datetime, last: datetime) -> Iterator[Frozen]:
    """When it holds (or, a window, is open) around these two moments, in order; skipped times left out.

    Local times twice a year do not exist or exist twice. A freeze then holds rather longer, a window rather shorter.
    """
    if freeze.starts_at is not None:
        if not (freeze.skipped_until and freeze.starts_at < freeze.skipped_until):
            yield Frozen(freeze, freeze.starts_at, freeze.ends_at)
        return
    if freeze.start_day is None or freeze.start_time is None or freeze.end_day is None or freeze.end_time is None:
        return
    zone, long = ZoneInfo(freeze.zone), freeze.kind == Freeze.Kind.FREEZE
    days = (freeze.end_day - freeze.start_day) % 7
    if days == 0 and freeze.end_time <= freeze.start_time:
        days = 7
    today = first.astimezone(zone).date()
    day = today - timedelta(days=today.weekday()) + timedelta(days=freeze.start_day) - 2 * WEEK
    while (begins := _moments(datetime.combine(day, freeze.start_time), zone))[0] <= last + 2 * WEEK:
        ends = _moments(datetime.combine(day + timedelta(days=days), freeze.end_time), zone)
        since, until = (begins[0], ends[1]) if long else (begins[1], ends[0])
        skipped = freeze.skipped_until is not None and since < freeze.skipped_until
        if until > freeze.at and since < until and not skipped:
            yield Frozen(freeze, since, until)
        day += WEEK


def looser_with(environment: Environment, freeze: Freeze) -> bool:
    """Whether rollouts may start at more times once this is added: another window beside the ones there are."""
    return freeze.kind == Freeze.Kind.WINDOW and any(row.kind == freeze.kind for row in standing(environment))


def looser_without(freeze: Freeze) -> bool:
    """Whether rollouts may start at more times once this is gone: a freeze always, a window if it is the last."""
    others = [row for row in standing(freeze.environment) if row.pk != freeze.pk]
    return freeze.kind == Freeze.Kind.FREEZE or not any(row.kind == Freeze.Kind.WINDOW for row in others)


def schedule(freeze: Freeze) -> str:
    """When it holds, in words."""
    if freeze.starts_at is not None:
        end = clock(freeze.ends_at, freeze.zone) if freeze.ends_at else "somebody lifts it"
        return f"{clock(freeze.starts_at, freeze.zone)} until {end} ({freeze.zone})"
    if freeze.start_day is None or freeze.end_day is None:
        return ""
    return (
        f"every week, {DAYS[freeze.start_day]} {freeze.start_time:%H:%M} until {DAYS[freeze.end_day]} "
        f"{freeze.end_time:%H:%M} ({freeze.zone})"
    )


def clock(at: datetime, zone: str) -> str:
    """The local time there, without the name of the zone."""
    return f"{at.astimezone(ZoneInfo(zone)):%a %d %b %Y %H:%M}"


@cache
def zones() -> tuple[str, ...]:
    """The names to choose from: UTC, and those of places."""
    places = (name for name in available_timezones() if "/" in name and not name.startswith(("Etc/", "SystemV/")))
    return ("UTC", *sorted(places))


def _joined(rows: Sequence[Freeze], at: datetime) -> Frozen | None:
    found = _longest(_holding(rows, at))
    end = found
    for _ in range(MOST_LINKS):
        if end is None or end.until is None:
            break
        following = _longest(_holding(rows, end.until))
        if following is None:
            break
        end = following
    return Frozen(found.by, found.since, end.until) if found and end else None


def _longest(found: Iterable[Frozen]) -> Frozen | None:
    return max(found, key=lambda one: one.until or datetime.max.replace(tzinfo=UTC), default=None)


def _holding(rows: Sequence[Freeze], at: datetime) -> Iterator[Frozen]:
    """Everything that forbids a start at that moment."""
    windows = [row for row in rows if row.kind == Freeze.Kind.WINDOW]
    for row in rows:
        if row.kind == Freeze.Kind.FREEZE:
            yield from (time for time in times(row, at, at) if _within(time, at))
    open_times = [time for window in windows for time in times(window, at, at)]
    if windows and not any(_within(time, at) for time in open_times):
        opening = min((time for time in open_times if time.since > at), key=lambda time: time.since)
        before = [time.until for time in open_times if time.until is not None and time.until <= at]
        by = next((window for window in windows if window.policy == Freeze.Policy.PAUSE), opening.by)
        yield Frozen(by, max(before, default=min(window.at for window in windows)), opening.since)


def _within(time: Frozen, at: datetime) -> bool:
    return time.since <= at and (time.until is None or at < time.until)


def _moments(wall: datetime, zone: ZoneInfo) -> tuple[datetime, datetime]:
    """The earliest and the latest moment that a local time may mean."""
    both = [wall.replace(tzinfo=zone, fold=fold).astimezone(UTC) for fold in (0, 1)]
    return min(both), max(both)
