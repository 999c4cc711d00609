"""What an operator does, in a real browser on real parts: sign in, edit, publish, watch it being proven."""

from __future__ import annotations

import io
import json
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from django.core.management import call_command

from configs_app.models import Change
from console import testing
from console.testing_processes import Process, SampleInstance, Web, until
from sync_app.models import Rollout
from sync_app.tests.attempts import begin, work

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]

Start = Callable[..., list[SampleInstance]]


def sign_in(page: Page, web: Web, name: str) -> None:
    page.goto(f"{web.url}/login/")
    page.get_by_label("Username").fill(name)
    page.get_by_label("Password").fill(testing.PASSWORD)
    page.get_by_role("button", name="Sign in").click()
    page.wait_for_url(f"{web.url}/")


def type_webhooks(page: Page, text: str) -> None:
    """Replace the whole text in the editor, as a person would: select all, paste."""
    editor = page.locator("#panel-webhooks .cm-content")
    editor.click()
    page.keyboard.press("Control+A")
    page.keyboard.insert_text(text)


def status(instance: SampleInstance, webhook: str) -> int:
    request = urllib.request.Request(f"{instance.base_url}/webhook/{webhook}", data=b"{}", method="POST")  # noqa: S310
    try:
        with urllib.request.urlopen(request, timeout=5) as answer:  # noqa: S310 - our own http address
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code


def test_an_operator_edits_publishes_and_sees_three_rows_turn_verified(
    open_page: Callable[..., Page], web_process: Web, worker_process: Process, sample_instances: Start
) -> None:
    cast = testing.cast()
    testing.bundle(cast.environment)
    fleet = sample_instances(3)
    for number, running in enumerate(fleet):
        testing.instance(cast.environment, f"instance-{number}", running.base_url, running.token)
    page = open_page()
    sign_in(page, web_process, "olga")
    page.get_by_role("link", name="staging").first.click()
    page.get_by_role("button", name="Edit documents").click()
    page.get_by_label("What is this change for?").fill("Accept payments")

    type_webhooks(page, '{"payments": {"module": "log"},}')
    page.locator(".problems").get_by_text(
        "A comma before"
    ).wait_for()  # found by the server while typing, shown with its place
    type_webhooks(page, '{"orders": {"module": "log"}, "payments": {"module": "log"}}')
    page.locator(".problems").get_by_text("'payments' is open: anybody").wait_for()  # a warning, not an error
    page.get_by_role("button", name="Review and publish").click()
    page.get_by_text("1 webhook added: payments").wait_for()
    page.get_by_text("1 webhook removed, will answer 404: refunds").wait_for()
    page.get_by_role("link", name="Publish…").click()
    page.get_by_text("3 of 3 instances").first.wait_for()
    page.get_by_label("Name of the environment").fill("staging")  # half of the entries go: typed confirmation
    assert [status(instance, "payments") for instance in fleet] == [404, 404, 404]
    pressed = time.monotonic()
    page.get_by_role("button", name="Publish to").click()
    until(lambda: [status(instance, "payments") for instance in fleet] == [200, 200, 200], what="three answers of 200")
    applied = time.monotonic() - pressed

    page.get_by_text("3 of 3 verified").wait_for(timeout=5000)  # by ping: the poll comes after fifteen seconds
    assert page.locator("tbody .state", has_text="verified").count() == 3
    page.locator(".head .state", has_text="succeeded").wait_for()  # moved without a reload
    assert applied < 2
    assert [status(instance, "refunds") for instance in fleet] == [404, 404, 404]


