"""An operator tries a change out and watches the answers come, and so does the approver who has its page open."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

from console import testing
from console.testing_processes import Process, SampleInstance, Web, until
from sync_app.dry_run_models import DryRun
from sync_app.tests.test_browser import sign_in
from sync_app.tests.test_dry_runs_live import NEW

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]


def test_the_answers_come_to_every_open_page(
    open_page: Callable[..., Page],
    web_process: Web,
    worker_process: Process,
    sample_instances: Callable[..., list[SampleInstance]],
) -> None:
    fleet = [*sample_instances(2, WC_DRY_TOKEN="x"), *sample_instances(1)]
    cast = testing.cast()
    testing.bundle(cast.environment)
    for number, running in enumerate(fleet):
        testing.instance(cast.environment, f"i{number}", running.base_url, running.token)
    (fleet[0].folder / "hang").write_text("1")
    change = testing.draft(cast.environment, actor=cast.olga, webhooks=testing.text({**testing.WEBHOOKS, **NEW}))
    olga, anna = open_page(), open_page()
    for page, name in ((olga, "olga"), (anna, "anna")):
        sign_in(page, web_process, name)
        page.goto(f"{web_process.url}/changes/{change.pk}/")
        page.get_by_text("Not tried yet.").wait_for()

    olga.get_by_role("button", name="Start a dry run").click()

    for page in (anna, olga):
        page.locator("#dry-run").get_by_text("2 of 3 would accept it · 1 not fit for it").wait_for()
        page.locator("#dry-run").get_by_text("No value there for WC_DRY_TOKEN.").wait_for()
        page.locator("#dry-run .state", has_text="finished").wait_for()
    anna.get_by_role("link", name="All 3 answers").click()
    anna.get_by_role("link", name="not fit 1").click()
    anna.get_by_role("row", name="i2").wait_for()
    assert anna.locator("tbody tr").count() == 1
    assert until(lambda: DryRun.objects.get().state) == "finished"
