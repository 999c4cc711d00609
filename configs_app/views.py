"""Documents and their revisions: what stands, what stood, and what differs."""

from __future__ import annotations

from django.contrib import messages
from django.db import transaction
from django.http import Http404, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.cache import cache_control
from django.views.decorators.http import require_POST, require_safe

from configs_app import changes, diffs, documents, secrets, validation
from configs_app.forms import as_lf, with_line_ends_of
from configs_app.models import Revision
from configs_app.validation import schemas
from console import access, audit
from console.errors import Refused
from console.http import ConsoleRequest
from instances_app.models import OTHER, Environment, Kind
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
    context = {
        "environment": found.environment,
        "may": access.verbs(request.user, found.environment),
        "kind": kind,
        "kinds": Kind.values,
        "revision": found,
        "text": secrets.masked(found.text),
        "current": changes.current_revision(found.environment, kind),
    }
    return render(request, "configs_app/revision.html", context)


@require_POST
def download(request: ConsoleRequest, environment: str, kind: str, number: int) -> HttpResponse:
    """The document as it was typed, secrets and all; that somebody took it is audited."""
    found = _get_revision(request, environment, kind, number, needs="secret.view")
    with transaction.atomic():
        audit.record("secret.revealed", actor=request.user, target=found, digest=found.digest)
    response = HttpResponse(found.text.encode("utf-8", "surrogatepass"), content_type="application/json")
    response["Content-Disposition"] = f'attachment; filename="{found.environment}-{kind}-r{number}.json"'
    response["Cache-Control"] = "no-store"
    return response


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
    texts = {}
    for one in Kind.values:
        current = changes.current_revision(found, one)
        texts[one] = with_line_ends_of(current.text if current else None, as_lf(request.POST.get(one, "")))
    findings = validation.findings(kind, texts[kind], beside=texts[OTHER[kind]])
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


def _get_revision(request: ConsoleRequest, environment: str, kind: str, number: int, *, needs: str) -> Revision:
    found = _get_environment(request, environment, kind, needs=needs)
    query = Revision.objects.select_related(
        "document__environment", "author", "parent__document", "restored_from__document"
    )
    return get_object_or_404(query, document__environment=found, document__kind=kind, number=number)
