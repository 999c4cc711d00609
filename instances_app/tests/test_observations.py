"""What instances report is kept as history: opened, prolonged, closed; late and concurrent reports do no harm."""

from __future__ import annotations

import json
import threading
from datetime import datetime, timedelta

import pytest
from django.conf import settings
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from console import testing
from instances_app import health, observations
from instances_app.client import Looked, Outcome, Reply, replies
from instances_app.models import Instance, Observation
from instances_app.observations import Sighting, reported_digests

A, B = "a" * 64, "b" * 64
NOW = timezone.now()


def see(instance: Instance, digest: str, seconds: int, kind: str = "webhooks") -> None:
    observations.record([Sighting(instance.pk, {kind: digest}, NOW + timedelta(seconds=seconds))])


def history() -> list[tuple[str, int, int, int | None]]:
    """digest, since, seen and until in seconds from NOW; oldest first."""

    def seconds(time: datetime) -> int:
        return round((time - NOW).total_seconds())

    return [
        (o.digest[:1], seconds(o.since), seconds(o.seen_at), seconds(o.until) if o.until else None)
        for o in Observation.objects.order_by("since", "pk")
    ]


@pytest.fixture
def instance(db: None) -> Instance:
    return testing.instance(testing.cast().environment, "a", "http://web-1")


def test_the_same_report_prolongs_and_another_one_closes_and_opens(instance: Instance) -> None:
    see(instance, A, 0)
    see(instance, A, 10)
    see(instance, B, 20)
    see(instance, A, 30)
    assert history() == [("a", 0, 10, 20), ("b", 20, 20, 30), ("a", 30, 30, None)]


def test_sixteen_digits_are_the_same_report_as_all_of_them(instance: Instance) -> None:
    see(instance, A, 0)
    see(instance, A[:16], 10)
    see(instance, A, 20)
    assert history() == [("a", 0, 20, None)]


def test_a_silence_is_kept_as_one(instance: Instance) -> None:
    silence = settings.STALE_SECONDS
    see(instance, A, 0)
    see(instance, A, silence)
    see(instance, A, 2 * silence + 1)
    assert history() == [("a", 0, silence, 2 * silence + 1), ("a", 2 * silence + 1, 2 * silence + 1, None)]


def test_a_report_older_than_what_is_known_changes_nothing(instance: Instance) -> None:
    see(instance, B, 20)
    see(instance, A, 10)
    assert history() == [("b", 20, 20, None)]


def test_recording_costs_the_same_for_one_and_for_a_hundred(instance: Instance) -> None:
    environment = instance.environment
    many = [testing.instance(environment, f"n{n}", f"http://n{n}") for n in range(100)]

    def queries(instances: list[Instance]) -> int:
        with CaptureQueriesContext(connection) as captured:
            observations.record(Sighting(i.pk, {"webhooks": A, "connections": B}) for i in instances)
        return len(captured)

    assert queries(many[:1]) == queries(many)
    assert Observation.objects.count() == 200


