"""Audit events as CSV for people and spreadsheets, and as JSON lines that prove themselves."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import AsyncIterator, Iterable, Iterator

from asgiref.sync import sync_to_async
from django.db import close_old_connections

from console import audit
from console.audit_sentences import sentence
from console.models import AuditEvent

FORMATS = {"jsonl": "application/x-ndjson", "csv": "text/csv; charset=utf-8"}
COLUMNS = [*audit.CHAINED[:-1], "sentence", "previous_hash", "hash"]
FORMULA = ("=", "+", "-", "@", "\t", "\r")  # what makes a spreadsheet calculate, or call somebody


def lines(batches: Iterable[list[AuditEvent]]) -> Iterator[str]:
    """JSON lines, one text for a batch: what `audit verify FILE` reads."""
    for events in batches:
        yield "".join(f"{audit.ENCODER.encode(audit.plain(event))}\n" for event in events)


def table(batches: Iterable[list[AuditEvent]]) -> Iterator[str]:
    """CSV with a heading, one text for a batch."""
    yield _csv([COLUMNS])
    for events in batches:
        yield _csv([_cells(event) for event in events])


async def stream(parts: Iterator[str]) -> AsyncIterator[str]:
    """The parts as they are made. No database connection is held while somebody downloads slowly."""
    while (part := await sync_to_async(_next)(parts)) is not None:
        yield part


def defused(cell: str) -> str:
    """A cell that no spreadsheet takes for a formula."""
    return f"'{cell}" if cell.startswith(FORMULA) else cell


def _next(parts: Iterator[str]) -> str | None:
    try:
        return next(parts, None)
    finally:
        close_old_connections()


def _cells(event: AuditEvent) -> list[str]:
    row = audit.plain(event)
    row["data"] = json.dumps(event.data, sort_keys=True, ensure_ascii=False)
    row["sentence"] = sentence(event)
    values = (row.get(name) for name in COLUMNS)
    return [defused("" if value is None else str(value)) for value in values]


def _csv(rows: list[list[str]]) -> str:
    text = io.StringIO()
    csv.writer(text).writerows(rows)
    return text.getvalue()
