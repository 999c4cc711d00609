"""The editor in a real browser: it knows the documents, and text and form are one draft."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest
from django.conf import settings
from django.test import Client

from configs_app.models import Change
from console import testing
from console.models import User
from console.testing_processes import Web, until

if TYPE_CHECKING:
    from playwright.sync_api import Locator, Page

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]

WEBHOOKS = """{
  "orders": {
    "module": "kafka",
    "connection": "events",
    "module-config": {
      "topic": "orders"
    },
    "rate_limit": {"max_requests": 1.50e1},
    "authorization": "Bearer {$TOKEN}"
  },
  "refunds": {"module": "log", "authorization": "Bearer {$TOKEN}"}
}
"""
CONNECTIONS = {
    "events": {"type": "kafka", "bootstrap_servers": "k.example.com:9092"},
    "db": {"type": "postgresql", "host": "db.example.com", "port": 5432},
}
Open = Callable[..., "Page"]


def edit(open_page: Open, web: Web, webhooks: str = WEBHOOKS, *, entries: int = 2, **options: Any) -> Page:
    """The editor of a draft with these texts, opened by olga."""
    cast = testing.cast()
    testing.bundle(cast.environment)
    texts = {"webhooks": webhooks, "connections": testing.text(CONNECTIONS)}
    change = testing.draft(cast.environment, actor=cast.olga, **texts)
    client = Client()
    client.force_login(User.objects.get(username="olga"))
    page = open_page(**options)
    page.context.add_cookies(
        [{"name": settings.SESSION_COOKIE_NAME, "value": client.cookies["sessionid"].value, "url": web.url}]
    )
    page.goto(f"{web.url}/changes/{change.pk}/edit/")
    panel(page).get_by_text(f"{entries} entries").wait_for()
    page.wait_for_load_state("networkidle")  # the schema is there
    return page


def panel(page: Page, kind: str = "webhooks") -> Locator:
    return page.locator(f"#panel-{kind}")


def place_cursor(page: Page, before: str) -> None:
    """In front of the first occurrence of a text, by the editor's own search."""
    panel(page).locator(".cm-content").click()
    page.keyboard.press("Control+f")
    page.keyboard.type(before)
    page.keyboard.press("Enter")
    page.keyboard.press("Escape")
    page.keyboard.press("ArrowLeft")


def text(page: Page, kind: str = "webhooks") -> str:
    """What the form would post now."""
    found = page.evaluate("kind => new FormData(document.getElementById(`id_${kind}`).form).get(kind)", kind)
    return str(found).replace("\r\n", "\n")


def options(page: Page) -> list[str]:
    page.locator(".cm-tooltip-autocomplete li").first.wait_for()
    return page.locator(".cm-tooltip-autocomplete .cm-completionLabel").all_inner_texts()


def accept(page: Page) -> None:
    """Take what is marked. The editor makes a new line of Enter in the 75 ms after a list has come up: somebody may not
    have seen it yet.
    """
    page.wait_for_function(
        """() => {
            const list = document.querySelector(".cm-tooltip-autocomplete")?.textContent ?? "", now = performance.now();
            if (!list || list !== window.listSeen) [window.listSeen, window.listSince] = [list, now];
            return list && now - window.listSince > 150;
        }"""
    )
    page.keyboard.press("Enter")


def test_completion_offers_the_keys_of_this_module_that_are_not_there_yet(open_page: Open, web_process: Web) -> None:
    page = edit(open_page, web_process)
    place_cursor(page, '"topic"')

    page.keyboard.press("Control+Space")
    assert options(page) == ["forward_headers", "key", "partition"]
    page.locator(".cm-completionInfo", has_text="headers").wait_for()
    page.keyboard.type("ke")
    until(lambda: options(page)[0] == "key", what="the narrowed list")
    accept(page)
    page.keyboard.type("a")

    assert '"module-config": {\n      "key": "a","topic": "orders"' in text(page)


