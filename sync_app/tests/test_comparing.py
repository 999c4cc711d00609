"""Canaries against untouched instances: what is worse, what is not, and what cannot be said."""

from __future__ import annotations

import json
import urllib.request
from collections import Counter
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from console import testing
from console.errors import Refused
from console.testing import Cast
from console.testing_processes import Process, SampleInstance, until
from instances_app import registry
from instances_app.client import Outcome, Reply, replies
from instances_app.plans import Plan
from sync_app import comparing, gates, rollouts, waves
from sync_app.comparing import Group
from sync_app.models import Cause, Rollout
from sync_app.tests.attempts import begin, look, states, work

PLAN: dict[str, Any] = {"waves": ["2", "100%"], "soak_seconds": 2, "compare": "hold", "compare_margin": 10}
Start = Callable[..., list[SampleInstance]]


@pytest.mark.parametrize(
    ("canaries", "untouched", "met", "words"),
    [
        (Group(2, 2, 99, 2), Group(2, 2, 100, 2), True, "accepted 49.5 requests per canary, 50.0 per untouched one"),
        (Group(2, 2, 90, 2), Group(2, 2, 100, 2), True, "not worse"),  # exactly at the margin
        (Group(2, 2, 89, 2), Group(2, 2, 100, 2), False, "worse than 10% below"),
        (Group(1, 2, 99, 2), Group(2, 2, 100, 2), False, "healthy 1 of 2 canaries, 2 of 2 untouched ones"),
        (Group(1, 2, 99, 2), Group(1, 2, 100, 2), True, "not worse"),  # it is not the new documents
        (Group(2, 2, 0, 2), Group(2, 2, 19, 2), False, "not comparable: 19 requests accepted by untouched ones"),
        (Group(2, 2, 0, 0), Group(2, 2, 100, 2), False, "no counts of accepted requests"),
        (Group(0, 0, 99, 2), Group(0, 0, 100, 2), False, "no answers about health"),
        (Group(2, 2, 99, 2), Group(0, 0, 0, 0), False, "no answers about health, no counts"),  # nobody untouched
        (
            Group(0, 2, 0, 0),
            Group(2, 2, 0, 0),
            False,
            "worse than 10% below",
        ),  # worse is worse, whatever else is unclear
    ],
)
def test_what_the_numbers_say(canaries: Group, untouched: Group, met: bool, words: str) -> None:
    found = comparing.judge(canaries, untouched, Plan.of(PLAN))
    assert (found.met, words in found.text) == (met, True), found.text
    if "not comparable" in found.text:
        on = comparing.judge(canaries, untouched, Plan.of({**PLAN, "compare": "continue"}))
        assert on.met
        assert on.text == found.text


def test_a_counter_that_went_back_and_an_answer_that_is_missing_say_nothing() -> None:
    answers: list[tuple[list[Any], list[Any]]] = [
        ([True, 10], [True, 30]),
        ([True, 500], [True, 3]),  # restarted
        ([True, None], [False, 7]),
        ([True, 5], [None, None]),
    ]
    assert comparing.group(answers) == Group(2, 3, 20, 1)


@pytest.mark.parametrize(
    ("body", "total"),
    [
        ({"orders": {"total": 3, "minute": 1}, "ns/refunds": {"total": 4}}, 7),
        ({"orders": {"total": "3"}}, None),
        ({"orders": {"total": True}}, None),
        ({"orders": {"total": -1}}, None),
        ({"orders": {"total": 10**15}}, None),
        ({"orders": 3}, None),
        ({"detail": "Not Found"}, None),
    ],
)
def test_counts_are_bounded_numbers_or_nothing(body: dict[str, Any], total: int | None) -> None:
    assert comparing.accepted(Reply(Outcome.OK, 200, body)) == total
    assert comparing.accepted(Reply(Outcome.UNAUTHORISED, 401, body)) is None


def test_only_an_empty_object_counts_nothing_and_what_is_no_count_says_nothing() -> None:
    def counted(content: bytes) -> int | None:
        return comparing.accepted(replies.classify(200, {}, content, started=0.0))

    assert counted(b" {}\n") == 0
    assert counted(b'{"orders": {"total": 3}}') == 3
    for content in (b"<html>Sign in</html>", b"[1, 2]", b"", b"{"):
        assert counted(content) is None
    assert comparing.accepted(replies.too_large(200, started=0.0)) is None


def test_health_is_the_services_word_and_that_of_its_components() -> None:
    def says(http: int, outcome: Outcome = Outcome.OK, **body: Any) -> bool | None:
        return comparing.healthy(Reply(outcome, http, body))

    assert says(200, status="healthy", components={"redis_stats": "healthy", "clickhouse": "not_configured"})
    assert says(200, status="healthy", components={"clickhouse": "disconnected"}) is False
    assert says(503, Outcome.BUSY, status="healthy") is False
    assert says(200, status=["healthy"]) is False
    assert says(404, Outcome.WRONG_PROTOCOL) is None
    assert comparing.healthy(Reply(Outcome.UNREACHABLE)) is False


def answers(rollout: Rollout, part: str, *, per_canary: int, per_untouched: int = 100) -> None:
    """As if both groups had answered, a soak ago."""
    rollout.refresh_from_db()
    kept = dict(rollout.comparison)
    numbers = dict.fromkeys(kept["canaries"], per_canary) | dict.fromkeys(kept["untouched"], per_untouched)
    at = timezone.now() - timedelta(minutes=5)
    counted = {str(pk): [True, 0 if part == "begin" else number] for pk, number in numbers.items()}
    Rollout.objects.filter(pk=rollout.pk).update(comparison={**kept, part: {"at": at.isoformat(), "answers": counted}})


