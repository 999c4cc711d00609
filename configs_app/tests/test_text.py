"""Texts as people type them: places, duplicates, secrets, findings."""

from __future__ import annotations

import json
from typing import Any

import pytest
from webhook_agent import protocol

from configs_app import secrets, validation
from configs_app.json_text import JsonError, Lines, scan


@pytest.mark.parametrize(
    ("text", "line", "column", "words"),
    [
        ("", 1, 1, "empty"),
        ("  \n ", 2, 2, "empty"),
        ('{"a": 1,}', 1, 8, 'comma before "}"'),
        ('{"a": [1,]}', 1, 9, 'comma before "]"'),
        ("{'a': 1}", 1, 2, "double quotes"),
        ('{"a" 1}', 1, 6, '":" after the key'),
        ('{"a": 1\n "b": 2}', 2, 2, '"," or "}"'),
        ('{"a": tru}', 1, 7, "only true, false and null"),
        ('{"a": NaN}', 1, 7, "NaN is not JSON"),
        ('{"a": -Infinity}', 1, 7, "-Infinity is not JSON"),
        ('{"a": 1e999}', 1, 7, "too large"),
        ('{"a": 01}', 1, 7, "not a number"),
        ('{"a": "x}', 1, 7, "no closing"),
        ('{"a": "x\ty"}', 1, 7, "control character"),
        ('{"a": "C:\\data"}', 1, 7, "backslash"),
        ('{// note\n"a": 1}', 1, 2, "no comments"),
        ('{"a": 1} x', 1, 10, "more text"),
        ('\ufeff{"a": 1}', 1, 1, "byte order mark"),
        ('{"a": ' + "[" * 200 + "]" * 200 + "}", 1, 106, "deeper than"),
        ('{"a": ', 1, 7, "ends here"),
    ],
)
def test_what_is_wrong_is_said_with_its_line_and_column(text: str, line: int, column: int, words: str) -> None:
    with pytest.raises(JsonError, match=r"\w") as caught:
        scan(text)
    assert Lines(text).at(caught.value.offset) == (line, column)
    assert words in caught.value.message
    with pytest.raises(protocol.ProtocolError):  # the agent would refuse it as well
        protocol.parse(text)


@pytest.mark.parametrize(
    "text", ["{}", " { } \n", '{"a": [1, -0.5e3, true, null, "\\u00fc"], "b": {"c": {}}}', '{"": 0}']
)
def test_what_the_agent_takes_can_be_mapped(text: str) -> None:
    protocol.parse(text)
    assert () in scan(text).places


def test_every_value_has_its_place_and_duplicates_are_found() -> None:
    text = '{"a": {"x": 1,\n "x": 2}, "b": [true, "t"]}'
    found = scan(text)
    place = found.places["b", 1]
    assert text[place.start : place.end] == '"t"'
    assert [(path, Lines(text).at(offset)) for path, offset in found.duplicates] == [(("a", "x"), (2, 2))]


SECRET_PATHS: list[dict[str, Any]] = [
    {"w": {"authorization": "SECRET"}},
    {"w": {"basic_auth": {"username": "u", "password": "SECRET"}}},
    {"w": {"digest_auth": {"password": "SECRET"}}},
    {"w": {"jwt": {"secret": "SECRET"}}},
    {"w": {"hmac": {"secret": "SECRET"}}},
    {"w": {"oauth1": {"consumer_secret": "SECRET"}}},
    {"w": {"oauth1": {"token_secret": "SECRET"}}},
    {"w": {"oauth2": {"client_secret": "SECRET"}}},
    {"w": {"oauth2": {"jwt_secret": "SECRET"}}},
    {"w": {"header_auth": {"api_key": "SECRET"}}},
    {"w": {"recaptcha": {"secret_key": "SECRET"}}},
    {"w": {"module-config": {"channel_token": "SECRET"}}},
    {"w": {"module-config": {"headers": {"X-Whatever": "SECRET"}}}},
    {"w": {"chain": [{"module": "http_webhook", "module-config": {"headers": {"Authorization": "SECRET"}}}]}},
    {"c": {"pass": "SECRET"}},
    {"c": {"aws_secret_access_key": "SECRET"}},
    {"c": {"connection_string": "SECRET"}},
    {"c": {"credentials": {"private_key": "SECRET", "client_email": "SECRET"}}},
    {"c": {"url": "amqp://user:SECRET@host/vhost"}},
    {"c": {"my_private_thing": "SECRET"}},
    {"c": {"password": "{$DB_PASS:SECRET}"}},
    {"c": {"password": "{$vault:a/b#c:SECRET}"}},
    {"w": {"authorization": "Bearer SECRET"}},
]


