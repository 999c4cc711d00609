"""Marks: what is masked comes back exactly, and a mark never becomes a value."""

from __future__ import annotations

import itertools
import json
from typing import Any

import pytest
from django.test import override_settings

from configs_app import broken_text, marks, secrets
from configs_app.json_text import Lines

CONNECTIONS: dict[str, Any] = {
    "db": {"type": "postgresql", "host": "db", "password": "hunter2"},
    "mq": {"type": "rabbitmq", "host": "mq", "pass": "guest-7"},
}
TEXT = json.dumps(CONNECTIONS, indent=2)
SHOWN = secrets.masked(TEXT)
KNOWN = marks.known([TEXT])
DB, MQ = (secret.mark for secret in secrets.hidden(TEXT))


def back(text: str) -> str:
    found = marks.unmasked(text, KNOWN)
    assert found.problems == ()
    return found.text


def refused(text: str) -> tuple[int, int, str]:
    found = marks.unmasked(text, KNOWN)
    assert len(found.problems) == 1
    return (*Lines(text).at(found.problems[0].offset), found.problems[0].message)


def test_what_was_masked_comes_back_character_by_character() -> None:
    assert "hunter2" not in SHOWN
    assert back(SHOWN) == TEXT


def test_a_mark_is_its_secret_wherever_it_is_moved_copied_or_renamed() -> None:
    typed = SHOWN.replace(DB, MQ).replace('"pass"', '"my_private_word"').replace('"mq": {', '"queue": {')
    assert json.loads(back(typed)) == {
        "db": {"type": "postgresql", "host": "db", "password": "guest-7"},
        "queue": {"type": "rabbitmq", "host": "mq", "my_private_word": "guest-7"},
    }
    webhooks = f'{{"orders": {{"module": "log", "authorization": {DB}}}}}'
    assert json.loads(back(webhooks))["orders"]["authorization"] == "hunter2"


def test_each_spelling_of_a_secret_stays_as_it_was_written() -> None:
    text = r'{"a": {"password": "p\u00e4\/ss"}, "b": {"password": "pä/ss"}, "c": {"password": "p\u00E4/ss"}}'
    shown = secrets.masked(text)
    found = [secret.mark for secret in secrets.hidden(text)]
    assert len(set(found)) == 3
    assert len({mark[:21] for mark in found}) == 1  # one secret
    assert marks.unmasked(shown, marks.known([text])).text == text
    swapped = shown.replace(found[0], "?").replace(found[1], found[0]).replace("?", found[1])
    expected = r'{"a": {"password": "pä/ss"}, "b": {"password": "p\u00e4\/ss"}, "c": {"password": "p\u00E4/ss"}}'
    assert marks.unmasked(swapped, marks.known([text])).text == expected


@pytest.mark.parametrize(
    ("password", "words"),
    [
        ('"‹secret 000000000000›"', "stands for no secret"),
        ('"‹secret 3f9a2c›"', "stands for no secret"),
        (DB[:-5] + '0000›"', "stands for no secret"),
        (DB[:-2] + '"', "stands for no secret"),
        (DB[:9] + '"', "stands for no secret"),
        ('"' + DB[2:], "stands for no secret"),
        ('"' + DB[2:-2] + '"', "stands for no secret"),
        ('"' + DB[4:-3] + '"', "stands for no secret"),
        ('"' + DB[9:], "stands for no secret"),
        ('"Bearer ' + DB[1:], "cannot be part of another text"),
        (DB[:-1] + ' "', "cannot be part of another text"),
        (json.dumps(json.loads(DB)), "stands for no secret"),
        (DB.replace("s", r"\u0073", 1), "stands for no secret"),
        (DB.replace("‹", "«").replace("›", "»"), "stands for no secret"),
        (DB.replace("‹", "<").replace("›", ">"), "stands for no secret"),
        (DB.replace("secret", "SECRET"), "stands for no secret"),
        (DB.replace(" ", "\u00a0"), "stands for no secret"),
        ("'" + DB[1:-1] + "'", "stands for no secret"),
        ("“" + DB[1:-1] + "”", "stands for no secret"),
        (DB[1:-1], "stands for no secret"),
        (DB[1:], "stands for no secret"),
        (DB[:-1], "stands for no secret"),
        (json.dumps(json.loads(DB))[:-1], "stands for no secret"),
    ],
    ids=itertools.repeat("mark"),  # numbered: a mark is another one under each key
)
def test_a_mark_can_never_be_stored_as_a_value(password: str, words: str) -> None:
    line, column, message = refused(f'{{\n "db": {{"host": "h",\n  "password": {password}}}}}')
    assert line == 3
    assert 15 <= column <= 17
    assert words in message


