"""JSON as people type it: where every key and value stands, and what is wrong with it, by line and column.

`webhook_agent.protocol.parse` decides whether a text is a document; it is fast and has no positions. This scanner
is only used where a person has to be shown a place.
"""

from __future__ import annotations

import json
import re
from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import accumulate, count
from operator import add

from webhook_agent import protocol

Path = tuple[str | int, ...]
Tree = dict[str | int, "Tree"]

SPACE = re.compile(r"[ \t\n\r]*")
STRING = re.compile(r'"(?:[^"\\\x00-\x1f]|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))*"')
NUMBER = re.compile(r"-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?")
WORD = re.compile(r"-?[A-Za-z_]\w*")
_decoder = json.JSONDecoder()
ENDS = frozenset(("}", "]", ""))
LITERALS = {"true": True, "false": False, "null": None}


@dataclass(frozen=True, slots=True)
class Place:
    """Character offsets of one value; `key` is where its key starts (an object's member) or None."""

    start: int
    end: int
    key: int | None = None


@dataclass(slots=True)
class JsonMap:
    """Where everything in one text stands. Paths are tuples of keys and indexes; () is the whole document."""

    places: dict[Path, Place] = field(default_factory=dict)
    every: list[tuple[Path, Place]] = field(default_factory=list)  # also what a later key of the same name hides
    duplicates: list[tuple[Path, int]] = field(default_factory=list)  # path, offset of the second key

    def find(self, path: Path) -> Place | None:
        """The place of the path, or of the nearest thing around it that exists."""
        while path not in self.places and path:
            path = path[:-1]
        return self.places.get(path)


class JsonError(Exception):
    """The text is not JSON: what is wrong, and at which offset."""

    def __init__(self, message: str, offset: int) -> None:
        super().__init__(message)
        self.message = message
        self.offset = offset


class Lines:
    """The lines of a text, to say where offsets stand in it; made once, however many offsets there are."""

    def __init__(self, text: str) -> None:
        self._length = len(text)
        self.starts = [0, *map(add, accumulate(map(len, text.split("\n"))), count(1))]

    def at(self, offset: int) -> tuple[int, int]:
        """1-based line and column of a character offset."""
        offset = max(0, min(offset, self._length))
        line = bisect_right(self.starts, offset)
        return line, offset - self.starts[line - 1] + 1


def scan(text: str) -> JsonMap:
    """The map of a whole text; raises JsonError at the first thing that is not JSON."""
    found = JsonMap()
    offset = _skip(text, 0)
    if text.startswith("\ufeff"):
        raise JsonError("The text starts with a byte order mark; remove the invisible first character.", 0)
    if offset == len(text):
        raise JsonError("The document is empty. The smallest document is {}.", offset)
    end = _skip(text, _value(text, offset, (), None, found))
    if end != len(text):
        raise JsonError("There is more text after the end of the document.", end)
    return found


def seek(text: str, paths: Iterable[Path]) -> JsonMap:
    """The map of a valid document with these paths only; everything else is passed over quickly."""
    wanted: Tree = {}
    for path in paths:
        branch = wanted
        for part in path:
            branch = branch.setdefault(part, {})
    found = JsonMap()
    start = _skip(text, 0)
    found.places[()] = Place(start, len(text.rstrip()))
    _seek(text, start, (), wanted, found)
    return found


def _seek(text: str, start: int, path: Path, wanted: Tree, found: JsonMap) -> None:
    """Put the places of what is wanted below the object or array at `start` into the map."""
    is_object, index, left = text[start] == "{", -1, len(wanted)
    offset = _skip(text, start + 1)
    while left and text[offset : offset + 1] not in ENDS:
        key: int | None = None
        name: str | int = (index := index + 1)
        if is_object:
            key, (name, end) = offset, _decoder.raw_decode(text, offset)
            offset = _skip(text, _skip(text, end) + 1)
        end = _decoder.raw_decode(text, offset)[1]
        if name in wanted:
            left -= 1
            here = (*path, name)
            found.places[here] = Place(offset, end, key)
            if wanted[name] and text[offset] in "{[":
                _seek(text, offset, here, wanted[name], found)
        offset = _skip(text, end)
        if text[offset : offset + 1] == ",":
            offset = _skip(text, offset + 1)


def leaves(value: object, path: Path = ()) -> list[tuple[Path, str]]:
    """Every string value below a parsed one."""
    return [(here, found) for here, found in scalars(value, path) if isinstance(found, str)]


def scalars(value: object, path: Path = ()) -> list[tuple[Path, object]]:
    """Every value below a parsed one that holds no other. Iterative: documents nest up to a hundred levels."""
    if not isinstance(value, (dict, list)):
        return [(path, value)]
    every: list[tuple[Path, object]] = []
    waiting: list[tuple[Path, object]] = [(path, value)]
    while waiting:
        here, found = waiting.pop()
        inside = found.items() if isinstance(found, dict) else enumerate(found) if isinstance(found, list) else ()
        for key, inner in inside:
            (waiting if isinstance(inner, (dict, list)) else every).append(((*here, key), inner))
    return every


