"""Grace before the alarm, damped flapping, samples and transitions: what checks leave behind."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta

import pytest
from django.conf import settings
from django.db import IntegrityError, connection, transaction
from django.utils import timezone

from console import testing
from instances_app import health, observations
from instances_app.client import Looked, Outcome, Reply
from instances_app.models import CheckSample, HealthTransition, Instance

pytestmark = pytest.mark.django_db
NOW = timezone.now()
WELL = Reply(Outcome.OK, 200, {"health": "healthy"}, elapsed_ms=20)
ILL = Reply(Outcome.OK, 200, {"health": "degraded", "health_reason": "no broker"}, elapsed_ms=20)
GONE = Reply(Outcome.UNREACHABLE, code="refused", error="Connection refused.")
REPLIES = {"h": WELL, "d": ILL, "x": GONE}


@pytest.fixture
def instance() -> Instance:
    return testing.instance(testing.cast().environment, "a", "http://web-1")


def check(instance: Instance, reply: Reply, at: datetime, until: datetime | None = None) -> str:
    """One check; the word that a page shows after it."""
    versions = reply if reply is GONE else Reply(Outcome.OK, 200, {}, elapsed_ms=reply.elapsed_ms)
    health.record([Looked(instance.pk, versions, reply, until)], at)
    instance.refresh_from_db()
    return instance.health_word


def words(instance: Instance, story: str, *, begins: datetime | None = None) -> list[str]:
    """The word after each check of a story, a second apart: h healthy, d degraded, x no answer."""
    begins = begins or (instance.health_at or timezone.now() - timedelta(seconds=60)) + timedelta(seconds=1)
    return [check(instance, REPLIES[mark], begins + timedelta(seconds=n)) for n, mark in enumerate(story)]


def transitions(instance: Instance) -> list[str]:
    return [str(one) for one in instance.transitions.order_by("at", "pk")]


def test_an_instance_is_new_until_it_answers(instance: Instance) -> None:
    assert instance.health_word == "new"
    assert words(instance, "xxxxh") == ["new"] * 4 + ["healthy"]
    assert transitions(instance) == ["new → healthy"]


def test_two_missed_checks_are_late_and_the_third_is_down(instance: Instance) -> None:
    assert words(instance, "hxxxx") == ["healthy", "late", "late", "down", "down"]
    assert transitions(instance) == ["new → healthy", "healthy → down"]
    assert instance.transitions.first().detail == "Connection refused."  # type: ignore[union-attr]


def test_one_missed_check_leaves_no_transition(instance: Instance) -> None:
    assert words(instance, "hxhxxh") == ["healthy", "late", "healthy", "late", "late", "healthy"]
    assert transitions(instance) == ["new → healthy"]


def test_an_answer_has_to_hold_before_an_instance_is_called_so(instance: Instance) -> None:
    assert words(instance, "hxxxhhddhh") == [
        *("healthy", "late", "late", "down", "down", "healthy"),
        *("healthy", "degraded", "degraded", "healthy"),
    ]


def test_flapping_changes_no_word_but_is_counted(instance: Instance) -> None:
    assert set(words(instance, "h" + "dh" * 10)) == {"healthy"}
    assert transitions(instance) == ["new → healthy"]
    assert instance.bucket_changes + sum(CheckSample.objects.values_list("changes", flat=True)) == 20


def test_a_silence_of_the_checker_ends_a_streak(instance: Instance) -> None:
    begins = timezone.now() - timedelta(seconds=settings.STALE_SECONDS + 60)
    words(instance, "hxx", begins=begins)
    begins = timezone.now() - timedelta(seconds=10)
    assert words(instance, "xxx", begins=begins) == ["late", "late", "down"]  # not one of these was long ago


def test_what_the_last_check_found_has_neither_grace_nor_damping(instance: Instance) -> None:
    words(instance, "hx")
    assert (instance.health, instance.health_word) == ("down", "late")
    words(instance, "xxh")
    assert (instance.health, instance.health_word) == ("healthy", "down")


def test_an_old_word_is_unknown(instance: Instance) -> None:
    words(instance, "h")
    Instance.objects.update(health_at=timezone.now() - timedelta(seconds=settings.STALE_SECONDS + 1))
    instance.refresh_from_db()
    assert instance.health_word == "unknown"


def test_a_check_older_than_what_is_known_changes_nothing(instance: Instance) -> None:
    at = timezone.now()
    check(instance, WELL, at)
    assert check(instance, GONE, at - timedelta(seconds=5)) == "healthy"
    assert instance.health == "healthy"


def test_a_quarter_of_an_hour_becomes_one_sample(instance: Instance) -> None:
    begin = health.bucket(NOW) - timedelta(hours=1)
    for second, ms in ((0, 10), (30, 30)):
        check(instance, Reply(Outcome.OK, 200, {}, elapsed_ms=ms), begin + timedelta(seconds=second))
    check(instance, GONE, begin + timedelta(seconds=60))
    check(instance, ILL, begin + timedelta(seconds=90))
    assert not CheckSample.objects.exists()
    check(instance, WELL, begin + timedelta(seconds=health.BUCKET_SECONDS))
    sample = CheckSample.objects.get()
    assert (sample.at, sample.checks, sample.failures, sample.degraded, sample.changes) == (begin, 4, 1, 1, 2)
    assert (sample.ms_mean, sample.ms_max) == (20, 30)
    assert (instance.bucket_checks, instance.bucket_failures, instance.latency_ms) == (1, 0, 20)


def test_a_sample_without_an_answer_has_no_latency(instance: Instance) -> None:
    begin = health.bucket(NOW)
    check(instance, GONE, begin - timedelta(seconds=1))
    check(instance, GONE, begin)
    sample = CheckSample.objects.get()
    assert (sample.checks, sample.failures, sample.ms_mean, sample.ms_max) == (1, 1, None, None)


def test_old_samples_go_and_transitions_stay(instance: Instance) -> None:
    words(instance, "hxxx", begins=NOW - timedelta(days=400))
    for days in (1, settings.SAMPLE_DAYS + 1):
        at = health.bucket(NOW - timedelta(days=days))
        CheckSample.objects.create(instance=instance, at=at, checks=1, failures=0, degraded=0, changes=0)
    assert health.thin() == 1
    assert CheckSample.objects.count() == 1
    assert HealthTransition.objects.count() == 2
    for change in (lambda: HealthTransition.objects.update(detail=""), HealthTransition.objects.all().delete):
        with pytest.raises(IntegrityError, match="append-only"), transaction.atomic():
            change()


def test_what_it_says_of_itself_is_written_when_it_says_something_else(instance: Instance) -> None:
    def says(**info: object) -> None:
        check(instance, Reply(Outcome.OK, 200, info), timezone.now())

    says(version="1", uptime_seconds=5)
    says(version="1", uptime_seconds=35)
    assert instance.info == {"version": "1", "uptime_seconds": 5}  # that it grows says nothing
    says(version="2", uptime_seconds=1)
    assert instance.info == {"version": "2", "uptime_seconds": 1}
    check(instance, GONE, timezone.now())
    assert instance.info["version"] == "2"


def test_the_end_of_a_certificate_is_kept_while_the_address_has_one() -> None:
    instance = testing.instance(testing.cast().environment, "a", "https://web-1")
    end = datetime(2030, 1, 1, tzinfo=UTC)
    check(instance, WELL, NOW, until=end)
    check(instance, GONE, NOW + timedelta(seconds=1))
    assert instance.certificate_until == end
    Instance.objects.update(base_url="http://web-1")
    check(instance, WELL, NOW + timedelta(seconds=2))
    assert instance.certificate_until is None


def test_a_batch_costs_one_statement(instance: Instance, django_assert_num_queries: object) -> None:
    many = [testing.instance(instance.environment, f"n{n}", f"http://n{n}") for n in range(50)]
    with django_assert_num_queries(1):  # type: ignore[operator]
        health.record([Looked(one.pk, WELL, WELL) for one in many], NOW)
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM instances_app_instance WHERE health = 'healthy'")
        assert cursor.fetchone() == (50,)


@pytest.mark.django_db(transaction=True)
def test_two_who_check_the_same_instances_at_once_call_each_of_them_once() -> None:
    environment = testing.cast().environment
    instances = [testing.instance(environment, f"n{n}", f"http://n{n}") for n in range(20)]
    errors: list[Exception] = []
    barrier = threading.Barrier(4)

    def work(number: int) -> None:
        answer = Reply(Outcome.OK, 200, {"webhooks_digest": "a" * 64})
        try:
            barrier.wait()
            for turn in range(5):
                looks = [
                    Looked(one.pk, GONE if (turn + one.pk + number) % 3 == 0 else answer, WELL) for one in instances
                ]
                observations.record_looks(looks[:: 1 if turn % 2 else -1])
        except Exception as error:  # collected for the assertion below
            errors.append(error)
        finally:
            connection.close()

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert HealthTransition.objects.filter(before="new").count() == len(instances)
