"""When a text came into a document and when it went, revision by revision, newest first.

Only the entries that a revision touched are looked at, and only as they are shown: masked. So a secret is never
found by its text, and how long a search takes tells nothing about one. A mark (``‹secret 3f9a2c81d04b›``) can be.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from configs_app import entry_history, revisions, secrets
from configs_app.members import members
from configs_app.models import Revision
from instances_app.models import Environment

SECONDS = 2.0  # of one search; the rest is the next page's
MOST_EVENTS = 200
NAMED = 20  # entries of one revision that are named
SHORTEST = 2  # characters
MARK = re.compile(r"‹secret [^›]*›")
AROUND = 80  # characters shown on either side, where a line is long


@dataclass(frozen=True, slots=True)
class Event:
    """In this revision the text came into one entry, or went from it."""

    entry: str
    came: bool
    line: str  # masked, as it was typed; of the revision before where the text went


@dataclass(frozen=True, slots=True)
class Step:
    """One revision in which something came or went."""

    revision: Revision
    events: list[Event]
    more: int  # entries that are not named


@dataclass(slots=True)
class Search:
    steps: list[Step] = field(default_factory=list)
    newest: int | None = None  # the revisions looked at, from … to
    oldest: int | None = None
    further: int | None = None  # go on below this one


def search(environment: Environment, kind: str, wanted: str, *, below: int | None = None) -> Search:
    """Look through the history from the newest revision down, or from `below` on, as long as the time allows."""
    found = Search()
    ends = time.monotonic() + SECONDS
    query = revisions.of(environment, kind).order_by("-number")
    numbers = list((query.filter(number__lt=below) if below else query).values_list("number", flat=True))
    before: _Opened | None = None
    events = 0
    for number in numbers:
        if before is not None and (time.monotonic() > ends or events >= MOST_EVENTS):
            found.further = number + 1
            break
        here = before or _Opened(query.get(number=number))
        before = _Opened(query.get(number=number - 1)) if number > 1 else None
        step = list(_events(here, before, wanted.casefold()))
        if step:
            found.steps.append(Step(here.revision, step[:NAMED], max(0, len(step) - NAMED)))
            events += len(step[:NAMED])
        found.newest, found.oldest = found.newest or number, number
    return found


class _Opened:
    """A revision with its text, opened and read once although two steps look at it."""

    def __init__(self, revision: Revision) -> None:
        self.revision = revision
        text = revision.text
        self.entries: Mapping[str, str] = {member.name: text[member.key : member.end] for member in members(text)}


def _events(here: _Opened, before: _Opened | None, wanted: str) -> Iterator[Event]:
    """What came and went in the entries that this revision touched."""
    for name in entry_history.names_touched(here.revision):
        was = _line(before.entries.get(name) if before else None, wanted)
        now = _line(here.entries.get(name), wanted)
        if now is not None and was is None:
            yield Event(name, True, now)
        elif was is not None and now is None:
            yield Event(name, False, was)


def _line(typed: str | None, wanted: str) -> str | None:
    """The first line of the entry, masked, that holds the text; None where none does."""
    if typed is None:
        return None
    for line in secrets.masked("{" + typed + "}")[1:-1].split("\n"):
        searched = (line if wanted.startswith("‹") else MARK.sub("", line)).casefold()
        place = searched.find(wanted)
        if place >= 0:
            return _shortened(line.strip(), wanted)
    return None


def _shortened(line: str, wanted: str) -> str:
    place = max(0, line.casefold().find(wanted))
    start, end = max(0, place - AROUND), place + len(wanted) + AROUND
    return f"{'…' if start else ''}{line[start:end]}{'…' if end < len(line) else ''}"