def _skip(text: str, offset: int) -> int:
    match = SPACE.match(text, offset)
    return match.end() if match else offset


def _value(text: str, offset: int, path: Path, key: int | None, found: JsonMap) -> int:
    first = text[offset : offset + 1]
    if first in {"{", "["} and len(path) >= protocol.MAX_DEPTH:
        raise JsonError(f"Nested deeper than {protocol.MAX_DEPTH} levels.", offset)
    if first == "{":
        end = _object(text, offset, path, found)
    elif first == "[":
        end = _array(text, offset, path, found)
    elif first == '"':
        end = _string(text, offset)
    else:
        end = _plain(text, offset)
    place = found.places[path] = Place(offset, end, key)
    found.every.append((path, place))
    return end


def _object(text: str, start: int, path: Path, found: JsonMap) -> int:
    offset = _skip(text, start + 1)
    if text[offset : offset + 1] == "}":
        return offset + 1
    seen: set[str] = set()
    while True:
        if text[offset : offset + 1] != '"':
            raise JsonError(_expected(text, offset, 'a key in double quotes or "}"'), offset)
        end = _string(text, offset)
        name = json.loads(text[offset:end])
        if name in seen:
            found.duplicates.append(((*path, name), offset))
        seen.add(name)
        colon = _skip(text, end)
        if text[colon : colon + 1] != ":":
            raise JsonError(_expected(text, colon, '":" after the key'), colon)
        offset = _skip(text, _value(text, _skip(text, colon + 1), (*path, name), offset, found))
        mark = text[offset : offset + 1]
        if mark == "}":
            return offset + 1
        if mark != ",":
            raise JsonError(_expected(text, offset, '"," or "}"'), offset)
        comma, offset = offset, _skip(text, offset + 1)
        if text[offset : offset + 1] == "}":
            raise JsonError('A comma before "}" is not allowed in JSON; remove it.', comma)


def _array(text: str, start: int, path: Path, found: JsonMap) -> int:
    offset = _skip(text, start + 1)
    if text[offset : offset + 1] == "]":
        return offset + 1
    index = 0
    while True:
        offset = _skip(text, _value(text, offset, (*path, index), None, found))
        mark = text[offset : offset + 1]
        if mark == "]":
            return offset + 1
        if mark != ",":
            raise JsonError(_expected(text, offset, '"," or "]"'), offset)
        comma, offset = offset, _skip(text, offset + 1)
        if text[offset : offset + 1] == "]":
            raise JsonError('A comma before "]" is not allowed in JSON; remove it.', comma)
        index += 1


def _string(text: str, offset: int) -> int:
    match = STRING.match(text, offset)
    if match:
        return match.end()
    line_end = text.find("\n", offset)
    line = text[offset : line_end if line_end >= 0 else len(text)]
    if re.search(r"\\(?![\"\\/bfnrtu])", line):
        raise JsonError('A backslash in a string must be written as "\\\\".', offset)
    if any(ord(mark) < 32 for mark in line):
        raise JsonError("A tab or another control character inside a string must be escaped, as \\t.", offset)
    raise JsonError('This string has no closing double quote (") on its line.', offset)


def _plain(text: str, offset: int) -> int:
    number = NUMBER.match(text, offset)
    if number and number.end() > offset:
        digits = number.group()
        if re.match(r"\w", text[number.end() : number.end() + 1]):
            raise JsonError("This is not a number; put text in double quotes.", offset)
        if "." in digits or "e" in digits.lower():
            if float(digits) in {float("inf"), float("-inf")}:
                raise JsonError("This number is too large to be kept exactly.", offset)
        elif len(digits) > protocol.MAX_INTEGER_DIGITS:
            raise JsonError("This number has too many digits.", offset)
        return number.end()
    word = WORD.match(text, offset)
    if word is None:
        raise JsonError(_expected(text, offset, "a value"), offset)
    if word.group() in LITERALS:
        return word.end()
    if word.group() in {"NaN", "Infinity", "-Infinity"}:
        raise JsonError(f"{word.group()} is not JSON; use a number, null or text in quotes.", offset)
    raise JsonError("Text must stand in double quotes; only true, false and null stand alone.", offset)


def _expected(text: str, offset: int, what: str) -> str:
    if offset >= len(text):
        return f"The document ends here, but {what} is missing."
    if text[offset] == "'":
        return f"Expected {what}. JSON uses double quotes, not single ones."
    if text.startswith(("//", "/*", "#"), offset):
        return "JSON has no comments. A note may stand in a key that the service ignores, inside an entry."
    return f"Expected {what} here."