@pytest.mark.django_db(transaction=True)
def test_two_workers_reporting_one_instance_at_once_leave_one_open_observation() -> None:
    environment = testing.cast().environment
    instances = [testing.instance(environment, f"n{n}", f"http://n{n}") for n in range(20)]
    errors: list[Exception] = []
    barrier = threading.Barrier(4)

    def work(digest: str) -> None:
        try:
            barrier.wait()
            for turn in range(10):
                order = instances if turn % 2 else instances[::-1]
                observations.record(Sighting(i.pk, {"webhooks": digest}) for i in order)
        except Exception as error:  # collected for the assertion below
            errors.append(error)
        finally:
            connection.close()

    threads = [threading.Thread(target=work, args=(digest,)) for digest in (A, B, A, B)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert Observation.objects.filter(until=None).count() == len(instances)


@pytest.mark.parametrize(
    ("body", "digests"),
    [
        ({"webhooks_version": "A" * 16}, {"webhooks": "a" * 16}),
        ({"webhooks_version": "a" * 16, "webhooks_digest": A}, {"webhooks": A}),
        ({"webhooks_version": "unknown", "connections_version": None}, {}),
        ({"webhooks_version": "v1.2.3"}, {}),
        ({"webhooks_version": 17}, {}),
        ({"webhooks_version": "a" * 65}, {}),
    ],
)
def test_only_hexadecimal_digests_are_believed(body: dict[str, object], digests: dict[str, str]) -> None:
    assert reported_digests(Reply(Outcome.OK, 200, body)) == digests
    assert reported_digests(Reply(Outcome.UNKNOWN, body=body)) == {}


OK = Reply(Outcome.OK, 200, {})


@pytest.mark.parametrize(
    ("versions", "info", "word"),
    [
        (OK, Reply(Outcome.OK, 200, {"health": "healthy"}), "healthy"),
        (OK, OK, "healthy"),
        (OK, Reply(Outcome.OK, 200, {"health": "degraded", "health_reason": "no broker"}), "degraded"),
        (OK, Reply(Outcome.OK, 200, {"health": ["healthy"]}), "degraded"),
        (OK, Reply(Outcome.UNKNOWN, error="No answer within 5 seconds."), "down"),
        (Reply(Outcome.UNREACHABLE, error="refused"), OK, "down"),
        (Reply(Outcome.BUSY, 503, error="busy"), OK, "degraded"),
        (Reply(Outcome.UNAUTHORISED, 401, error="token"), OK, "degraded"),
        (Reply(Outcome.WRONG_PROTOCOL, 404, error="no agent"), OK, "down"),
    ],
)
def test_health_is_a_word_with_its_reason(versions: Reply, info: Reply, word: str) -> None:
    found, reason = health.of(Looked(1, versions, info))
    assert found == word
    assert bool(reason) == (word != "healthy")


def test_no_reason_of_an_instance_turns_the_words_on_a_page_around() -> None:
    said = Reply(Outcome.OK, 200, {"health": "degraded", "health_reason": "x\u202eyhtlaeh\u2066\x1b[31m"})
    assert health.of(Looked(1, said, said)) == ("degraded", "x yhtlaeh [31m")


def test_a_refused_token_is_marked_at_its_first_refusal_and_lifted_by_an_answer(instance: Instance) -> None:
    no = Reply(Outcome.UNAUTHORISED, 401, error="no")
    observations.record_looks([Looked(instance.pk, no, no)])
    instance.refresh_from_db()
    first = instance.token_refused_at
    observations.record_looks([Looked(instance.pk, no, no)])
    instance.refresh_from_db()
    assert first is not None
    assert instance.token_refused_at == first
    observations.record_looks([Looked(instance.pk, OK, OK)])
    instance.refresh_from_db()
    assert instance.token_refused_at is None


def test_old_health_is_unknown(instance: Instance) -> None:
    instance.health, instance.health_at = "healthy", timezone.now()
    assert instance.health_word == "healthy"
    instance.health_at = timezone.now() - timedelta(seconds=3600)
    assert instance.health_word == "unknown"


@pytest.mark.django_db
@pytest.mark.parametrize(
    "said",
    [
        rb'{"hostname": "a\u0000b", "error": "half a character: \ud800"}',
        rb'{"\ud83d": {"x": ["\udc00"]}}',
        b'{"x": "\xed\xa0\x80"}',
        b'{"x": NaN}',
        b'{"x": -1e999}',
    ],
)
def test_an_instance_that_writes_what_no_database_keeps_does_not_take_the_others_with_it(said: bytes) -> None:
    cast = testing.cast()
    odd, fine = testing.instance(cast.environment, "odd"), testing.instance(cast.environment, "fine")
    reply = replies.classify(200, {}, said, started=0.0)
    reply.error.encode()
    well = Reply(Outcome.OK, 200, {"webhooks_digest": A})
    observations.record_looks([Looked(odd.pk, reply, reply), Looked(fine.pk, well, Reply(Outcome.OK, 200, {}))])
    assert Observation.objects.get().instance == fine


@pytest.mark.parametrize("said", [b'{"x": ' + b"[" * 60 + b"]" * 60 + b"}", b'{"x": ' * 60 + b"1" + b"}" * 60])
def test_an_answer_too_deep_to_be_written_is_no_agents(said: bytes) -> None:
    """With a thousand it would take its batch with it; how many the driver can write depends on who calls it."""
    assert replies.classify(200, {}, said, started=0.0).outcome == Outcome.WRONG_PROTOCOL


def test_the_words_of_an_instance_stay_what_they_are_otherwise() -> None:
    many = {str(number): [{"[{": number}] for number in range(100)}
    assert replies.classify(200, {}, json.dumps(many).encode(), started=0.0).body == many
    assert replies.classify(200, {}, rb'{"x": "\u00e9 \ud83d\ude00"}', started=0.0).body == {"x": "é 😀"}
