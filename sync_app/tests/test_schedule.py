"""Checks are given out once, each at its own moment, whoever dies."""

from __future__ import annotations

import threading
from datetime import timedelta

import pytest
from django.conf import settings
from django.db import connection
from django.utils import timezone

from console import testing
from console.testing_processes import Process, until
from instances_app import registry
from instances_app.models import Instance
from sync_app import checks, schedule, tasks
from sync_app.models import CheckClock, CheckRound
from sync_app.schedule import Turn

I = settings.OBSERVE_SECONDS  # noqa: E741 - an interval
START = timezone.now()


def take(seconds: float) -> tuple[float, float] | None:
    """The turn that somebody gets so long after START: its beginning and end, in seconds from there."""
    turn = schedule.take(START + timedelta(seconds=seconds))
    if turn is None:
        return None
    return (round(turn.begins - START.timestamp(), 3), round(turn.ends - START.timestamp(), 3))


def test_everybody_is_due_once_in_an_interval_and_at_the_same_moment_of_each() -> None:
    first, second = Turn(1000.0, 1000.0 + I), Turn(1000.0 + I, 1000.0 + 2 * I)
    due, later = schedule.due(range(1000), first), schedule.due(range(1000), second)
    assert sorted(pk for _, pk in due) == list(range(1000))
    assert [pk for _, pk in later] == [pk for _, pk in due]
    assert [round(at - I, 6) for at, _ in later] == [round(at, 6) for at, _ in due]


def test_a_restart_in_the_middle_moves_nobody() -> None:
    whole = {pk: at for at, pk in schedule.due(range(100), Turn(1000.0, 1000.0 + I))}
    for at, pk in schedule.due(range(100), Turn(1007.0, 1007.0 + I)):
        assert abs((at - whole[pk]) % I) < 1e-6 or abs((at - whole[pk]) % I - I) < 1e-6


@pytest.mark.parametrize("ids", [range(1, 3001), range(500, 9500, 3)])
def test_checks_are_spread_evenly_over_the_interval(ids: range) -> None:
    due = schedule.due(ids, Turn(0.0, float(I)))
    counts = [sum(k <= at / I * 10 < k + 1 for at, _ in due) for k in range(10)]
    assert max(counts) - min(counts) <= len(ids) / 100


@pytest.mark.django_db
def test_turns_follow_each_other_without_a_gap_and_without_an_overlap() -> None:
    assert take(0) == (0, I)
    assert take(1) is None  # there is somebody at work
    assert take(I - 0.2) == (I, 2 * I - 0.2)  # beat came early
    assert take(2 * I + 1) == (2 * I - 0.2, 3 * I + 1)  # and late: what was due meanwhile is caught up


@pytest.mark.django_db
def test_who_died_costs_the_rest_of_a_turn_and_a_long_silence_is_not_caught_up_at_once() -> None:
    assert take(0) == (0, I)
    assert take(I) == (I, 2 * I)
    assert take(10 * I) == (10 * I, 11 * I)


@pytest.mark.django_db
def test_a_clock_that_was_set_back_does_not_stop_the_checks() -> None:
    assert take(100 * I) is not None
    assert take(0) == (0, I)


@pytest.mark.django_db
def test_a_turn_that_is_given_back_is_taken_at_once() -> None:
    turn = schedule.take()
    assert turn is not None
    assert schedule.take() is None
    schedule.give_back(Turn(turn.begins, turn.ends + 5))  # somebody else's
    assert schedule.take() is None
    schedule.give_back(turn)
    assert schedule.take() is not None


@pytest.mark.django_db(transaction=True)
def test_of_many_who_want_the_next_turn_one_gets_it() -> None:
    got: list[Turn | None] = []
    barrier = threading.Barrier(6)

    def work() -> None:
        try:
            barrier.wait()
            got.append(schedule.take())
        finally:
            connection.close()

    threads = [threading.Thread(target=work) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(got) == 6
    assert sum(turn is not None for turn in got) == 1
    assert CheckClock.objects.count() == 1


@pytest.mark.django_db
def test_a_turn_asks_everybody_who_is_still_there_and_keeps_a_round(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settings, "OBSERVE_SECONDS", 1)
    cast, other = testing.cast(), testing.cast("elsewhere")
    gone = [testing.instance(cast.environment, f"i{n}", f"http://127.0.0.1:1/{n}") for n in range(5)]
    testing.instance(other.environment, "far", "http://127.0.0.1:1/far")
    registry.retire(gone[0], actor=cast.adam)
    assert checks.turn() >= 5  # whoever is due at either end of a turn that takes an instant longer is asked twice
    assert set(Instance.objects.active().values_list("health", flat=True)) == {"down"}
    rounds = dict(CheckRound.objects.values_list("environment__name", "asked"))
    assert rounds == {"staging": 4, "elsewhere": 1}


@pytest.mark.django_db
def test_a_turn_that_is_stopped_leaves_no_round_and_lets_the_next_one_go_on() -> None:
    cast = testing.cast()
    testing.instance(cast.environment, "one", "http://127.0.0.1:1")
    assert checks.turn(stop=lambda: True) == 0
    assert not CheckRound.objects.exists()
    assert schedule.take() is not None
    assert checks.turn() == 0  # somebody is at work


@pytest.mark.django_db(transaction=True)
def test_a_worker_that_is_told_to_end_gives_the_rest_of_its_turn_back(worker_process: Process) -> None:
    testing.instance(testing.cast().environment, "one", "http://127.0.0.1:1")
    tasks.observe_all.delay()
    taken = CheckClock.objects.filter(until__gt=timezone.now() + timedelta(minutes=50))
    until(taken.exists, what="a turn")  # it takes an hour (testing_processes.TIMINGS)
    worker_process.stop()
    assert CheckClock.objects.get().until <= timezone.now()
    assert not CheckRound.objects.exists()
