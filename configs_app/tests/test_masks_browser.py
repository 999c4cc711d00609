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
    from playwright.sync_api import Page, Request

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


def test_a_mark_survives_a_save_and_the_secret_was_never_on_a_page(
    open_page: Callable[..., Page], web_process: Web
) -> None:
    page = open_page()
    bodies: list[str] = []

    def read(request: Request) -> None:
        response = request.response()
        if response and response.status == 200 and "text/html" in response.headers.get("content-type", ""):
            bodies.append(response.text())

    page.on("requestfinished", read)
    change = open_editor(page, web_process)
    editor = page.locator("#panel-connections .cm-content")
    assert "‹secret " in editor.inner_text()
    editor.get_by_text("5432").dblclick()  # the number is one word
    page.keyboard.insert_text("5433")
    page.locator("#findings-connections").get_by_text("password is a secret that stands in the file").wait_for()
    page.get_by_role("button", name="Save draft").click()
    page.get_by_text("Saved as a draft.").wait_for()
    page.reload()

    assert "5433" in page.locator("#id_connections").input_value()
    assert "‹secret " in page.locator("#id_connections").input_value()
    assert Change.objects.get(pk=change.pk).documents.get().text == testing.text(
        {"db": {**CONNECTIONS["db"], "port": 5433}}
    )
    assert len(bodies) > 4
    assert not [body for body in bodies if SECRET in body]


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
    page.keyboard.press("Control+S")
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
