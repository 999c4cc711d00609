"""The editor keeps what was typed, the pages show no secrets, and what people wrote is never run."""

from __future__ import annotations

import html
import re

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from configs_app import changes, contents, documents
from configs_app.models import Change
from configs_app.validation import schemas
from console import testing
from console.models import AuditEvent, User
from console.testing import Cast

pytestmark = pytest.mark.django_db

AS_TYPED = [
    '{"a": {"module": "log"}}',
    '{"a": {"module": "log"}}\n',
    '\n\n{"a": {"module": "log"}}\n\n',
    '{\r\n  "a": {"module": "log"}\r\n}\r\n',
    '{\r\n  "a":\n {"module": "log"}\n}\r\n',
    '\t{ "b" : {"module":"log"},\n\n"a": {"module": "log", "n": 1.0e+3}}   ',
    '{"a": {"module": "log", "note": "</textarea><script>alert(1)</script>"}}',
    '{"a": {"module": "log", "note": "ü \\u00fc 😀 \u2028 &amp; &lt;"}}',
]


def page_of(user: User) -> Client:
    page = Client()
    page.force_login(user)
    return page


def fields(body: str) -> dict[str, str]:
    """What a browser would send back: the values of the inputs and textareas, unescaped as HTML says."""
    found = {
        name: html.unescape(value)
        for name, value in re.findall(r'<input type="hidden" name="(\w+)"(?: value="([^"]*)")?', body)
    }
    for name, value in re.findall(r'<textarea id="\w+" name="(\w+)"[^>]*>(.*?)</textarea>', body, re.DOTALL):
        text = html.unescape(value.replace("\r\n", "\n").replace("\r", "\n"))
        found[name] = text.removeprefix("\n").replace("\n", "\r\n")  # the first line end is markup; lines end in CRLF
    found["title"] = "x"
    return found


def begin(text: str) -> tuple[Cast, Change]:
    cast = testing.cast()
    documents.import_first(cast.environment, {"webhooks": text, "connections": "{}"}, actor=None, origin="a test")
    return cast, changes.open_draft(cast.environment, actor=cast.olga)


@pytest.mark.parametrize("text", AS_TYPED)
def test_a_text_that_goes_through_the_editor_untouched_is_untouched(text: str) -> None:
    cast, change = begin(text)
    page = page_of(cast.olga)
    url = reverse("configs:change-edit", args=[change.pk])

    page.post(url, {**fields(page.get(url).content.decode()), "save": "1"})

    assert contents.changed_documents(Change.objects.get()) == []


@pytest.mark.parametrize("text", [text for text in AS_TYPED if "\r" not in text])
def test_a_text_that_was_typed_is_kept_character_by_character(text: str) -> None:
    cast, change = begin("{}")
    page = page_of(cast.olga)
    url = reverse("configs:change-edit", args=[change.pk])
    sent = fields(page.get(url).content.decode())

    page.post(url, {**sent, "webhooks": text.replace("\n", "\r\n"), "save": "1"})

    assert Change.objects.get().documents.get(kind="webhooks").text == text
    assert fields(page.get(url).content.decode())["webhooks"] == text.replace("\n", "\r\n")


def test_a_broken_text_is_saved_as_a_draft_and_cannot_be_published() -> None:
    cast, change = begin("{}")
    page = page_of(cast.olga)
    url = reverse("configs:change-edit", args=[change.pk])
    sent = fields(page.get(url).content.decode())

    answer = page.post(url, {**sent, "webhooks": '{"a": {"module": "log"', "review": "1"}, follow=True)

    assert Change.objects.get().documents.get().text == '{"a": {"module": "log"'
    assert "Line 1" in answer.content.decode() or "line 1" in answer.content.decode()
    publish = page.post(reverse("sync:publish", args=[change.pk]), {})
    assert publish.status_code == 422


def test_an_editor_without_the_role_is_told_who_can_and_a_stranger_finds_nothing() -> None:
    cast, change = begin("{}")
    url = reverse("configs:change-edit", args=[change.pk])
    too_little = page_of(cast.victor).get(url)
    assert too_little.status_code == 403
    assert "olga" in too_little.content.decode()
    assert page_of(cast.stella).get(url).status_code == 404


def test_secrets_are_masked_on_every_page_and_a_download_is_audited() -> None:
    cast = testing.cast()
    secret = "hunter2-is-the-password"
    testing.bundle(cast.environment, connections={"db": {"type": "postgresql", "password": secret}})
    newer = testing.text({"db": {"type": "postgresql", "password": secret + "-2"}})
    change = testing.draft(cast.environment, actor=cast.olga, connections=newer)
    page = page_of(cast.olga)
    urls = [
        reverse("configs:document", args=["staging", "connections"]),
        reverse("configs:revision", args=["staging", "connections", 1]),
        reverse("configs:change", args=[change.pk]),
        reverse("sync:publish", args=[change.pk]),
        reverse("audit"),
    ]
    for url in urls:
        assert secret not in page.get(url).content.decode(), url

    download = reverse("configs:revision-download", args=["staging", "connections", 1])
    assert page_of(cast.victor).post(download).status_code == 403
    assert secret in page.post(download).content.decode()
    assert AuditEvent.objects.filter(action="secret.revealed", actor_name="olga").count() == 1
    assert secret not in str(list(AuditEvent.objects.values_list("data", flat=True)))