def test_a_mark_is_no_key_and_is_not_put_where_everybody_could_read_its_secret() -> None:
    assert "cannot be a key" in refused(f'{{"db": {{{DB}: "x"}}}}')[2]
    assert "cannot be a key" in refused('{"db": {"‹secret 3f": "x"}}')[2]
    for place in ('"host": {}', '"module": {}', '"note": {}', '"list": [{}]'):
        typed = f'{{"db": {{{place.format(DB)}}}}}'
        found = marks.unmasked(typed, KNOWN)
        assert "Everybody could read" in found.problems[0].message
        assert found.text == typed  # so that no message about it can quote the secret
    assert "Everybody could read" in refused(f'{{"password": {DB}}}')[2]  # the name of an entry


def test_two_secrets_under_one_mark_are_never_exchanged() -> None:
    ambiguous = marks.collected([(DB, '"one"'), (MQ, '"three"'), (DB, '"two"'), (DB, '"one"')])
    found = marks.unmasked(SHOWN, ambiguous)
    assert [problem.message for problem in found.problems] == [marks.AMBIGUOUS]
    assert DB in found.text


def test_marks_of_another_console_are_unknown_here() -> None:
    with override_settings(SECRET_KEY="another"):
        theirs = secrets.masked(TEXT)
    assert theirs != SHOWN
    assert len(marks.unmasked(theirs, KNOWN).problems) == 2


def test_a_secret_that_looks_like_a_mark_is_masked_and_comes_back() -> None:
    odd = {
        "db": {"password": "‹secret 3f9a2c81d04b›", "note": f"see {DB[1:-1]}", "host": json.loads(DB)},
        "mq": {"password": "hunter2"},
    }
    text = json.dumps(odd, indent=1, ensure_ascii=False)
    shown = secrets.masked(text)
    assert shown.count("‹secret") == 4
    assert "3f9a2c81d04b" not in shown
    assert marks.unmasked(shown, marks.known([text])).text == text


def test_places_are_those_of_the_text_with_marks() -> None:
    typed = SHOWN.replace('"host": "db"', '"host": "x"').replace('"pass"', '"pass"')
    found = marks.unmasked(f'{{"a": {{"password": {DB}, "x": 1}}}}', KNOWN)
    assert found.text == '{"a": {"password": "hunter2", "x": 1}}'
    at = found.text.index('"x"')
    assert found.offset_with_marks(at) == 20 + len(DB) + 1
    assert found.offset_with_marks(at - 4) == found.offset_with_marks(found.text.index("hunter")) == 19
    assert found.offset_with_marks(3) == 3
    assert marks.unmasked(typed, KNOWN).text == TEXT.replace('"host": "db"', '"host": "x"')


