"""In a real browser: documents come out of an archive, are compared, and a good revision is kept in mind."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest
from django.db import transaction

from configs_app import changes
from configs_app.models import RevisionPin
from configs_app.tests.test_archives import packed
from console import testing
from console.testing_processes import Web

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]


def sign_in(page: Page, web: Web, name: str) -> None:
    page.goto(f"{web.url}/login/")
    page.get_by_label("Username").fill(name)
    page.get_by_label("Password").fill(testing.PASSWORD)
    page.get_by_role("button", name="Sign in").click()
    page.wait_for_url(f"{web.url}/")


@pytest.mark.parametrize("scripts", [True, False], ids=["with scripts", "without scripts"])
def test_from_an_archive_to_a_pinned_revision(
    open_page: Callable[..., Page], web_process: Web, *, scripts: bool
) -> None:
    cast = testing.cast()
    page = open_page(java_script_enabled=scripts)
    sign_in(page, web_process, "olga")
    page.goto(f"{web_process.url}/e/staging/documents/webhooks/")
    page.get_by_role("link", name="Import documents").click()
    archive = packed(("config/webhooks.json", testing.text(testing.WEBHOOKS).encode()))
    page.get_by_label("Zip archive").set_input_files(
        {"name": "b.zip", "mimeType": "application/zip", "buffer": archive}
    )
    page.get_by_role("button", name="Read the archive").click()
    page.get_by_text("2 webhooks added: orders, refunds").wait_for()
    page.get_by_role("button", name="Start with it").click()
    page.get_by_text("staging starts with webhooks r1 from b.zip").wait_for()

    text = testing.text({**testing.WEBHOOKS, "orders": {"module": "log", "note": "new"}})
    with transaction.atomic():
        changes.publish(testing.draft(cast.environment, actor=cast.olga, webhooks=text), actor=cast.olga)
    page.get_by_role("link", name="Webhooks", exact=True).click()
    page.get_by_role("button", name="Compare the two chosen").click()
    page.get_by_role("link", name="Side by side").click()
    page.get_by_role("link", name="orders").click()
    assert page.locator(":target").count() == 1  # the line that the summary leads to
    page.get_by_role("link", name="webhooks", exact=True).click()
    page.get_by_role("button", name="Pin").last.click()
    page.get_by_text("r1 stands first in the history").wait_for()
    assert RevisionPin.objects.get().revision.number == 1
    page.get_by_role("link", name="Note…").first.click()
    page.get_by_label("Tag", exact=True).fill("good-monday")
    page.get_by_role("button", name="Tag", exact=True).click()
    page.get_by_text("r1 is tagged good-monday").wait_for()