@pytest.mark.parametrize("document", SECRET_PATHS, ids=lambda document: json.dumps(document)[:60])
def test_a_secret_is_never_shown(settings: object, document: dict[str, object]) -> None:
    shown = secrets.masked(json.dumps(document, indent=2))
    assert "SECRET" not in shown
    assert "‹secret " in shown


@pytest.mark.parametrize(
    "value",
    ["{$DB_PASS}", "{$vault:secret/db#password}", "Bearer {$TOKEN}", "{$DB_PASS:}"],
    ids=["env", "vault", "bearer", "empty default"],
)
def test_a_bare_reference_stays_readable(value: str) -> None:
    text = json.dumps({"w": {"authorization": value, "password": value}})
    assert secrets.masked(text) == text


def test_masking_keeps_the_rest_and_tells_secrets_apart() -> None:
    text = '{\n\t"a": {"password": "one",  "host":"h"},\r\n "b": {"password": "one"}, "c": {"password": "two"}\n}\n'
    shown = secrets.masked(text)
    marks = [part[:12] for part in shown.split("‹secret ")[1:]]
    assert marks[0] == marks[1] != marks[2]
    assert shown.replace(f'"‹secret {marks[0]}›"', '"one"').replace(f'"‹secret {marks[2]}›"', '"two"') == text


def test_names_of_entries_are_not_taken_for_secrets_and_broken_texts_are_not_shown() -> None:
    text = (
        '{"password-reset": {"module": "log", "token_type": "x"}, "headers": {"host": "h"}, "credentials": {"x": "y"}}'
    )
    assert secrets.masked(text) == text  # nor are their values by the entry's name: messages may quote them
    assert "hunter2" not in secrets.masked('{"a": {"password": "hunter2"')


@pytest.mark.parametrize(
    ("kind", "text", "expected"),
    [
        ("webhooks", '{"_comment": "x"}', [("B21", 1, 2)]),
        ("webhooks", '{"a": {"module": "log", "authorization": " "}}', [("A1", 1, 25)]),
        ("webhooks", '{"a": {"module": "log"}, "a": {"module": "log"}}', [("A18", 1, 26)]),
        ("webhooks", "[1]", [("J2", 1, 1)]),
        ("webhooks", '{"a": }', [("J1", 1, 7)]),
        ("connections", '{"c": {"host": "h"},\n "d": 3}', [("C3", 1, 2), ("B21", 2, 2)]),
        ("connections", '{"c": {"type": ""}}', [("C3", 1, 8)]),
    ],
)
def test_findings_name_the_rule_and_the_place(kind: str, text: str, expected: list[tuple[str, int, int]]) -> None:
    found = validation.findings(kind, text)
    assert [(item.rule, item.line, item.column) for item in found] == expected
    assert all(item.document == kind and item.message for item in found)


def test_a_document_over_the_limit_is_refused_by_size(settings: object) -> None:
    settings.DOCUMENT_MAX_BYTES = 50  # type: ignore[attr-defined]
    assert [item.rule for item in validation.findings("webhooks", '{"a": {"module": "' + "x" * 60 + '"}}')] == ["J3"]


def test_a_secret_in_an_entry_that_stands_twice_is_not_shown_either() -> None:
    text = '{"a": {"password": "FIRST"}, "a": {"password": "SECOND"}, "b": {"module": "log"}}'
    shown = secrets.masked(text)
    assert "FIRST" not in shown
    assert "SECOND" not in shown
    assert '"b": {"module": "log"}' in shown


def test_masking_entry_by_entry_is_masking_everything() -> None:
    """The short way, which passes over entries without a secret, hides what the long way hides."""
    entries = {f"e{n}": document["w" if "w" in document else "c"] for n, document in enumerate(SECRET_PATHS)}
    entries |= {f"clean{n}": {"module": "log", "n": [n, {"x": "y"}]} for n in range(5)}
    text = json.dumps(entries, indent=2)
    found = scan(text)
    values = [(path, json.loads(text[place.start : place.end])) for path, place in found.every]
    hidden = [value for path, value in values if isinstance(value, str) and secrets.is_secret(path, value)]
    shown = secrets.masked(text)
    assert shown.count("‹secret ") == len(hidden) >= len(SECRET_PATHS)
    assert "SECRET" not in shown
