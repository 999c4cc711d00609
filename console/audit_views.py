"""The audit trail's pages: find an event, see what it caused, take a copy away."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.conf import settings
from django.core.exceptions import ValidationError
from django.db import transaction
from django.http import HttpResponse, StreamingHttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import get_object_or_404, render
from django.utils import timezone
from django.views.decorators.http import require_POST, require_safe

from console import audit, audit_export, audit_search, checkpoints
from console.audit_search import Page, Sight
from console.audit_sentences import families
from console.forms import AuditFilter, Moment
from console.http import ConsoleRequest, whole
from console.models import AuditEvent, User
from instances_app.models import Environment

CAUSED = 200  # events that one page lists


@require_safe
def audit_trail(request: ConsoleRequest) -> HttpResponse:
    """Who did what: newest first, filtered by the address, paged by sequence number."""
    form = AuditFilter(request.GET)
    page = _page(request, form) if form.is_valid() else Page([], None, None)
    return _listed(request, form, page, status=200 if form.is_valid() else 422)


@require_safe
def audit_event(request: ConsoleRequest, sequence: int) -> HttpResponse:
    """One event, and everything that the same action caused, in order."""
    sight = _sight(request.user)
    event = get_object_or_404(sight.of(AuditEvent.objects.all()), sequence=sequence)
    caused = list(sight.of(_same_action(event)).order_by("sequence")[: CAUSED + 1])
    context = {
        "event": event,
        "caused": caused[:CAUSED] if len(caused) > 1 else [],
        "more": len(caused) > CAUSED,
        "checkpoint": _checkpoint(),
    }
    return render(request, "console/audit_event.html", context)


@require_POST
def audit_download(request: ConsoleRequest) -> HttpResponseBase:
    """What the filter lets through, as a file. Recorded first, by POST: no link can make somebody export."""
    form = AuditFilter(request.POST)
    word = request.POST.get("format", "jsonl")
    if not form.is_valid() or word not in audit_export.FORMATS:
        return _listed(request, form, Page([], None, None), status=422)
    last = AuditEvent.objects.order_by("-sequence").values_list("sequence", flat=True).first() or 0
    with transaction.atomic():
        audit.record("audit.exported", actor=request.user, format=word, filters=form.asked(), until=last)
    found = audit_search.batches(audit_search.narrow(form.cleaned_data), _sight(request.user), until=last)
    parts = audit_export.lines(found) if word == "jsonl" else audit_export.table(found)
    response = StreamingHttpResponse(audit_export.stream(parts), content_type=audit_export.FORMATS[word])
    name = f"audit-{timezone.now():%Y%m%d-%H%M%S}.{word}"
    response["Content-Disposition"] = f'attachment; filename="{name}"'
    response["Cache-Control"] = "no-store"
    return response


def _listed(request: ConsoleRequest, form: AuditFilter, page: Page, *, status: int) -> HttpResponse:
    context = {
        "form": form,
        "asked": form.asked(),
        "page": page,
        "paged": any(request.GET.get(name) for name in ("before", "after", "at")),
        "known_actions": families(),
        "checkpoint": _checkpoint(),
    }
    return render(request, "console/audit.html", context, status=status)


def _page(request: ConsoleRequest, form: AuditFilter) -> Page:
    before, after = whole(request.GET.get("before", "")), whole(request.GET.get("after", ""))
    if moment := _moment(request.GET.get("at", "")):
        before = audit_search.last_until(moment) + 1
    search = audit_search.narrow(form.cleaned_data)
    return audit_search.page(search, _sight(request.user), before=before, after=after)


def _moment(typed: str) -> datetime | None:
    """Where to jump to; nothing for what is no moment."""
    try:
        moment: datetime | None = Moment(label="", ends=True).clean(typed)
    except ValidationError:
        return None
    return moment


def _same_action(event: AuditEvent) -> Any:
    together = AuditEvent.objects.filter(cause=event.root) | AuditEvent.objects.filter(sequence=event.root)
    # Events from before causes were kept know only their request.
    return together | AuditEvent.objects.filter(request_id=event.request_id) if event.request_id else together


def _sight(user: User) -> Sight:
    if user.is_superuser or user.auditor:
        return Sight(user.pk, everything=True)
    names = Environment.objects.visible_to(user).values_list("name", flat=True)
    return Sight(user.pk, everything=False, environments=tuple(names))


def _checkpoint() -> dict[str, Any] | None:
    """The last one, with its time as a time."""
    try:
        last = checkpoints.newest(settings.CHECKPOINT_DIR)
        return {"sequence": last.sequence, "at": datetime.fromisoformat(last.at)} if last else None
    except (checkpoints.BadCheckpoint, ValueError):
        return None