def test_completion_at_the_end_of_an_object_adds_the_comma_before(open_page: Open, web_process: Web) -> None:
    page = edit(open_page, web_process)
    place_cursor(page, '"topic"')
    page.keyboard.press("End")
    page.keyboard.press("Enter")
    page.keyboard.type('"for')
    until(lambda: options(page) == ["forward_headers"], what="the key")
    accept(page)

    assert json.loads(text(page))["orders"]["module-config"] == {"topic": "orders", "forward_headers": True}


def test_completion_offers_modules_and_the_connections_that_fit(open_page: Open, web_process: Web) -> None:
    page = edit(open_page, web_process)
    place_cursor(page, 'events"')
    page.keyboard.press("Control+Space")
    assert options(page) == ["events"]  # of the other tab; db is of another type

    page.keyboard.press("Escape")
    place_cursor(page, 'log"')
    page.keyboard.press("Control+Space")
    assert {"kafka", "log", "webhook_connect"} <= set(options(page))
    page.keyboard.press("Escape")


def test_hovering_a_key_and_a_placeholder_says_what_they_are(open_page: Open, web_process: Web) -> None:
    page = edit(open_page, web_process)
    panel(page).locator(".cm-content .tok-property", has_text='"topic"').hover()
    page.locator(".cm-tooltip-hover", has_text="string, required").wait_for()
    panel(page).locator(".cm-content .tok-string", has_text="{$TOKEN}").first.hover()
    page.locator(".cm-tooltip-hover", has_text="TOKEN is read from each instance's environment").wait_for()


def test_a_problem_marks_its_line_and_says_why_and_what_to_do(open_page: Open, web_process: Web) -> None:
    page = edit(open_page, web_process)
    place_cursor(page, 'afka"')
    page.keyboard.press("Backspace")
    found = panel(page).locator(".problems section", has_text="is no module the service has")
    found.wait_for()

    panel(page).locator(".cm-line", has_text='"module": "afka"').locator(".cm-lintRange-error").wait_for()
    orders = panel(page).get_by_role("option", name="orders")
    orders.locator(".count.error").wait_for()
    found.locator("summary").first.click()
    found.get_by_text("Fill it in as the module's table says.").wait_for()
    page.keyboard.press("Escape")
    panel(page).locator(".cm-content").focus()
    page.keyboard.press("Control+Home")
    page.keyboard.press("F8")
    panel(page).locator(".editor-status", has_text="'afka' is no module").wait_for()


def test_the_outline_filters_jumps_and_follows_the_cursor(open_page: Open, web_process: Web) -> None:
    page = edit(open_page, web_process)
    outline = panel(page).locator(".outline")
    assert outline.get_by_role("option", name="orders").inner_text().split("\n")[-1] == "kafka · authorization"

    outline.get_by_label("Filter the entries").fill("log")
    until(lambda: outline.get_by_role("option").count() == 1, what="the filtered list")
    page.keyboard.press("Enter")

    panel(page).locator(".cm-activeLine", has_text='"refunds"').wait_for()
    panel(page).locator(".editor-status", has_text="refunds").wait_for()
    outline.get_by_label("Filter the entries").fill("")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Home")
    outline.locator("[aria-selected=true]", has_text="orders").wait_for()
    page.keyboard.press("Enter")
    panel(page).locator(".cm-activeLine", has_text='"orders"').wait_for()


def test_the_form_writes_only_what_was_changed(open_page: Open, web_process: Web) -> None:
    page = edit(open_page, web_process)
    panel(page).get_by_role("option", name="orders").click()
    panel(page).get_by_role("button", name="Form", exact=True).click()
    form = panel(page).locator(".entry-form")

    form.get_by_label("topic", exact=True).fill("sales")
    form.get_by_label("Add a setting to module-config").select_option("forward_headers")

    changed = WEBHOOKS.replace('"topic": "orders"', '"topic": "sales",\n      "forward_headers": true')
    assert text(page) == changed
    form.get_by_label("max_requests", exact=True).fill("many")
    form.get_by_text("Not a number; the text keeps the old value.").wait_for()
    assert text(page) == changed
    form.get_by_role("button", name="Remove rate_limit").click()
    assert text(page) == changed.replace('    "rate_limit": {"max_requests": 1.50e1},\n', "")
    panel(page).get_by_role("button", name="Undo").click()
    panel(page).get_by_role("button", name="Undo").click()
    until(lambda: form.get_by_label("forward_headers", exact=True).count() == 0, what="the undone form")
    assert text(page) == WEBHOOKS.replace('"topic": "orders"', '"topic": "sales"')


