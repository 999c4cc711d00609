"""Discovery in a real browser, with a real worker: a source is typed, looked at, started, and asked by itself."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest
from django.utils import timezone

from console import testing
from console.testing_processes import Process, Web, until
from instances_app.models import DiscoverySource, Instance
from sync_app.tests.test_browser import sign_in
from sync_app.tests.test_history_browser import shot

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]

ADDRESSES = "http://hook-[01-03].invalid:8000 zone=a\nhttp://169.254.169.254/latest\n"


def test_an_admin_starts_a_source_and_a_worker_asks_it(
    open_page: Callable[..., Page], web_process: Web, worker_process: Process
) -> None:
    cast = testing.cast()
    page = open_page()
    sign_in(page, web_process, "adam")
    page.goto(f"{web_process.url}/e/staging/discovery/")
    shot(page, "sources-empty")
    page.get_by_role("link", name="List…", exact=True).click()
    page.get_by_label("Name").fill("lab hosts")
    page.get_by_label("Addresses").fill(ADDRESSES)
    page.get_by_label("Agents' token").fill("t0ken")
    shot(page, "source-form")
    page.get_by_role("button", name="Save").click()
    page.get_by_text("It has not begun").wait_for()
    page.get_by_role("button", name="Look what it would do").click()
    page.get_by_text("would be proposed,").wait_for()
    shot(page, "source-preview")
    page.get_by_role("link", name="Back").click()
    page.get_by_role("button", name="Start").click()
    source = DiscoverySource.objects.get()
    until(lambda: source.found.filter(state="proposed").count() == 3, what="the worker's answer")
    page.reload()
    shot(page, "source-proposed")
    page.get_by_label("Select hook-02.invalid:8000").check()
    page.get_by_role("button", name="Add the ticked").click()
    page.get_by_text("1 added").wait_for()
    assert Instance.objects.get().base_url == "http://hook-02.invalid:8000"
    DiscoverySource.objects.update(settings={"addresses": "http://hook-01.invalid:8000"}, next_at=timezone.now())
    until(lambda: source.found.filter(state="gone").exists() or DiscoverySource.objects.get().counts.get("gone"))
    page.reload()
    page.get_by_role("button", name="Retire the ticked").wait_for()
    shot(page, "source-gone")
    DiscoverySource.objects.update(error="Consul did not answer within 20 seconds. Is its address right, and is it up?")
    page.goto(f"{web_process.url}/e/staging/discovery/")
    shot(page, "sources")
    assert cast.environment.instances.active().count() == 1
