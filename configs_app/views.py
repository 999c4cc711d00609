"""Documents and their revisions: what stands, what stood, and what differs."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.db import transaction
from django.http import Http404, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.cache import cache_control
from django.views.decorators.http import require_POST, require_safe

from configs_app import changes, documents, editor, entry_history, entry_views, reasons, revisions, running, secrets
from configs_app.forms import ChangeForm
from configs_app.models import Revision
from configs_app.validation import schemas
from console import access, audit
from console.errors import Refused
from console.http import ConsoleRequest, whole
from instances_app.models import Environment, Kind
from instances_app.shortcuts import get_environment

HISTORY = 50
MOST_TEXT = 256 * 1024  # bytes of a document that its page shows unasked


@require_safe
def document(request: ConsoleRequest, environment: str, kind: str) -> HttpResponse:
    """The current revision, secrets masked, where it runs, and the history."""
    found = _get_environment(request, environment, kind, needs="environment.view")
    bundle = documents.desired(found)
    current = bundle.revision(kind) if bundle else None
    context = {
        "environment": found,
        "may": access.verbs(request.user, found),
        "kind": kind,
        "current": current,
        **(_current(request, found, kind, current) if current else {}),
        **_history(request, found, kind),
    }
    return render(request, "configs_app/document.html", context)


def _text(request: ConsoleRequest, revision: Revision) -> str | None:
    """The revision's text, masked; None for a long one that nobody asked for."""
    shown = revision.size <= MOST_TEXT or request.GET.get("text") == "all"
    return secrets.masked(revision.text) if shown else None


def _current(request: ConsoleRequest, environment: Environment, kind: str, current: Revision) -> dict[str, Any]:
    return {
        "text": _text(request, current),
        "running": running.of_document(environment, kind),
        **entry_views.table(request, environment, kind, current),
    }


def _history(request: ConsoleRequest, environment: Environment, kind: str) -> dict[str, Any]:
    """A page of revisions, pinned ones first; of the newest two are chosen for comparing."""
    marked = revisions.of(environment, kind).select_related("pin").prefetch_related("tags").defer("content_sealed")
    page = marked.filter(pin=None)
    before = whole(request.GET.get("before", ""))
    if before is not None:
        page = page.filter(number__lt=before)
    listed = list(page.order_by("-number")[: HISTORY + 1])
    rows = [*marked.exclude(pin=None).order_by("-number"), *listed[:HISTORY]]
    newest = sorted(rows, key=lambda revision: -revision.number)[:2]
    return {
        "revisions": rows,
        "chosen": (newest[-1].pk, newest[0].pk) if newest else (None, None),
        "older": listed[HISTORY - 1].number if len(listed) > HISTORY else None,
    }


@require_safe
def revision(request: ConsoleRequest, environment: str, kind: str, number: int) -> HttpResponse:
    found = get_revision(request, environment, kind, number, needs="environment.view")
    return revision_page(request, found)


@require_POST
def reveal(request: ConsoleRequest, environment: str, kind: str, number: int) -> HttpResponse:
    """The same page with the secrets, this once."""
    found = get_revision(request, environment, kind, number, needs="secret.view")
    _record_reveal(request, found, by="page")
    response = revision_page(request, found, revealed=True)
    response["Cache-Control"] = "no-store"
    return response


@require_POST
def download(request: ConsoleRequest, environment: str, kind: str, number: int) -> HttpResponse:
    """The document as it was typed, secrets and all."""
    found = get_revision(request, environment, kind, number, needs="secret.view")
    _record_reveal(request, found, by="download")
    response = HttpResponse(found.text.encode("utf-8", "surrogatepass"), content_type="application/json")
    response["Content-Disposition"] = f'attachment; filename="{found.environment}-{kind}-r{number}.json"'
    response["Cache-Control"] = "no-store"
    return response


def _record_reveal(request: ConsoleRequest, revision: Revision, *, by: str) -> None:
    with transaction.atomic():
        audit.record("secret.revealed", actor=request.user, target=revision, digest=revision.digest, by=by)


def revision_page(
    request: ConsoleRequest, found: Revision, *, revealed: bool = False, status: int = 200
) -> HttpResponse:
    """One revision; after a refusal with what was typed into its forms, `revealed` with its secrets."""
    kind = found.document.kind
    context = {
        "environment": found.environment,
        "may": access.verbs(request.user, found.environment),
        "kind": kind,
        "revision": found,
        "text": found.text if revealed else _text(request, found),
        "revealed": revealed,
        "current": documents.current(found.environment, kind),
        "running": running.of_document(found.environment, kind),
        "did": entry_history.by_word(found),
        "typed_name": request.POST.get("name", ""),
        "typed_text": _typed_again(request, found),
    }
    return render(request, "configs_app/revision.html", context, status=status)


def _typed_again(request: ConsoleRequest, found: Revision) -> str | None:
    """What was typed as a note, but for a secret in it."""
    typed = request.POST.get("text")
    return reasons.without_secrets(typed, {found.text} | reasons.current(found.environment)) if typed else typed


@require_POST
def restore(request: ConsoleRequest, environment: str, kind: str, number: int) -> HttpResponse:
    """Open a change with this revision's content; publishing it makes a new revision."""
    found = get_revision(request, environment, kind, number, needs="change.edit")
    try:
        change = changes.restore(found, actor=request.user)
    except Refused as refusal:
        messages.error(request, str(refusal))
        return redirect("configs:document", environment, kind)
    return redirect("configs:change", change.pk)


@require_POST
def validate(request: ConsoleRequest, environment: str, kind: str) -> HttpResponse:
    """What is wrong with the text in the editor, as it is typed."""
    found = _get_environment(request, environment, kind, needs="change.edit")
    form = ChangeForm(request.POST)
    form.full_clean()
    change = found.changes.filter(pk=whole(request.GET.get("change", "")) or 0).first()
    typed = form.typed()
    unmasked = editor.unmasked(typed, found, change=change, bases=form.bases().values(), pages=form.pages())
    findings = editor.findings(kind, typed, unmasked)
    return render(request, "configs_app/_findings.html", {"kind": kind, "findings": findings, "jump": True})


@require_safe
@cache_control(private=True, max_age=365 * 86400, immutable=True)
def schema(request: ConsoleRequest, kind: str, digest: str) -> HttpResponse:
    """The JSON Schema of a document, for the editor. The digest is in the address, so that browsers may keep it."""
    if kind not in Kind.values or digest != schemas.digest(kind):
        raise Http404("That schema is not the one of this release.")
    return HttpResponse(schemas.text(kind), content_type="application/schema+json")


def _get_environment(request: ConsoleRequest, name: str, kind: str, *, needs: str) -> Environment:
    environment = get_environment(request.user, name, needs=needs)
    if kind not in Kind.values:
        raise Http404("There are two documents: webhooks and connections.")
    return environment


def get_revision(request: ConsoleRequest, environment: str, kind: str, number: int, *, needs: str) -> Revision:
    found = _get_environment(request, environment, kind, needs=needs)
    return get_object_or_404(revisions.of(found, kind).select_related("pin__by"), number=number)
