"""What a change does: entries added, removed, changed; lines for people, with secrets masked."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from webhook_agent import protocol

from configs_app import secrets
from configs_app.line_diff import LineMatcher

Mark = Literal["added", "removed", "same", "gap"]


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a unified diff; a number is None on the side where the line does not exist."""

    mark: Mark
    old: int | None
    new: int | None
    text: str


@dataclass(frozen=True, slots=True)
class EntryChanges:
    """Names of entries, in the order of the document they stand in."""

    added: list[str] = field(default_factory=list)
    removed: list[str] = field(default_factory=list)
    changed: list[str] = field(default_factory=list)
    reordered: bool = False  # the same entries in another order; matters for connections

    def __bool__(self) -> bool:
        return bool(self.added or self.removed or self.changed or self.reordered)


def entries(old: str | None, new: str) -> EntryChanges:
    """The entry-wise difference of two valid documents; None is a document that does not exist yet."""
    before: dict[str, Any] = protocol.parse(old) if old is not None else {}
    after = protocol.parse(new)
    kept_before = [name for name in before if name in after]
    kept_after = [name for name in after if name in before]
    return EntryChanges(
        added=[name for name in after if name not in before],
        removed=[name for name in before if name not in after],
        changed=[name for name in kept_after if not _equal(before[name], after[name])],
        reordered=kept_before != kept_after,
    )


def lines(old: str | None, new: str, *, context: int = 3, show_secrets: bool = False) -> list[Line]:
    """A unified diff with line numbers, ready to print. Secrets are masked unless asked for."""
    before, after = old or "", new
    if not show_secrets:
        before, after = secrets.masked(before) if before else "", secrets.masked(after)
    left, right = before.splitlines(), after.splitlines()
    matcher = LineMatcher(left, right)
    result: list[Line] = []
    for number, group in enumerate(matcher.get_grouped_opcodes(context)):
        if number or group[0][1] > 0:
            result.append(Line("gap", None, None, ""))
        for tag, i1, i2, j1, j2 in group:
            if tag == "equal":
                result += [Line("same", i + 1, j1 + i - i1 + 1, left[i]) for i in range(i1, i2)]
                continue
            result += [Line("removed", i + 1, None, left[i]) for i in range(i1, i2)]
            result += [Line("added", None, j + 1, right[j]) for j in range(j1, j2)]
    return result


def _equal(one: object, other: object) -> bool:
    """Equal as JSON: 1 and 1.0 and true are three different things, and the order of keys is nothing."""
    return protocol.digest({"": one}) == protocol.digest({"": other})