def test_a_production_change_goes_from_its_proposal_through_an_approval_to_an_export_that_verifies(
    open_page: Callable[..., Page],
    web_process: Web,
    worker_process: Process,
    sample_instances: Start,
    tmp_path: Path,
) -> None:
    cast = testing.cast("production", protected=True)
    testing.bundle(cast.environment)
    (running,) = sample_instances(1)
    testing.instance(cast.environment, "one", running.base_url, running.token)
    webhooks = testing.text({**testing.WEBHOOKS, "payments": {"module": "log"}})
    change = testing.draft(cast.environment, actor=cast.olga, webhooks=webhooks)
    olga = open_page()
    sign_in(olga, web_process, "olga")
    olga.goto(f"{web_process.url}/changes/{change.pk}/")
    assert olga.get_by_role("link", name="Publish…").count() == 0
    # The warning is new: in production somebody has to answer for it.
    olga.get_by_label("'payments' is open").check()
    olga.get_by_label("Reason").fill("The partner cannot sign its calls")
    olga.get_by_role("button", name="Accept the ticked ones").click()
    olga.get_by_role("button", name="Propose for approval").click()
    olga.get_by_text("another person has to approve").wait_for()

    anna = open_page(color_scheme="dark")
    sign_in(anna, web_process, "anna")
    anna.get_by_role("link", name="A change").click()
    anna.get_by_text("1 webhook added: payments").wait_for()
    anna.get_by_text("payments is open: anybody who knows the address can call it.").wait_for()
    anna.get_by_text("Accepted by olga").wait_for()
    anna.get_by_role("button", name="Approve these contents").click()
    anna.locator(".head .state", has_text="approved").wait_for()

    olga.reload()
    olga.get_by_role("link", name="Publish…").click()
    olga.get_by_role("button", name="Publish to").click()
    olga.get_by_text("1 of 1 verified").wait_for()
    assert Change.objects.get(pk=change.pk).state == "published"
    assert Rollout.objects.get().change_id == change.pk

    ida = open_page()
    sign_in(ida, web_process, "ida")
    ida.get_by_role("link", name="Audit").click()
    ida.get_by_label("What", exact=True).fill("change.published")
    ida.get_by_role("button", name="Filter").click()
    ida.get_by_text("published “A change”").wait_for()
    ida.get_by_role("link", name="Clear").click()
    with ida.expect_download() as downloading:
        ida.get_by_role("button", name="JSON lines").click()
    downloading.value.save_as(tmp_path / "audit.jsonl")
    said = io.StringIO()
    call_command("audit", "verify", str(tmp_path / "audit.jsonl"), stdout=said)
    assert "the chain is whole" in said.getvalue()
    events = [json.loads(line) for line in (tmp_path / "audit.jsonl").read_text().splitlines()]
    published = next(event for event in events if event["action"] == "change.published")
    assert (published["actor_name"], published["data"]["approvers"]) == ("olga", ["anna"])


def test_typed_text_survives_a_save_that_is_refused(open_page: Callable[..., Page], web_process: Web) -> None:
    cast = testing.cast()
    testing.bundle(cast.environment)
    change = testing.draft(cast.environment, actor=cast.olga, webhooks=testing.text({"a": {"module": "log"}}))
    page = open_page()
    sign_in(page, web_process, "olga")
    page.goto(f"{web_process.url}/changes/{change.pk}/edit/")
    type_webhooks(page, '{"mine": {"module": "log"}}')
    from configs_app import changes

    text = testing.text({"theirs": {"module": "log"}})
    base = change.documents.get().base_id
    changes.save(change, {"webhooks": text}, bases={"webhooks": base}, actor=cast.adam)

    page.get_by_role("button", name="Save draft").click()

    page.get_by_text("adam saved this change while you were typing").wait_for()
    page.evaluate("document.dispatchEvent(new Event('console:sync'))")  # the textarea follows the editor lazily
    assert "mine" in page.locator("#id_webhooks").input_value()
    assert "theirs" in Change.objects.get().documents.get().text


def test_the_question_whether_to_cancel_survives_a_ping_and_still_cancels(
    open_page: Callable[..., Page], web_process: Web
) -> None:
    cast, rollout = begin(3, waves=["1", "100%"], soak_seconds=600)
    page = open_page()
    sign_in(page, web_process, "olga")
    page.goto(f"{web_process.url}/rollouts/{rollout.pk}/")
    page.get_by_text("0 of 3 verified").wait_for()
    page.get_by_role("button", name="Cancel rollout…").click()

    work(rollout)
    page.get_by_text("1 of 3 verified").wait_for()  # the live part, with the button in it, is another one now
    page.get_by_role("dialog").get_by_role("button", name="Cancel the rollout").click()

    page.locator(".head .state", has_text="cancelled").wait_for()
    rollout.refresh_from_db()
    assert rollout.state == "cancelled"
    assert cast.environment.rollouts.count() == 1
