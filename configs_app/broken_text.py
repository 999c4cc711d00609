"""What can be told of a text that is not JSON: enough to hide its secrets, rather too much than too little.

Strings do not span lines in JSON, so a missing quote misleads nobody beyond its own line. Where the pieces of a line
cannot be told apart, the line is one piece from its first suspicious name on.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from configs_app.json_text import Path

Judge = Callable[[Path, str], bool]

STRING = r'"(?:[^"\\\r\n]|\\[^\r\n])*"'
_TOKEN = re.compile(
    rf"(?P<string>{STRING})|(?P<sign>[{{}}\[\]:,])|(?P<line>[\r\n]+)|(?P<word>[^\s\"{{}}\[\]:,]+)|(?P<open>\")"
)
_COLON = re.compile(r"\s*:(?!//)")
_LINE = re.compile(r"[^\r\n]*")
_PLAIN = re.compile(r"-?\d[\d.eE+-]*|true|false|null")
_NAME = re.compile(r"[\w-]+")
_AFTER_NAME = re.compile(r"[\"'\s]*:?[ \t]*")
_NESTING = re.compile(r"(?:([\w-]+)[\"'\s]*:?\s*)?[{\[]|[}\]]")


@dataclass(frozen=True, slots=True)
class Piece:
    """Something to hide, under which keys: a whole string, or what is left of a line."""

    path: Path
    start: int
    end: int
    is_string: bool


def secrets(text: str, is_secret: Judge) -> Iterator[Piece]:
    """Every piece that `is_secret` says to hide, in the order of the text."""
    around: list[str] = []  # the keys of the objects and lists that are open
    key = ""  # whose value comes next
    before: int | None = None  # where the piece before starts, as long as no sign parts it from the next
    offset = 0
    while found := _TOKEN.search(text, offset):
        kind, token, start, offset = found.lastgroup, found.group(), found.start(), found.end()
        if kind in {"sign", "line"}:
            before = None
            if token in {"{", "["}:
                around.append(key)
            elif token in {"}", "]"}:
                del around[-1:]
            if token in {"{", "[", "}", "]", ","}:
                key = ""
            continue
        ordered = before is None and kind != "open"
        # Below some entry: which one is not certain, and no key must be taken for the name of one.
        path = ("", *(name for name in (*around, key) if name))
        if ordered and (kind == "string" or not key) and _COLON.match(text, offset):
            if key:  # its opening brace is missing
                around.append(key)
            key = _plain(token)
        elif ordered and kind == "string":
            before = start
            if is_secret(path, _plain(token)):
                yield Piece(path, start, offset, is_string=True)
                before = offset
        elif ordered and _PLAIN.fullmatch(token):
            before = start
        else:
            offset = _end_of_line(text, start)
            hide = start if is_secret(path, text[start:offset]) else None
            if hide is None:
                hide = _suspicious(text, start if before is None else before, offset, is_secret)
            if hide is not None and _NAME.search(text, hide, offset):
                yield Piece(path, hide, offset, is_string=False)
            _nest(around, text, start, offset)
            before, key = None, ""


def _end_of_line(text: str, start: int) -> int:
    """Where the line ends, without the commas and closing brackets that may be its last signs."""
    line = _LINE.match(text, start)
    return start + len(line.group().rstrip(" \t,}]") if line else "")


def _suspicious(text: str, start: int, end: int, is_secret: Judge) -> int | None:
    """From where on a line in disorder has to be hidden: after the first name that announces secrets."""
    for name in _NAME.finditer(text, start, end):
        if is_secret(("", name.group()), "x") or is_secret(("", name.group(), ""), "x"):
            after = _AFTER_NAME.match(text, name.end(), end)
            return after.end() if after else name.end()
    return start if is_secret(("",), text[start:end]) else None


def _nest(around: list[str], text: str, start: int, end: int) -> None:
    """Follow the braces of a line in disorder, as ``"headers: {``."""
    for found in _NESTING.finditer(text, start, end):
        if found.group() in {"}", "]"}:
            del around[-1:]
        else:
            around.append(found[1] or "")


def _plain(token: str) -> str:
    """A word without its quotes, its escapes resolved where they can be."""
    if not token.startswith('"'):
        return token.strip("'")
    try:
        return str(json.loads(token, strict=False))
    except ValueError:
        return token[1:-1]
