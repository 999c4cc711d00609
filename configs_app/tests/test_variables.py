"""Literal secrets become placeholders: valid names, one for each secret, and nothing else in the text moves."""

from __future__ import annotations

import json
from typing import Any

import pytest
from django.urls import reverse

from configs_app import changes, documents, secrets, variables
from configs_app.models import Change
from configs_app.tests.test_pages import fields, page_of
from console import testing
from console.errors import Refused
from console.testing import Cast

WEBHOOKS = """{
  "orders": {"module": "log",  "authorization": "Bearer s3cr3t-1", "note": "\\u00e9"},\t
  "order s": {"jwt": {"secret": "s3cr3t-2"}, "headers": {"X-1": "s3cr3t-3", "x_1": "s3cr3t-4"}},
  "9": {"hmac": {"secret": "{$HMAC:s3cr3t-5}"}, "jwt": {"secret": "{$vault:a/b#c:s3cr3t-6}"}}
}"""
CONNECTIONS = (
    '{"orders": {"host": "{$ORDERS_PASS}", "pass": "s3cr3t-1"}, "é": {"token": "a;s3cr3t-7", "key": "s3cr3t-1"}}'
)
TEXTS = {"webhooks": WEBHOOKS, "connections": CONNECTIONS}


def named(texts: dict[str, str]) -> dict[str, str]:
    return {proposal.path: proposal.name for proposal in variables.proposals(texts)}


def test_names_are_made_of_entry_and_key_one_for_each_secret_and_none_in_use() -> None:
    assert named(TEXTS) == {
        "orders.authorization": "ORDERS_AUTHORIZATION",
        "order s.jwt.secret": "ORDER_S_SECRET",
        "order s.headers.X-1": "ORDER_S_X_1",
        "order s.headers.x_1": "ORDER_S_X_1_2",
        "9.hmac.secret": "HMAC",
        "9.jwt.secret": "a/b#c",
        "orders.pass": "ORDERS_AUTHORIZATION",
        "é.token": "TOKEN",
        "é.key": "ORDERS_AUTHORIZATION",
    }
    assert named({"webhooks": '{"9": {"key": "s"}, "é": {"headers": {"ß": "t"}}}'}) == {
        "9.key": "SECRET_9_KEY",
        "é.headers.ß": "SECRET",
    }
    assert named({"connections": '{"orders": {"host": "{$ORDERS_PASS}", "pass": "x"}}'}) == {
        "orders.pass": "ORDERS_PASS_2"
    }


def test_everything_but_the_secrets_stays_as_typed() -> None:
    found = variables.proposals(TEXTS)
    after = variables.replaced(TEXTS, {proposal: proposal.name for proposal in found})
    expected = WEBHOOKS.replace("Bearer s3cr3t-1", "Bearer {$ORDERS_AUTHORIZATION}").replace(
        "s3cr3t-2", "{$ORDER_S_SECRET}"
    )
    expected = expected.replace("s3cr3t-3", "{$ORDER_S_X_1}").replace("s3cr3t-4", "{$ORDER_S_X_1_2}")
    assert after["webhooks"] == expected.replace("HMAC:s3cr3t-5", "HMAC").replace("#c:s3cr3t-6", "#c")
    assert json.loads(after["connections"])["é"] == {"token": "{$TOKEN}", "key": "{$ORDERS_AUTHORIZATION}"}
    assert not any(secrets.hidden(text) for text in after.values())
    assert variables.proposals(after) == []


def test_a_secret_that_a_variable_would_alter_is_told() -> None:
    assert [proposal.path for proposal in variables.proposals(TEXTS) if proposal.altered] == ["é.token"]


@pytest.mark.parametrize(
    ("names", "words"),
    [
        ({"orders.authorization": "A-B"}, "no name of a variable"),
        ({"orders.authorization": "1A"}, "no name of a variable"),
        ({"orders.authorization": ""}, "no name of a variable"),
        ({"orders.authorization": "Ä"}, "no name of a variable"),
        ({"orders.authorization": "ORDERS_PASS"}, "in use already"),
        ({"orders.authorization": "A", "order s.jwt.secret": "A"}, "two different secrets"),
    ],
)
def test_a_name_that_would_not_work_is_refused(names: dict[str, str], words: str) -> None:
    chosen = {proposal: names[proposal.path] for proposal in variables.proposals(TEXTS) if proposal.path in names}
    with pytest.raises(Refused, match=words):
        variables.replaced(TEXTS, chosen)


def begin() -> tuple[Cast, Change]:
    cast = testing.cast()
    texts: dict[str, str] = dict(TEXTS)
    documents.import_first(cast.environment, texts, actor=None, origin="a test")
    return cast, changes.open_draft(cast.environment, actor=cast.olga)


@pytest.mark.django_db
def test_the_page_keeps_what_was_typed_applies_what_is_ticked_and_shows_no_value() -> None:
    cast, change = begin()
    page = page_of(cast.olga)
    edit = reverse("configs:change-edit", args=[change.pk])
    url = reverse("configs:change-variables", args=[change.pk])
    sent = fields(page.get(edit).content.decode())
    answer = page.post(edit, {**sent, "webhooks": sent["webhooks"].replace("log", "typed"), "variables": "1"})
    assert answer["Location"] == url
    body = page.get(url).content.decode()
    assert "s3cr3t" not in body
    texts = {document.kind: document.text for document in change.documents.all()} | {"connections": CONNECTIONS}
    rows = {proposal.path: proposal for proposal in variables.proposals({"webhooks": texts["webhooks"], **texts})}
    first, last = rows["orders.authorization"], rows["orders.pass"]
    assert f'name="name-{first.key}" value="ORDERS_AUTHORIZATION"' in body
    form: dict[str, Any] = {"seen": fields(body)["seen"], "row": [first.key, last.key]}

    refused = page.post(url, {**form, f"name-{first.key}": "NOT A NAME", f"name-{last.key}": "NOT A NAME"})
    assert refused.status_code == 422
    assert refused.content.decode().count('value="NOT A NAME"') == 2

    answer = page.post(url, {**form, f"name-{first.key}": "MINE", f"name-{last.key}": "MINE"}, follow=True)
    assert "every instance has to define MINE." in answer.content.decode()
    assert {document.kind: document.text for document in change.documents.all()} == {
        "webhooks": WEBHOOKS.replace("log", "typed").replace("Bearer s3cr3t-1", "Bearer {$MINE}"),
        "connections": CONNECTIONS.replace('"pass": "s3cr3t-1"', '"pass": "{$MINE}"'),
    }


@pytest.mark.django_db
def test_nothing_ticked_a_text_that_moved_and_broken_texts_are_told() -> None:
    cast, change = begin()
    page = page_of(cast.olga)
    url = reverse("configs:change-variables", args=[change.pk])
    seen = fields(page.get(url).content.decode())["seen"]
    assert "Tick at least one" in page.post(url, {"seen": seen}).content.decode()
    base = documents.current(cast.environment, "webhooks")
    changes.save(change, {"webhooks": '{"a": '}, bases={"webhooks": base.pk if base else None}, actor=cast.olga)
    (row,) = [
        proposal for proposal in variables.proposals({"connections": CONNECTIONS}) if proposal.path == "orders.pass"
    ]
    answer = page.post(url, {"seen": seen, "row": row.key, f"name-{row.key}": "X"})
    assert answer.status_code == 422
    assert "saved meanwhile" in answer.content.decode()
    assert "webhooks is not valid JSON yet" in page.get(url).content.decode()
