"""The answers about the past as files: CSV for spreadsheets, JSON for programs. One list of rows serves both."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from django.http import HttpResponse

from configs_app.models import Revision
from configs_app.naming import Names
from console.audit_export import defused
from instances_app.history import KNOWN, UNKNOWN, Stretch
from sync_app.history import Fleet, Member
from sync_app.splits import Split

FORMATS = ("csv", "json")
Row = dict[str, Any]


def timeline_rows(stretches: Iterable[Stretch], names: Names) -> list[Row]:
    """What one instance ran, newest first; a silence has no digest."""
    return [
        {
            "document": one.kind,
            "word": KNOWN if one.digest else UNKNOWN,
            "revision": _number(names.of(one.kind, one.digest, one.since)) if one.digest else None,
            "digest": one.digest or None,
            "from": one.since,
            "certain_until": one.seen_at,
            "until": one.until,
        }
        for one in stretches
    ]


def fleet_rows(fleet: Fleet) -> list[Row]:
    """Every instance that was active at the moment, a row for each document."""
    rows = []
    for part in fleet.parts:
        listed = [(member, group.desired) for group in part.groups for member in group.members]
        listed += [(member, False) for member in (*part.changing, *part.unknown)]
        rows += [_fleet_row(fleet, member, right, part.desired) for member, right in listed]
    return sorted(rows, key=lambda row: (row["instance"], row["instance_id"], row["document"] != "webhooks"))


def _fleet_row(fleet: Fleet, member: Member, right: bool, desired: Revision | None) -> Row:
    ran, sight = member.ran, member.ran.sight
    return {
        "at": fleet.moment,
        "instance": member.name,
        "instance_id": member.pk,
        "document": ran.kind,
        "word": sight.word,
        "revision": _number(ran.revision),
        "digest": sight.digest or None,
        "desired_revision": _number(desired),
        "as_desired": right if sight.word == KNOWN else None,
        "first_seen": sight.since,
        "last_seen": sight.seen_at,
        "next_report": sight.until,
        "next_revision": _number(ran.following),
        "next_digest": sight.following or None,
    }


def split_rows(splits: Iterable[Split], names: Names) -> list[Row]:
    """The splits of a period, newest first."""
    return [
        {
            "document": one.kind,
            "from": one.since,
            "until": one.until,
            "seconds": round(one.seconds),
            "began_before_the_period": one.began_before,
            "still_split_at_its_end": one.still,
            "ran": " ".join(name(names.of(one.kind, digest, one.until), digest) for digest in sorted(one.digests)),
            "desired": " ".join(name(names.of(one.kind, digest, one.until), digest) for digest in one.desired),
            "most_instances": one.peak,
            "unknown_at_its_end": one.unknown_at_end,
        }
        for one in splits
    ]


def name(revision: Revision | None, digest: str) -> str:
    """r41, or the first digits of what is not one of ours."""
    return f"r{revision.number}" if revision else digest[:12]


def answer(rows: list[Row], *, shape: str, file: str, about: Mapping[str, Any]) -> HttpResponse:
    """The rows as a download. JSON says beside them what was asked."""
    if shape == "csv":
        text, kind = as_csv(rows), "text/csv; charset=utf-8"
    else:
        text = json.dumps({**about, "rows": rows}, default=_time, indent=1)
        kind = "application/json"
    response = HttpResponse(text, content_type=kind)
    response["Content-Disposition"] = f'attachment; filename="{file}.{shape}"'
    response["Cache-Control"] = "no-store"
    return response


def as_csv(rows: list[Row]) -> str:
    """With a header; a cell that a spreadsheet would calculate begins with an apostrophe, so that it is text."""
    output = io.StringIO()
    writer = csv.writer(output)
    if rows:
        writer.writerow(rows[0])
    for row in rows:
        writer.writerow([_cell(value) for value in row.values()])
    return output.getvalue()


def _cell(value: object) -> str:
    if value is None:
        return ""
    text = _time(value) if isinstance(value, datetime) else str(value)
    return defused(text)


def _time(value: object) -> str:
    if not isinstance(value, datetime):
        raise TypeError(f"{type(value)} has no place in an export.")
    return value.isoformat(timespec="seconds")


def _number(revision: Revision | None) -> int | None:
    return revision.number if revision else None
