"""Documents and their revisions: what stands, what stood, and what differs."""

from __future__ import annotations

from django.contrib import messages
from django.db import transaction
from django.http import Http404, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_POST, require_safe

from configs_app import changes, diffs, documents, editor, secrets
from configs_app.forms import ChangeForm
from configs_app.models import Revision
from console import access, audit
from console.errors import Refused
from console.http import ConsoleRequest
from instances_app.models import Environment, Kind
from instances_app.shortcuts import get_environment

HISTORY = 50


@require_safe
def document(request: ConsoleRequest, environment: str, kind: str) -> HttpResponse:
    """The current revision, secrets masked, and the history."""
    found = _get_environment(request, environment, kind, needs="environment.view")
    bundle = documents.desired(found)
    current = bundle.revision(kind) if bundle else None
    revisions = Revision.objects.filter(document__environment=found, document__kind=kind).select_related(
        "author", "restored_from__document", "document"
    )
    before = request.GET.get("before", "")
    if before.isdigit():
        revisions = revisions.filter(number__lt=int(before))
    page = list(revisions.order_by("-number")[: HISTORY + 1])
    context = {
        "environment": found,
        "may": access.verbs(request.user, found),
        "kind": kind,
        "kinds": Kind.values,
        "current": current,
        "text": secrets.masked(current.text) if current else "",
        "revisions": page[:HISTORY],
        "older": page[HISTORY - 1].number if len(page) > HISTORY else None,
    }
    return render(request, "configs_app/document.html", context)


@require_safe
def revision(request: ConsoleRequest, environment: str, kind: str, number: int) -> HttpResponse:
    found = _get_revision(request, environment, kind, number, needs="environment.view")
    return _revision_page(request, found, secrets.masked(found.text))


@require_POST
def reveal(request: ConsoleRequest, environment: str, kind: str, number: int) -> HttpResponse:
    """The same page with the secrets, this once."""
    found = _get_revision(request, environment, kind, number, needs="secret.view")
    _record_reveal(request, found)
    response = _revision_page(request, found, found.text, revealed=True)
    response["Cache-Control"] = "no-store"
    return response


@require_POST
def download(request: ConsoleRequest, environment: str, kind: str, number: int) -> HttpResponse:
    """The document as it was typed, secrets and all."""
    found = _get_revision(request, environment, kind, number, needs="secret.view")
    _record_reveal(request, found)
    response = HttpResponse(found.text.encode("utf-8", "surrogatepass"), content_type="application/json")
    response["Content-Disposition"] = f'attachment; filename="{found.environment}-{kind}-r{number}.json"'
    response["Cache-Control"] = "no-store"
    return response


def _record_reveal(request: ConsoleRequest, revision: Revision) -> None:
    with transaction.atomic():
        audit.record("secret.revealed", actor=request.user, target=revision, digest=revision.digest)


def _revision_page(request: ConsoleRequest, found: Revision, text: str, *, revealed: bool = False) -> HttpResponse:
    kind = found.document.kind
    context = {
        "environment": found.environment,
        "may": access.verbs(request.user, found.environment),
        "kind": kind,
        "kinds": Kind.values,
        "revision": found,
        "text": text,
        "revealed": revealed,
        "current": changes.current_revision(found.environment, kind),
    }
    return render(request, "configs_app/revision.html", context)


@require_POST
def restore(request: ConsoleRequest, environment: str, kind: str, number: int) -> HttpResponse:
    """Open a change with this revision's content; publishing it makes a new revision."""
    found = _get_revision(request, environment, kind, number, needs="change.edit")
    try:
        change = changes.restore(found, actor=request.user)
    except Refused as refusal:
        messages.error(request, str(refusal))
        return redirect("configs:document", environment, kind)
    return redirect("configs:change", change.pk)


@require_safe
def compare(request: ConsoleRequest, environment: str, kind: str) -> HttpResponse:
    """Two revisions of one document, older first unless asked otherwise."""
    found = _get_environment(request, environment, kind, needs="environment.view")
    chosen = [request.GET.get(name, "") for name in ("from", "to")]
    if not all(number.isdigit() for number in chosen):
        messages.error(request, "Choose two revisions to compare.")
        return redirect("configs:document", environment, kind)
    old, new = (_get_revision(request, environment, kind, int(number), needs="environment.view") for number in chosen)
    context = {
        "environment": found,
        "may": access.verbs(request.user, found),
        "kind": kind,
        "kinds": Kind.values,
        "old": old,
        "new": new,
        "entries": diffs.entries(old.text, new.text),
        "lines": diffs.lines(old.text, new.text),
    }
    return render(request, "configs_app/compare.html", context)


@require_POST
def validate(request: ConsoleRequest, environment: str, kind: str) -> HttpResponse:
    """What is wrong with the text in the editor, as it is typed."""
    found = _get_environment(request, environment, kind, needs="change.edit")
    form = ChangeForm(request.POST)
    form.full_clean()
    wanted = request.GET.get("change", "")
    change = found.changes.filter(pk=wanted).first() if wanted.isdecimal() else None
    typed = form.typed()
    unmasked = editor.unmasked(typed, found, change=change, bases=form.bases().values())
    findings = editor.findings(kind, typed, unmasked)
    return render(request, "configs_app/_findings.html", {"kind": kind, "findings": findings})


def _get_environment(request: ConsoleRequest, name: str, kind: str, *, needs: str) -> Environment:
    environment = get_environment(request.user, name, needs=needs)
    if kind not in Kind.values:
        raise Http404("There are two documents: webhooks and connections.")
    return environment


def _get_revision(request: ConsoleRequest, environment: str, kind: str, number: int, *, needs: str) -> Revision:
    found = _get_environment(request, environment, kind, needs=needs)
    query = Revision.objects.select_related(
        "document__environment", "author", "parent__document", "restored_from__document"
    )
    return get_object_or_404(query, document__environment=found, document__kind=kind, number=number)
