"""The past in a real browser: the form, the answer, the strip, a download."""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from django.utils import timezone

from console import testing
from console.testing_processes import Web
from instances_app import observations
from instances_app.models import Instance
from instances_app.observations import Sighting
from sync_app.tests.test_browser import sign_in
from sync_app.tests.test_splits import a_bundle, a_revision

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]


def test_an_auditor_asks_an_instance_and_a_fleet_for_their_past(
    open_page: Callable[..., Page], web_process: Web
) -> None:
    cast = testing.cast()
    old, new = a_revision(cast.environment, "old"), a_revision(cast.environment, "new")
    now = timezone.now()
    a_bundle(cast.environment, old, now - timedelta(seconds=5200))
    a_bundle(cast.environment, new, now - timedelta(seconds=650))
    for name in ("web-1", "web-2", "web-3"):
        testing.instance(cast.environment, name)
    Instance.objects.update(created_at=now - timedelta(days=1))
    one, two, _ = Instance.objects.order_by("name")
    for ago in [*range(5000, 3000, -100), *range(1500, -1, -100)]:
        at = now - timedelta(seconds=ago)
        webhooks = "f" * 64 if 4000 < ago < 4400 else (old if ago > 600 else new).digest
        observations.record([Sighting(one.pk, {"webhooks": webhooks, "connections": "c" * 64}, at)])
        observations.record([Sighting(two.pk, {"webhooks": old.digest}, at)])
    page = open_page()
    sign_in(page, web_process, "ida")
    page.goto(f"{web_process.url}/instances/{one.pk}/")
    at = now - timedelta(seconds=2000)
    page.get_by_label("At (UTC)").fill(f"{at:%Y-%m-%dT%H:%M:%S}")
    page.get_by_role("button", name="What ran then?").click()
    page.get_by_text("nothing was heard of it after").first.wait_for()
    assert page.locator("svg.strip rect.silence").count() > 0
    shot(page, "instance")

    page.get_by_role("link", name="staging").first.click()
    page.get_by_role("link", name="History").click()
    page.get_by_label("Document").select_option("webhooks")
    page.get_by_label("Who was on revision").fill("1")
    page.get_by_role("button", name="Answer").click()
    page.get_by_text("1 instance for certain").wait_for()
    with page.expect_download() as download:
        page.locator("#fleet-at").get_by_role("button", name="Export CSV").click()
    assert f"web-2,{two.pk},webhooks,known,1" in download.value.path().read_text()
    shot(page, "fleet")


def shot(page: Page, name: str) -> None:
    """A picture of the page in both schemes, where CONSOLE_SHOTS names a folder."""
    folder = os.environ.get("CONSOLE_SHOTS")
    for scheme in ("light", "dark") if folder else ():
        page.emulate_media(color_scheme=scheme)
        page.screenshot(path=f"{folder}/{name}-{scheme}.png", full_page=True)
