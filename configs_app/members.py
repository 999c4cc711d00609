"""The entries of a document as they were typed: what each is, and where it stands. Fast enough for megabytes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from configs_app.json_text import SPACE, JsonError

_decoder = json.JSONDecoder()


@dataclass(frozen=True, slots=True)
class Member:
    """One entry of a document; `text` is its value as typed, `key` and `end` are where the entry stands."""

    name: str
    value: Any
    text: str
    key: int
    end: int


def members(text: str) -> Iterator[Member]:
    """The entries of a document, in its order, also those whose name stands twice.

    Raises JsonError for a text that is not a JSON object; stricter rules are protocol.parse's.
    """
    try:
        offset = _after(text, _skip(text, 0), "{")
        more = text[offset : offset + 1] != "}"
        while more:
            key, (name, end) = offset, _decoder.raw_decode(text, offset)
            if not isinstance(name, str):
                raise JsonError("A key must stand in double quotes.", key)
            start = _after(text, _skip(text, end), ":")
            value, end = _decoder.raw_decode(text, start)
            yield Member(name, value, text[start:end], key, end)
            offset = _skip(text, end)
            more = text[offset : offset + 1] == ","
            if more:
                offset = _skip(text, offset + 1)
        if text[offset:].rstrip(" \t\n\r") != "}":
            raise JsonError("The document does not end with its closing brace.", offset)
    except (json.JSONDecodeError, RecursionError):
        raise JsonError("This text is not JSON.", 0) from None


def _after(text: str, offset: int, mark: str) -> int:
    """Where the next value or key starts, behind this mark."""
    if text[offset : offset + 1] != mark:
        raise JsonError(f'Expected "{mark}" here.', offset)
    return _skip(text, offset + 1)


def _skip(text: str, offset: int) -> int:
    match = SPACE.match(text, offset)
    return match.end() if match else offset
