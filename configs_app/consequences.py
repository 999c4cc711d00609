"""What a change does, in sentences: what an approver needs to know before the diff."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

from configs_app import contents, diffs, secrets
from configs_app.json_text import Path, leaves
from configs_app.members import read, refusal
from configs_app.models import Change
from configs_app.validation import reading
from instances_app.models import Kind

# What is confirmed by typing: more than this part of the entries gone, or the text grown by more than this factor.
REMOVED_SHARE = 0.3
GROWN = 3
NAMES_SHOWN = 6
AUTHENTICATION = frozenset(
    """
    authorization basic_auth digest_auth jwt hmac oauth1 oauth2 header_auth query_auth ip_whitelist recaptcha
    """.split()
)


class Risk(IntEnum):
    LOW = 1
    MEDIUM = 2
    HIGH = 3

    @property
    def word(self) -> str:
        return self.name.lower()


@dataclass(frozen=True, slots=True)
class Consequence:
    risk: Risk
    text: str


@dataclass(frozen=True, slots=True)
class Summary:
    """Everything a change does, gravest first."""

    consequences: tuple[Consequence, ...]
    entries: dict[str, diffs.EntryChanges]  # kind → its entries added, removed, changed
    guards: tuple[str, ...]  # what is unusual enough to be confirmed by typing, in words
    readable: bool  # false while one of the texts is not a valid document

    @property
    def risk(self) -> Risk:
        return max((item.risk for item in self.consequences), default=Risk.LOW)


def of_change(change: Change) -> Summary:
    """The consequences of publishing the change onto its base revisions."""
    return of_texts(
        {
            document.kind: (document.base.text if document.base else None, document.text)
            for document in contents.changed_documents(change)
        },
        webhooks=contents.texts(change)[Kind.WEBHOOKS],
    )


def of_texts(texts: dict[str, tuple[str | None, str]], *, webhooks: str | None = None) -> Summary:
    """kind → (old text or None, new text); `webhooks` is the webhooks text that connections serve afterwards."""
    found: list[Consequence] = []
    entries: dict[str, diffs.EntryChanges] = {}
    guards: list[str] = []
    for kind, (old, new) in texts.items():
        served = webhooks if webhooks and kind == Kind.CONNECTIONS else "{}"
        if refusal(new) or refusal(served):  # the old text is a revision's, so it is a document
            return Summary((), {}, guards=(), readable=False)
        before = {member.name: member.value for member in read(old)} if old is not None else {}
        after = {member.name: member.value for member in read(new)}
        users = _users(served)
        difference = entries[kind] = diffs.entries(old, new)
        guards += _guards(kind, difference, before, after, grown=len(new) / len(old) if old else 0)
        if before and not after:
            found.append(Consequence(Risk.HIGH, f"The {kind} document becomes empty."))
        if kind == Kind.WEBHOOKS:
            found += _webhooks(difference, before, after)
        else:
            found += _connections(difference, before, after, users)
        found += _new_secrets(difference, before, after)
        if not difference:
            found.append(Consequence(Risk.LOW, f"{kind}: only the formatting changes; instances see no difference."))
    found.sort(key=lambda item: -item.risk)
    return Summary(tuple(found), entries, guards=tuple(guards), readable=True)


def _guards(
    kind: str, difference: diffs.EntryChanges, before: dict[str, Any], after: dict[str, Any], *, grown: float
) -> Iterable[str]:
    if not before:
        return
    if not after:
        yield f"It empties the {kind} document."
    elif len(difference.removed) > REMOVED_SHARE * len(before):
        yield f"It removes {len(difference.removed)} of the {len(before)} {kind}."
    if grown > GROWN:
        yield f"It makes the {kind} document {grown:.0f} times as large."


def _webhooks(difference: diffs.EntryChanges, before: dict[str, Any], after: dict[str, Any]) -> Iterable[Consequence]:
    if difference.removed:
        text = f"{_counted(difference.removed, 'webhook')} removed, will answer 404: {_names(difference.removed)}"
        yield Consequence(Risk.HIGH, text)
    if difference.added:
        text = f"{_counted(difference.added, 'webhook')} added: {_names(difference.added)}"
        yield Consequence(Risk.LOW, text)
    for name in difference.added:
        if not _protections(after[name]):
            yield Consequence(Risk.MEDIUM, f"{name} is open: anybody who knows the address can call it.")
    for name in difference.changed:
        lost = _protections(before[name]) - _protections(after[name])
        if lost:
            yield Consequence(Risk.HIGH, f"{name} loses its protection: {_names(sorted(lost))}")
    for (was, now), names in _moves(difference, before, after).items():
        verb = "goes" if len(names) == 1 else "go"
        yield Consequence(Risk.MEDIUM, f"{_names(names)} {verb} to {now} instead of {was}.")
    if difference.changed:
        text = f"{_counted(difference.changed, 'webhook')} changed: {_names(difference.changed)}"
        yield Consequence(Risk.MEDIUM, text)


def _moves(
    difference: diffs.EntryChanges, before: dict[str, Any], after: dict[str, Any]
) -> dict[tuple[str, str], list[str]]:
    """(where payloads went, where they go) → the webhooks for which that changes."""
    moves: dict[tuple[str, str], list[str]] = {}
    for name in difference.changed:
        was, now = _destination(before[name]), _destination(after[name])
        if was != now:
            moves.setdefault((was, now), []).append(name)
    return moves


def _destination(entry: object) -> str:
    """Modules and the connections they name, in the order they run: ``kafka (k1) → log``."""
    steps = [*reading.steps(entry)] if isinstance(entry, dict) else []
    return " → ".join(map(_step, steps)) or "nothing"


def _step(step: reading.Step) -> str:
    module = _named(step.name, (*step.path, "module"))
    return f"{module} ({_named(step.connection, (*step.path, 'connection'))})" if step.connection else module


def _named(value: object, path: Path) -> str:
    """A word of a document as a sentence may hold it: never a secret, and no object, which may hold some."""
    plain = isinstance(value, str) and not secrets.is_secret(("", *path), value)
    return str(value) if plain or isinstance(value, int | float | None) else f"what {path[-1]} says"


def _connections(
    difference: diffs.EntryChanges, before: dict[str, Any], after: dict[str, Any], users: dict[str, Users]
) -> Iterable[Consequence]:
    for name in difference.removed:
        used = users.get(name)
        tail = f": {used} will lose what they receive" if used else "; nothing uses it"
        yield Consequence(Risk.HIGH if used else Risk.MEDIUM, f"Connection {name} is removed{tail}.")
    if difference.added:
        yield Consequence(Risk.LOW, f"{_counted(difference.added, 'connection')} added: {_names(difference.added)}")
    for name in difference.changed:
        hosts = [_get(document[name], "host") for document in (before, after)]
        shown = [_named(host, ("host",)) for host in hosts]
        what = f"moves from host {shown[0]} to {shown[1]}" if hosts[0] != hosts[1] else "changes"
        yield Consequence(Risk.MEDIUM, f"Connection {name} {what}: used by {users.get(name) or 'nothing'}.")
    if difference.reordered:
        yield Consequence(
            Risk.MEDIUM,
            "The connections stand in another order; the first ClickHouse one receives every payload.",
        )


def _new_secrets(
    difference: diffs.EntryChanges, before: dict[str, Any], after: dict[str, Any]
) -> Iterable[Consequence]:
    """Entries that hold a literal secret which neither they nor a removed entry (it may be renamed) held before."""
    removed = {value for name in difference.removed for value in _secrets(name, before[name])}
    known = {name: removed | _secrets(name, before[name]) for name in difference.changed}
    names = [
        name
        for name in (*difference.added, *difference.changed)
        if _secrets(name, after[name]) - known.get(name, removed)
    ]
    if names:
        yield Consequence(
            Risk.MEDIUM, f"New literal secret in {_names(names)}; a reference would keep it out of the file."
        )


def _secrets(name: str, entry: object) -> set[str]:
    return {value for path, value in leaves(entry) if secrets.is_secret((name, *path), value)}


@dataclass(slots=True)
class Users:
    """How many webhooks name a connection themselves, and how many steps of chains do."""

    webhooks: int = 0
    chain_items: int = 0

    def __str__(self) -> str:
        parts = [(self.webhooks, "webhook"), (self.chain_items, "chain item")]
        return " and ".join(f"{number} {noun}{'' if number == 1 else 's'}" for number, noun in parts if number)


def _users(webhooks: str) -> dict[str, Users]:
    """Connection name → who uses it."""
    users: dict[str, Users] = {}
    for member in read(webhooks):
        for step in reading.steps(member.value) if isinstance(member.value, dict) else ():
            if isinstance(step.connection, str):
                found = users.setdefault(step.connection, Users())
                found.webhooks += not step.in_chain
                found.chain_items += step.in_chain
    return users


def _protections(entry: object) -> set[str]:
    return {name for name in AUTHENTICATION if _get(entry, name)}


def _get(entry: object, name: str) -> Any:
    return entry.get(name) if isinstance(entry, dict) else None


def _names(names: list[str]) -> str:
    more = f" and {len(names) - NAMES_SHOWN} more" if len(names) > NAMES_SHOWN else ""
    return ", ".join(names[:NAMES_SHOWN]) + more


def _counted(names: list[str], noun: str) -> str:
    return f"{len(names)} {noun}{'' if len(names) == 1 else 's'}"
