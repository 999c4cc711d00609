"""When an environment is frozen, and until when: also across a change of clocks."""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta
from typing import Any

import pytest
from django.db import IntegrityError, InternalError, transaction

from console import testing
from console.models import User
from instances_app import freezes, registry
from instances_app.freeze_models import Freeze
from instances_app.models import Environment

pytestmark = pytest.mark.django_db

LONG_AGO = datetime(2025, 1, 1, tzinfo=UTC)


@pytest.fixture
def environment() -> Environment:
    return registry.add_environment("staging", protected=False, actor=None)


def put(environment: Environment, person: User | None = None, **values: Any) -> Freeze:
    freeze = Freeze(environment=environment, by=person or testing.person("adam"), **values)
    freeze.kind = freeze.kind or "freeze"
    freeze.policy = freeze.policy or "finish"
    freeze.zone = freeze.zone or "Europe/Berlin"
    freeze.reason = freeze.reason or "a test"
    freeze.save()
    return freeze


def weekly(start: tuple[int, int, int], end: tuple[int, int, int], **values: Any) -> dict[str, Any]:
    """(day, hour, minute) to (day, hour, minute); Monday is 0."""
    return {
        "start_day": start[0],
        "start_time": time(start[1], start[2]),
        "end_day": end[0],
        "end_time": time(end[1], end[2]),
        **values,
    }


WEEKEND = weekly((4, 16, 0), (0, 6, 0))  # Friday 16:00 until Monday 06:00


def spans(freeze: Freeze, around: datetime) -> list[tuple[datetime, datetime | None]]:
    """The times that begin within a week of that moment."""
    freeze.at = LONG_AGO
    week = timedelta(days=7)
    found = freezes.times(freeze, around, around)
    return [(one.since, one.until) for one in found if abs(one.since - around) <= week]


def test_a_weekly_freeze_follows_the_clocks_on_the_wall(environment: Environment) -> None:
    freeze = put(environment, **WEEKEND)
    # The night before 29 March 2026 the clocks in Berlin go forward: the weekend has an hour less.
    (since, until), *_ = [s for s in spans(freeze, datetime(2026, 3, 28, tzinfo=UTC)) if s[0].day == 27]
    assert since == datetime(2026, 3, 27, 15, 0, tzinfo=UTC)
    assert until == datetime(2026, 3, 30, 4, 0, tzinfo=UTC)
    # And before 25 October back: an hour more.
    (since, until), *_ = [s for s in spans(freeze, datetime(2026, 10, 24, tzinfo=UTC)) if s[0].day == 23]
    assert since == datetime(2026, 10, 23, 14, 0, tzinfo=UTC)
    assert until == datetime(2026, 10, 26, 5, 0, tzinfo=UTC)


def test_where_a_local_time_does_not_exist_or_exists_twice_a_freeze_holds_longer_and_a_window_shorter(
    environment: Environment,
) -> None:
    sunday = weekly((6, 2, 30), (6, 3, 30))
    back = datetime(2026, 10, 25, 0, 0, tzinfo=UTC)  # 02:30 comes twice: 00:30 and 01:30 UTC
    freeze = put(environment, **sunday)
    window = put(environment, **sunday, kind="window")
    assert (back + timedelta(minutes=30), back + timedelta(minutes=150)) in spans(freeze, back)
    assert (back + timedelta(minutes=90), back + timedelta(minutes=150)) in spans(window, back)
    night = weekly((6, 1, 0), (6, 2, 30))
    freeze, window = put(environment, **night), put(environment, **night, kind="window")
    eleven = back - timedelta(hours=1)  # 01:00 in Berlin
    assert (eleven, back + timedelta(minutes=90)) in spans(freeze, back)
    assert (eleven, back + timedelta(minutes=30)) in spans(window, back)


def test_a_weekly_freeze_may_run_over_the_end_of_the_week_and_of_the_year(environment: Environment) -> None:
    freeze = put(environment, **WEEKEND)
    found = spans(freeze, datetime(2027, 1, 2, tzinfo=UTC))
    assert (datetime(2027, 1, 1, 15, 0, tzinfo=UTC), datetime(2027, 1, 4, 5, 0, tzinfo=UTC)) in found


def at(environment: Environment, moment: datetime) -> freezes.Frozen | None:
    return freezes.frozen(environment, at=moment)


