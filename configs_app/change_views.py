"""Change requests: the editor, and the one screen on which a change is decided."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.conf import settings
from django.contrib import messages
from django.db import transaction
from django.http import Http404, HttpResponse, JsonResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from configs_app import (
    acceptances,
    approvals,
    carried,
    changes,
    consequences,
    contents,
    contributors,
    diffs,
    discussions,
    documents,
    editor,
    reach,
    reading,
    reasons,
    reviews,
    secrets,
    since_review,
    timelines,
)
from configs_app.decision_models import BrokenGlass
from configs_app.forms import AcceptanceForm, ChangeForm, as_lf, value_of, with_line_ends_of
from configs_app.models import Change, ChangedDocument, ChangeState, Revision
from configs_app.validation import schemas
from console import access, audit
from console.errors import Refused
from console.http import ConsoleRequest
from console.models import User
from instances_app.models import Kind
from instances_app.shortcuts import get_environment

NEEDS = {  # what the buttons on the review page need
    "propose": "change.edit",
    "withdraw": "change.edit",
    "rebase": "change.edit",
    "approve": "change.review",
    "reject": "change.review",
}


@require_POST
def change_new(request: ConsoleRequest, environment: str) -> HttpResponse:
    """Begin a draft and go to the editor."""
    found = get_environment(request.user, environment, needs="change.edit")
    change = changes.begin(found, actor=request.user)
    response = redirect("configs:change-edit", change.pk)
    if request.POST.get("kind") in Kind.values:
        response["Location"] += f"#{request.POST['kind']}"
    return response


@never_cache  # an older copy, shown by the browser's Back, would look like lost text
@require_http_methods(["GET", "POST"])
def edit(request: ConsoleRequest, pk: int) -> HttpResponse:
    """Both documents as text, marks in place of their secrets. A refused save shows what was typed again."""
    change = get_change(request, pk, needs="change.edit")
    if request.method == "POST":
        form = ChangeForm(request.POST)
        if form.is_valid():
            try:
                saved = _keep(change, form, actor=request.user)
            except Refused as refusal:
                messages.error(request, str(refusal))
            else:
                if "review" in request.POST:
                    return redirect("configs:change", pk)
                if "variables" in request.POST:
                    return redirect("configs:change-variables", pk)
                messages.success(request, _saved(saved))
                return redirect("configs:change-edit", pk)
        return render(request, "configs_app/change_edit.html", _editor(request, change, form), status=422)
    initial: dict[str, Any] = {"title": change.title, "reason": change.reason}
    initial |= {"seen": changes.stamp(change), "carried": carried.packed(change)}
    for kind, (text, base) in editor.standing(change).items():
        initial |= {kind: secrets.masked(text), f"{kind}_base": base.pk if base else None}
    return render(request, "configs_app/change_edit.html", _editor(request, change, ChangeForm(initial=initial)))


@require_POST
def draft(request: ConsoleRequest, pk: int) -> HttpResponse:
    """The editor's form, saved without leaving the page: ``{"seen": stamp, "state": …, "words": …}``, or 422
    with ``{"refused": words}``.

    Without the name of a button in it, nobody pressed one: it is an autosave.
    """
    change = get_change(request, pk, needs="change.edit")
    form = ChangeForm(request.POST)
    pressed = not {"save", "review", "variables"}.isdisjoint(request.POST)
    try:
        if request.POST.get("person", "") not in {"", str(request.user.pk)}:
            raise Refused(f"You are signed in as {request.user} now; somebody else typed this. Sign in as they did.")
        if not form.is_valid():
            raise Refused(" ".join(f"{name}: {error}" for name, errors in form.errors.items() for error in errors))
        saved = _keep(change, form, actor=request.user, autosave=not pressed)
    except Refused as refusal:
        return JsonResponse({"refused": str(refusal)}, status=422)
    if "reload" in request.POST:
        messages.success(request, _saved(saved))
    return JsonResponse({"seen": changes.stamp(saved), "state": saved.state, "words": _saved(saved)})


@require_POST
def reveal(request: ConsoleRequest, pk: int, kind: str) -> HttpResponse:
    """The editor as it was sent, with the secrets of one document in clear, this once. Nothing is saved."""
    change = get_change(request, pk, needs="secret.view")
    access.require(request.user, "change.edit", change.environment)
    if kind not in Kind.values:
        raise Http404("There are two documents: webhooks and connections.")
    form = ChangeForm(request.POST)
    form.full_clean()
    typed = form.typed()
    text = editor.unmasked(typed, change.environment, change=change, bases=form.bases().values(), pages=form.pages())[
        kind
    ].text
    if text == typed[kind]:
        messages.info(
            request, f"No secret of {kind} can be shown: it has no marks, or one that has to be corrected first."
        )
        return render(request, "configs_app/change_edit.html", _editor(request, change, form))
    with transaction.atomic():
        audit.record(
            "secret.revealed",
            actor=request.user,
            target=change,
            document=kind,
            digest=changes.digest_of(text),
            by="page",
        )
    form = ChangeForm({**request.POST.dict(), kind: text})
    context = {**_editor(request, change, form), "revealed": kind}
    response = render(request, "configs_app/change_edit.html", context)
    response["Cache-Control"] = "no-store"
    return response


def _keep(change: Change, form: ChangeForm, *, actor: User, autosave: bool = False) -> Change:
    """Save what the editor sent; a document that is as its base is no part of the change."""
    kept, bases = _kept(change), form.bases()
    title, reason = form.cleaned_data["title"], form.cleaned_data["reason"]
    seen = form.cleaned_data["seen"] or None
    restored = editor.restored(form.typed(), change, bases=bases, actor=actor, seen=seen, pages=form.pages())
    base_texts = {kind: _base_text(change, kind, bases[kind]) for kind in Kind.values}
    texts = {kind: with_line_ends_of(base_texts[kind], text) for kind, text in restored.items()}
    touched = {kind: text for kind, text in texts.items() if kind in kept or text != (base_texts[kind] or editor.EMPTY)}
    return changes.save(
        change, touched, bases=bases, actor=actor, title=title, reason=reason, seen=seen, autosave=autosave
    )


def _saved(change: Change) -> str:
    if change.state == ChangeState.REJECTED:
        return "Saved. It says what was rejected, so it stays rejected."
    return "Saved as a draft."


def _base_text(change: Change, kind: str, base_id: int | None) -> str | None:
    """Of the revision that the text was typed over, whether it is still current or not."""
    revisions = Revision.objects.filter(document__environment=change.environment, document__kind=kind, pk=base_id or 0)
    return revision.text if (revision := revisions.first()) else None


def _kept(change: Change) -> dict[str, ChangedDocument]:
    return {document.kind: document for document in change.documents.select_related("base")}


def _editor(request: ConsoleRequest, change: Change, form: ChangeForm) -> dict[str, Any]:
    form.full_clean()
    typed = form.typed() if form.is_bound else {kind: as_lf(form.initial[kind]) for kind in Kind.values}
    bases, pages = (form.bases().values(), form.pages()) if form.is_bound else ((), "")
    found = editor.unmasked(typed, change.environment, change=change, bases=bases, pages=pages)
    tabs = [
        {
            "kind": kind,
            "field": form[kind],
            "findings": editor.findings(kind, typed, found),
            "schema_digest": schemas.digest(kind),
        }
        for kind in Kind.values
    ]
    return {
        "change": change,
        "environment": change.environment,
        "may": access.verbs(request.user, change.environment),
        "form": form,
        "tabs": tabs,
        "max_bytes": settings.DOCUMENT_MAX_BYTES,
    }


@require_safe
def change(request: ConsoleRequest, pk: int) -> HttpResponse:
    return page(request, get_change(request, pk, needs="environment.view"))


def page(
    request: ConsoleRequest,
    found: Change,
    *,
    accepting: AcceptanceForm | None = None,
    typed: Mapping[str, str] | None = None,
    status: int = 200,
) -> HttpResponse:
    """Everything a decision needs on one screen; `accepting` and `typed` are what a refused form held."""
    shown = reading.asked(request)
    changed = contents.changed_documents(found)
    differences = {
        document.kind: shown.between(document.base.text if document.base else None, document.text)
        for document in changed
    }
    said = discussions.of_change(found, request.user)
    beside = {kind: discussions.beside(said, kind, difference) for kind, difference in differences.items()}
    moments, earlier = timelines.of_change(found)
    stale = contents.stale(found) if found.is_open else []
    may = access.verbs(request.user, found.environment)
    own = request.user.pk in contributors.of(found)
    obstacles = contents.obstacles(found) if found.is_open else []
    summary = consequences.of_change(found)
    standing = approvals.standing(found, risk=summary.risk)
    since = since_review.of(found, request.user)
    context = {
        "reading": shown,
        "since": since,
        "deltas": [{"kind": kind, "difference": shown.between(old, new)} for kind, (old, new) in since.texts.items()]
        if since
        else [],
        "whole": request.GET.get("whole") == "yes",
        "change": found,
        "environment": found.environment,
        "may": may,
        "own": own,
        "typed": {"propose_reason": found.reason, "about": request.GET.get("about", ""), **(typed or {})},
        "documents": [
            {
                "document": document,
                "findings": contents.findings(document),
                "secrets": secrets.differences(document.base.text if document.base else None, document.text),
                "difference": differences[document.kind],
                "remarks": beside[document.kind][0],
                "elsewhere": beside[document.kind][1],
            }
            for document in changed
        ],
        "obstacles": [
            {
                "finding": finding,
                "value": value_of(finding),
                "mine": acceptances.may_settle(request.user, finding, found),
            }
            for finding in obstacles
        ],
        "accepting": accepting or AcceptanceForm(offered=obstacles, initial={"until": acceptances.usual_end()}),
        "stale": [
            {"document": document, "now": now, "entries": _moved(document, now.text if now else None)}
            for document, now in stale
        ],
        "summary": summary,
        "standing": standing,
        "broken_glass": BrokenGlass.objects.filter(change=found).select_related("by", "review__closed_by").first(),
        "reach": reach.of(found, standing.proposal if found.environment.protected else None),
        "next_step": reviews.next_step(found, changed=changed, stale=stale, obstacles=obstacles, standing=standing),
        "can_propose": found.environment.protected
        and found.state == ChangeState.DRAFT
        and "change.edit" in may
        and bool(changed)
        and not obstacles
        and not stale,
        "said": said,
        "unresolved": discussions.unresolved(said),
        "kinds": list(differences),
        "about": discussions.offered(differences),
        "moments": moments,
        "earlier": earlier,
        "bundle": found.bundle or documents.desired(found.environment),
        "rollout_id": found.rollouts.values_list("pk", flat=True).first() if not found.is_open else None,
    }
    return render(request, "configs_app/change.html", context, status=status)


def _moved(document: ChangedDocument, now: str | None) -> diffs.EntryChanges:
    return diffs.entries(document.base.text if document.base else None, now or editor.EMPTY)


@require_POST
def act(request: ConsoleRequest, pk: int, verb: str) -> HttpResponse:
    """The buttons of the review page."""
    if verb not in NEEDS:
        raise Http404("No such action.")
    found = get_change(request, pk, needs=NEEDS[verb])
    try:
        if verb == "reject":
            changes.reject(found, actor=request.user, reason=request.POST.get("reason", ""))
        elif verb == "approve":
            changes.approve(found, actor=request.user, seal=request.POST.get("seal", ""))
        elif verb == "propose":
            changes.propose(found, actor=request.user, reason=request.POST.get("reason"))
        else:
            {
                "withdraw": changes.withdraw,
                "rebase": changes.rebase,
            }[verb](found, actor=request.user)
    except Refused as refusal:
        messages.error(request, str(refusal))
        if request.POST.get("reason", "").strip() or verb == "propose":  # shown again with what was typed
            again = reasons.without_secrets(request.POST.get("reason", ""), reasons.beside_change(found))
            return page(request, found, typed={f"{verb}_reason": again}, status=422)
    return redirect("configs:change", pk)


def get_change(request: ConsoleRequest, pk: int, *, needs: str) -> Change:
    query = Change.objects.select_related("environment", "author", "last_editor", "bundle", "restores__document")
    found = get_object_or_404(query, pk=pk)
    access.require(request.user, needs, found.environment)
    return found
