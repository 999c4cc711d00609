"""Findings that are accepted: deciding it on a change's page, and the list of what stands."""

from __future__ import annotations

from django.contrib import messages
from django.core.paginator import Paginator
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.views.decorators.http import require_POST, require_safe

from configs_app import acceptances, change_views, contents, reasons
from configs_app.forms import AcceptanceForm
from configs_app.models import Acceptance
from console import access
from console.errors import Refused
from console.http import ConsoleRequest
from instances_app.shortcuts import get_environment

PAGE_SIZE = 100


@require_safe
def acceptance_list(request: ConsoleRequest, environment: str) -> HttpResponse:
    found = get_environment(request.user, environment, needs="environment.view")
    accepted = found.acceptances.filter(ended_at=None).select_related("author").order_by("expires_at", "pk")
    context = {
        "environment": found,
        "may": access.verbs(request.user, found),
        "page": Paginator(accepted, PAGE_SIZE).get_page(request.GET.get("page")),
        "now": timezone.now(),
    }
    return render(request, "configs_app/acceptance_list.html", context)


@require_POST
def accept(request: ConsoleRequest, pk: int) -> HttpResponse:
    """Accept the ticked findings of a change; a refusal shows the page again with what was typed."""
    change = change_views.get_change(request, pk, needs="finding.accept")
    form = AcceptanceForm(request.POST, offered=contents.obstacles(change))
    try:
        if not change.is_open:
            raise Refused(f"This change is {change.state}; nothing of it is to be decided any more.")
        if not form.is_valid():
            raise Refused(" ".join(str(error) for errors in form.errors.values() for error in errors))
        acceptances.accept(
            change.environment,
            form.ticked(),
            reason=form.cleaned_data["reason"],
            until=form.cleaned_data["until"],
            actor=request.user,
            change=change,
        )
    except Refused as refusal:
        messages.error(request, str(refusal))
        form.data = request.POST.copy()
        form.data["reason"] = reasons.without_secrets(form.data.get("reason", ""), reasons.beside_change(change))
        return change_views.page(request, change, accepting=form, status=422)
    return redirect("configs:change", pk)


@require_POST
def end(request: ConsoleRequest, pk: int) -> HttpResponse:
    acceptance = get_object_or_404(Acceptance.objects.select_related("environment"), pk=pk)
    access.require(request.user, "finding.accept", acceptance.environment)
    try:
        acceptances.end(acceptance, actor=request.user)
    except Refused as refusal:
        messages.error(request, str(refusal))
    return redirect("configs:acceptances", acceptance.environment.name)
