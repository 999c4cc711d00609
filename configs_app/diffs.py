"""Two texts beside each other, line by line, for people: secrets masked, long unchanged stretches folded.

The texts are compared as they are and masked afterwards, and of them only the entries that are shown: masking two
megabytes takes a second. An entry is masked whole, so no line shows a piece of a secret.
"""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import zip_longest
from typing import Literal, NamedTuple

from configs_app import secrets
from configs_app.entry_diff import EntryChanges, compared, entries
from configs_app.json_text import JsonError, Lines
from configs_app.line_diff import LineMatcher
from configs_app.members import Member, read

__all__ = ["Difference", "EntryChanges", "Line", "Row", "alone", "between", "entries", "lines"]

Mark = Literal["added", "removed", "same", "gap"]

CONTEXT = 3  # unchanged lines shown around a change
MOST_LINES = 2_000  # lines of one difference that a page sends unasked
LONGEST_LINE = 2_000  # characters of one line that a page sends unasked
SHARED = 0.4  # two lines with this much in common are one line that was changed; its difference is emphasised
WORD = re.compile(r"‹[^›]*›|\w+|\s+|.")


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a unified diff; a number is None on the side where the line does not exist."""

    mark: Mark
    old: int | None
    new: int | None
    text: str  # of a gap: how much is left out
    parts: tuple[str, str, str] | None = None  # same, different, same: of a line that was changed, not replaced
    anchor: str = ""  # "old-12" or "new-12", where an entry of the summary points


@dataclass(frozen=True, slots=True)
class Row:
    """One row of two columns."""

    left: Line | None
    right: Line | None


@dataclass(frozen=True, slots=True)
class Difference:
    """Everything a page shows of two texts."""

    lines: list[Line]
    more: int = 0  # lines that follow and are not shown, because they are too many
    entries: EntryChanges | None = None  # None while one of the texts is not JSON
    anchors: Mapping[str, str] = field(default_factory=dict)  # entry → anchor of its first line, shown or not

    @property
    def placed(self) -> set[str]:
        """The anchors that are on the page."""
        return {line.anchor for line in self.lines if line.anchor}

    @property
    def rows(self) -> Iterator[Row]:
        """The same lines in two columns."""
        removed: list[Line] = []
        added: list[Line] = []
        for line in self.lines:
            if line.mark in {"removed", "added"}:
                (removed if line.mark == "removed" else added).append(line)
                continue
            yield from (Row(left, right) for left, right in zip_longest(removed, added))
            removed, added = [], []
            yield Row(line, line)
        yield from (Row(left, right) for left, right in zip_longest(removed, added))


class _Step(NamedTuple):
    """A line before it has its text: places in the two lists of lines, from 0. Of a gap, `old` counts its lines."""

    mark: Mark
    old: int
    new: int
    beside: int = -1  # the line that stands opposite a removed or added one


def lines(old: str | None, new: str, *, context: int = CONTEXT, show_secrets: bool = False) -> list[Line]:
    """A unified diff, whole. Secrets are masked unless asked for."""
    return between(old, new, context=context, most=None, show_secrets=show_secrets).lines


def alone(text: str, name: str) -> str | None:
    """The document with nothing but this entry, as it was typed; None where there is no such entry."""
    found = [member for member in read(text) if member.name == name]
    return f"{{\n  {text[found[-1].key : found[-1].end]}\n}}\n" if found else None


def between(
    old: str | None,
    new: str,
    *,
    context: int | None = CONTEXT,
    most: int | None = MOST_LINES,
    show_secrets: bool = False,
) -> Difference:
    """Lines and entries that differ; None for `old` is a document that does not exist yet.

    `context` None folds nothing, `most` None shows all lines that are left, however long.
    """
    try:
        left, right = _Side(old), _Side(new)
        steps = list(_steps(left.lines, right.lines, context))
        shown = steps[:most]
        if not show_secrets:
            left.mask(step.old for step in shown if step.mark in {"removed", "same"})
            right.mask(step.new for step in shown if step.mark in {"added", "same"})
        changes = compared(left.members, right.members)
    except (JsonError, RecursionError):  # a draft may nest deeper than any document
        return _unread(old, new, context, most)
    anchors = _anchors(steps, left, right, changes)
    placed = set(anchors.values())
    drawn = [_line(step, left.lines, right.lines, placed, most) for step in shown]
    return Difference(drawn, len(steps) - len(shown), changes, anchors)


def _unread(old: str | None, new: str, context: int | None, most: int | None) -> Difference:
    """A text that is not JSON has no entries, and its secrets cannot be told from the rest: masked whole."""
    left, right = (_lines(secrets.masked(text)) if text else [] for text in (old, new))
    steps = list(_steps(left, right, context))
    drawn = [_line(step, left, right, set(), most) for step in steps[:most]]
    return Difference(drawn, len(steps) - len(drawn))


class _Side:
    """One text: its lines, and which entry stands where."""

    def __init__(self, text: str | None) -> None:
        """Raises JsonError for a text that is not a JSON object; None has no lines and no entries."""
        self.text = text or ""
        self.members: list[Member] = list(read(text)) if text is not None else []
        self.lines = _lines(self.text)
        self._starts = Lines(self.text).starts
        self._keys = [member.key for member in self.members]
        self._ends = [member.end for member in self.members]

    def range_of(self, member: Member) -> range:
        """The lines that the entry stands on."""
        first, last = (bisect_right(self._starts, offset) - 1 for offset in (member.key, member.end - 1))
        return range(first, last + 1)

    def mask(self, shown: Iterable[int]) -> None:
        """Mask every entry that has a part in one of these lines."""
        touched: set[int] = set()
        for line in shown:
            first = bisect_right(self._ends, self._starts[line])
            touched.update(range(first, bisect_left(self._keys, self._starts[line + 1])))
        group: list[Member] = []  # that share lines, as all do where a text has one line
        for index in sorted(touched):
            member = self.members[index]
            if group and self.range_of(member).start >= self.range_of(group[-1]).stop:
                self._mask(group)
                group = []
            group.append(member)
        self._mask(group)

    def _mask(self, group: list[Member]) -> None:
        if not group:
            return
        first, last = self.range_of(group[0]).start, self.range_of(group[-1]).stop
        pieces: list[str] = []
        done = self._starts[first]
        for member in group:
            pieces += [self.text[done : member.key], _masked(self.text[member.key : member.end])]
            done = member.end
        masked = "".join([*pieces, self.text[done : self._starts[last] - 1]])
        self.lines[first:last] = [line.removesuffix("\r") for line in masked.split("\n")]


def _masked(entry: str) -> str:
    """An entry as typed, masked. Raises JsonError for one that is masked only together with everything around it."""
    masked = secrets.masked("{" + entry + "}")
    if not masked.startswith("{") or masked.count("\n") != entry.count("\n"):
        raise JsonError("This entry is not strict JSON.", 0)
    return masked[1:-1]


def _lines(text: str) -> list[str]:
    """Without the ends of lines, and without the empty line after the last.

    Only "\n" ends a line, as in findings; str.splitlines would also cut strings apart, at U+2028 for one.
    """
    found = text.split("\n")
    if not found[-1]:
        found.pop()
    return [line.removesuffix("\r") for line in found] if "\r" in text else found


def _steps(left: list[str], right: list[str], context: int | None) -> Iterator[_Step]:
    around = max(len(left), len(right)) if context is None else context
    done = 0
    for group in LineMatcher(left, right).get_grouped_opcodes(around):
        if group[0][1] > done:
            yield _Step("gap", group[0][1] - done, 0)
        for tag, i1, i2, j1, j2 in group:
            if tag == "equal":
                yield from (_Step("same", i1 + n, j1 + n) for n in range(i2 - i1))
                continue
            paired = min(i2 - i1, j2 - j1)
            yield from (_Step("removed", i1 + n, -1, j1 + n if n < paired else -1) for n in range(i2 - i1))
            yield from (_Step("added", -1, j1 + n, i1 + n if n < paired else -1) for n in range(j2 - j1))
        done = group[-1][2]
    if 0 < done < len(left):
        yield _Step("gap", len(left) - done, 0)


def _line(step: _Step, left: list[str], right: list[str], placed: set[str], most: int | None) -> Line:
    if step.mark == "gap":
        return Line("gap", None, None, f"{step.old:,} unchanged line{'' if step.old == 1 else 's'}")
    old = step.old + 1 if step.old >= 0 else None
    new = step.new + 1 if step.new >= 0 else None
    text, parts = (left[step.old] if step.mark == "removed" else right[step.new]), None
    if most is not None and len(text) > LONGEST_LINE:
        text = f"{text[:LONGEST_LINE]}… {len(text) - LONGEST_LINE:,} more characters"
    elif step.beside >= 0:
        parts = _parts(text, right[step.beside] if step.mark == "removed" else left[step.beside])
    anchor = _anchor(step)
    return Line(step.mark, old, new, text, parts, anchor if anchor in placed else "")


def _parts(text: str, other: str) -> tuple[str, str, str] | None:
    """What the two lines begin and end with alike, in whole words, and what stands between; None for too little."""
    if max(len(text), len(other)) > LONGEST_LINE:
        return None
    mine, theirs = WORD.findall(text), WORD.findall(other)
    most = min(len(mine), len(theirs))
    head = 0
    while head < most and mine[head] == theirs[head]:
        head += 1
    tail = 0
    while tail < most - head and mine[-1 - tail] == theirs[-1 - tail]:
        tail += 1
    first, last = "".join(mine[:head]), "".join(mine[len(mine) - tail :])
    longest = max(len(text.strip()), len(other.strip()))
    if len(first.lstrip()) + len(last) < SHARED * longest:
        return None
    return first, "".join(mine[head : len(mine) - tail]), last


def _anchor(step: _Step) -> str:
    return f"new-{step.new + 1}" if step.new >= 0 else f"old-{step.old + 1}"


def _anchors(steps: list[_Step], left: _Side, right: _Side, changes: EntryChanges) -> dict[str, str]:
    """Where each entry of the summary is seen first: a changed line of it, else one that is the same."""
    differ: dict[tuple[str, int], str] = {}
    same: dict[tuple[str, int], str] = {}
    for step in steps:
        if step.mark == "removed":
            differ["left", step.old] = _anchor(step)
        elif step.mark == "added":
            differ["right", step.new] = _anchor(step)
        elif step.mark == "same":
            same["right", step.new] = _anchor(step)
    found: dict[str, str] = {}
    newer = {*changes.added, *changes.changed, *changes.moved, *changes.key_order, *changes.formatting}
    for where, side, wanted in (("right", right, newer), ("left", left, {*changes.removed, *newer})):
        for member in side.members:
            if member.name in wanted and member.name not in found:
                line = next((line for line in side.range_of(member) if (where, line) in differ), None)
                if line is not None:
                    found[member.name] = differ[where, line]
    for member in right.members:
        if member.name in newer and member.name not in found:
            anchor = next((same["right", line] for line in right.range_of(member) if ("right", line) in same), None)
            if anchor is not None:
                found[member.name] = anchor
    return found
