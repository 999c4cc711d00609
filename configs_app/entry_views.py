"""The entries of a document: what each is, who changed it last, and everything that was ever done to one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.http import Http404, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from configs_app import diffs, documents, entry_history, secrets
from configs_app.members import members
from configs_app.models import Revision, RevisionEntry
from console import access
from console.http import ConsoleRequest, whole
from instances_app.models import Environment, Kind
from instances_app.shortcuts import get_environment

LISTED = 50  # entries on a page
TOUCHES = 200  # of one entry


@dataclass(frozen=True, slots=True)
class Row:
    """One entry as the table shows it."""

    name: str
    what: str  # its module or type
    last: RevisionEntry | None


def table(request: ConsoleRequest, environment: Environment, kind: str, current: Revision) -> dict[str, Any]:
    """A page of the entries whose name holds ``?entry=``, for the document's page."""
    wanted = request.GET.get("entry", "").strip()
    found = [member for member in members(current.text) if wanted.lower() in member.name.lower()]
    start = whole(request.GET.get("after", "")) or 0
    shown = found[start : start + LISTED]
    last = entry_history.last(environment, kind, [member.name for member in shown])
    return {
        "entry_rows": [Row(member.name, _what(member.value), last.get(member.name)) for member in shown],
        "entries_found": len(found),
        "entry_wanted": wanted,
        "entries_before": max(0, start - LISTED) if start else None,
        "entries_after": start + LISTED if len(found) > start + LISTED else None,
    }


@require_safe
def entry(request: ConsoleRequest, environment: str, kind: str) -> HttpResponse:
    """``?name=orders``: what the entry is now, and each revision that touched it."""
    found = get_environment(request.user, environment, needs="environment.view")
    name = request.GET.get("name", "")
    touched = list(entry_history.of_entry(found, kind, name)[:TOUCHES]) if kind in Kind.values else []
    if not touched:
        raise Http404("No revision has had an entry of this name.")
    current = documents.current(found, kind)
    alone = diffs.alone(current.text, name) if current else None
    context = {
        "environment": found,
        "may": access.verbs(request.user, found),
        "kind": kind,
        "name": name,
        "touched": touched,
        "current": current,
        "text": secrets.masked(alone) if alone is not None else None,
    }
    return render(request, "configs_app/entry.html", context)


def _what(value: object) -> str:
    if not isinstance(value, dict):
        return "not an object"
    if isinstance(value.get("chain"), list):
        return f"chain of {len(value['chain'])}"
    key = "module" if "module" in value else "type"
    named = value.get(key)
    return named if isinstance(named, str) and not secrets.is_secret(("", key), named) else ""
