"""What a change does, in sentences: what an approver needs to know before the diff."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

from webhook_agent import protocol

from configs_app import changes, diffs, secrets
from configs_app.models import Change
from instances_app.models import Kind

REMOVED_SHARE = 0.3  # more than this part of a document's entries gone needs a typed confirmation
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
    needs_confirmation: bool
    readable: bool  # false while one of the texts is not a valid document

    @property
    def risk(self) -> Risk:
        return max((item.risk for item in self.consequences), default=Risk.LOW)


def of_change(change: Change) -> Summary:
    """The consequences of publishing the change onto its base revisions."""
    return of_texts(
        {
            document.kind: (document.base.text if document.base else None, document.text)
            for document in changes.changed_documents(change)
        },
        webhooks=_webhooks_of(change),
    )


def of_texts(texts: dict[str, tuple[str | None, str]], *, webhooks: str | None = None) -> Summary:
    """kind → (old text or None, new text); `webhooks` is the webhooks text that connections serve afterwards."""
    found: list[Consequence] = []
    entries: dict[str, diffs.EntryChanges] = {}
    confirm = False
    for kind, (old, new) in texts.items():
        try:
            before: dict[str, Any] = protocol.parse(old) if old is not None else {}
            after = protocol.parse(new)
            users = _users(webhooks)
        except protocol.ProtocolError:
            return Summary((), {}, needs_confirmation=False, readable=False)
        difference = entries[kind] = diffs.entries(old, new)
        confirm |= bool(before) and len(difference.removed) > REMOVED_SHARE * len(before)
        if before and not after:
            found.append(Consequence(Risk.HIGH, f"The {kind} document becomes empty."))
        if kind == Kind.WEBHOOKS:
            found += _webhooks(difference, before, after)
        else:
            found += _connections(difference, before, after, users)
        if not difference:
            found.append(Consequence(Risk.LOW, f"{kind}: only the formatting changes; instances see no difference."))
    found.sort(key=lambda item: -item.risk)
    return Summary(tuple(found), entries, needs_confirmation=confirm, readable=True)


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
    if difference.changed:
        text = f"{_counted(difference.changed, 'webhook')} changed: {_names(difference.changed)}"
        yield Consequence(Risk.MEDIUM, text)


def _connections(
    difference: diffs.EntryChanges, before: dict[str, Any], after: dict[str, Any], users: dict[str, int]
) -> Iterable[Consequence]:
    for name in difference.removed:
        used = users.get(name, 0)
        tail = f", and {used} of the webhooks use it: they will lose what they receive" if used else "; nothing uses it"
        yield Consequence(Risk.HIGH if used else Risk.MEDIUM, f"Connection {name} is removed{tail}.")
    if difference.added:
        yield Consequence(Risk.LOW, f"{_counted(difference.added, 'connection')} added: {_names(difference.added)}")
    for name in difference.changed:
        hosts = [_host(document[name]) for document in (before, after)]
        what = f"moves from host {hosts[0]} to {hosts[1]}" if hosts[0] != hosts[1] else "changes"
        yield Consequence(Risk.MEDIUM, f"Connection {name} {what}: used by {users.get(name, 0)} webhooks.")
    if difference.reordered:
        yield Consequence(
            Risk.MEDIUM,
            "The connections stand in another order; the first ClickHouse one receives every payload.",
        )


def _webhooks_of(change: Change) -> str | None:
    for document in changes.changed_documents(change):
        if document.kind == Kind.WEBHOOKS:
            return document.text
    current = changes.current_revision(change.environment, Kind.WEBHOOKS)
    return current.text if current else None


def _users(webhooks: str | None) -> dict[str, int]:
    """Connection name → how many webhooks name it, directly or in a chain."""
    users: dict[str, int] = {}
    for entry in (protocol.parse(webhooks) if webhooks else {}).values():
        steps = _get(entry, "chain")
        named = {_get(part, "connection") for part in [entry, *(steps if isinstance(steps, list) else [])]}
        for name in named:
            if isinstance(name, str):
                users[name] = users.get(name, 0) + 1
    return users


def _protections(entry: object) -> set[str]:
    return {name for name in AUTHENTICATION if _get(entry, name)}


def _get(entry: object, name: str) -> Any:
    return entry.get(name) if isinstance(entry, dict) else None


def _host(entry: object) -> str:
    """As a sentence may name it: an address may hold a login."""
    host = str(_get(entry, "host"))
    return "an address with a login" if secrets.is_secret(("", "host"), host) else host


def _names(names: list[str]) -> str:
    more = f" and {len(names) - NAMES_SHOWN} more" if len(names) > NAMES_SHOWN else ""
    return ", ".join(names[:NAMES_SHOWN]) + more


def _counted(names: list[str], noun: str) -> str:
    return f"{len(names)} {noun}{'' if len(names) == 1 else 's'}"
