"""Working together on a change, in a real browser: a discussion that moves by itself, and a merge with a conflict."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest
from django.db import transaction

from configs_app import changes
from configs_app.models import Change
from console import testing
from console.testing import Cast
from console.testing_processes import Web

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]

CLOSED = {"module": "log", "authorization": "Bearer {$TOKEN}"}
BASE = {
    "orders": {**CLOSED, "retries": 3, "module-config": {"topic": "orders", "acks": 1}},
    "refunds": CLOSED,
    "old": CLOSED,
}


def sign_in(page: Page, web: Web, name: str) -> None:
    page.goto(f"{web.url}/login/")
    page.get_by_label("Username").fill(name)
    page.get_by_label("Password").fill(testing.PASSWORD)
    page.get_by_role("button", name="Sign in").click()
    page.wait_for_url(f"{web.url}/")


def edited(cast: Cast, *, topic: str, retries: int, title: str, **entries: object) -> Change:
    orders = {**CLOSED, "retries": retries, "module-config": {"topic": topic, "acks": 1}}
    webhooks = testing.text({**BASE, "orders": orders, **entries})
    return testing.draft(cast.environment, actor=cast.olga, webhooks=webhooks, title=title)


def test_a_comment_arrives_on_the_other_persons_page_and_is_resolved(
    open_page: Callable[..., Page], web_process: Web
) -> None:
    cast = testing.cast("production", protected=True)
    testing.bundle(cast.environment, webhooks=BASE)
    change = edited(cast, topic="orders-v2", retries=3, title="Send orders to the new topic", payments=CLOSED)
    changes.propose(change, actor=cast.olga, reason="The old topic is switched off on Friday.\nThe partner knows.")
    olga, anna = open_page(), open_page(color_scheme="dark")
    for page, name in ((olga, "olga"), (anna, "anna")):
        sign_in(page, web_process, name)
        page.goto(f"{web_process.url}/changes/{change.pk}/")
    olga.get_by_text("Waits for one approval from: adam, anna.").wait_for()

    anna.get_by_label("About").select_option(label="webhooks: payments")
    anna.get_by_label("Comment").fill("Who signs these calls?")
    anna.get_by_role("button", name="Comment", exact=True).click()
    anna.locator("table.diff .remark", has_text="Who signs these calls?").wait_for()
    olga.locator("#said").get_by_text("Who signs these calls?").wait_for(timeout=5000)  # by ping
    olga.get_by_role("button", name="Resolve").click()
    olga.locator(".comment .state", has_text="resolved").wait_for()

    olga.locator(".outline-bar").get_by_role("link", name="Timeline").focus()
    olga.keyboard.press("Enter")
    olga.get_by_text("marked a comment as resolved").wait_for()
    assert olga.evaluate("document.activeElement.id") == "timeline"
    olga.set_viewport_size({"width": 400, "height": 800})
    assert olga.evaluate("document.documentElement.scrollWidth") <= 400
    anna.goto(f"{web_process.url}/changes/?show=review")
    anna.get_by_role("link", name="Send orders to the new topic").wait_for()
    olga.goto(f"{web_process.url}/e/production/changes/")
    assert olga.evaluate("document.documentElement.scrollWidth") <= 400


def test_a_stale_change_is_merged_and_the_conflict_is_the_persons_to_decide(
    open_page: Callable[..., Page], web_process: Web
) -> None:
    cast = testing.cast()
    testing.bundle(cast.environment, webhooks=BASE)
    mine = edited(cast, topic="orders-mine", retries=5, title="Mine", payments=CLOSED)
    theirs = edited(cast, topic="orders-theirs", retries=3, title="Theirs", refunds={**CLOSED, "note": "x"})
    with transaction.atomic():
        changes.publish(theirs, actor=cast.adam)
    page = open_page()
    sign_in(page, web_process, "olga")
    page.goto(f"{web_process.url}/changes/{mine.pk}/")
    page.get_by_role("link", name="Merge…").click()
    page.get_by_text("orders › module-config › topic").wait_for()
    page.emulate_media(color_scheme="dark")
    page.set_viewport_size({"width": 400, "height": 800})
    assert page.evaluate("document.documentElement.scrollWidth") <= 400
    page.set_viewport_size({"width": 1280, "height": 900})
    page.get_by_role("button", name="Merge into a draft").click()
    assert page.url.endswith("/merge/")  # the browser itself asks for the decision
    page.get_by_label("Current, r2").check()
    page.get_by_role("button", name="Merge into a draft").click()
    page.get_by_text("saved as a draft on what is current").wait_for()
    page.get_by_text("merged it with what was current").wait_for()
    text = mine.documents.get().text
    for words in ('"topic": "orders-theirs"', '"retries": 5', '"note": "x"', '"payments"'):
        assert words in text, words
