"""Marks in a real browser: they survive a save, and a secret is on no page until somebody asks for it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

from configs_app.models import Change
from console import testing
from console.models import AuditEvent
from console.testing_processes import Web

if TYPE_CHECKING:
    from playwright.sync_api import Page, Response

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]

SECRET = "hunter2-is-the-password"
CONNECTIONS = {"db": {"type": "postgresql", "host": "db.example.com", "port": 5432, "password": SECRET}}


def open_editor(page: Page, web: Web) -> Change:
    cast = testing.cast()
    testing.bundle(cast.environment, connections=CONNECTIONS)
    change = testing.draft(cast.environment, actor=cast.olga)
    page.goto(f"{web.url}/login/")
    page.get_by_label("Username").fill("olga")
    page.get_by_label("Password").fill(testing.PASSWORD)
    page.get_by_role("button", name="Sign in").click()
    page.wait_for_url(f"{web.url}/")
    page.goto(f"{web.url}/changes/{change.pk}/edit/#connections")
    return change


def source(response: Response | None) -> str:
    """What the server sent, before any script touched it."""
    return response.text() if response else ""


def test_a_mark_survives_a_save_and_the_secret_was_never_on_a_page(
    open_page: Callable[..., Page], web_process: Web
) -> None:
    page = open_page()
    change = open_editor(page, web_process)
    opened = source(page.reload())
    editor = page.locator("#panel-connections .cm-content")
    assert "‹secret " in editor.inner_text()
    editor.get_by_text("5432").dblclick()  # the number is one word
    with page.expect_response(lambda response: "/validate/" in response.url) as validated:
        page.keyboard.insert_text("5433")
    found = source(validated.value)
    with page.expect_response(lambda response: response.url.endswith("/draft/")) as answered:
        page.get_by_role("button", name="Save draft").click()
    saved = source(answered.value)
    page.get_by_text("Saved as a draft.").wait_for()
    reloaded = source(page.reload())

    assert "5433" in page.locator("#id_connections").input_value()
    assert "‹secret " in page.locator("#id_connections").input_value()
    document = {"db": {**CONNECTIONS["db"], "port": 5433}}
    assert Change.objects.get(pk=change.pk).documents.get().text == testing.text(document)
    assert "password is a secret that stands in the file" in found
    for body in (opened, found, saved, reloaded, page.content()):
        assert body
        assert SECRET not in body


def test_secrets_are_shown_on_request_with_what_was_typed_on_the_tab_where_it_was(
    open_page: Callable[..., Page], web_process: Web
) -> None:
    page = open_page()
    open_editor(page, web_process)
    page.locator("#panel-connections .cm-content").get_by_text("5432").dblclick()
    page.keyboard.insert_text("5433")
    page.locator("#panel-connections").get_by_role("button", name="Show secrets").click()
    page.get_by_text("in clear on this page, this once").wait_for()
    shown = page.locator("#panel-connections .cm-content").inner_text()
    assert SECRET in shown
    assert "5433" in shown
    assert AuditEvent.objects.filter(action="secret.revealed").count() == 1
    page.locator("#panel-connections .cm-content").click()
    page.keyboard.press("Control+S")
    page.get_by_text("Saved as a draft.").wait_for()
    assert SECRET not in page.content()
    assert SECRET in Change.objects.get().documents.get().text


def test_without_javascript_secrets_are_shown_and_saved_as_well(
    open_page: Callable[..., Page], web_process: Web
) -> None:
    page = open_page(java_script_enabled=False)
    open_editor(page, web_process)
    text = page.locator("#id_connections")
    text.fill(text.input_value().replace("5432", "5433"))
    page.locator("#panel-connections").get_by_role("button", name="Show secrets").click()
    assert SECRET in text.input_value()
    assert "5433" in text.input_value()
    page.get_by_role("button", name="Save draft").click()
    assert "‹secret " in text.input_value()
    assert SECRET in Change.objects.get().documents.get().text


def test_replacing_by_variables_saves_what_was_typed_and_leads_to_its_page(
    open_page: Callable[..., Page], web_process: Web
) -> None:
    page = open_page()
    change = open_editor(page, web_process)
    page.locator("#panel-connections .cm-content").get_by_text("5432").dblclick()
    page.keyboard.insert_text("5433")
    page.locator("#panel-connections").get_by_role("button", name="Replace by variables…").click()
    page.wait_for_url(f"{web_process.url}/changes/{change.pk}/variables/")
    assert "5433" in Change.objects.get(pk=change.pk).documents.get().text
    assert SECRET not in page.content()
