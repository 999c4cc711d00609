"""The editor with marks: it never shows a secret unasked, and saving keeps every one of them."""

from __future__ import annotations

import html
import re

import pytest
from django.test import Client
from django.urls import reverse
from webhook_agent import protocol

from configs_app import changes, contents, documents, secrets
from configs_app.models import Change
from configs_app.tests.test_pages import fields, page_of
from console import testing
from console.models import AuditEvent, User
from console.testing import Cast

pytestmark = pytest.mark.django_db

WEBHOOKS = '{\n  "orders": {"module": "log", "authorization": "Bearer s3cr3t-of-orders"}\n}\n'
CONNECTIONS = (
    '{\r\n  "db": {"type": "postgresql", "host": "db.example.com", "port": 5432,\r\n'
    '   "password": "p\\u00e4ss\\/w-of-db"}\r\n}'
)
SECRETS = ("s3cr3t-of-orders", "ss\\/w-of-db", "päss/w-of-db")


def begin(webhooks: str = WEBHOOKS, connections: str = CONNECTIONS) -> tuple[Cast, Change]:
    cast = testing.cast()
    texts = {"webhooks": webhooks, "connections": connections}
    documents.import_first(cast.environment, texts, actor=None, origin="a test")
    return cast, changes.open_draft(cast.environment, actor=cast.olga)


def edit_url(change: Change) -> str:
    return reverse("configs:change-edit", args=[change.pk])


def sent_by(page: Client, change: Change) -> dict[str, str]:
    body = page.get(edit_url(change)).content.decode()
    assert not any(secret in html.unescape(body) for secret in SECRETS)
    return fields(body)


def kept(change: Change) -> dict[str, str]:
    return {document.kind: document.text for document in contents.changed_documents(Change.objects.get(pk=change.pk))}


def mark_in(text: str) -> str:
    return next(re.finditer(r'"‹secret [^›]+›"', text)).group()


def test_the_editor_shows_marks_and_saving_untouched_changes_nothing() -> None:
    cast, change = begin()
    page = page_of(cast.olga)
    sent = sent_by(page, change)
    assert "‹secret" in sent["webhooks"]
    page.post(edit_url(change), {**sent, "save": "1"})
    assert kept(change) == {}


def test_saving_keeps_every_secret_and_changes_only_what_was_edited() -> None:
    cast, change = begin()
    page = page_of(cast.olga)
    for old, new in (("5432", "5433"), ("5433", "5434")):  # the second time on the draft's own text
        sent = sent_by(page, change)
        answer = page.post(
            edit_url(change), {**sent, "connections": sent["connections"].replace(old, new), "save": "1"}
        )
        assert answer.status_code == 302
    assert kept(change) == {"connections": CONNECTIONS.replace("5432", "5434")}


def test_a_mark_may_come_from_the_other_document_and_from_a_base_that_is_no_longer_current() -> None:
    cast, change = begin()
    page = page_of(cast.olga)
    sent = sent_by(page, change)
    newer = testing.draft(
        cast.environment, actor=cast.adam, connections='{"db": {"type": "mysql", "host": "a.example.com", "port": 1}}'
    )
    changes.publish(newer, actor=cast.adam)
    mark = mark_in(sent["connections"])
    text = f'{{"orders": {{"module": "log", "authorization": {mark}}}}}'
    page.post(edit_url(change), {**sent, "webhooks": text, "save": "1"})
    assert kept(change) == {"webhooks": text.replace(mark, '"p\\u00e4ss\\/w-of-db"')}


def test_a_mark_of_another_environment_is_refused_with_its_place_and_nothing_typed_is_lost() -> None:
    cast, change = begin()
    other = testing.cast("other")
    text = '{"db": {"password": "only-known-there"}}'
    documents.import_first(other.environment, {"connections": text}, actor=None, origin="a test")
    page = page_of(cast.olga)
    typed = CONNECTIONS.replace("\r", "").replace('"p\\u00e4ss\\/w-of-db"', mark_in(secrets.masked(text)))
    sent = sent_by(page, change)

    answer = page.post(edit_url(change), {**sent, "connections": typed, "title": "Mine", "save": "1"})

    body = answer.content.decode()
    assert answer.status_code == 422
    column = typed.split("\n")[2].index('"‹') + 1
    assert f"connections, line 3, column {column}: This mark stands for no secret known here" in body
    assert fields(body)["connections"].replace("\r\n", "\n") == typed
    assert 'value="Mine"' in body
    assert kept(change) == {}


