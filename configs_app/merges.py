"""Two edits of one document put together: entry by entry, and within an entry key by key.

Texts in, text out; nothing is read or kept. `base` is what both edits began with, `ours` is the change's text,
`theirs` the current one. What only one side changed is taken from that side. What both changed in the same way is as
both have it. What both changed differently is put together key by key where all three are objects; whatever is left is
a conflict, which a person decides.

The result is ours with ranges replaced, so what was typed there stays as it was typed; what comes from theirs keeps the
characters it has there.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from webhook_agent import protocol

from configs_app import marks, secrets
from configs_app.entry_diff import canonical
from configs_app.json_text import JsonError, scan, seek
from configs_app.members import Member, members, read

Keys = tuple[str, ...]  # an entry's name, then the keys inside it
Side = Literal["ours", "theirs", "edit"]
Word = Literal["ours", "theirs", "both"]

EMPTY = "{}"  # what a document that nobody has written yet counts as


@dataclass(frozen=True, slots=True)
class Choice:
    """How a person decided a conflict; `typed` is a JSON value with marks in place of secrets, for "edit" only."""

    side: Side
    typed: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class Conflict:
    """One value that both sides changed differently, as typed on each side; None where it does not exist."""

    path: Keys
    base: str | None = field(repr=False)
    ours: str | None = field(repr=False)
    theirs: str | None = field(repr=False)


@dataclass(slots=True)
class Part:
    """What became of one entry that a side has changed: taken whole (`word`), or put together of several keys."""

    name: str
    word: Word | None = None
    what: str = ""  # added, changed or removed, of an entry taken whole
    ours: list[str] = field(default_factory=list)  # ``module-config.topic``: keys inside, by the side they are from
    theirs: list[str] = field(default_factory=list)
    both: list[str] = field(default_factory=list)
    conflicts: list[Keys] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Merged:
    text: str = field(repr=False)  # with ours wherever a conflict is undecided: not for keeping then
    parts: list[Part]
    conflicts: list[Conflict]
    undecided: list[Keys]
    problems: list[tuple[Keys, str]]  # what is wrong with a typed value, in words
    order: Literal["", "theirs", "conflict"]  # whose order of entries it is; both moved some: ours is kept


def merged(
    base: str | None,
    ours: str,
    theirs: str | None,
    choices: Mapping[Keys, Choice] | None = None,
    *,
    known: Mapping[str, str | None] | None = None,
) -> Merged:
    """The three texts put together; each has to be a valid document, None is one that does not exist.

    `known` says which secret a mark in a typed value stands for.
    """
    before, now = base or EMPTY, theirs or EMPTY
    merge = _Merge(choices or {}, known or {})
    written = merge.objects((), before, ours, now)
    text = now if ours == before else written
    order = _order_word(*([member.name for member in read(side)] for side in (before, ours, now)))
    return Merged(text, merge.parts(), merge.conflicts, merge.undecided, merge.problems, order)


def shown(path: Keys, value: str | None) -> str | None:
    """A value as a page may show it: masked as it would be at its place in the document."""
    if value is None:
        return None
    opened = "".join(f"{{{json.dumps(key)}: " for key in path)
    text = secrets.masked(f"{opened}{value}{'}' * len(path)}")
    place = seek(text, [path]).places[path]
    return text[place.start : place.end]


class _Merge:
    def __init__(self, choices: Mapping[Keys, Choice], known: Mapping[str, str | None]) -> None:
        self.choices = choices
        self.known = known
        self.noted: list[tuple[Keys, Word, str]] = []
        self.conflicts: list[Conflict] = []
        self.undecided: list[Keys] = []
        self.problems: list[tuple[Keys, str]] = []

    def value(self, path: Keys, base: str | None, ours: str | None, theirs: str | None) -> str | None:
        """What stands at this place of the result; None for nothing."""
        if ours == theirs:
            return self._from("both", path, base, ours)
        if ours == base:
            return self._from("theirs", path, base, theirs)
        if theirs == base:
            return self._from("ours", path, base, ours)
        if _same(ours, theirs):
            return self._from("both", path, base, ours)
        if _same(theirs, base):
            return self._from("ours", path, base, ours)
        if _same(ours, base):
            return self._from("theirs", path, base, theirs)
        if base and ours and theirs and base[0] == ours[0] == theirs[0] == "{":
            return self.objects(path, base, ours, theirs)
        return self._conflict(Conflict(path, base, ours, theirs))

    def objects(self, path: Keys, base: str, ours: str, theirs: str) -> str:
        """Three objects put together, key by key; written into ours."""
        before, mine, yours = (_by_name(text, whole=not path) for text in (base, ours, theirs))
        pieces: dict[str, str] = {}
        for name in dict.fromkeys([*mine, *yours, *before]):
            here = (*path, name)
            found = self.value(here, *(_text(side.get(name)) for side in (before, mine, yours)))
            if found is None:
                continue
            text, member = (ours, mine[name]) if name in mine else (theirs, yours[name])
            piece = text[member.key : member.end - len(member.text)] + found
            pieces[name] = piece if path else self._unmasked(here, piece)
        order = _order(list(before), list(mine), list(yours), pieces)
        text, layout = (ours, mine) if mine or not pieces else (theirs, yours)
        return _written(text, list(layout.values()), pieces, order)

    def parts(self) -> list[Part]:
        found: dict[str, Part] = {}
        for path, word, what in self.noted:
            part = found.setdefault(path[0], Part(path[0]))
            if len(path) == 1:
                part.word, part.what = word, what
            else:
                {"ours": part.ours, "theirs": part.theirs, "both": part.both}[word].append(".".join(path[1:]))
        for conflict in self.conflicts:
            found.setdefault(conflict.path[0], Part(conflict.path[0])).conflicts.append(conflict.path)
        return list(found.values())

    def _from(self, word: Word, path: Keys, base: str | None, found: str | None) -> str | None:
        if not _same(found, base):
            self.noted.append((path, word, "added" if base is None else "removed" if found is None else "changed"))
        return found

    def _conflict(self, conflict: Conflict) -> str | None:
        self.conflicts.append(conflict)
        choice = self.choices.get(conflict.path)
        if choice is None:
            self.undecided.append(conflict.path)
            return conflict.ours
        if choice.side == "edit":
            problem = _problem(choice.typed)
            if problem:
                self.problems.append((conflict.path, problem))
            return conflict.ours if problem else choice.typed.strip()
        return conflict.ours if choice.side == "ours" else conflict.theirs

    def _unmasked(self, path: Keys, piece: str) -> str:
        """An entry of which something was typed, with its secrets; it is judged whole, as the editor does."""
        typed = [where for where, choice in self.choices.items() if choice.side == "edit" and where[0] == path[0]]
        if not typed or any(where[0] == path[0] for where, _ in self.problems):
            return piece
        found = marks.unmasked(f"{{{piece}}}", self.known)
        self.problems += [(typed[0], problem.message) for problem in found.problems]
        return piece if found.problems else found.text[1:-1]


def _problem(typed: str) -> str:
    """Why this text is no JSON value that a document may have; empty when it is one."""
    if not typed.strip():
        return "Type the value, or take one of the two sides."
    try:
        scan(typed)
        protocol.parse(f'{{"value": {typed}}}')
    except JsonError as error:
        return error.message
    except protocol.ProtocolError:
        return "This value has a key twice, or is nested too deeply."
    return ""


def _same(one: str | None, other: str | None) -> bool:
    """Equal as JSON; None is only equal to None."""
    if one is None or other is None:
        return one is other
    return one == other or canonical(json.loads(one)) == canonical(json.loads(other))


def _text(member: Member | None) -> str | None:
    return None if member is None else member.text


def _by_name(text: str, *, whole: bool) -> dict[str, Member]:
    return {member.name: member for member in (read if whole else members)(text)}  # whole documents are remembered


def _moved(before: Sequence[str], after: Sequence[str]) -> bool:
    """Whether what is in both stands in another order."""
    here, there = set(before), set(after)
    return [name for name in before if name in there] != [name for name in after if name in here]


def _order_word(base: list[str], ours: list[str], theirs: list[str]) -> Literal["", "theirs", "conflict"]:
    if not _moved(base, theirs) or not _moved(ours, theirs):
        return ""
    return "conflict" if _moved(base, ours) else "theirs"


def _order(base: list[str], ours: list[str], theirs: list[str], kept: Iterable[str]) -> list[str]:
    """One side's order, with what only the other has after what it follows there. Ours, unless only theirs moved."""
    first, second = (theirs, ours) if _moved(base, theirs) and not _moved(base, ours) else (ours, theirs)
    left = set(kept)
    placed = {name for name in first if name in left}
    after: dict[str | None, list[str]] = {}
    anchor: str | None = None
    for name in second:
        if name in placed:
            anchor = name
        elif name in left:
            after.setdefault(anchor, []).append(name)
    order = after.get(None, [])
    for name in first:
        if name in placed:
            order += [name, *after.get(name, [])]
    return order


def _written(text: str, layout: Sequence[Member], pieces: Mapping[str, str], order: Sequence[str]) -> str:
    """The object with these members, each behind the comma and the space that it stands behind in `text`."""
    if not layout:
        return text
    opening, closing = text[: layout[0].key], text[layout[-1].end :]
    if not order:
        return opening.rstrip() + closing.lstrip()
    gaps = {
        member.name: text[layout[index].end : member.key] for index, member in enumerate(layout[1:])
    }  # before each member but the first
    usual = Counter(gaps.values()).most_common(1)
    gap = usual[0][0] if usual else f",{opening[opening.index('{') + 1 :] or ' '}"
    joined = [f"{gaps.get(name, gap) if index else opening}{pieces[name]}" for index, name in enumerate(order)]
    return "".join([*joined, closing])
