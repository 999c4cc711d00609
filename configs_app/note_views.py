"""The buttons that put notes, tags and pins on a revision."""

from __future__ import annotations

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.views.decorators.http import require_POST

from configs_app import notes
from configs_app.models import Revision
from configs_app.views import get_revision, revision_page
from console.errors import Refused
from console.http import ConsoleRequest


@require_POST
def put(request: ConsoleRequest, environment: str, kind: str, number: int) -> HttpResponse:
    """``do`` is note, tag, untag, pin or unpin. A refusal shows the page again with what was typed."""
    revision = get_revision(request, environment, kind, number, needs="change.edit")
    try:
        done = _do(request, revision)
    except Refused as refusal:
        messages.error(request, str(refusal))
        return revision_page(request, revision, status=422)
    messages.success(request, done)
    if request.POST.get("back") == "history":
        return redirect(reverse("configs:document", args=[environment, kind]) + "#history")
    return redirect(reverse("configs:revision", args=[environment, kind, number]) + "#notes")


def _do(request: ConsoleRequest, revision: Revision) -> str:
    name, actor = request.POST.get("name", ""), request.user
    match request.POST.get("do", ""):
        case "note":
            notes.write_note(revision, text=request.POST.get("text", ""), actor=actor)
            return f"The note on r{revision.number} is saved."
        case "tag":
            taken = notes.tag(revision, name=name, actor=actor)
            return f"r{revision.number} is tagged {name}" + (f"; r{taken.number} no longer is." if taken else ".")
        case "untag":
            notes.untag(revision, name=name, actor=actor)
            return f"r{revision.number} is no longer tagged {name}."
        case "pin":
            notes.pin(revision, actor=actor)
            return f"r{revision.number} stands first in the history."
        case "unpin":
            notes.unpin(revision, actor=actor)
            return f"r{revision.number} is no longer pinned."
    raise Refused("Choose what to do: note, tag, untag, pin or unpin.")
