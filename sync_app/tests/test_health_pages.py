"""What people see of checks: words with grace, the strip of a day, flapping, certificates."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from django.conf import settings
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from console import testing
from console.testing import Cast
from console.testing_processes import Web
from instances_app import day, health
from instances_app.models import CheckSample, HealthTransition, Instance
from sync_app.templatetags.health_tags import say
from sync_app.tests.test_browser import sign_in

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = pytest.mark.django_db


def past(instance: Instance) -> None:
    """A day: nobody looked at its beginning, then it was degraded, missed some, missed all, and answers again."""
    now = health.bucket(timezone.now())
    for quarter in range(1, 80):
        failures = {20: 4, 21: 30, 22: 30, 50: 1}.get(quarter, 0)
        answered = failures < 30
        CheckSample.objects.create(
            instance=instance,
            at=now - timedelta(seconds=health.BUCKET_SECONDS * quarter),
            checks=30,
            failures=failures,
            degraded=12 if quarter == 40 else 0,
            changes=3 if failures else 0,
            ms_mean=18 + quarter % 7 if answered else None,
            ms_max=60 + 5 * (quarter % 11) if answered else None,
        )
    at = timezone.now() - timedelta(hours=5)
    HealthTransition.objects.create(
        instance=instance, at=at, before="healthy", after="down", detail="Connection refused."
    )
    HealthTransition.objects.create(instance=instance, at=at + timedelta(minutes=35), before="down", after="healthy")
    Instance.objects.filter(pk=instance.pk).update(
        health="healthy",
        health_at=timezone.now(),
        health_called="healthy",
        latency_ms=19,
        bucket_at=now,
        bucket_checks=9,
        bucket_ms=180,
        bucket_ms_max=31,
        bucket_changes=0,
    )


@pytest.fixture
def cast() -> Cast:
    return testing.cast()


@pytest.fixture
def instance(cast: Cast) -> Instance:
    return testing.instance(cast.environment, "one", "https://web-1.example.com")


def page(cast: Cast, instance: Instance) -> str:
    client = Client()
    client.force_login(cast.victor)
    return " ".join(client.get(reverse("sync:instance", args=[instance.pk])).content.decode().split())


def test_the_page_tells_the_day_in_numbers(cast: Cast, instance: Instance) -> None:
    assert "Nobody has asked it in the last 24 hours." in page(cast, instance)
    past(instance)
    text = page(cast, instance)
    assert f"{79 * 30 + 9} checks: <strong>65 missed</strong>, <strong>12 degraded</strong>." in text
    assert "In 16 of 96 quarters of an hour nobody asked." in text
    assert "the last one 19 ms" in text
    assert "30 checks, 30 missed" in text
    assert "Connection refused." in text


def test_a_days_quarters_are_told_in_words(instance: Instance) -> None:
    past(instance)
    instance.refresh_from_db()
    quarters = day.of(instance).quarters
    assert len(quarters) == day.QUARTERS
    assert [quarters[-1 - n].word for n in (0, 1, 20, 21, 40, 90)] == [
        *("answered", "answered", "some missed", "missed", "degraded", "not asked")
    ]
    assert say(quarters[-1]).endswith("UTC: 9 checks; answers took 20 ms, at most 31 ms")
    assert say(quarters[0]).endswith("UTC: not asked")


def test_an_instance_that_flaps_says_so(cast: Cast, instance: Instance) -> None:
    past(instance)
    assert "flapping" not in page(cast, instance)
    Instance.objects.update(bucket_changes=day.FLAPPING)
    assert "flapping" in page(cast, instance)


def test_late_says_how_much_is_missing_to_an_alarm(cast: Cast, instance: Instance) -> None:
    Instance.objects.update(
        health="down",
        health_at=timezone.now(),
        health_streak=2,
        health_called="healthy",
        health_detail="Connection refused.",
    )
    text = page(cast, instance)
    assert "Missed 2 of 3 checks that make it down. Connection refused." in text
    Instance.objects.update(health="healthy", health_streak=1, health_called="down", health_detail="")
    assert "The last check found it healthy: 1 of 2 that make it so." in page(cast, instance)


@pytest.mark.parametrize(
    ("left", "words"),
    [
        (timedelta(days=settings.CERTIFICATE_DAYS + 1), ""),
        (timedelta(days=5, minutes=1), "Its certificate ends in 5 days"),
        (timedelta(hours=7, minutes=1), "Its certificate ends in 7 hours"),
        (timedelta(hours=-7), "Its certificate ended"),
    ],
)
def test_the_end_of_a_certificate_is_told_before_it_comes(
    cast: Cast, instance: Instance, left: timedelta, words: str
) -> None:
    Instance.objects.update(certificate_until=timezone.now() + left, health="healthy", health_at=timezone.now())
    client = Client()
    client.force_login(cast.victor)
    fleet = client.get(reverse("sync:fleet", args=[cast.environment.name])).content.decode()
    for text in (page(cast, instance), fleet):
        assert words in text
        assert ("Its certificate" in text) == bool(words)


@pytest.mark.browser
@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_strip_of_a_day_is_drawn(open_page: Callable[..., Page], web_process: Web, scheme: str) -> None:
    cast = testing.cast()
    instance = testing.instance(cast.environment, "one", "https://web-1.example.com")
    past(instance)
    Instance.objects.update(certificate_until=timezone.now() + timedelta(days=5), bucket_changes=8)
    browser = open_page(color_scheme=scheme)
    sign_in(browser, web_process, "victor")
    browser.goto(f"{web_process.url}{reverse('sync:instance', args=[instance.pk])}")
    strip = browser.locator("svg.day")
    assert strip.locator("g").count() == day.QUARTERS
    colours = strip.locator("rect.bad").first.evaluate("it => getComputedStyle(it).fill")
    assert colours != strip.locator("rect.good").first.evaluate("it => getComputedStyle(it).fill")
