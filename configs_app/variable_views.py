"""The page that puts placeholders in place of a change's literal secrets. It shows places and names, never a value."""

from __future__ import annotations

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_http_methods

from configs_app import changes, editor, variables
from configs_app.models import Change
from console import access
from console.errors import Refused
from console.http import ConsoleRequest


@require_http_methods(["GET", "POST"])
def replace(request: ConsoleRequest, pk: int) -> HttpResponse:
    change = get_object_or_404(Change.objects.select_related("environment", "author", "last_editor"), pk=pk)
    access.require(request.user, "change.edit", change.environment)
    standing = editor.standing(change)
    texts = {kind: text for kind, (text, _) in standing.items() if changes.digest_of(text)}
    found = variables.proposals(texts)
    rows = [
        {
            "proposal": proposal,
            "name": request.POST.get(f"name-{proposal.key}", proposal.name),
            "ticked": proposal.key in request.POST.getlist("row") if request.method == "POST" else not proposal.altered,
        }
        for proposal in found
    ]
    if request.method == "POST":
        try:
            chosen = {
                proposal: str(row["name"]).strip() for proposal, row in zip(found, rows, strict=True) if row["ticked"]
            }
            if not chosen:
                raise Refused("Tick at least one secret.")
            if request.POST.get("seen") != changes.stamp(change):
                raise Refused("The change was saved meanwhile; look at its secrets again.")
            after = variables.replaced(texts, chosen)
            touched = {kind: text for kind, text in after.items() if text != texts[kind]}
            bases = {kind: base.pk if base else None for kind, (_, base) in standing.items()}
            changes.save(change, touched, bases=bases, actor=request.user, seen=request.POST["seen"])
        except Refused as refusal:
            messages.error(request, str(refusal))
        else:
            names = ", ".join(sorted(set(chosen.values())))
            messages.success(
                request, f"Saved as a draft. Before it is published, every instance has to define {names}."
            )
            return redirect("configs:change-edit", pk)
    context = {
        "change": change,
        "environment": change.environment,
        "may": access.verbs(request.user, change.environment),
        "rows": rows,
        "broken": [kind for kind in standing if kind not in texts],
        "seen": changes.stamp(change),
    }
    status = 422 if request.method == "POST" else 200
    return render(request, "configs_app/change_variables.html", context, status=status)
