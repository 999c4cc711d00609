"""The entries of a document as they were typed: what each is, and where it stands. Fast enough for megabytes."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from functools import lru_cache
from typing import Any, NamedTuple

from webhook_agent import protocol

from configs_app.json_text import JsonError

_scan = json.JSONDecoder().scan_once  # type: ignore[attr-defined]  # raw_decode without its wrapper
_SPACE = r"[ \t\n\r]*"
_OPEN = re.compile(rf"{_SPACE}\{{{_SPACE}")
_COLON = re.compile(rf"{_SPACE}:{_SPACE}")
_COMMA = re.compile(rf"{_SPACE},{_SPACE}")
_CLOSE = re.compile(rf"{_SPACE}\}}{_SPACE}\Z")


class Member(NamedTuple):
    """One entry of a document; `text` is its value as typed, `key` and `end` are where the entry stands."""

    name: str
    value: Any
    text: str
    key: int
    end: int


def printable(name: str) -> str:
    """A name that an audit event can hold: JSON may escape half a character or a NUL, which Postgres refuses."""
    return name.encode("utf-8", "replace").decode().replace("\0", "\ufffd")


@lru_cache(maxsize=4)
def read(text: str) -> tuple[Member, ...]:
    """The same, remembered: one page compares the same two texts several times. Nobody changes what it returns."""
    return tuple(members(text))


@lru_cache(maxsize=4)
def refusal(text: str) -> str:
    """Why the text is no document, or nothing; remembered like what `read` returns."""
    try:
        protocol.parse(text)
    except protocol.ProtocolError as error:
        return str(error)
    return ""


def forget() -> None:
    """As after a start."""
    read.cache_clear()
    refusal.cache_clear()


def members(text: str) -> Iterator[Member]:
    """The entries of a document, in its order, also those whose name stands twice.

    Raises JsonError for a text that is not a JSON object; stricter rules are protocol.parse's.
    """
    try:
        opened = _OPEN.match(text)
        offset = opened.end() if opened else -1
        end = offset
        more = opened is not None and text[offset : offset + 1] != "}"
        while more:
            name, end = _scan(text, offset)
            colon = _COLON.match(text, end)
            if colon is None or not isinstance(name, str):
                raise JsonError("Expected a key in double quotes and a colon.", offset)
            start = colon.end()
            value, end = _scan(text, start)
            yield Member(name, value, text[start:end], offset, end)
            comma = _COMMA.match(text, end)
            more = comma is not None
            offset = comma.end() if comma else end
        if opened is None or _CLOSE.match(text, end) is None:
            raise JsonError("This text is not a JSON object.", max(end, 0))
    except (StopIteration, json.JSONDecodeError, RecursionError):
        raise JsonError("This text is not JSON.", 0) from None