def test_what_is_typed_in_the_text_is_in_the_form_at_once(open_page: Open, web_process: Web) -> None:
    page = edit(open_page, web_process)
    place_cursor(page, '"log"')
    page.keyboard.press("Delete")
    page.keyboard.type("5, ")
    panel(page).get_by_role("button", name="Form", exact=True).click()
    panel(page).get_by_text("This entry is not valid JSON yet").wait_for()
    panel(page).get_by_role("button", name="Text", exact=True).click()
    page.keyboard.press("Control+z")
    panel(page).get_by_role("button", name="Form", exact=True).click()

    until(
        lambda: panel(page).locator(".entry-form").get_by_label("module", exact=True).input_value() == "log", what="it"
    )


def test_entries_are_added_renamed_copied_and_removed(open_page: Open, web_process: Web) -> None:
    page = edit(open_page, web_process)
    panel(page).get_by_role("option", name="refunds").click()
    panel(page).get_by_role("button", name="Form", exact=True).click()
    form = panel(page).locator(".entry-form")
    name = form.get_by_label("Name", exact=True)

    form.get_by_role("button", name="Duplicate").click()
    until(lambda: name.input_value() == "refunds-copy", what="the copy")
    name.fill("orders")
    name.press("Tab")
    form.get_by_text('There is a "orders" already.').wait_for()
    name.fill("returns")
    name.press("Tab")
    assert json.loads(text(page))["returns"] == json.loads(WEBHOOKS)["refunds"]
    form.get_by_role("button", name="Add entry").click()
    form.get_by_label("module", exact=True).select_option("log")
    assert list(json.loads(text(page))) == ["orders", "refunds", "returns", "new-webhook"]
    form.get_by_role("button", name="Remove entry").click()
    until(lambda: "new-webhook" not in text(page), what="the removal")
    assert list(json.loads(text(page))) == ["orders", "refunds", "returns"]


def test_formatting_keeps_the_order_of_keys_and_how_numbers_are_written(open_page: Open, web_process: Web) -> None:
    webhooks = '{"b": {"module":"log","n":1.50e1, "list":[1,[],{}]},\n"a":{"t":"\\u00fc, {x}"}}\n'
    page = edit(open_page, web_process, webhooks)
    panel(page).locator(".cm-content").click()
    page.keyboard.press("Control+Home")

    panel(page).get_by_role("button", name="Format").click()

    laid_out = """{
  "b": {
    "module": "log",
    "n": 1.50e1,
    "list": [
      1,
      [],
      {}
    ]
  },
  "a": {
    "t": "\\u00fc, {x}"
  }
}
"""
    assert text(page) == laid_out
    page.keyboard.type("x")
    panel(page).get_by_role("button", name="Format").click()
    panel(page).get_by_text("Not formatted: line 1 is not JSON").wait_for()
    assert text(page) == "x" + laid_out


def test_formatting_a_selection_leaves_the_rest_alone(open_page: Open, web_process: Web) -> None:
    page = edit(open_page, web_process)
    place_cursor(page, '"refunds"')
    page.keyboard.press("Shift+End")
    page.keyboard.press("Shift+Alt+F")
    laid_out = '"refunds": {\n    "module": "log",\n    "authorization": "Bearer {$TOKEN}"\n  }\n}'
    wanted = WEBHOOKS.replace('"refunds": {"module": "log", "authorization": "Bearer {$TOKEN}"}\n}', laid_out)
    until(lambda: text(page) == wanted, what="the layout of that entry alone")


