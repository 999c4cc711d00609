"""From a text with marks back to the text with its secrets.

A mark stands for one literal wherever it is moved or copied to, so nothing is guessed from places: either these very
characters come back, or the text is refused. A mark never becomes a value, and a secret never lands where it would be
shown.
"""

from __future__ import annotations

import json
import re
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field

from configs_app import broken_text
from configs_app.secrets import hidden, looks_like_mark

_WHOLE = re.compile(r"‹secret [0-9a-f]{12}(?:·\w+)?›")
_PART = re.compile(r"[‹secrt 0-9a-f·bokn›]{8,}")
_TOKEN = re.compile(rf"{broken_text.STRING}|‹secret [0-9a-f]{{12}}·broken›")
_LINE = re.compile(r"[^\s:][^\r\n]*")
_SIGNS = " \t\r\n,:{}[]"

UNKNOWN = (
    "This mark stands for no secret known here: it was mistyped or cut, or it comes from another environment. "
    "Copy the whole mark again, or type the value itself."
)
AMBIGUOUS = "This mark could stand for two secrets. Type the value itself."
EMBEDDED = "A mark stands for a whole value and cannot be part of another text. Type the whole value."
AS_KEY = "A mark cannot be a key. Type the key."
READABLE = (
    "Everybody could read the secret behind this mark here. Put it under a key that holds secrets, as password, secret "
    "or token, or type the value itself."
)


@dataclass(frozen=True, slots=True)
class Problem:
    """A mark that cannot be replaced by its secret: its offset in the text with marks, and what to do."""

    offset: int
    message: str


@dataclass(frozen=True, slots=True)
class Unmasked:
    """A text with the secrets back in it. `places`: each one's start and end here, then in the text with marks."""

    text: str = field(repr=False)
    problems: tuple[Problem, ...] = ()
    places: tuple[tuple[int, int, int, int], ...] = ()

    def offset_with_marks(self, offset: int) -> int:
        """Where something of this text stands in the one with marks; within a secret: at its mark."""
        number = bisect_right(self.places, offset, key=lambda place: place[0]) - 1
        if number < 0:
            return offset
        _, end, mark_start, mark_end = self.places[number]
        return mark_start if offset < end else mark_end + offset - end


def known(texts: Iterable[str]) -> dict[str, str | None]:
    """mark → what stands behind it in these texts, as it is written there; None when that is not one thing only."""
    return collected((secret.mark, text[secret.start : secret.end]) for text in set(texts) for secret in hidden(text))


def collected(pairs: Iterable[tuple[str, str]]) -> dict[str, str | None]:
    """Two secrets under one mark make it worthless: neither is ever put in the other's place."""
    found: dict[str, str | None] = {}
    for mark, literal in pairs:
        if found.setdefault(mark, literal) != literal:
            found[mark] = None
    return found


def unmasked(text: str, known: Mapping[str, str | None]) -> Unmasked:
    """The text with the secret back behind every mark, or why a mark has none.

    Everything else stays as typed, and what only looks like a mark is a problem, too: no mark becomes a value. Nor is
    a secret put where it would be shown. With problems, the text is not for keeping; when a secret would be readable
    none is put back at all.
    """
    pieces: list[str] = []
    problems: list[Problem] = []
    places: list[tuple[int, int, int, int]] = []
    done = shift = 0
    parts = "\n".join(known)
    for found in _TOKEN.finditer(text):
        token, start, end = found.group(), found.start(), found.end()
        is_key = token[0] == '"' and broken_text.COLON.match(text, end) is not None
        literal = None if is_key else known.get(token)
        problems += _problems_between(text, done, start)
        pieces += [text[done:start], token if literal is None else literal]
        done = end
        if literal is None:
            message = _problem(token, parts, is_key=is_key, twice=token in known)
            problems += [Problem(start, message)] if message else []
        else:
            places.append((start + shift, start + shift + len(literal), start, end))
            shift += len(literal) - len(token)
    problems += _problems_between(text, done, len(text))
    restored = "".join([*pieces, text[done:]])
    readable = [Problem(place[2], READABLE) for place in _readable(restored, places)]
    if readable:
        return Unmasked(text, tuple(sorted([*problems, *readable], key=lambda problem: problem.offset)))
    return Unmasked(restored, tuple(problems), tuple(places))


def _readable(text: str, places: list[tuple[int, int, int, int]]) -> Iterator[tuple[int, int, int, int]]:
    """The places whose secret would not be hidden again when the text is shown."""
    ranges = [(secret.start, secret.end) for secret in hidden(text)] if places else []
    for place in places:
        number = bisect_right(ranges, place[0], key=lambda item: item[0]) - 1
        if number < 0 or ranges[number][1] < place[1]:
            yield place


def _problem(token: str, parts: str, *, is_key: bool, twice: bool) -> str:
    """What is wrong with a string that was not replaced, if it has to do with marks."""
    value = token.strip('"')
    if "\\" in token:
        with suppress(ValueError):
            value = str(json.loads(token))
    if not looks_like_mark(value) and not (_PART.fullmatch(value) and value in parts):
        return ""
    if is_key:
        return AS_KEY
    if twice:
        return AMBIGUOUS
    return EMBEDDED if _WHOLE.search(value) and not _WHOLE.fullmatch(value) else UNKNOWN


def _problems_between(text: str, start: int, end: int) -> list[Problem]:
    """Marks outside of whole strings, which a broken text may have: one for each line."""
    if not text[start:end].strip(_SIGNS):  # as everywhere in a text that is JSON, but for numbers and words
        return []
    lines = _LINE.finditer(text, start, end)
    return [Problem(line.start(), UNKNOWN) for line in lines if looks_like_mark(line.group())]