def test_who_was_overtaken_is_told_that_and_not_that_a_mark_is_unknown() -> None:
    cast, change = begin()
    text = WEBHOOKS.replace("s3cr3t-of-orders", "new-in-the-draft")
    bases = {"webhooks": documents.current(cast.environment, "webhooks")}
    ids = {kind: base.pk if base else None for kind, base in bases.items()}
    changes.save(change, {"webhooks": text}, bases=ids, actor=cast.olga)
    page = page_of(cast.olga)
    sent = sent_by(page, change)
    changes.save(Change.objects.get(), {"webhooks": "{}"}, bases=ids, actor=cast.adam)
    answer = page.post(edit_url(change), {**sent, "save": "1"})
    assert answer.status_code == 422
    assert "adam saved this change while you were typing" in answer.content.decode()


@pytest.mark.parametrize(
    ("before", "after"),
    [('"s3cr3t', "s3cr3t"), ('orders"}', "orders}"), ("}\n}", "}\n"), ('"authorization"', "authorization")],
)
def test_a_broken_draft_is_masked_on_every_page_and_keeps_its_secrets(before: str, after: str) -> None:
    cast, change = begin(WEBHOOKS.replace("Bearer ", ""))
    broken = WEBHOOKS.replace("Bearer ", "").replace(before, after)
    base = documents.current(cast.environment, "webhooks")
    changes.save(change, {"webhooks": broken}, bases={"webhooks": base.pk if base else None}, actor=cast.olga)
    page = page_of(cast.olga)
    review = page.get(reverse("configs:change", args=[change.pk])).content.decode()
    assert "s3cr3t-of-orders" not in review
    sent = sent_by(page, change)
    page.post(edit_url(change), {**sent, "webhooks": sent["webhooks"].replace("module", "Module"), "save": "1"})
    assert kept(change)["webhooks"] == broken.replace("module", "Module")


def findings_while_typing(user: User, change: Change, **typed: str) -> list[tuple[str, int, int]]:
    url = reverse("configs:validate", args=["staging", "webhooks"])
    answer = page_of(user).post(f"{url}?change={change.pk}", typed)
    body = answer.content.decode()
    assert answer.status_code == 200
    assert not any(secret in html.unescape(body) for secret in SECRETS)
    places = re.findall(r'data-line="(\d+)" data-column="(\d+)" data-level="\w+" data-rule="(\w+)"', body)
    return [(rule, int(line), int(column)) for line, column, rule in places]


def test_findings_while_typing_are_those_of_the_document_at_the_places_of_what_is_shown() -> None:
    cast, change = begin()
    typed = (
        secrets.masked(WEBHOOKS)
        .replace(', "auth', ', "rate_limit": {"enabled": true}, "auth')
        .replace('›"}', '›", "x": 1}')
    )
    found = findings_while_typing(cast.olga, change, webhooks=typed)
    line = typed.split("\n")[1]
    assert ("A22", 2, line.index('"authorization"') + 1) in found
    assert ("C1", 2, line.index('"x"') + 1) in found  # after the mark
    assert not [rule for rule, _, _ in found if rule == "J4"]
    wrong = typed.replace("‹secret ", "‹secret 0")
    assert ("J4", 2, line.index('"‹secret') + 1) in findings_while_typing(cast.olga, change, webhooks=wrong)
    broken = typed.replace("true", "tru")
    assert findings_while_typing(cast.olga, change, webhooks=broken) == [("J1", 2, line.index("true") + 1)]


def test_a_secret_moved_to_where_it_can_be_read_is_in_no_message_and_is_not_saved() -> None:
    cast, change = begin()
    page = page_of(cast.olga)
    sent = sent_by(page, change)
    for key in ("module", "data_type", "connection"):
        typed = f'{{"orders": {{"{key}": {mark_in(sent["webhooks"])}}}}}'
        found = findings_while_typing(cast.olga, change, webhooks=typed)
        assert ("J4", 1, typed.index("‹")) in found
        answer = page.post(edit_url(change), {**sent, "webhooks": typed, "save": "1"})
        assert answer.status_code == 422
        assert "s3cr3t-of-orders" not in answer.content.decode()
    assert kept(change) == {}


def test_marks_of_the_draft_itself_are_known_while_typing() -> None:
    cast, change = begin()
    text = WEBHOOKS.replace("s3cr3t-of-orders", "new-in-the-draft")
    base = documents.current(cast.environment, "webhooks")
    changes.save(change, {"webhooks": text}, bases={"webhooks": base.pk if base else None}, actor=cast.olga)
    found = findings_while_typing(cast.olga, change, webhooks=secrets.masked(text))
    assert [rule for rule, _, _ in found] == ["A22"]


