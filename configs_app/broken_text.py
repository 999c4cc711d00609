"""What can be told of a text that is not JSON: enough to hide its secrets, rather too much than too little.

Strings do not span lines in JSON, so a missing quote misleads nobody beyond its own line. Where the pieces of a line
cannot be told apart, the line is one piece from its first suspicious name on.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache

from webhook_agent import protocol

from configs_app.json_text import Path

Judge = Callable[[Path, str], bool]

STRING = r'"(?:[^"\\\r\n]|\\[^\r\n])*"'
_TOKEN = re.compile(
    rf"(?P<string>{STRING})|(?P<sign>[{{}}\[\]:,])|(?P<line>[\r\n]+)|(?P<word>[^\s\"{{}}\[\]:,]+)|(?P<open>\")"
)
COLON = re.compile(r"\s*:(?!//)")
_LINE = re.compile(r"[^\r\n]*")
_PLAIN = re.compile(r"-?\d[\d.eE+-]*|true|false|null")
_NAME = re.compile(r"[\w-]+")
_CONTENT = re.compile(r"[^\s{}\[\]:,\"']")
_AFTER_NAME = re.compile(r"[\"'\s]*:?[ \t]*")
_BRACKET = re.compile(r"[{}\[\]]")
_KEY_BEFORE = re.compile(r"([\w-]+)\s*:?\s*\Z")
_LONGEST_KEY = 100  # that is looked for in front of a bracket
_BLOCK = re.compile(r"[|>][-+\d]*(?:\s+#.*)?")  # in YAML: the value stands on the next lines
_SPACES = re.compile(r"[ \t]*")
_NEXT_LINE = re.compile(r"[^\S\r\n]*(?:\r\n|\r|\n)(?P<space>[ \t]*)(?P<content>[^\r\n]*)")
_QUOTES = re.compile(r"[\"'\\]")


@dataclass(frozen=True, slots=True)
class Piece:
    """Something to hide, under which keys: a whole value, or what is left of a line."""

    path: Path
    start: int
    end: int
    is_value: bool


def secrets(text: str, is_secret: Judge) -> Iterator[Piece]:
    """Every piece that `is_secret` says to hide, in the order of the text."""

    @cache
    def announces(name: str) -> bool:
        return is_secret(("", name), "x") or is_secret(("", name, ""), "x")

    around: list[str] = []  # the keys of the objects and lists that are open
    key = ""  # whose value comes next
    state = ""  # what stands before: "key", "colon", "value" or nothing
    same_line = False  # as the key
    key_start = 0
    loose: list[tuple[int, int]] = []  # of the keys in `around` without a brace: how far indented, at which place
    before: int | None = None  # where the piece before starts, as long as no sign parts it from the next
    offset = 0
    while found := _TOKEN.search(text, offset):
        kind, word, start, offset = found.lastgroup, found.group(), found.start(), found.end()
        if kind == "line":
            before, same_line = None, False
            continue
        if kind == "sign" and (word != ":" or state == "key"):
            if word in {"{", "["}:
                around.append(key if before is None else _plain(text[before:start].strip()))
            elif word in {"}", "]"}:
                del around[-1:]
            key, state = (key, "colon") if word == ":" else ("", "")
            before = None
            continue
        ordered = before is None and state != "key" and kind in {"string", "word"}
        is_key = (
            ordered
            and (kind == "string" or state != "colon" or not same_line)
            and COLON.match(text, offset) is not None
        )
        # Below some entry: which one is not certain, and no key must be taken for the name of one.
        path = ("", *(name for name in (*around, key) if name))
        if is_key and (state != "colon" or not same_line):
            if kind == "word":  # as in YAML, where indentation says what stands within what
                indent = _indent(text, start)
                while loose and loose[-1][0] >= indent:
                    del around[loose.pop()[1] :]
            if state == "colon":  # its opening brace is missing
                del around[: -protocol.MAX_DEPTH]
                loose.append((_indent(text, key_start), len(around)))
                around.append(key)
            key, state, same_line, key_start = _plain(word), "key", True, start
        elif ordered and kind == "string" and not is_key:
            before, state = start, "value"
            if is_secret(path, _plain(word)):
                yield Piece(path, start, offset, is_value=True)
                before = offset
        elif ordered and _PLAIN.fullmatch(word) and not COLON.match(text, offset):
            before, state = start, "value"
            if word[-1].isdigit() and is_secret(path, word):
                yield Piece(path, start, offset, is_value=True)
                before = offset
        else:
            offset = _end_of_line(text, start)
            begin = start if before is None else before
            rest = text[start:offset]
            hide = start if is_secret(path, rest) or is_secret((*path, ""), rest) else None
            if hide is None:
                hide = _suspicious(text, begin, offset, is_secret, announces)
            stop = offset
            if hide is not None and _CONTENT.search(text, hide, offset):
                yield Piece(path, hide, offset, is_value=False)
                if _BLOCK.fullmatch(rest.strip()) or (state == "colon" and not same_line):
                    for first, end in _deeper_lines(text, _indent(text, key_start), offset):
                        yield Piece(path, first, end, is_value=False)
                        offset = end
            if is_key:
                around.append(key)
            _nest(around, key, text[begin:stop])
            key, state, before = "", "", None


def _end_of_line(text: str, start: int) -> int:
    """Where the line ends, without the commas and closing brackets that may be its last signs."""
    line = _LINE.match(text, start)
    return start + len(line.group().rstrip(" \t,}]") if line else "")


def _indent(text: str, offset: int) -> int:
    """How far the line that holds the offset is indented."""
    first = max(text.rfind("\n", 0, offset), text.rfind("\r", 0, offset)) + 1
    return _SPACES.match(text, first).end() - first  # type: ignore[union-attr]  # it matches the empty text as well


def _deeper_lines(text: str, indent: int, offset: int) -> Iterator[tuple[int, int]]:
    """What stands on the next lines that are indented further: of a text as YAML has it, the rest of the value."""
    for line in _NEXT_LINE.finditer(text, offset):
        if line.start() != offset or (line["content"] and len(line["space"]) <= indent):
            return
        offset = line.end()
        if _CONTENT.search(line["content"]):
            yield line.start("content"), offset


def _suspicious(text: str, start: int, end: int, is_secret: Judge, announces: Callable[[str], bool]) -> int | None:
    """From where on a line in disorder has to be hidden: after the first name that announces secrets."""

    def hides(part: str) -> bool:
        whole = _QUOTES.sub("", part)  # a quote too many may stand within the name
        return is_secret(("",), whole) or (whole != part and any(map(announces, set(_NAME.findall(whole)))))

    for name in _NAME.finditer(text, start, end):
        if announces(name.group()):
            after = _AFTER_NAME.match(text, name.end(), end)
            return start if hides(text[start : name.start()]) else after.end() if after else name.end()
    return start if hides(text[start:end]) else None


def _nest(around: list[str], key: str, text: str) -> None:
    """Follow the brackets of a line in disorder, as ``"headers: {``."""
    text = _QUOTES.sub("", text)
    for bracket in _BRACKET.finditer(text):
        if bracket.group() in {"}", "]"}:
            del around[-1:]
        else:
            name = _KEY_BEFORE.search(text[max(0, bracket.start() - _LONGEST_KEY) : bracket.start()])
            around.append(name[1] if name else key)


def _plain(token: str) -> str:
    """A word without its quotes, its escapes resolved where they can be."""
    if not token.startswith('"'):
        return token.strip("'")
    try:
        return str(json.loads(token, strict=False))
    except ValueError:
        return token[1:-1]
