from __future__ import annotations

import hashlib
import json
import random
import string
from typing import Any

import pytest

from webhook_agent import protocol
from webhook_agent.protocol import ProtocolError, digest, parse, same, short, written

VALUES: list[Any] = [
    None,
    True,
    False,
    0,
    -1,
    10**30,
    -(10**999) + 1,
    0.1,
    -0.0,
    1e-7,
    1e22,
    5e-324,
    1.7976931348623157e308,
    123456789.123456789,
    "",
    "plain",
    "Grüße, 世界, \U0001f600",
    '\u2028 \x7f \x00 \\ " / \t\n\r',
    "\ud800",
    "\udc00\ud800",
    [],
    {},
    [[], {}, [{}]],
    {"": "", " ": 1, "ключ": {"\U0001f600": [1.0, 1]}, "\ud83d": 0, "\uffff": 0, "\U00010000": 0},
    {"b": 1, "a": 2},
]


@pytest.mark.parametrize("value", VALUES, ids=repr)
def test_what_is_written_reads_back_to_the_same_digest(value: Any) -> None:
    document = {"entry": value, "other": [value]}
    assert digest(parse(written(document))) == digest(document)
    assert digest(parse(json.dumps(document))) == digest(document)


def test_what_is_written_reads_back_for_many_random_documents() -> None:
    chance = random.Random(20240115)
    for _ in range(300):
        document = {_word(chance): _random(chance, 4) for _ in range(4)}
        assert digest(parse(written(document))) == digest(document)


def _word(chance: random.Random) -> str:
    return "".join(
        chance.choice([*string.printable, chr(chance.randrange(0x110000))]) for _ in range(chance.randrange(12))
    )


def _random(chance: random.Random, depth: int) -> Any:
    kind = chance.randrange(7 if depth else 5)
    if kind == 0:
        return chance.choice([None, True, False])
    if kind == 1:
        return chance.randrange(-(2 ** chance.randrange(1, 200)), 2**64)
    if kind == 2:
        return chance.uniform(-1, 1) * 10.0 ** chance.randrange(-300, 300)
    if kind in (3, 4):
        return _word(chance)
    if kind == 5:
        return [_random(chance, depth - 1) for _ in range(3)]
    return {_word(chance): _random(chance, depth - 1) for _ in range(3)}


def test_the_digest_is_the_one_the_proposal_defines() -> None:
    document = {"b": {"ü": 1.5}, "a": [True, None]}
    expected = hashlib.sha256(json.dumps(document, sort_keys=True).encode()).hexdigest()
    assert digest(document) == expected
    assert short(expected) == expected[:16]


def test_key_order_is_kept_and_does_not_change_the_digest() -> None:
    document = parse('{"b": 1, "a": {"d": 1, "c": 2}}')
    assert list(parse(written(document))) == ["b", "a"]
    assert digest(document) == digest({"a": {"c": 2, "d": 1}, "b": 1})


def test_only_ascii_is_written_with_a_newline_at_the_end() -> None:
    text = written({"ü": "\U0001f600"})
    assert text.isascii()
    assert text.endswith(b"}\n")


MALFORMED = {
    "nothing": "",
    "a list": "[]",
    "a number": "1",
    "a cut": '{"a": ',
    "a tail": "{} {}",
    "a comment": "{/* */}",
    "single quotes": "{'a': 1}",
    "a raw newline": '{"a": "\n"}',
    "NaN": '{"a": NaN}',
    "Infinity": '{"a": Infinity}',
    "-Infinity": '{"a": [-Infinity]}',
    "a float over the top": '{"a": 1e999}',
    "a long integer": '{"a": ' + "9" * 5000 + "}",
    "a duplicate": '{"a": 1, "a": 2}',
    "a duplicate deep down": '{"a": [{"b": {"c": 1, "d": 2, "c": 1}}]}',
    "a duplicate by escape": '{"a": 1, "\\u0061": 2}',
    "deep arrays": '{"a": ' + "[" * 200 + "]" * 200 + "}",
    "very deep objects": '{"a": ' * 100_000 + "1" + "}" * 100_000,
    "a byte-order mark": "\ufeff{}",
}


@pytest.mark.parametrize("text", MALFORMED.values(), ids=MALFORMED.keys())
def test_it_refuses_what_is_not_a_strict_document(text: str) -> None:
    for form in (text, text.encode()):
        with pytest.raises(ProtocolError) as refused:
            parse(form)
        assert refused.value.code == protocol.MALFORMED
        assert refused.value.message


@pytest.mark.parametrize("raw", [b"\xff{}", '{"a": "ü"}'.encode("latin-1"), "{}".encode("utf-16")])
def test_it_refuses_bytes_that_are_not_utf_8(raw: bytes) -> None:
    with pytest.raises(ProtocolError):
        parse(raw)


@pytest.mark.parametrize(
    "text", ['{"k": "hunter2",}', '{"k": "hunter2", "k": "hunter2"}', '{"k": "hunter2" "x"}', '["hunter2"]']
)
def test_a_refusal_never_quotes_a_value(text: str) -> None:
    with pytest.raises(ProtocolError) as refused:
        parse(text)
    assert "hunter2" not in str(refused.value)


def test_a_syntax_error_has_its_line_and_column() -> None:
    with pytest.raises(ProtocolError) as refused:
        parse('{\n  "a": 1,\n  "b" 2\n}')
    assert (refused.value.line, refused.value.column) == (3, 7)


def test_nesting_is_accepted_up_to_the_limit_and_no_further() -> None:
    inner = protocol.MAX_DEPTH - 1
    parse('{"a":' + "[" * inner + "]" * inner + "}")
    with pytest.raises(ProtocolError):
        parse('{"a":' + "[" * (inner + 1) + "]" * (inner + 1) + "}")


FULL = "0123456789abcdef" * 4
OTHER = "f" * 64


@pytest.mark.parametrize(
    ("a", "b", "expected"),
    [
        (FULL, FULL, True),
        (FULL, FULL[:16], True),
        (FULL[:16], FULL, True),
        (FULL[:16], FULL[:16], True),
        (FULL, OTHER, False),
        (FULL, OTHER[:16], False),
        (FULL, FULL[:15], False),
        (FULL, FULL[:17], False),
        (FULL, "", False),
        ("", "", False),
        (None, None, False),
        (None, FULL, False),
    ],
)
def test_digests_compare_full_or_by_the_short_part(a: str | None, b: str | None, expected: bool) -> None:
    assert same(a, b) is expected
    assert same(b, a) is expected