BROKEN = [
    TEXT[:-1],
    TEXT.replace('"hunter2"', '"hunter2'),
    TEXT.replace('"hunter2"', 'hunter2"'),
    TEXT.replace('"hunter2"', "hunter2"),
    TEXT.replace('"hunter2"', "'hunter2'"),
    TEXT.replace('"hunter2"', "'hunter2 {and} more'"),
    TEXT.replace('"hunter2"', '"hun\\ter2\\x"'),
    TEXT.replace('"password"', "password"),
    TEXT.replace('"password"', "'password'"),
    TEXT.replace('"password"', 'password"'),
    TEXT.replace('"password"', '"password'),
    TEXT.replace('"password":', '"password"'),
    TEXT.replace('"password":', '"password" ='),
    TEXT.replace('"db": {', '"db": '),
    TEXT.replace('"db": {', "{"),
    TEXT.replace('"host": "db",', '"host": "db,'),
    TEXT.replace('"host": "db",', '"host": "db"'),
    TEXT.replace("\n", "\r\n").replace('"hunter2"', 'hunter2"'),
    "// " + TEXT.replace("\n", "\n// "),
    json.dumps(CONNECTIONS)[:-1],
    json.dumps(CONNECTIONS).replace('"hunter2"', '"hunter2'),
    json.dumps(CONNECTIONS).replace('"host"', '"host'),
    json.dumps(CONNECTIONS).replace('"host"', 'host"'),
    "\ufeff" + TEXT,
    '{"w": {"headers: {\n "X-Any": "hunter2"}}}',
    '{"w": {"headers": {\n "X-Any": "hunter2"}',
    '{"w": {"headers": \n "X-Any": "hunter2"}}',
    '{"w": {headers": {"X-Any": "hunter2"}}}',
    '{"w": {url: amqp://user:hunter2@host}}',
    '{"w": {"url": "amqp://user:hunter2@host}}',
    '{"w": ["amqp://user:hunter2@host" "x"]',
    '{"w": {"password": \n\n "hunter2" }',
    '{"password": "hunter2"',
    '{"w": {"password": hunter2, "module": "log"}}',
    "w:\n  password: hunter2\n  host: db\n",
    "w:\n  password:\n    hunter2\n  host: db\n",
    "w:\n  password:\n    hunt\n    hunter2\n  host: db\n",
    "w:\n  password: |\n    hunt\n\n    hunter2\n  host: db\n",
    "w:\r\n  password: >-  # folded\r\n    hunt\r\n    hunter2: x\r\n  host: db\r\n",
    "password: |2\n    hunt\n  hunter2",
]


@pytest.mark.parametrize("text", BROKEN)
def test_a_broken_text_is_masked_too_and_comes_back_character_by_character(text: str) -> None:
    shown = secrets.masked(text)
    assert "hunter2" not in shown
    assert "‹secret" in shown
    assert shown.count("\n") == text.count("\n")
    found = marks.unmasked(shown, marks.known([text]))
    assert found.problems == ()
    assert found.text == text


def test_what_is_no_secret_stays_readable_in_a_broken_text() -> None:
    text = TEXT.replace('"mq",', '"mq"')
    shown = secrets.masked(text)
    for word in ('"db": {', '"host": "db"', '"type": "rabbitmq"', '"password": "‹secret'):
        assert word in shown


def test_what_stands_beside_a_secret_of_several_lines_stays_readable() -> None:
    shown = secrets.masked("w:\n  password: |\n    hunt\n    hunter2\n  host: db\n")
    assert shown.startswith("w:\n  password: ‹secret")
    assert shown.endswith("›\n  host: db\n")
    assert secrets.masked("w:\n  headers:\n    X-Any: a\n  host: db\n").endswith("›\n  host: db\n")


def test_a_broken_text_can_be_mended_around_its_marks() -> None:
    broken = TEXT.replace('"hunter2"', '"hunter2')
    shown = secrets.masked(broken)
    mark = next(secret.mark for secret in secrets.hidden(broken) if "broken" in secret.mark)
    mended = marks.unmasked(shown.replace(mark, mark + '"'), marks.known([broken]))
    assert (mended.text, mended.problems) == (TEXT, ())
    moved = marks.unmasked(f'{{"w": {{"note": {mark}", "module": "log"}}}}', marks.known([broken]))
    assert [problem.message for problem in moved.problems] == [marks.READABLE]


def test_the_way_for_broken_texts_hides_what_the_way_for_whole_ones_hides() -> None:
    text = json.dumps(
        {
            "w": {"authorization": "S", "credentials": {"x": ["S", "S"]}, "headers": {"a": "S"}, "token_type": "t"},
            "c": {"url": "amqp://u:S@h", "deep": [[{"api_key": "S"}]], "password": "{$X}", "n": [1, None, True]},
        }
    )
    lexical = {(piece.start, piece.end) for piece in broken_text.secrets(text, secrets.is_secret)}
    assert {(secret.start, secret.end) for secret in secrets.hidden(text)} <= lexical


