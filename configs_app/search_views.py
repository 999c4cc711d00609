"""The page that searches a document's history."""

from __future__ import annotations

from django.http import Http404, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from configs_app import history_search
from console import access
from console.http import ConsoleRequest, whole
from instances_app.models import Kind
from instances_app.shortcuts import get_environment

LONGEST = 200  # characters


@require_safe
def search(request: ConsoleRequest, environment: str, kind: str) -> HttpResponse:
    """``?q=db.example.com``; ``&before=12`` goes on below that revision."""
    found = get_environment(request.user, environment, needs="environment.view")
    if kind not in Kind.values:
        raise Http404("There are two documents: webhooks and connections.")
    wanted, below = request.GET.get("q", "").strip(), whole(request.GET.get("before", ""))
    searchable = history_search.SHORTEST <= len(wanted) <= LONGEST
    context = {
        "environment": found,
        "may": access.verbs(request.user, found),
        "kind": kind,
        "wanted": wanted,
        "refusal": f"Give {history_search.SHORTEST} to {LONGEST} characters." if wanted and not searchable else "",
        "found": history_search.search(found, kind, wanted, below=below) if searchable else None,
    }
    return render(request, "configs_app/search.html", context)
