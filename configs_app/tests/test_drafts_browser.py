"""Nothing typed is lost, in a real browser: not by a closed tab, a dead server or an ended session."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from configs_app import changes
from configs_app.models import Change
from console import testing
from console.models import Session
from console.testing import Cast
from console.testing_processes import Web, until

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]

Open = Callable[..., "Page"]
MINE = '{"mine": {"module": "log"}}'


@pytest.fixture
def staging() -> Cast:
    cast = testing.cast()
    testing.bundle(cast.environment)
    return cast


def sign_in(page: Page, web: Web, name: str) -> None:
    page.goto(f"{web.url}/login/")
    page.get_by_label("Username").fill(name)
    page.get_by_label("Password").fill(testing.PASSWORD)
    page.get_by_role("button", name="Sign in").click()
    page.wait_for_url(f"{web.url}/")


def edit(page: Page, web: Web, name: str, change: Change) -> None:
    sign_in(page, web, name)
    page.goto(f"{web.url}/changes/{change.pk}/edit/")


def type_webhooks(page: Page, text: str) -> None:
    page.locator("#panel-webhooks .cm-content").click()
    page.keyboard.press("Control+A")
    page.keyboard.insert_text(text)


def typed(page: Page) -> str:
    page.evaluate("document.dispatchEvent(new Event('console:sync'))")  # an editor may be ahead of its textarea
    return page.locator("#id_webhooks").input_value()


def stored(change: Change) -> str:
    document = change.documents.filter(kind="webhooks").first()
    return document.text if document else ""


def is_saved(page: Page) -> None:
    page.locator("form[data-draft]:not([data-unsaved], :has(textarea[data-typed]))").wait_for()
    says(page, "Saved")


def says(page: Page, words: str) -> None:
    page.locator("#draft-status", has_text=words).wait_for()


def copies(page: Page) -> list[str]:
    """The texts that this browser keeps."""
    found: list[str] = page.evaluate(
        "() => Object.keys(localStorage).filter((key) => key.startsWith('draft:')).map((key) => localStorage[key])"
    )
    return found


def test_a_draft_survives_a_reload_and_a_closed_tab_without_anybody_pressing_save(
    open_page: Open, web_process: Web, staging: Cast
) -> None:
    change = changes.open_draft(staging.environment, actor=staging.olga)
    page = open_page()
    edit(page, web_process, "olga", change)
    page.get_by_label("What is this change for?").fill("Accept mine")
    type_webhooks(page, MINE)
    is_saved(page)
    page.reload()
    assert typed(page) == MINE
    assert page.get_by_label("What is this change for?").input_value() == "Accept mine"
    assert copies(page) == []

    type_webhooks(page, MINE.replace("mine", "later"))
    page.close(run_before_unload=False)  # before the pause that saves
    again = page.context.new_page()
    again.goto(f"{web_process.url}/changes/{change.pk}/edit/")
    if "later" not in typed(again):  # the request that outlives the tab came too late for this page
        again.get_by_role("button", name="Restore it").click()
    assert "later" in typed(again)
    until(lambda: "later" in stored(change), what="the text on the server")


def test_text_typed_while_the_server_is_down_comes_back_with_it(
    open_page: Open, web_process: Web, staging: Cast
) -> None:
    change = changes.open_draft(staging.environment, actor=staging.olga)
    page = open_page()
    edit(page, web_process, "olga", change)
    web_process.kill()
    type_webhooks(page, MINE)
    says(page, "the console does not answer")
    page.get_by_role("button", name="Save draft").click()  # leads nowhere, and nothing is lost
    says(page, "kept in this browser")
    page.close(run_before_unload=False)

    web_process.start()
    again = page.context.new_page()
    again.goto(f"{web_process.url}/changes/{change.pk}/edit/")
    again.get_by_text(re.compile("Text typed at .* was not saved.*webhooks.json: 27 characters typed")).wait_for()
    assert "mine" not in typed(again)
    again.get_by_role("button", name="Restore it").click()
    assert typed(again) == MINE
    is_saved(again)
    assert stored(change) == MINE
    assert copies(again) == []


def test_a_page_left_open_saves_as_soon_as_the_server_is_back(open_page: Open, web_process: Web, staging: Cast) -> None:
    change = changes.open_draft(staging.environment, actor=staging.olga)
    page = open_page()
    edit(page, web_process, "olga", change)
    web_process.kill()
    type_webhooks(page, MINE)
    says(page, "the console does not answer")
    web_process.start()
    is_saved(page)
    assert stored(change) == MINE
    assert copies(page) == []


def test_an_ended_session_loses_nothing_and_saving_goes_on_after_signing_in_elsewhere(
    open_page: Open, web_process: Web, staging: Cast
) -> None:
    change = changes.open_draft(staging.environment, actor=staging.olga)
    page = open_page()
    edit(page, web_process, "olga", change)
    Session.objects.all().delete()
    type_webhooks(page, MINE)
    page.get_by_text("You are signed out.", exact=True).wait_for()
    page.get_by_role("button", name="Save draft").click()
    says(page, "Not saved: you are signed out.")
    assert page.url.endswith("/edit/#webhooks")
    assert typed(page) == MINE

    with page.context.expect_page() as opened:
        page.get_by_role("link", name="Sign in in a new tab").click()
    sign_in(opened.value, web_process, "olga")  # another token from here on
    opened.value.close()

    is_saved(page)
    assert stored(change) == MINE
    page.get_by_text("You are signed out.", exact=True).wait_for(state="hidden")
    page.get_by_role("button", name="Review and publish").click()
    page.get_by_text("1 webhook added: mine").wait_for()


def test_signing_out_leaves_no_text_in_the_browser(open_page: Open, web_process: Web, staging: Cast) -> None:
    change = changes.open_draft(staging.environment, actor=staging.olga)
    page = open_page()
    edit(page, web_process, "olga", change)
    page.evaluate("localStorage.setItem('draft:1:2:3', JSON.stringify({at: Date.now(), fields: {}}))")
    page.once("dialog", lambda dialog: dialog.dismiss())
    page.get_by_role("button", name="Sign out").click()
    assert len(copies(page)) == 1
    page.once("dialog", lambda dialog: dialog.accept())
    page.get_by_role("button", name="Sign out").click()
    page.wait_for_url(f"{web_process.url}/login/")
    assert copies(page) == []


def test_a_tab_hears_of_a_sign_out_in_another_one(open_page: Open, web_process: Web, staging: Cast) -> None:
    page = open_page()
    edit(page, web_process, "olga", changes.open_draft(staging.environment, actor=staging.olga))
    other = page.context.new_page()
    other.goto(web_process.url)
    other.get_by_role("button", name="Sign out").click()
    other.wait_for_url(f"{web_process.url}/login/")
    # What it could not deliver from now on is not kept, nor is a copy that it has just made.
    page.wait_for_function("document.documentElement.dataset.signingOut === 'yes'")
    assert copies(page) == []


def test_typing_into_a_proposed_change_saves_nothing_until_somebody_presses_save(
    open_page: Open, web_process: Web
) -> None:
    cast = testing.cast("production", protected=True)
    testing.bundle(cast.environment)
    change = testing.draft(cast.environment, actor=cast.olga, webhooks=testing.text({"a": {"module": "log"}}))
    testing.accepted(change, actor=cast.olga)
    changes.propose(change, actor=cast.olga)
    page = open_page()
    edit(page, web_process, "olga", change)
    says(page, "This change is proposed; saving makes it a draft again and voids its approvals.")
    type_webhooks(page, MINE)
    says(page, "Not saved yet: press “Save draft”.")
    assert Change.objects.get().state == "proposed"
    assert "mine" in copies(page)[0]
    page.get_by_role("button", name="Save draft").click()
    says(page, "Saved as a draft.")
    assert Change.objects.get().state == "draft"
    assert stored(change) == MINE
    assert copies(page) == []


def test_a_refused_text_is_saved_by_itself_once_it_is_corrected(
    open_page: Open, web_process: Web, staging: Cast
) -> None:
    change = changes.open_draft(staging.environment, actor=staging.olga)
    page = open_page()
    edit(page, web_process, "olga", change)
    title = page.get_by_label("What is this change for?")
    title.evaluate("(element) => element.removeAttribute('maxlength')")
    title.fill("x" * 201)
    page.get_by_text("title: Ensure this value has at most 200 characters").wait_for()
    title.fill("x" * 200)
    is_saved(page)
    page.locator("#draft-refused").wait_for(state="hidden")
    until(lambda: Change.objects.get().title == "x" * 200, what="the title")


def test_what_was_kept_too_long_is_not_kept_longer(open_page: Open, web_process: Web, staging: Cast) -> None:
    page = open_page()
    sign_in(page, web_process, "olga")
    page.evaluate("localStorage.setItem('draft:1:2:3', JSON.stringify({at: Date.now() - 4 * 86400e3, fields: {}}))")
    page.evaluate("localStorage.setItem('draft:1:2:4', JSON.stringify({at: Date.now() - 2 * 86400e3, fields: {}}))")
    page.reload()
    assert len(copies(page)) == 1


def test_two_people_see_each_other_and_the_second_save_keeps_its_text(
    open_page: Open, web_process: Web, staging: Cast
) -> None:
    change = changes.open_draft(staging.environment, actor=staging.olga)
    adam = open_page()
    edit(adam, web_process, "adam", change)
    olga = open_page()
    edit(olga, web_process, "olga", change)
    olga.get_by_text("adam has this change open in the editor now").wait_for()
    adam.get_by_text("olga has this change open in the editor now").wait_for()

    type_webhooks(adam, '{"theirs": {"module": "log"}}')
    is_saved(adam)
    olga.get_by_text("this page shows the text before that").wait_for()
    type_webhooks(olga, MINE)
    olga.get_by_text("adam saved this change while you were typing").wait_for()
    assert typed(olga) == MINE
    assert "theirs" in stored(change)

    olga.once("dialog", lambda dialog: dialog.accept())  # leave although something is unsaved
    olga.reload()
    assert "theirs" in typed(olga)
    olga.get_by_text("The change was saved since").wait_for()
    olga.get_by_role("button", name="Restore it").click()
    is_saved(olga)
    assert stored(change) == MINE


def test_a_file_replaces_the_text_and_undo_brings_it_back(
    open_page: Open, web_process: Web, staging: Cast, tmp_path: Path
) -> None:
    change = testing.draft(staging.environment, actor=staging.olga, webhooks=MINE)
    page = open_page()
    edit(page, web_process, "olga", change)
    panel = page.locator("#panel-webhooks")

    def choose(name: str, content: bytes) -> None:
        (tmp_path / name).write_bytes(content)
        with page.expect_file_chooser() as chooser:
            panel.get_by_role("button", name="Open a file…").click()
        chooser.value.set_files(tmp_path / name)

    choose("new.json", b'\xef\xbb\xbf{"from": {"module": "log"}}\r\n')
    panel.get_by_text("new.json is in the editor").wait_for()
    assert typed(page) == '{"from": {"module": "log"}}\n'
    is_saved(page)
    panel.locator(".cm-content").click()
    page.keyboard.press("Control+Z")
    assert typed(page) == MINE

    is_saved(page)
    choose("latin.json", '{"a": "ü"}'.encode("latin-1"))
    panel.get_by_text("latin.json is not text in UTF-8").wait_for()
    choose("huge.json", b" " * (5 * 1024 * 1024))
    panel.get_by_text("huge.json has 5.0 MB; a document may have 4.0 MB.").wait_for()
    assert typed(page) == MINE

    type_webhooks(page, "{}")
    choose("connections.json", testing.text(testing.CONNECTIONS).encode())
    page.get_by_role("button", name="Keep it").click()  # what is in the editor is not saved yet
    assert typed(page) == "{}"
    is_saved(page)
    choose("connections.json", testing.text(testing.CONNECTIONS).encode())
    panel.get_by_text("These look like connections: they belong on the other tab.").wait_for()


def test_a_dropped_file_and_a_pasted_one_and_the_text_as_it_stands_as_a_download(
    open_page: Open, web_process: Web, staging: Cast
) -> None:
    change = testing.draft(staging.environment, actor=staging.olga, webhooks=MINE)
    page = open_page()
    edit(page, web_process, "olga", change)
    panel = page.locator("#panel-webhooks")
    transfer = """(text) => {
      const data = new DataTransfer();
      data.items.add(new File([text], "dropped.json"));
      return data;
    }"""
    dropped = page.evaluate_handle(transfer, '{"dropped": {"module": "log"}}')
    panel.locator(".cm-content").dispatch_event("drop", {"dataTransfer": dropped})
    panel.get_by_text("dropped.json is in the editor").wait_for()
    assert typed(page) == '{"dropped": {"module": "log"}}'

    with page.expect_download() as downloading:
        panel.get_by_role("button", name="Download").click()
    assert downloading.value.suggested_filename == "staging-webhooks.json"
    assert downloading.value.path().read_text() == '{"dropped": {"module": "log"}}'

    type_webhooks(page, '{"a": {"module": "log", "authorization": "‹secret 3f9a2c›"}}')
    with page.expect_download():
        panel.get_by_role("button", name="Download").click()
    panel.get_by_text("It has marks in place of 1 secret; a service cannot use it.").wait_for()

    panel.locator(".cm-content").click()
    page.keyboard.press("Control+A")
    paste = """(element, text) => {
      const clipboardData = new DataTransfer();
      clipboardData.setData("text/plain", text);
      element.dispatchEvent(new ClipboardEvent("paste", { clipboardData, bubbles: true, cancelable: true }));
    }"""
    panel.locator(".cm-content").evaluate(paste, testing.text(testing.CONNECTIONS))
    panel.get_by_text("These look like connections: they belong on the other tab.").wait_for()
    assert "postgresql" in typed(page)


def test_leaving_asks_only_while_something_is_unsaved(open_page: Open, web_process: Web, staging: Cast) -> None:
    change = changes.open_draft(staging.environment, actor=staging.olga)
    page = open_page()
    edit(page, web_process, "olga", change)
    type_webhooks(page, MINE)
    assert page.locator("form[data-unsaved]").count() == 1
    is_saved(page)
    assert page.locator("form[data-unsaved]").count() == 0
    page.keyboard.type(" ")
    says(page, "Not saved yet.")
    page.keyboard.press("Backspace")
    is_saved(page)  # it is the saved text again
    assert page.locator("form[data-unsaved]").count() == 0
    page.get_by_role("link", name="Changes").first.click()  # a dialog would stop this
    page.get_by_role("navigation", name="Which changes").wait_for()
