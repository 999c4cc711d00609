"""The drift desk in a real browser: it comes alive, is read, and is set aside."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest
from django.utils import timezone

from console import live, testing
from console.testing_processes import Web
from sync_app import drift_watch
from sync_app.models import CheckRound, SetAside
from sync_app.tests import drifts
from sync_app.tests.drifts import THIRD, one
from sync_app.tests.test_browser import sign_in
from sync_app.tests.test_history_browser import shot

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]

LIVE = testing.text(
    {**testing.WEBHOOKS, "orders": {"module": "log", "authorization": "Bearer h4nd-made"}, "tmp": {"module": "log"}}
)


def test_an_operator_sees_drift_come_reads_it_and_sets_it_aside(
    open_page: Callable[..., Page], web_process: Web
) -> None:
    cast = drifts.fleet(7)
    CheckRound.objects.create(
        environment=cast.environment, finished_at=timezone.now(), seconds=0.4, asked=7, answered=7
    )
    page = open_page()
    sign_in(page, web_process, "olga")
    page.goto(f"{web_process.url}/e/staging/drift/")
    page.get_by_text("nothing drifts").wait_for()
    shot(page, "drift-empty")

    for name in ("i0", "i1", "i2", "i3", "i4", "i5"):
        drifts.change(one(cast, name))
    drifts.change(one(cast, "i6"), THIRD, kind="connections")
    drift_watch.note(cast.environment)
    drifts.copied(cast, LIVE)
    live.ping(cast.environment.pk, "drift")
    page.get_by_text("6 instances").wait_for()
    shot(page, "drift-desk")

    page.get_by_role("link", name="webhooks eeee").click()
    page.get_by_text("changed: authorization").wait_for()
    assert "h4nd-made" not in page.content()
    shot(page, "drift-content")
    page.get_by_label("Select i5").uncheck()
    page.get_by_role("button", name="Overwrite…").click()
    page.get_by_role("heading", name="Overwrite what is on 5 instances?").wait_for()
    shot(page, "drift-overwrite")
    page.get_by_role("link", name="Back").click()

    page.locator("#ignore").get_by_label("reason").fill("until the new broker is there")
    page.get_by_role("button", name="Ignore until then").click()
    page.get_by_text("until the new broker is there").wait_for()
    assert SetAside.objects.get().by == cast.olga
    shot(page, "drift-set-aside")
