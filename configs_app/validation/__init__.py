"""Whether texts are documents that the service can load and that do what they seem to, and if not, where and why.

`findings` looks at one document, beside the other one when it is given. Pure; never raises. The rules are small
functions in `authentication`, `failing` and `silent`; their table is `catalogue.RULES`; what they know of the
service stands in `model`, `names`, `hosts` and `placeholders`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from django.conf import settings
from webhook_agent import protocol

from configs_app import members
from configs_app.json_text import JsonError, JsonMap, Lines, Path, scan, seek
from configs_app.members import Member
from configs_app.validation import authentication, failing, silent
from configs_app.validation.catalogue import RULES, Level, Pair
from configs_app.validation.entries import Judge
from configs_app.validation.hosts import Target
from configs_app.validation.reading import steps
from instances_app.models import Kind

__all__ = ["UNREADABLE", "Finding", "Level", "Target", "findings"]

_MODULES_OF_RULES = (authentication, failing, silent)  # imported so that their rules are in the table
UNREADABLE = frozenset({"J1", "J2", "J3", "A18"})  # what these find is no document yet
_ORDER = {level: number for number, level in enumerate(Level)}
MOST = 500  # findings of one rule that are named to people


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing to know about a document. Line and column are 1-based; `path` is for people: ``orders.module``.

    `accepted` is empty, or says who has decided to live with it; nothing here fills it.
    """

    rule: str
    level: Level
    document: str
    path: str
    line: int
    column: int
    message: str
    entry: str = ""  # the name of the entry; empty for what concerns the whole text
    accepted: str = ""

    def as_json(self) -> dict[str, Any]:
        """The keys that `validate_config --json` promises."""
        return {name: value for name, value in asdict(self).items() if name not in {"entry", "accepted"}}


def findings(
    kind: str, text: str, *, beside: str | None = None, target: Target | None = None, most: int | None = MOST
) -> list[Finding]:
    """Everything there is to say about one document's text, in the order of the text.

    `beside` is the text of the environment's other document; without it nothing is said about how they fit. Of one rule
    `most` findings are named and the rest is counted: for people. Who compares findings takes all of them, with None.
    """
    size = len(text.encode("utf-8", "surrogatepass"))
    if size > settings.DOCUMENT_MAX_BYTES:
        limit = settings.DOCUMENT_MAX_BYTES
        return [_at("J3", kind, Lines(""), (), 0, f"{size:,} bytes; the limit is {limit:,}. Split the environment.")]
    if refusal := members.refusal(text):
        return _located(kind, text, refusal)
    entries = {member.name: member for member in members.read(text)}
    document = {name: member.value for name, member in entries.items()}
    pair = _pair(str(kind), document, beside, target or Target())
    found = list(_troubles(str(kind), document, entries, pair, most))
    lines, offsets = Lines(text), _offsets(text, entries, [path for _, _, path, _ in found])
    return sorted(
        (
            _at(rule, kind, lines, path, offset, message, level)
            for (rule, level, path, message), offset in zip(found, offsets, strict=True)
        ),
        key=lambda finding: (finding.line, finding.column, _ORDER[finding.level], finding.rule),
    )


def _pair(kind: str, document: dict[str, Any], beside: str | None, target: Target) -> Pair:
    other: dict[str, Any] | None = None
    if beside is not None:
        try:
            other = protocol.parse(beside)
        except protocol.ProtocolError:
            other = None  # it has findings of its own
    webhooks, connections = (document, other) if kind == Kind.WEBHOOKS else (other, document)
    used: set[str] = set()
    for entry in (webhooks or {}).values() if kind == Kind.CONNECTIONS else ():
        if isinstance(entry, dict):
            used |= {step.connection for step in steps(entry) if isinstance(step.connection, str)}
    clickhouses = (n for n, e in (connections or {}).items() if isinstance(e, dict) and e.get("type") == "clickhouse")
    return Pair(webhooks, connections, target, frozenset(used), next(clickhouses, ""))


def _troubles(
    kind: str, document: Mapping[str, Any], entries: Mapping[str, Member], pair: Pair, most: int | None
) -> Iterator[tuple[str, Level, Path, str]]:
    judge = Judge(kind, pair)
    counted: dict[str, int] = {}
    for name, entry in document.items():
        if not isinstance(entry, dict):
            yield "B21", Level.ERROR, (name,), _not_an_object(kind[:-1], name)
            continue
        for rule_id, level, path, message in judge.about(name, entry, entries[name].text):
            counted[rule_id] = counted.get(rule_id, 0) + 1
            if most is None or counted[rule_id] <= most:
                yield rule_id, level, (name, *path), message
    for rule_id, number in counted.items():
        if most is not None and number > most:
            level = next(rule.level for rule in RULES if rule.id == rule_id)
            yield rule_id, level, (), f"{rule_id} is found {number - most} times more; the first {most} are named."


def _not_an_object(what: str, name: str) -> str:
    hint = " Notes may stand inside an entry, not beside the entries." if name.startswith("_") else ""
    return f"The {what} {name!r} must be an object in braces; the service refuses the whole file.{hint}"


def _located(kind: str, text: str, fallback: str) -> list[Finding]:
    """What `protocol.parse` refused, with the place that it does not know."""
    lines = Lines(text)
    try:
        found = scan(text)
    except JsonError as error:
        return [_at("J1", kind, lines, (), error.offset, error.message)]
    if found.duplicates:
        return [
            _at("A18", kind, lines, path, offset, f"The key {path[-1]!r} stands here twice; the last one would win.")
            for path, offset in found.duplicates
        ]
    return [_at("J2", kind, lines, (), found.places[()].start, fallback)]


def _offsets(text: str, entries: Mapping[str, Member], paths: Sequence[Path]) -> list[int]:
    """Where each path stands: its key, or its value in a list, or the nearest thing around it that exists."""
    wanted: dict[str, list[Path]] = {}
    for path in paths:
        wanted.setdefault(str(path[0]) if path else "", []).append(path[1:])
    inside = {name: seek(entries[name].text, found) for name, found in wanted.items() if any(found)}
    return [_offset(text, entries, inside, path) for path in paths]


def _offset(text: str, entries: Mapping[str, Member], inside: Mapping[str, JsonMap], path: Path) -> int:
    if not path:
        return text.index("{")
    member = entries[str(path[0])]
    place = inside[member.name].find(path[1:]) if len(path) > 1 else None
    if place is None or place.start == 0:  # the entry itself
        return member.key
    return member.end - len(member.text) + (place.start if place.key is None else place.key)


def _at(
    rule: str, kind: str, lines: Lines, path: Path, offset: int, message: str, level: Level = Level.ERROR
) -> Finding:
    line, column = lines.at(offset)
    entry = str(path[0]) if path else ""
    return Finding(rule, level, str(kind), ".".join(str(part) for part in path), line, column, message, entry)