def test_what_people_and_documents_say_is_shown_and_never_run() -> None:
    cast = testing.cast()
    hostile = "<script>alert(1)</script>"
    testing.bundle(cast.environment)
    change = testing.draft(
        cast.environment,
        actor=cast.olga,
        title=hostile,
        webhooks=testing.text({hostile: {"module": hostile, "authorization": ""}}),
    )
    page = page_of(cast.olga)
    for url in (
        reverse("configs:change", args=[change.pk]),
        reverse("configs:change-edit", args=[change.pk]),
        reverse("configs:changes", args=["staging"]),
        reverse("sync:publish", args=[change.pk]),
    ):
        body = page.get(url).content.decode()
        assert hostile not in body, url
        assert html.escape(hostile) in body or "&lt;script&gt;" in body, url


def test_long_lists_cost_a_fixed_number_of_queries() -> None:
    cast = testing.cast()
    testing.bundle(cast.environment)
    page = page_of(cast.olga)

    def queries() -> dict[str, int]:
        counts = {}
        for name, args in (("configs:changes", ["staging"]), ("configs:document", ["staging", "webhooks"])):
            with CaptureQueriesContext(connection) as captured:
                assert page.get(reverse(name, args=args)).status_code == 200
            counts[name] = len(captured)
        return counts

    testing.draft(cast.environment, actor=cast.olga, webhooks=testing.text({"a": {"module": "log"}}))
    few = queries()
    for number in range(10):
        text = testing.text({f"a{number}": {"module": "log"}})
        published = testing.draft(cast.environment, actor=cast.olga, webhooks=text)
        changes.publish(published, actor=cast.olga)
        testing.draft(cast.environment, actor=cast.adam, webhooks=testing.text({"b": {"module": "log"}}))
    assert queries() == few


def test_findings_are_grouped_by_rule_with_what_to_do_about_them() -> None:
    cast = testing.cast()
    testing.bundle(cast.environment)
    client = page_of(cast.olga)
    webhooks = {f"w{number}": {"module": "log"} for number in range(100)} | {"broken": {"module": "lgo"}}
    texts = {"webhooks": testing.text(webhooks), "connections": "{}"}

    page = client.post(reverse("configs:validate", args=["staging", "webhooks"]), texts).content.decode()

    assert page.index("is no module the service has") < page.index("An open webhook")  # errors come first
    assert "A3, 101 places" in page
    assert "97 more" in page
    assert "Add authorization or another check" in page
    assert page.count('data-rule="A3"') == 101


def test_the_schema_may_be_kept_by_browsers_for_as_long_as_it_is_the_same() -> None:
    client = page_of(testing.cast().victor)
    answer = client.get(reverse("configs:schema", args=["webhooks", schemas.digest("webhooks")]))
    assert answer.json()["title"] == "webhooks.json"
    assert "immutable" in answer["Cache-Control"]
    assert client.get(reverse("configs:schema", args=["webhooks", "0123456789abcdef"])).status_code == 404


def test_the_reason_is_typed_in_the_editor_and_asked_for_when_proposing() -> None:
    cast = testing.cast("production", protected=True)
    testing.bundle(cast.environment)
    closed = testing.text({"orders": {"module": "log", "authorization": "Bearer {$TOKEN}"}})
    change = testing.draft(cast.environment, actor=cast.olga, webhooks=closed)
    page = page_of(cast.olga)
    sent = fields(page.get(f"/changes/{change.pk}/edit/").content.decode())
    page.post(f"/changes/{change.pk}/edit/", {**sent, "reason": "Because\r\nof <b>"})
    assert "Because\nof &lt;b&gt;</textarea>" in page.get(f"/changes/{change.pk}/edit/").content.decode()
    refused = page.post(f"/changes/{change.pk}/propose/", {"reason": "  "})
    assert (refused.status_code, "Say why this change is needed" in refused.content.decode()) == (422, True)
    refused = page.post(f"/changes/{change.pk}/propose/", {"reason": "y" * 2001})
    assert "y" * 2001 in refused.content.decode()
    change.refresh_from_db()
    assert (change.state, change.reason) == ("draft", "Because\nof <b>")
    assert page.post(f"/changes/{change.pk}/propose/", {"reason": "Better"}).status_code == 302
    body = page.get(f"/changes/{change.pk}/").content.decode()
    assert "Better" in body
