"""Starting a dry run, and looking at one."""

from __future__ import annotations

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_http_methods, require_safe

from configs_app import change_views
from console import access
from console.errors import Refused
from console.http import ConsoleRequest
from sync_app import dry_run_page, dry_runs
from sync_app.dry_run_models import DryRun


@require_http_methods(["GET", "POST"])
def change_dry_run(request: ConsoleRequest, pk: int) -> HttpResponse:
    """The live part of the change's page; on POST ask its instances."""
    needs = "change.dry_run" if request.method == "POST" else "environment.view"
    change = change_views.get_change(request, pk, needs=needs)
    if request.method == "POST":
        try:
            dry_runs.start(change, actor=request.user)
        except Refused as refusal:
            messages.error(request, str(refusal))
        response = redirect("configs:change", pk)
        response["Location"] += "#dry-run"
        return response
    return render(request, "sync_app/_dry_run.html", dry_run_page.section(change, request.user))


@require_safe
def dry_run(request: ConsoleRequest, pk: int) -> HttpResponse:
    """Every answer of one run."""
    found = _get_dry_run(request, pk)
    return render(request, "sync_app/dry_run.html", dry_run_page.page(found, request.user, request.GET))


@require_safe
def dry_run_progress(request: ConsoleRequest, pk: int) -> HttpResponse:
    """The live part of that page; its last version no longer asks for another."""
    found = _get_dry_run(request, pk)
    return render(request, "sync_app/_dry_run_answers.html", dry_run_page.page(found, request.user, request.GET))


def _get_dry_run(request: ConsoleRequest, pk: int) -> DryRun:
    found = get_object_or_404(DryRun.objects.select_related("change__environment", "author"), pk=pk)
    access.require(request.user, "environment.view", found.change.environment)
    return found
