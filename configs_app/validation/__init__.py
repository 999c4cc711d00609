"""Whether a text is a document that the service can load, and if not, where and why.

First cut: what makes a file unusable. The identifiers are the rule catalogue's (configuration reference, 9.2);
J rules are ours, for what stands before any rule: the text has to be JSON, and within its limits.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

from django.conf import settings
from webhook_agent import protocol

from configs_app.json_text import JsonError, JsonMap, Path, line_column, scan
from instances_app.models import Kind


class Level(StrEnum):
    ERROR = "error"  # blocks publishing
    WARNING = "warning"
    NOTE = "note"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing to know about a document. Line and column are 1-based; `path` is for people: ``orders.module``."""

    rule: str
    level: Level
    document: str
    path: str
    line: int
    column: int
    message: str

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


def findings(kind: str, text: str) -> list[Finding]:
    """Everything there is to say about one document's text, in the order of the text. Pure; never raises."""
    size = len(text.encode("utf-8", "surrogatepass"))
    if size > settings.DOCUMENT_MAX_BYTES:
        limit = settings.DOCUMENT_MAX_BYTES
        return [_at("J3", kind, text, (), 0, f"{size:,} bytes; the limit is {limit:,}. Split the environment.")]
    try:
        document = protocol.parse(text)
    except protocol.ProtocolError as refusal:
        return _located(kind, text, str(refusal))
    trouble = _webhook_trouble(document) if kind == Kind.WEBHOOKS else _connection_trouble(document)
    if not trouble:
        return []
    found = scan(text)
    return sorted(
        (_on(rule, level, kind, text, found, path, message) for rule, level, path, message in trouble),
        key=lambda finding: (finding.line, finding.column),
    )


def has_errors(found: list[Finding]) -> bool:
    return any(finding.level == Level.ERROR for finding in found)


Trouble = list[tuple[str, Level, Path, str]]


def _webhook_trouble(document: dict[str, Any]) -> Trouble:
    trouble: Trouble = []
    for name, entry in document.items():
        if not isinstance(entry, dict):
            trouble.append(("B21", Level.ERROR, (name,), _not_an_object("webhook", name)))
            continue
        module, chain = entry.get("module"), entry.get("chain")
        if not name.strip():
            trouble.append(("B1", Level.ERROR, (name,), "A webhook needs a name: it is the end of its address."))
        if not module and not chain:
            message = f"{name!r} has neither a module nor a chain, so the service refuses the whole file. Add one."
            trouble.append(("B3", Level.ERROR, (name,), message))
        elif module is not None and not isinstance(module, str):
            trouble.append(("B3", Level.ERROR, (name, "module"), "A module is a name in double quotes."))
        elif chain is not None and not isinstance(chain, list):
            trouble.append(("B3", Level.ERROR, (name, "chain"), "A chain is a list of one to twenty steps."))
        if "authorization" in entry and not _has_text(entry["authorization"]):
            message = f"{name!r} looks protected and is open to anyone: an empty authorization switches the check off."
            trouble.append(("A1", Level.ERROR, (name, "authorization"), message))
    return trouble


def _connection_trouble(document: dict[str, Any]) -> Trouble:
    trouble: Trouble = []
    for name, entry in document.items():
        if not isinstance(entry, dict):
            trouble.append(("B21", Level.ERROR, (name,), _not_an_object("connection", name)))
        elif not _has_text(entry.get("type")):
            message = f'{name!r} has no type, so the service refuses the whole file. Example: "type": "postgresql".'
            trouble.append(("C3", Level.ERROR, (name,), message))
    return trouble


def _not_an_object(what: str, name: str) -> str:
    hint = " Notes may stand inside an entry, not beside the entries." if name.startswith("_") else ""
    return f"The {what} {name!r} must be an object in braces; the service refuses the whole file.{hint}"


def _has_text(value: object) -> bool:
    return isinstance(value, str) and bool(value.strip())


def _located(kind: str, text: str, fallback: str) -> list[Finding]:
    """What `protocol.parse` refused, with the place that it does not know."""
    try:
        found = scan(text)
    except JsonError as error:
        return [_at("J1", kind, text, (), error.offset, error.message)]
    if found.duplicates:
        return [
            _at(
                "A18",
                kind,
                text,
                path,
                offset,
                f"The key {path[-1]!r} stands here twice; the last one would win.",
            )
            for path, offset in found.duplicates
        ]
    return [_at("J2", kind, text, (), found.places[()].start, fallback)]


def _on(rule: str, level: Level, kind: str, text: str, found: JsonMap, path: Path, message: str) -> Finding:
    place = found.find(path)
    offset = 0 if place is None else place.start if place.key is None else place.key
    return _at(rule, kind, text, path, offset, message, level)


def _at(rule: str, kind: str, text: str, path: Path, offset: int, message: str, level: Level = Level.ERROR) -> Finding:
    line, column = line_column(text, offset)
    return Finding(rule, level, str(kind), ".".join(str(part) for part in path), line, column, message)
