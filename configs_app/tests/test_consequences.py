"""What a change does, in sentences and lines."""

from __future__ import annotations

import json
from collections.abc import Mapping

import pytest

from configs_app import consequences, diffs
from configs_app.consequences import Risk

BEFORE: dict[str, dict[str, object]] = {
    "orders": {"module": "kafka", "connection": "k1", "authorization": "Bearer x"},
    "news": {"module": "log"},
    "chain": {"chain": [{"module": "kafka", "connection": "k1"}]},
}


def said(
    kind: str, old: Mapping[str, object] | None, new: Mapping[str, object], webhooks: Mapping[str, object] | None = None
) -> str:
    texts = {kind: (None if old is None else json.dumps(old), json.dumps(new))}
    summary = consequences.of_texts(texts, webhooks=json.dumps(webhooks) if webhooks else None)
    return "\n".join(f"{item.risk.word}: {item.text}" for item in summary.consequences)


@pytest.mark.parametrize(
    ("after", "sentence"),
    [
        ({**BEFORE, "new": {"module": "log", "authorization": "x"}}, "low: 1 webhook added: new"),
        ({**BEFORE, "new": {"module": "log"}}, "medium: new is open"),
        ({"orders": BEFORE["orders"]}, "high: 2 webhooks removed, will answer 404: news, chain"),
        (
            {**BEFORE, "orders": {"module": "kafka", "connection": "k1"}},
            "high: orders loses its protection: authorization",
        ),
        ({**BEFORE, "news": {"module": "kafka"}}, "medium: 1 webhook changed: news"),
        ({}, "high: The webhooks document becomes empty."),
        (BEFORE, "low: webhooks: only the formatting changes"),
    ],
)
def test_a_change_of_webhooks_is_told_in_sentences(after: dict[str, object], sentence: str) -> None:
    assert sentence in said("webhooks", BEFORE, after)


def test_a_change_of_connections_says_who_uses_them() -> None:
    old = {"k1": {"type": "kafka", "host": "a"}, "k2": {"type": "kafka"}, "k3": {"type": "kafka"}}
    new = {"k3": {"type": "kafka"}, "k1": {"type": "kafka", "host": "b"}}
    text = said("connections", old, new, webhooks=BEFORE)
    assert "Connection k1 moves from host a to b: used by 1 webhook and 1 chain item." in text
    assert "Connection k2 is removed; nothing uses it." in text
    assert "stand in another order" in text
    gone = said("connections", old, {}, webhooks=BEFORE)
    assert "high: Connection k1 is removed: 1 webhook and 1 chain item will lose what they receive." in gone


def test_a_webhook_that_goes_elsewhere_is_told_with_both_places() -> None:
    after = {**BEFORE, "orders": {"module": "log", "authorization": "Bearer x"}, "news": {"chain": ["log", "s3"]}}
    text = said("webhooks", BEFORE, after)
    assert "medium: orders goes to log instead of kafka (k1)." in text
    assert "medium: news goes to log → s3 instead of log." in text


def test_a_new_literal_secret_is_told_and_never_shown() -> None:
    after = {**BEFORE, "news": {"module": "log", "hmac": {"secret": "hunter2"}}, "orders": {**BEFORE["orders"], "n": 1}}
    text = said("webhooks", BEFORE, after)
    assert "medium: New literal secret in news;" in text
    assert "hunter2" not in text
    renamed = {"renamed": BEFORE["orders"], "news": BEFORE["news"]}
    assert "literal secret" not in said("webhooks", BEFORE, renamed)


@pytest.mark.parametrize(
    ("after", "guard"),
    [
        ({}, "It empties the webhooks document."),
        ({"orders": BEFORE["orders"]}, "It removes 2 of the 3 webhooks."),
        ({**BEFORE, "large": {"module": "log", "note": "x" * 1000}}, "times as large"),
    ],
)
def test_what_is_unusual_has_to_be_confirmed_by_typing(after: dict[str, object], guard: str) -> None:
    summary = consequences.of_texts({"webhooks": (json.dumps(BEFORE), json.dumps(after))})
    assert any(guard in one for one in summary.guards)


def test_a_first_document_needs_no_confirmation_however_large() -> None:
    assert consequences.of_texts({"webhooks": (None, json.dumps(BEFORE))}).guards == ()
    assert consequences.of_texts({"webhooks": ("{}", json.dumps(BEFORE))}).guards == ()


def test_gravest_first_and_a_third_of_the_entries_gone_needs_a_typed_confirmation() -> None:
    summary = consequences.of_texts({"webhooks": (json.dumps(BEFORE), json.dumps({"orders": BEFORE["orders"]}))})
    assert summary.consequences[0].risk == summary.risk == Risk.HIGH
    assert summary.guards
    kept = {**{str(n): {"module": "log"} for n in range(9)}, "gone": {"module": "log"}}
    fewer = {name: entry for name, entry in kept.items() if name != "gone"}
    assert not consequences.of_texts({"webhooks": (json.dumps(kept), json.dumps(fewer))}).guards


def test_a_text_that_is_no_document_has_no_consequences_yet() -> None:
    assert not consequences.of_texts({"webhooks": ("{}", "{")}).readable


def test_numbers_that_only_look_the_same_are_changes_and_the_order_of_keys_is_not() -> None:
    assert diffs.entries('{"a": {"n": 1}}', '{"a": {"n": 1.0}}').changed == ["a"]
    assert diffs.entries('{"a": {"n": 1}}', '{"a": {"n": true}}').changed == ["a"]
    assert not diffs.entries('{"a": {"n": 1, "m": 2}}', '{"a": {"m": 2, "n": 1}}')


def test_a_diff_has_line_numbers_and_masks_secrets_but_shows_that_they_changed() -> None:
    old = '{\n "a": {\n  "password": "one"\n }\n}'
    lines = diffs.lines(old, old.replace("one", "two"))
    changed = [line for line in lines if line.mark in {"added", "removed"}]
    assert [(line.mark, line.old, line.new) for line in changed] == [("removed", 3, None), ("added", None, 3)]
    assert changed[0].text != changed[1].text
    assert not any("one" in line.text or "two" in line.text for line in lines)
    assert diffs.lines(old, old) == []
