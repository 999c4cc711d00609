"""In a real browser on real parts: columns, those in maintenance, a probe tried out, a ladder that rises by itself."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from django.utils import timezone

from console import testing
from console.testing_processes import Process, SampleInstance, Web
from instances_app.models import Probe
from sync_app import maintenance, rollouts
from sync_app.models import Cause
from sync_app.tests.test_browser import sign_in

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]


def states(page: Page) -> list[str | None]:
    """Of the rungs of the ladder of webhooks."""
    return [rung.get_attribute("data-state") for rung in page.locator("#ladder-webhooks li").all()]


def test_a_ladder_reaches_serving_while_somebody_watches(
    open_page: Callable[..., Page],
    web_process: Web,
    worker_process: Process,
    sample_instances: Callable[..., list[SampleInstance]],
) -> None:
    cast = testing.cast()
    testing.bundle(cast.environment)
    (running,) = sample_instances(1)
    instance = testing.instance(cast.environment, "edge-1", running.base_url, running.token)
    quiet = testing.instance(cast.environment, "edge-2")
    until_ = timezone.now() + timedelta(hours=1)
    maintenance.begin(quiet, reason="a new disk comes", until=until_, actor=cast.olga)

    admin = open_page()
    sign_in(admin, web_process, "adam")
    admin.goto(f"{web_process.url}/e/staging/settings/")
    admin.get_by_role("link", name="Set up…").click()
    admin.get_by_label("Path").fill("/webhook/nobody")
    admin.get_by_label("Try it on").fill("edge-1")
    admin.get_by_role("button", name="Try it on this instance").click()
    admin.locator(".tried").get_by_text("It answered with HTTP 405; expected was 200-299.").wait_for()
    admin.get_by_label("Path").fill("/health")
    admin.get_by_label("Expected text").fill('"healthy"')
    admin.get_by_role("button", name="Try it on this instance").click()
    admin.locator(".tried .state", has_text="serving").wait_for()
    admin.get_by_role("button", name="Set it up").click()
    admin.get_by_text("Services in staging are asked this from now on.").wait_for()
    assert Probe.objects.get().path == "/health"

    page = open_page()
    sign_in(page, web_process, "olga")
    page.goto(f"{web_process.url}/e/staging/")
    page.locator(".columns summary").click()
    page.get_by_label("Agent").check()
    page.get_by_label("Last delivery").uncheck()
    page.get_by_role("button", name="Show these").click()
    page.wait_for_url("**column=agent*")
    assert page.locator(".fleet th").all_inner_texts()[1:] == ["Instance", "Config", "Health", "Agent"]
    page.get_by_role("link", name="in maintenance 1").click()
    page.wait_for_url("**maintenance=yes*")
    assert page.locator("#fleet-rows tr").count() == 1
    page.get_by_role("link", name="in maintenance only").click()

    page.get_by_role("link", name="edge-1").click()
    page.get_by_role("button", name="Check now").click()
    page.get_by_text("edge-1 is healthy.").wait_for()
    assert states(page) == ["not yet"] * 4 + ["unknown"]
    rollouts.start(cast.environment, actor=cast.olga, cause=Cause.SYNC, instances=[instance.pk])
    page.get_by_text("It runs what it should, and serves.").wait_for()
    assert states(page) == ["reached"] * 5
    page.locator("#ladder-webhooks").get_by_text("olga").first.wait_for()

    running.kill()
    page.get_by_role("button", name="Probe now").click()
    page.get_by_text("It runs what it should, and does not serve.").wait_for()
    assert states(page)[-1] == "stopped"