def test_a_freeze_holds_from_its_first_moment_until_before_its_last(environment: Environment) -> None:
    begins, ends = datetime(2036, 12, 20, tzinfo=UTC), datetime(2037, 1, 3, tzinfo=UTC)
    put(environment, starts_at=begins, ends_at=ends, reason="Christmas")
    second = timedelta(seconds=1)
    assert [at(environment, moment) is not None for moment in (begins - second, begins, ends - second, ends)] == [
        False,
        True,
        True,
        False,
    ]
    found = at(environment, begins)
    assert found is not None
    assert found.words == ("staging is frozen until Sat 03 Jan 2037 01:00 (Europe/Berlin): Christmas (set by adam).")


def test_what_follows_without_a_gap_is_one_freeze_with_one_end(environment: Environment) -> None:
    day = timedelta(days=1)
    begins = datetime(2036, 12, 20, tzinfo=UTC)
    put(environment, starts_at=begins, ends_at=begins + day)
    put(environment, starts_at=begins + day, ends_at=begins + 2 * day)
    put(environment, starts_at=begins + day / 2, ends_at=begins + 3 * day)
    put(environment, starts_at=begins + 4 * day, ends_at=begins + 5 * day)
    found = at(environment, begins)
    assert found is not None
    assert found.until == begins + 3 * day
    put(environment, starts_at=begins + 3 * day)
    found = at(environment, begins)
    assert found is not None
    assert (found.until, found.ends) == (None, "until somebody lifts it")


def test_with_windows_everything_outside_of_them_is_frozen_until_the_next_one_opens(environment: Environment) -> None:
    tuesday = weekly((1, 9, 0), (1, 11, 0), kind="window", zone="UTC")
    thursday = weekly((3, 22, 0), (4, 2, 0), kind="window", zone="UTC")
    put(environment, **tuesday)
    put(environment, **thursday, policy="pause")
    monday = datetime(2036, 12, 1, 12, 0, tzinfo=UTC)
    found = at(environment, monday)
    assert found is not None
    assert (found.outside, found.until, found.pauses) == (True, datetime(2036, 12, 2, 9, 0, tzinfo=UTC), True)
    assert at(environment, datetime(2036, 12, 2, 9, 0, tzinfo=UTC)) is None
    assert at(environment, datetime(2036, 12, 5, 1, 59, tzinfo=UTC)) is None
    found = at(environment, datetime(2036, 12, 5, 2, 0, tzinfo=UTC))
    assert found is not None
    assert found.since == datetime(2036, 12, 5, 2, 0, tzinfo=UTC)
    # A freeze inside of a window counts.
    put(environment, starts_at=datetime(2036, 12, 2, 10, tzinfo=UTC), ends_at=datetime(2036, 12, 2, 10, 30, tzinfo=UTC))
    found = at(environment, datetime(2036, 12, 2, 10, 5, tzinfo=UTC))
    assert found is not None
    assert (found.outside, found.until) == (False, datetime(2036, 12, 2, 10, 30, tzinfo=UTC))


def test_another_window_is_looser_and_so_is_none_at_all(environment: Environment) -> None:
    row = weekly((1, 9, 0), (1, 11, 0), kind="window")
    first = Freeze(environment=environment, **row)
    assert not freezes.looser_with(environment, first)  # the first one forbids the rest of the week
    kept = put(environment, **row)
    assert freezes.looser_with(environment, first)
    assert freezes.looser_without(kept)
    put(environment, **row)
    assert not freezes.looser_without(kept)


def test_the_database_keeps_a_freeze_as_it_was_set(environment: Environment) -> None:
    freeze = put(environment, starts_at=LONG_AGO)
    wrong: list[dict[str, Any]] = [{"reason": "another"}, {"ends_at": LONG_AGO}, {"policy": "pause"}]
    for values in wrong:
        with pytest.raises((IntegrityError, InternalError)), transaction.atomic():
            Freeze.objects.filter(pk=freeze.pk).update(**values)
    with pytest.raises((IntegrityError, InternalError)), transaction.atomic():
        freeze.delete()
    for values in (weekly((0, 0, 0), (1, 0, 0), starts_at=LONG_AGO), {}, {"starts_at": LONG_AGO, "kind": "window"}):
        with pytest.raises(IntegrityError), transaction.atomic():
            put(environment, **values)


def test_where_it_is_protected_a_freeze_is_lifted_beside_a_review_only() -> None:
    production = registry.add_environment("production", protected=True, plain_http=True, actor=None)
    freeze = put(production, starts_at=LONG_AGO)
    freeze.lifted_at, freeze.lifted_by, freeze.lift_reason = LONG_AGO, testing.person("adam"), "quietly"
    with pytest.raises(IntegrityError), transaction.atomic():
        freeze.save()
