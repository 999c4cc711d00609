"""Change requests: the editor, and the one screen on which a change is decided."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.http import Http404, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from configs_app import changes, consequences, diffs, documents, validation
from configs_app.forms import ChangeForm
from configs_app.models import Change, ChangedDocument, ChangeState, Revision
from configs_app.validation import schemas
from console import access
from console.errors import Refused
from console.http import ConsoleRequest
from console.models import User
from instances_app.models import OTHER, Kind
from instances_app.shortcuts import get_environment

LISTED = 100
EMPTY = "{}\n"
NEEDS = {  # what the buttons on the review page need
    "propose": "change.edit",
    "withdraw": "change.edit",
    "rebase": "change.edit",
    "approve": "change.review",
    "reject": "change.review",
}


@require_safe
def change_list(request: ConsoleRequest, environment: str) -> HttpResponse:
    found = get_environment(request.user, environment, needs="environment.view")
    query = found.changes.select_related(
        "author", "last_editor", "bundle__webhooks__document", "bundle__connections__document"
    )
    ended = [ChangeState.PUBLISHED, ChangeState.WITHDRAWN]
    context = {
        "environment": found,
        "may": access.verbs(request.user, found),
        "open": query.exclude(state__in=ended)[:LISTED],
        "ended": query.filter(state__in=ended)[:LISTED],
    }
    return render(request, "configs_app/change_list.html", context)


@require_POST
def change_new(request: ConsoleRequest, environment: str) -> HttpResponse:
    """Open a draft and go to the editor."""
    found = get_environment(request.user, environment, needs="change.edit")
    change = changes.open_draft(found, actor=request.user)
    response = redirect("configs:change-edit", change.pk)
    if request.POST.get("kind") in Kind.values:
        response["Location"] += f"#{request.POST['kind']}"
    return response


@require_http_methods(["GET", "POST"])
def edit(request: ConsoleRequest, pk: int) -> HttpResponse:
    """Both documents as text. A refused save shows everything that was typed again."""
    change = _get_change(request, pk, needs="change.edit")
    if request.method == "POST":
        form = ChangeForm(request.POST)
        if form.is_valid():
            try:
                _keep(change, form, actor=request.user)
            except Refused as refusal:
                messages.error(request, str(refusal))
            else:
                if "review" in request.POST:
                    return redirect("configs:change", pk)
                messages.success(request, "Saved as a draft.")
                return redirect("configs:change-edit", pk)
        return render(request, "configs_app/change_edit.html", _editor(request, change, form), status=422)
    current, kept = _current(change), _kept(change)
    initial: dict[str, Any] = {"title": change.title, "seen": changes.stamp(change)}
    for kind in Kind.values:
        document, now = kept.get(kind), current[kind]
        initial[kind] = document.text if document else now.text if now else EMPTY
        base_id = document.base_id if document else now.pk if now else None
        initial[f"{kind}_base"] = base_id
    return render(request, "configs_app/change_edit.html", _editor(request, change, ChangeForm(initial=initial)))


def _keep(change: Change, form: ChangeForm, *, actor: User) -> Change:
    """Save what the editor sent; a document that is as its base is no part of the change."""
    kept, bases = _kept(change), form.bases()
    base_texts = {kind: _base_text(kind, bases[kind], change, kept) for kind in Kind.values}
    texts = form.texts(bases=base_texts)
    touched = {kind: text for kind, text in texts.items() if kind in kept or text != (base_texts[kind] or EMPTY)}
    title, seen = form.cleaned_data["title"], form.cleaned_data["seen"] or None
    return changes.save(change, touched, bases=bases, actor=actor, title=title, seen=seen)


def _base_text(kind: str, base_id: int | None, change: Change, kept: dict[str, ChangedDocument]) -> str | None:
    document = kept.get(kind)
    for revision in (document.base if document else None, changes.current_revision(change.environment, kind)):
        if revision is not None and revision.pk == base_id:
            return str(revision.text)
    return None


def _current(change: Change) -> dict[str, Revision | None]:
    return {kind: changes.current_revision(change.environment, kind) for kind in Kind.values}


def _kept(change: Change) -> dict[str, ChangedDocument]:
    return {document.kind: document for document in change.documents.select_related("base")}


def _editor(request: ConsoleRequest, change: Change, form: ChangeForm) -> dict[str, Any]:
    texts = {kind: str(form[kind].value() or "") for kind in Kind.values}
    tabs = [
        {
            "kind": kind,
            "field": form[kind],
            "findings": validation.findings(kind, text, beside=texts[OTHER[kind]]),
            "schema_digest": schemas.digest(kind),
        }
        for kind, text in texts.items()
    ]
    return {
        "change": change,
        "environment": change.environment,
        "may": access.verbs(request.user, change.environment),
        "form": form,
        "tabs": tabs,
    }


@require_safe
def change(request: ConsoleRequest, pk: int) -> HttpResponse:
    """Everything a decision needs on one screen."""
    found = _get_change(request, pk, needs="environment.view")
    changed = changes.changed_documents(found)
    stale = changes.stale(found) if found.is_open else []
    may = access.verbs(request.user, found.environment)
    own = request.user.pk in {found.author_id, found.last_editor_id}
    findings = {document.kind: changes.findings(document) for document in changed}
    context = {
        "change": found,
        "environment": found.environment,
        "may": may,
        "own": own,
        "documents": [
            {
                "document": document,
                "findings": findings[document.kind],
                "lines": diffs.lines(document.base.text if document.base else None, document.text),
            }
            for document in changed
        ],
        "has_errors": any(changes.blocking(document, findings[document.kind]) for document in changed),
        "stale": [
            {"document": document, "now": now, "entries": _moved(document, now.text if now else None)}
            for document, now in stale
        ],
        "summary": consequences.of_change(found),
        "approvals": changes.valid_approvals(found),
        "reviewers": access.who_can("change.review", found.environment),
        "bundle": found.bundle or documents.desired(found.environment),
        "rollout_id": found.rollouts.values_list("pk", flat=True).first() if not found.is_open else None,
    }
    return render(request, "configs_app/change.html", context)


def _moved(document: ChangedDocument, now: str | None) -> diffs.EntryChanges:
    return diffs.entries(document.base.text if document.base else None, now or EMPTY)


@require_POST
def act(request: ConsoleRequest, pk: int, verb: str) -> HttpResponse:
    """The buttons of the review page."""
    if verb not in NEEDS:
        raise Http404("No such action.")
    found = _get_change(request, pk, needs=NEEDS[verb])
    try:
        if verb == "reject":
            changes.reject(found, actor=request.user, reason=request.POST.get("reason", ""))
        else:
            {
                "propose": changes.propose,
                "withdraw": changes.withdraw,
                "rebase": changes.rebase,
                "approve": changes.approve,
            }[verb](found, actor=request.user)
    except Refused as refusal:
        messages.error(request, str(refusal))
    return redirect("configs:change", pk)


def _get_change(request: ConsoleRequest, pk: int, *, needs: str) -> Change:
    query = Change.objects.select_related("environment", "author", "last_editor", "bundle", "restores__document")
    found = get_object_or_404(query, pk=pk)
    access.require(request.user, needs, found.environment)
    return found
