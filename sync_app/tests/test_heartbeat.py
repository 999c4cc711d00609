"""How old the words on the pages are: the checker's rounds, and reports that prove nothing any more."""

from __future__ import annotations

import io
from datetime import timedelta

import pytest
from django.conf import settings
from django.core.management import CommandError, call_command
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from console import testing
from instances_app.models import Instance, Observation
from sync_app import checks, gates, heartbeat, waves
from sync_app.models import CheckRound
from sync_app.tests.attempts import begin, look, work

pytestmark = pytest.mark.django_db


def doctor() -> str:
    said = io.StringIO()
    with pytest.raises(CommandError):  # nobody runs beat here
        call_command("doctor", stdout=said)
    return next(line for line in said.getvalue().splitlines() if " checker: " in line)


def test_a_round_says_how_many_were_asked_and_how_many_answered() -> None:
    cast, other = testing.cast(), testing.cast("elsewhere")
    testing.instance(cast.environment, "gone", "http://127.0.0.1:1")
    assert heartbeat.of(cast.environment).at is None
    assert checks.run(cast.environment.pk) == 1
    seen = heartbeat.of(cast.environment)
    assert (seen.asked, seen.answered, seen.late) == (1, 0, False)
    assert heartbeat.of(other.environment).at is None
    first = CheckRound.objects.get().finished_at
    checks.run(cast.environment.pk)
    assert CheckRound.objects.get().finished_at > first


def test_a_round_that_breaks_off_leaves_no_trace(monkeypatch: pytest.MonkeyPatch) -> None:
    cast = testing.cast()
    testing.instance(cast.environment, "gone", "http://127.0.0.1:1")

    def killed(_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("instances_app.observations.record_looks", killed)
    with pytest.raises(KeyboardInterrupt):
        checks.run(cast.environment.pk)
    assert not CheckRound.objects.exists()


@pytest.mark.parametrize(
    ("age", "words"), [(80, ""), (130, "2 minutes"), (95, "1 minute"), (7300, "2 hours"), (200_000, "2 days")]
)
def test_it_is_late_after_three_rounds_that_did_not_come(age: int, words: str) -> None:
    cast = testing.cast()
    at = timezone.now() - timedelta(seconds=age)
    CheckRound.objects.create(environment=cast.environment, finished_at=at, seconds=1, asked=2, answered=1)
    found = heartbeat.of(cast.environment)
    assert (found.late, found.silent_for) == (bool(words), words)


def test_doctor_knows_whether_the_checker_lives_and_whether_answers_hold(monkeypatch: pytest.MonkeyPatch) -> None:
    cast = testing.cast()
    assert "no round of checks yet" in doctor()
    testing.instance(cast.environment, "gone", "http://127.0.0.1:1")
    assert doctor().startswith("ok ")
    Instance.objects.update(created_at=timezone.now() - timedelta(hours=1))
    assert doctor().startswith("FAILED")
    assert "nobody has asked staging for 90 s" in doctor()
    checks.run(cast.environment.pk)
    assert "everybody was asked" in doctor()
    monkeypatch.setattr(settings, "STALE_SECONDS", settings.OBSERVE_SECONDS)
    assert "CONSOLE_STALE_SECONDS (30) is not more than CONSOLE_OBSERVE_SECONDS (30)" in doctor()


def test_a_gate_takes_no_report_from_before_the_soak() -> None:
    _, rollout = begin(3, waves=["1", "100%"])
    work(rollout)
    look(rollout)
    Observation.objects.update(seen_at=timezone.now() - timedelta(seconds=60))
    assert not waves.advance(rollout.pk).opened
    rollout.refresh_from_db()
    (asked,) = [one for one in gates.conditions(rollout, gates.tallies(rollout)) if one.look]
    assert asked.met is None
    look(rollout)
    assert waves.advance(rollout.pk).opened


def test_an_instances_page_says_that_an_old_report_proves_nothing() -> None:
    cast, rollout = begin(1)
    work(rollout)
    page = Client()
    page.force_login(cast.victor)
    address = reverse("sync:instance", args=[Instance.objects.get().pk])
    words = ", too old to believe"
    assert words not in page.get(address).content.decode()
    Observation.objects.update(seen_at=timezone.now() - timedelta(hours=1))
    assert page.get(address).content.decode().count(words) == 2