def test_a_save_from_the_form_has_the_field_that_is_being_typed(open_page: Open, web_process: Web) -> None:
    page = edit(open_page, web_process)
    panel(page).get_by_role("option", name="orders").click()
    panel(page).get_by_role("button", name="Form", exact=True).click()
    panel(page).locator(".entry-form").get_by_label("Name", exact=True).fill("sales")
    page.keyboard.press("Control+s")
    saved = Change.objects.get().documents
    until(lambda: '"sales": {' in saved.get(kind="webhooks").text, what="the save")


def test_other_scripts_read_and_replace_the_text_through_the_textarea(open_page: Open, web_process: Web) -> None:
    page = edit(open_page, web_process)
    place_cursor(page, '"refunds"')
    page.keyboard.type(" ")
    read = "() => { document.dispatchEvent(new Event('console:sync')); return id_webhooks.value }"
    assert page.evaluate(read) == WEBHOOKS.replace('"refunds"', ' "refunds"')

    replaced = "new CustomEvent('console:replace', { cancelable: true, detail: { text: '{}' } })"
    assert page.evaluate(f"() => id_webhooks.dispatchEvent({replaced})") is False  # the editor took it
    panel(page).get_by_text("0 entries").wait_for()
    assert text(page) == "{}"
    panel(page).get_by_role("button", name="Undo").click()
    panel(page).get_by_text("2 entries").wait_for()
    assert text(page) == WEBHOOKS.replace('"refunds"', ' "refunds"')


def test_a_masked_secret_is_explained_and_typed_over(open_page: Open, web_process: Web) -> None:
    page = edit(open_page, web_process, WEBHOOKS.replace("Bearer {$TOKEN}", "‹secret 3f9a2c›", 1))
    panel(page).locator(".cm-content .tok-string", has_text="‹secret").hover()
    page.locator(".cm-tooltip-hover", has_text="A secret; saved unchanged.").wait_for()
    panel(page).get_by_role("option", name="orders").click()
    panel(page).get_by_role("button", name="Form", exact=True).click()
    panel(page).locator(".entry-form").get_by_text("A secret; saved unchanged. Type over it").wait_for()


def test_without_its_script_the_editor_is_a_textarea(open_page: Open, web_process: Web) -> None:
    plain = edit(open_page, web_process)
    address = plain.url
    without = open_page(java_script_enabled=False)
    without.context.add_cookies(plain.context.cookies())  # type: ignore[arg-type]
    without.goto(address)
    assert without.locator("#id_webhooks").input_value() == WEBHOOKS
    assert without.locator("#id_webhooks").is_visible()
    assert without.locator(".outline, .entry-form, .editor-bar").count() == 0


def test_a_save_right_after_a_key_has_that_key(open_page: Open, web_process: Web) -> None:
    page = edit(open_page, web_process)
    place_cursor(page, '"refunds"')
    page.keyboard.type('"last": {"module": "log"}, ')
    page.keyboard.press("Control+s")
    saved = Change.objects.get().documents
    until(lambda: '"last": {"module": "log"}' in saved.get(kind="webhooks").text, what="the save")


def test_the_form_offers_what_a_module_needs(open_page: Open, web_process: Web) -> None:
    page = edit(open_page, web_process)
    panel(page).get_by_role("option", name="orders").click()
    panel(page).get_by_role("button", name="Form", exact=True).click()
    form = panel(page).locator(".entry-form")

    form.get_by_label("module", exact=True).select_option("rabbitmq")
    form.get_by_role("button", name="Add queue_name (required)").click()
    form.get_by_label("queue_name", exact=True).fill("jobs")
    form.get_by_role("button", name="Remove topic").click()
    form.get_by_role("button", name="Remove connection").click()
    form.get_by_role("button", name="Add connection (required)").click()
    form.get_by_label("connection", exact=True).fill("mq")
    form.get_by_label("Add a setting to the entry").nth(2).select_option("jwt")

    assert json.loads(text(page))["orders"] == {
        "module": "rabbitmq",
        "module-config": {"queue_name": "jobs"},
        "rate_limit": {"max_requests": 15.0},
        "authorization": "Bearer {$TOKEN}",
        "connection": "mq",
        "jwt": {"secret": ""},
    }