@pytest.mark.django_db
def test_the_gate_waits_for_the_comparison_and_halts_with_its_numbers() -> None:
    cast, rollout = begin(6, **PLAN)
    work(rollout)
    assert waves.advance(rollout.pk).compare  # begins as soon as the wave is sent
    comparing.ask(rollout, gates.verified_instances(rollout))
    rollout.refresh_from_db()
    assert len(rollout.comparison["canaries"]) == len(rollout.comparison["untouched"]) == 2
    untouched = set(rollout.deliveries.filter(wave=2).values_list("instance_id", flat=True))
    assert set(rollout.comparison["untouched"]) <= untouched
    step = waves.advance(rollout.pk)
    assert not step.compare
    answers(rollout, "begin", per_canary=0)
    rollout.deliveries.update(finished_at=timezone.now() - timedelta(minutes=5))
    assert waves.advance(rollout.pk).compare
    answers(rollout, "end", per_canary=40)
    look(rollout)
    waves.advance(rollout.pk)
    rollout.refresh_from_db()
    assert rollout.state == "halted"
    assert "accepted 40.0 requests per canary, 100.0 per untouched one" in rollout.halt_reason
    client = Client()
    client.force_login(cast.victor)
    assert (
        "accepted 40.0 requests per canary" in client.get(reverse("sync:rollout", args=[rollout.pk])).content.decode()
    )


@pytest.mark.django_db
def test_a_late_question_of_an_earlier_wave_changes_nothing() -> None:
    _, rollout = begin(6, **{**PLAN, "waves": ["2", "3", "100%"]})
    work(rollout)
    comparing.ask(rollout, gates.verified_instances(rollout))
    stale = Rollout.objects.get(pk=rollout.pk)
    Rollout.objects.update(wave=2)
    stale.comparison["begin"]["at"] = (timezone.now() - timedelta(hours=1)).isoformat()
    comparing.ask(stale, gates.verified_instances(stale))
    rollout.refresh_from_db()
    assert "end" not in rollout.comparison
    comparing.ask(rollout, gates.verified_instances(rollout))  # of a wave that has not been sent
    rollout.refresh_from_db()
    assert rollout.comparison["wave"] == 1


def test_a_comparison_needs_a_soak_and_somebody_untouched() -> None:
    for plan in ({**PLAN, "soak_seconds": 0}, {**PLAN, "waves": ["100%"]}):
        with pytest.raises(Refused, match="during the soak"):
            Plan.of(plan)
    assert "compare" not in Plan().data
    assert Plan.of(Plan.of(PLAN).data) == Plan.of(PLAN)


def real(running: list[SampleInstance], **plan: Any) -> tuple[Cast, Rollout]:
    """i0 and i1 are the canaries."""
    cast = testing.cast()
    testing.bundle(cast.environment)
    made = [
        registry.check(testing.instance(cast.environment, f"i{n}", one.base_url, one.token), actor=cast.olga)
        for n, one in enumerate(running)
    ]
    cast.environment.plan = {**PLAN, "canaries": [one.pk for one in made[:2]], **plan}
    cast.environment.save()
    texts = testing.text({"orders": {"module": "log"}, "new": {"module": "log"}})
    return cast, rollouts.publish(testing.draft(cast.environment, actor=cast.olga, webhooks=texts), actor=cast.olga)


def state(rollout: Rollout) -> str:
    rollout.refresh_from_db()
    return rollout.state


def compared(rollout: Rollout, part: str) -> bool:
    rollout.refresh_from_db()
    return rollout.comparison.get("wave") == 1 and part in rollout.comparison


def send(one: SampleInstance, times: int) -> None:
    for _ in range(times):
        request = urllib.request.Request(f"{one.base_url}/webhook/orders", data=b"{}", method="POST")  # noqa: S310
        with urllib.request.urlopen(request, timeout=5) as answer:  # noqa: S310 - our own http address
            answer.read()


@pytest.mark.django_db(transaction=True)
def test_canaries_that_accept_less_than_untouched_ones_in_the_same_minutes_halt_it(
    worker_process: Process, sample_instances: Start
) -> None:
    running = sample_instances(4)
    for one in running:
        (one.folder / "webhooks.json").write_text(json.dumps({"orders": {"module": "log"}}))
        request = urllib.request.Request(  # noqa: S310
            f"{one.base_url}/admin/reload-config", data=b"{}", headers={"Authorization": f"Bearer {one.token}"}
        )
        with urllib.request.urlopen(request, timeout=5) as answer:  # noqa: S310
            answer.read()
    _, rollout = real(running, soak_seconds=6)
    until(lambda: compared(rollout, "begin"), what="the first answers")
    for one in running[2:]:
        send(one, 15)
    send(running[0], 5)

    until(lambda: state(rollout) == "halted", seconds=40, what="the halt")

    assert "accepted 2.5 requests per canary, 15.0 per untouched one" in rollout.halt_reason
    assert Counter(states(rollout).values()) == {"verified": 2, "pending": 2}


@pytest.mark.django_db(transaction=True)
def test_a_canary_whose_service_says_that_it_is_ill_halts_it_and_quiet_ones_go_on_where_the_plan_says_so(
    worker_process: Process, sample_instances: Start
) -> None:
    running = sample_instances(4)
    _, rollout = real(running, compare="continue")
    until(lambda: state(rollout) == "succeeded", seconds=60, what="the end")
    (running[0].folder / "ill").touch()
    rollout = rollouts.start(rollout.environment, actor=None, cause=Cause.SYNC)
    until(lambda: state(rollout) == "halted", seconds=40, what="the halt")
    assert "healthy 1 of 2 canaries, 2 of 2 untouched ones" in rollout.halt_reason