RICH = {
    "w": {
        "authorization": "Bearer hunter2",
        "headers": {"X-A": "hunter2", "X-B": "a:hunter2,{b}"},
        "jwt": {"secret": "hunter2", "algorithm": "HS256"},
        "chain": [{"module-config": {"headers": {"Authorization": "hunter2"}, "url": "https://u:hunter2@h/x"}}],
    },
    "c": {
        "host": "h",
        "password": 'hun"ter2 hunter2',
        "credentials": {"private": "hunter2", "mail": ["hunter2"]},
        "d": "{$A}",
    },
    "last": {"pass": "hunter2"},
}


@pytest.mark.parametrize("indent", [2, None])
def test_one_slip_anywhere_shows_no_secret_and_loses_none(indent: int | None) -> None:
    text = json.dumps(RICH, indent=indent)
    slips = [text[:at] + '"' + text[at:] for at in range(len(text))]
    for at, sign in enumerate(text):
        if sign in '{}[]:,"\\':
            slips += [text[:at] + text[at + 1 :], text[:at] + sign + text[at:]]
    for slip in slips:
        shown = secrets.masked(slip)
        assert "unter2" not in shown, slip
        found = marks.unmasked(shown, marks.known([slip]))
        assert (found.problems, found.text) == ((), slip)


def told(old: dict[str, Any] | None, new: dict[str, Any]) -> str:
    found = secrets.differences(None if old is None else json.dumps(old), json.dumps(new))
    words = [f"{change.path} {change.word} {change.origin}".strip() for change in found.changes]
    return ", ".join([*words, f"{found.unchanged} unchanged"])


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        (None, {"a": {"password": "1"}}, "a.password new, 0 unchanged"),
        ({"a": {"password": "1", "token": "2"}}, {"a": {"token": "2", "password": "1"}}, "2 unchanged"),
        ({"a": {"password": "1"}}, {"a": {"password": "2"}}, "a.password changed, 0 unchanged"),
        ({"a": {"password": "1"}}, {"a": {"password": "{$P}"}}, "a.password removed, 0 unchanged"),
        ({"a": {"password": "1"}}, {"b": {"secret": "1"}}, "b.secret moved a.password, 0 unchanged"),
        ({"a": {"secret": "1"}}, {"a": {"secret": "1"}, "b": {"secret": "1"}}, "b.secret new, 1 unchanged"),
        (
            {"a": {"secret": "1"}, "b": {"secret": "2"}},
            {"a": {"secret": "2"}, "b": {"secret": "1"}},
            "a.secret moved b.secret, b.secret moved a.secret, 0 unchanged",
        ),
        (
            {"a": {"headers": {"x": ["1", "2"]}, "token": "3"}},
            {"a": {"headers": {"x": ["2"]}, "token": "4"}, "c": {"pass": "5"}},
            "a.token changed, c.pass new, a.headers.x.0 moved a.headers.x.1, 0 unchanged",
        ),
    ],
)
def test_what_became_of_each_secret_is_told_without_showing_one(
    old: dict[str, Any] | None, new: dict[str, Any], expected: str
) -> None:
    assert told(old, new) == expected


def test_a_number_is_a_secret_under_the_names_of_secrets_only() -> None:
    text = '{"a": {"password": 4711, "token_lifetime": 300, "headers": {"X": -1.50e3}, "secret": true, "port": 5432}}'
    shown = secrets.masked(text)
    assert json.loads(shown)["a"]["token_lifetime"] == 300
    assert "4711" not in shown
    assert "1.50" not in shown
    assert marks.unmasked(shown, marks.known([text])).text == text
    assert "4711" not in secrets.masked(text[:-1])
    assert marks.unmasked(secrets.masked(text[:-1]), marks.known([text[:-1]])).text == text[:-1]


def test_what_stands_in_an_object_under_the_name_of_a_secret_is_one() -> None:
    held = '{"a": {"password": {"value": "hunter2", "list": ["hunter2"]}, "json_schema": {"properties": {"password": '
    shown = secrets.masked(held + '{"type": "string"}}}}}')
    assert "hunter2" not in shown
    assert '"type": "string"' in shown  # of a schema the names are names