def reveal_url(change: Change, kind: str) -> str:
    return reverse("configs:change-reveal", args=[change.pk, kind])


def test_showing_secrets_keeps_what_was_typed_shows_one_document_and_is_one_audit_event() -> None:
    cast, change = begin()
    page = page_of(cast.olga)
    sent = sent_by(page, change)
    typed = {
        **sent,
        "title": "Half typed",
        "webhooks": sent["webhooks"].replace("log", "typed"),
        "connections": sent["connections"].replace("5432", "5433"),
    }
    answer = page.post(reveal_url(change, "connections"), typed)
    assert (answer.status_code, answer["Cache-Control"]) == (200, "no-store")
    body = answer.content.decode()
    shown = fields(body)
    assert shown["connections"].replace("\r\n", "\n") == CONNECTIONS.replace("\r", "").replace("5432", "5433")
    assert shown["webhooks"] == typed["webhooks"]
    assert "s3cr3t-of-orders" not in body
    assert 'value="Half typed"' in body
    event = AuditEvent.objects.get(action="secret.revealed")
    text = CONNECTIONS.replace("5432", "5433")
    assert (event.actor_name, event.target_type, event.target_id) == ("olga", "change", str(change.pk))
    assert event.data == {"document": "connections", "digest": protocol.digest(protocol.parse(text)), "by": "page"}
    assert kept(change) == {}

    page.post(edit_url(change), {**shown, "save": "1"})
    assert kept(change) == {"webhooks": WEBHOOKS.replace("log", "typed"), "connections": text}
    sent_by(page, change)  # masked again


def test_showing_secrets_of_a_broken_text_shows_what_was_typed() -> None:
    cast, change = begin()
    page = page_of(cast.olga)
    sent = sent_by(page, change)
    answer = page.post(reveal_url(change, "webhooks"), {**sent, "webhooks": sent["webhooks"].replace("}\r\n}", "")})
    assert fields(answer.content.decode())["webhooks"].replace("\r\n", "\n") == WEBHOOKS.replace("}\n}", "")
    assert AuditEvent.objects.get(action="secret.revealed").data == {"document": "webhooks", "digest": "", "by": "page"}


def test_nothing_is_shown_or_recorded_without_a_mark_that_stands_for_a_secret() -> None:
    cast, change = begin()
    page = page_of(cast.olga)
    sent = {**sent_by(page, change), "webhooks": '{"a": {"password": "‹secret 000000000000›"}}'}
    answer = page.post(reveal_url(change, "webhooks"), sent)
    assert "No secret of webhooks can be shown" in answer.content.decode()
    assert not AuditEvent.objects.filter(action="secret.revealed").exists()


def test_a_revision_shows_its_secrets_on_request_only_and_that_is_recorded() -> None:
    cast, _ = begin()
    page = page_of(cast.olga)
    arguments = ["staging", "connections", 1]
    masked = page.get(reverse("configs:revision", args=arguments)).content.decode()
    assert "w-of-db" not in masked
    url = reverse("configs:revision-reveal", args=arguments)
    assert page_of(cast.victor).post(url).status_code == 403
    answer = page.post(url)
    assert answer["Cache-Control"] == "no-store"
    assert "p\\u00e4ss\\/w-of-db" in answer.content.decode()
    event = AuditEvent.objects.get(action="secret.revealed")
    assert (event.actor_name, event.target_label) == ("olga", "connections r1")
    assert event.data == {"digest": protocol.digest(protocol.parse(CONNECTIONS)), "by": "page"}


def test_the_review_tells_what_becomes_of_each_secret() -> None:
    cast, change = begin()
    base = documents.current(cast.environment, "webhooks")
    text = testing.text({"orders": {"module": "log", "authorization": "new"}, "b": {"module": "log", "key": "x" * 9}})
    changes.save(change, {"webhooks": text}, bases={"webhooks": base.pk if base else None}, actor=cast.olga)
    body = page_of(cast.victor).get(reverse("configs:change", args=[change.pk])).content.decode()
    assert "Secrets: <code>orders.authorization</code> changed, <code>b.key</code> new." in body


@pytest.mark.parametrize("change", ["", "x", "0", "²", "99999999999999999999999"])
def test_validating_for_no_change_or_nonsense_knows_the_current_documents(change: str) -> None:
    cast, _ = begin()
    url = reverse("configs:validate", args=["staging", "webhooks"])
    sent = {"webhooks": secrets.masked(WEBHOOKS), "webhooks_base": "9" * 30, "connections_base": "x"}
    answer = page_of(cast.olga).post(f"{url}?change={change}", sent)
    assert answer.status_code == 200
    assert "J4" not in answer.content.decode()
