"""What differs between two documents, entry by entry: added, removed, renamed, changed, moved, or only written anew.

An entry under another name counts as renamed when what was removed and what was added hold the same content, or
nearly: at least three quarters of their values (path and value) are the same on both sides, and no other pair fits
better. The old name is gone all the same, so it stands among the removed entries as well, and the new one among the
added: a caller that counts addresses need not know of renaming.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from configs_app.json_text import Path
from configs_app.line_diff import longest_rising
from configs_app.members import Member, members, read

ALIKE = 0.75  # this part of two entries' values is the same: one entry under two names
MOST_PAIRS = 10_000  # removed times added entries that are compared for likeness


@dataclass(frozen=True, slots=True)
class Renamed:
    old: str
    new: str
    keys: tuple[str, ...]  # what differs besides the name; empty for the same content


@dataclass(frozen=True, slots=True)
class EntryChanges:
    """Names of entries, in the order of the document they stand in."""

    added: list[str] = field(default_factory=list)
    removed: list[str] = field(default_factory=list)
    changed: list[str] = field(default_factory=list)  # the value differs as JSON
    renamed: list[Renamed] = field(default_factory=list)  # each also among `added` and `removed`
    moved: list[str] = field(default_factory=list)  # the fewest that explain another order
    key_order: list[str] = field(default_factory=list)  # equal as JSON, the keys stand in another order
    formatting: list[str] = field(default_factory=list)  # only spaces, line ends, or how a text is escaped
    keys: Mapping[str, tuple[str, ...]] = field(default_factory=dict)  # changed entry → what differs inside

    def __bool__(self) -> bool:
        """Whether an instance would see a difference."""
        return bool(self.added or self.removed or self.changed or self.moved)

    @property
    def differ(self) -> bool:
        """Whether a person would see a difference inside or between entries."""
        return bool(self) or bool(self.key_order or self.formatting)

    @property
    def reordered(self) -> bool:
        """The same entries in another order; matters for connections."""
        return bool(self.moved)

    @property
    def appeared(self) -> list[str]:
        """Added, and not an old entry under another name."""
        renamed = {pair.new for pair in self.renamed}
        return [name for name in self.added if name not in renamed]

    @property
    def vanished(self) -> list[str]:
        """Removed, and not there under another name."""
        renamed = {pair.old for pair in self.renamed}
        return [name for name in self.removed if name not in renamed]


def entries(old: str | None, new: str) -> EntryChanges:
    """The entry-wise difference of two texts; None is a document that does not exist yet.

    Raises JsonError for a text that is not a JSON object.
    """
    return compared(read(old) if old is not None else (), read(new))


def compared(old: Iterable[Member], new: Iterable[Member]) -> EntryChanges:
    """The same for texts that are read already."""
    before, after = {member.name: member for member in old}, {member.name: member for member in new}
    added = [name for name in after if name not in before]
    removed = [name for name in before if name not in after]
    sorts: dict[str, list[str]] = {"changed": [], "key_order": [], "formatting": []}
    for name, member in after.items():
        if name in before and before[name].text != member.text:
            sorts[_sort(before[name].value, member.value)].append(name)
    return EntryChanges(
        added=added,
        removed=removed,
        renamed=list(_renamed({name: before[name] for name in removed}, {name: after[name] for name in added})),
        moved=_moved([name for name in before if name in after], [name for name in after if name in before]),
        keys={name: tuple(differing(before[name].value, after[name].value)) for name in sorts["changed"]},
        **sorts,
    )


def touched(old: str | None, new: str) -> Iterator[tuple[str, str]]:
    """Every entry that is not the same as JSON: its name, and "added", "changed" or "removed"."""
    before = {member.name: member for member in members(old)} if old is not None else {}
    after = {member.name: member for member in members(new)}
    for name, member in after.items():
        if name not in before:
            yield name, "added"
        elif before[name].text != member.text and canonical(before[name].value) != canonical(member.value):
            yield name, "changed"
    yield from ((name, "removed") for name in before if name not in after)


def differing(old: object, new: object, path: str = "") -> Iterator[str]:
    """Where two values differ, as paths for people: ``module-config.topic``, ``chain[1].queue``. No values."""
    if isinstance(old, dict) and isinstance(new, dict):
        for key in [*old, *(key for key in new if key not in old)]:
            here = f"{path}.{key}" if path else str(key)
            if key not in old or key not in new:
                yield here
            else:
                yield from differing(old[key], new[key], here)
    elif isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        for index, (one, other) in enumerate(zip(old, new, strict=True)):
            yield from differing(one, other, f"{path}[{index}]")
    elif canonical(old) != canonical(new):
        yield path or "the whole entry"


def canonical(value: object) -> str:
    """Equal for what is equal as JSON: 1, 1.0 and true are three things, the order of keys is nothing."""
    return json.dumps(value, sort_keys=True)


def _sort(old: object, new: object) -> str:
    if canonical(old) != canonical(new):
        return "changed"
    return "formatting" if json.dumps(old) == json.dumps(new) else "key_order"


def _renamed(gone: Mapping[str, Member], came: Mapping[str, Member]) -> Iterator[Renamed]:
    """Same content first, in the order of the documents; then the pairs that are most alike."""
    waiting: dict[str, list[str]] = {}
    for name, member in gone.items():
        waiting.setdefault(canonical(member.value), []).append(name)
    pairs: dict[str, str] = {}  # new name → old name
    for name, member in came.items():
        same = waiting.get(canonical(member.value))
        if same:
            pairs[name] = same.pop(0)
    left = [name for name in gone if name not in pairs.values()]
    right = [name for name in came if name not in pairs]
    if len(left) * len(right) <= MOST_PAIRS:
        pairs |= _alike({name: gone[name] for name in left}, {name: came[name] for name in right})
    for name, member in came.items():
        if name in pairs:
            old = pairs[name]
            yield Renamed(old, name, tuple(differing(gone[old].value, member.value)))


def _alike(gone: Mapping[str, Member], came: Mapping[str, Member]) -> dict[str, str]:
    values = {name: set(_values(member.value)) for name, member in gone.items()}
    found: list[tuple[float, str, str]] = []
    for new, member in came.items():
        mine = set(_values(member.value))
        for old, theirs in values.items():
            likeness = 2 * len(mine & theirs) / (len(mine) + len(theirs) or 1)
            if likeness >= ALIKE:
                found.append((likeness, old, new))
    pairs: dict[str, str] = {}
    taken: set[str] = set()
    for _, old, new in sorted(found, key=lambda pair: -pair[0]):
        if new not in pairs and old not in taken:
            pairs[new] = old
            taken.add(old)
    return pairs


def _values(value: object, path: Path = ()) -> Iterator[tuple[Path, str]]:
    """Every value that holds no other, with its path."""
    if isinstance(value, dict) and value:
        for key, inner in value.items():
            yield from _values(inner, (*path, key))
    elif isinstance(value, list) and value:
        for index, inner in enumerate(value):
            yield from _values(inner, (*path, index))
    else:
        yield path, json.dumps(value)


def _moved(before: Sequence[str], after: Sequence[str]) -> list[str]:
    """The fewest entries that have to move to make one order the other; `before` and `after` hold the same names."""
    if before == after:
        return []
    place = {name: index for index, name in enumerate(before)}
    chosen = longest_rising([place[name] for name in after])
    stays = {after[index] for index in chosen}
    return [name for name in after if name not in stays]
