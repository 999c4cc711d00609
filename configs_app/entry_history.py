"""Which revision last touched an entry, and all that ever did.

Each revision keeps the names it added, changed or removed (RevisionEntry), so five thousand entries in a thousand
revisions are no more rows than there were changes, and no old text is opened to answer.
"""

from __future__ import annotations

import json
from collections.abc import Iterable

from django.db.models import QuerySet

from configs_app import entry_diff
from configs_app.models import Revision, RevisionEntry
from instances_app.models import Environment

BATCH = 1000  # rows per statement


def record(revision: Revision, *, before: str | None, after: str) -> None:
    """Keep what a new revision does to the entries of the one before it."""
    RevisionEntry.objects.bulk_create(
        (
            RevisionEntry(revision=revision, key=json.dumps(name), word=word)
            for name, word in entry_diff.touched(before, after)
        ),
        batch_size=BATCH,
    )


def of(environment: Environment, kind: str) -> QuerySet[RevisionEntry]:
    """Everything that was ever done to entries of one document; the texts stay where they are."""
    return (
        RevisionEntry.objects.filter(revision__document__environment=environment, revision__document__kind=kind)
        .select_related("revision__author")
        .defer("revision__content_sealed")
    )


def last(environment: Environment, kind: str, names: Iterable[str]) -> dict[str, RevisionEntry]:
    """name → what touched it last."""
    rows = of(environment, kind).filter(key__in=[json.dumps(name) for name in names])
    return {row.name: row for row in rows.order_by("key", "-revision__number").distinct("key")}


def of_entry(environment: Environment, kind: str, name: str) -> QuerySet[RevisionEntry]:
    """What was done to one entry, newest first."""
    return of(environment, kind).filter(key=json.dumps(name)).order_by("-revision__number")


def names_touched(revision: Revision) -> list[str]:
    """The entries that one revision added, changed or removed."""
    return [row.name for row in RevisionEntry.objects.filter(revision=revision).order_by("pk")]


def by_word(revision: Revision) -> dict[str, list[str]]:
    """changed, added, removed → the entries that this revision did that to; words without any are left out."""
    found: dict[str, list[str]] = {"changed": [], "added": [], "removed": []}
    for row in RevisionEntry.objects.filter(revision=revision).order_by("pk"):
        found[row.word].append(row.name)
    return {word: names for word, names in found.items() if names}
