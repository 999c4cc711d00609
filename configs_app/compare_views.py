"""Any two revisions of one kind of document beside each other, of whatever environments the person may see."""

from __future__ import annotations

from typing import Any

from django.http import Http404, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from configs_app import diffs, reading, revisions
from configs_app.models import Revision
from console import access
from console.errors import Refused
from console.http import ConsoleRequest
from instances_app.models import Environment, Kind
from instances_app.shortcuts import get_environment

SIDES = ("from", "to")


@require_safe
def compare(request: ConsoleRequest, environment: str, kind: str) -> HttpResponse:
    """``?from=4&to=9``; ``&to_environment=production`` takes a side from elsewhere. Without two, the form to choose."""
    found = get_environment(request.user, environment, needs="environment.view")
    if kind not in Kind.values:
        raise Http404("There are two documents: webhooks and connections.")
    context: dict[str, Any] = {
        "environment": found,
        "may": access.verbs(request.user, found),
        "kind": kind,
        "environments": Environment.objects.visible_to(request.user),
        "reading": reading.asked(request),
        "offered": revisions.names(found, kind),
        "sides": {side: _asked(request, side, found) for side in SIDES},
    }
    try:
        chosen = [_revision(request, kind, **context["sides"][side]) for side in SIDES]
    except Refused as refusal:
        return render(request, "configs_app/compare.html", {**context, "refusal": refusal}, status=404)
    old, new = chosen
    if old is not None and new is not None:
        name = request.GET.get("entry")
        texts = [side.text if name is None else diffs.alone(side.text, name) for side in (old, new)]
        elsewhere = old.environment != new.environment or old.environment != found
        context |= {
            "old": old,
            "new": new,
            "names": [f"{side.environment} r{side.number}" if elsewhere else f"r{side.number}" for side in (old, new)],
            "entry": name,
            "difference": context["reading"].between(texts[0], texts[1] or "{}"),
        }
    return render(request, "configs_app/compare.html", context)


def _asked(request: ConsoleRequest, side: str, here: Environment) -> dict[str, str]:
    """What the form holds for one side."""
    return {"where": request.GET.get(f"{side}_environment") or here.name, "word": request.GET.get(side, "").strip()}


def _revision(request: ConsoleRequest, kind: str, *, where: str, word: str) -> Revision | None:
    environment = get_environment(request.user, where, needs="environment.view")  # each side's own access
    return revisions.find(environment, kind, word) if word else None
