"""What was seen when: every answer is that of somebody who reads the plain list of reports."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from django.conf import settings
from django.db import transaction
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from webhook_agent import protocol

from console import testing
from instances_app import history, observations
from instances_app.history import CHANGING, KNOWN, UNKNOWN
from instances_app.models import Environment, Instance
from instances_app.observations import Sighting

pytestmark = pytest.mark.django_db

START = datetime(2026, 3, 1, 12, tzinfo=UTC)
A, B = "a" * 64, "b" * 64
STEP = settings.STALE_SECONDS // 3  # so that steps of 3 are no silence, and steps of 4 are


def time(step: int) -> datetime:
    return START + timedelta(seconds=step * STEP)


def see(instance: Instance, digest: str, step: int, kind: str = "webhooks") -> None:
    observations.record([Sighting(instance.pk, {kind: digest}, time(step))])


def an_instance(environment: Environment, name: str = "one", *, came: int = 0, went: int | None = None) -> Instance:
    made = testing.instance(environment, name)
    Instance.objects.filter(pk=made.pk).update(created_at=time(came), retired_at=None if went is None else time(went))
    made.refresh_from_db()
    return made


@dataclass
class Report:
    step: int
    digest: str


def word_at(reports: list[Report], step: int, now: int) -> tuple[str, str, str]:
    """The reference: word, the last digest reported and, where it is not known, the next one."""
    before = [report for report in reports if report.step <= step]
    after = [report for report in reports if report.step > step]
    if not before:
        return UNKNOWN, "", ""
    last, following = before[-1], after[0] if after else None
    gap = ((following.step if following else now) - last.step) * STEP
    silence = gap > settings.STALE_SECONDS
    if last.step == step or (not silence and (following is None or protocol.same(last.digest, following.digest))):
        return KNOWN, last.digest, ""
    return UNKNOWN if silence else CHANGING, last.digest, following.digest if following else ""


lists = st.lists(st.tuples(st.integers(0, 5), st.sampled_from([A, A[:16], B])), max_size=8)


@hypothesis_settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(gaps=lists, extra=st.integers(0, 5))
def test_any_moment_is_answered_as_from_the_plain_list_of_reports(
    db: None, gaps: list[tuple[int, str]], extra: int
) -> None:
    with transaction.atomic():
        instance = an_instance(testing.cast().environment)
        reports: list[Report] = []
        step = 1
        for gap, digest in gaps:
            step += max(gap, 1) if reports else gap
            reports.append(Report(step, digest))
            see(instance, digest, step)
        now = step + extra
        for moment in range(now + 1):
            sight = history.of_instance(instance, time(moment), now=time(now))["webhooks"]
            word, last, following = word_at(reports, moment, now)
            assert sight.word == word, (moment, reports)
            assert protocol.short(sight.digest) == protocol.short(last)
            assert protocol.short(sight.following) == protocol.short(following)
        stretches, _ = history.stretches(instance, now=time(now))
        for older, newer in pairwise(reversed(stretches)):
            assert older.until == newer.since  # the timeline has no holes
        transaction.set_rollback(True)


def test_a_change_lies_between_the_last_report_of_one_and_the_first_of_the_other() -> None:
    instance = an_instance(testing.cast().environment)
    see(instance, A, 1)
    see(instance, A, 3)
    see(instance, B, 5)
    sight = history.of_instance(instance, time(4), now=time(6))["webhooks"]
    assert (sight.word, sight.digest, sight.following) == (CHANGING, A, B)
    assert (sight.seen_at, sight.until) == (time(3), time(5))


def test_the_fleet_of_a_moment_is_who_was_active_then() -> None:
    environment = testing.cast().environment
    an_instance(environment, "early", came=0, went=4)
    an_instance(environment, "late", came=5)
    an_instance(environment, "always", came=0)
    names = [[one.name for one in history.at(environment, time(step), now=time(9))] for step in (0, 3, 4, 5)]
    assert names == [["always", "early"], ["always", "early"], ["always"], ["always", "late"]]


def test_what_a_retired_instance_said_last_holds_until_it_was_retired() -> None:
    instance = an_instance(testing.cast().environment, went=4)
    see(instance, A, 3)
    assert history.of_instance(instance, time(3) + timedelta(seconds=1), now=time(99))["webhooks"].word == KNOWN
    stretches, _ = history.stretches(instance, now=time(99))
    assert [(one.digest, one.since, one.until) for one in stretches] == [(A, time(3), time(4))]


def test_the_timeline_names_silences_and_ends_in_one() -> None:
    instance = an_instance(testing.cast().environment)
    see(instance, A, 1)
    see(instance, A, 9)
    told = [(one.digest[:1], one.since, one.until) for one in history.stretches(instance, now=time(20))[0]]
    assert told == [("", time(9), None), ("a", time(9), time(9)), ("", time(1), time(9)), ("a", time(1), time(1))]
    assert history.stretches(instance, newest=1, now=time(20))[1]  # there is an older one
