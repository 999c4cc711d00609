"""Import: choose where from, look at what it would bring, then start with it or make it a change."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_http_methods

from configs_app import documents, imports
from configs_app.import_forms import ArchiveForm, FilesForm, InstanceForm
from configs_app.models import Import
from console import access
from console.errors import Refused
from console.http import ConsoleRequest
from instances_app.models import Environment
from instances_app.shortcuts import get_environment

FINDINGS = 200  # shown of one document


@require_http_methods(["GET", "POST"])
def choose(request: ConsoleRequest, environment: str) -> HttpResponse:
    """Three sources; what is read is kept and shown on a page of its own."""
    found = get_environment(request.user, environment, needs="change.edit")
    source = request.POST.get("source")
    forms_of: dict[str, forms.Form] = {
        "files": FilesForm(*_sent(request, source == "files")),
        "archive": ArchiveForm(*_sent(request, source == "archive")),
        "instance": InstanceForm(*_sent(request, source == "instance"), environment=found),
    }
    form = forms_of.get(source or "")
    if form is not None and form.is_valid():
        try:
            held = _read(form, found, request)
        except Refused as refusal:
            form.add_error(None, str(refusal))
        else:
            return redirect("configs:import-preview", held.pk)
    context = {
        "environment": found,
        "may": access.verbs(request.user, found),
        "bundle": documents.desired(found),
        "sources": forms_of,
    }
    return render(request, "configs_app/import.html", context, status=422 if request.method == "POST" else 200)


@require_http_methods(["GET", "POST"])
def preview(request: ConsoleRequest, pk: int) -> HttpResponse:
    """Findings and consequences; ``do`` is start, change or discard."""
    held = get_object_or_404(imports.held().select_related("environment", "instance", "author"), pk=pk)
    access.require(request.user, "change.edit", held.environment)
    if request.method == "POST":
        try:
            return _do(request, held)
        except Refused as refusal:
            messages.error(request, str(refusal))
            return redirect("configs:import-preview", pk)
    parts = imports.parts(held)
    context: dict[str, Any] = {
        "environment": held.environment,
        "may": access.verbs(request.user, held.environment),
        "held": held,
        "parts": [(part, part.findings[:FINDINGS]) for part in parts],
        "errors": sum(part.errors for part in parts),
        "warnings": sum(part.warnings for part in parts),
        "same": all(part.same for part in parts),
        "summary": imports.summary(held),
        "bundle": documents.desired(held.environment),
        "may_start": imports.may_start(held) and access.allows(request.user, "change.publish", held.environment),
    }
    return render(request, "configs_app/import_preview.html", context)


def _do(request: ConsoleRequest, held: Import) -> HttpResponse:
    environment = held.environment
    match request.POST.get("do", ""):
        case "start":
            access.require(request.user, "change.publish", environment)
            bundle = imports.start(held, actor=request.user)
            messages.success(request, f"{environment} starts with {bundle} from {held.origin}. Nothing was sent yet.")
            return redirect("sync:environment", environment.name)
        case "change":
            return redirect("configs:change", imports.as_change(held, actor=request.user).pk)
        case "discard":
            imports.discard(held)
            messages.success(request, f"What was read from {held.origin} is thrown away.")
            return redirect("configs:import", environment.name)
    raise Refused("Choose what to do with it: start, change or discard.")


def _sent(request: ConsoleRequest, this: bool) -> tuple[Any, Any]:
    """Data and files for the form that was sent, nothing for the others."""
    return (request.POST, request.FILES) if this else (None, None)


def _read(form: forms.Form, environment: Environment, request: ConsoleRequest) -> Import:
    if isinstance(form, InstanceForm):
        return imports.read_instance(form.cleaned_data["instance"], actor=request.user)
    assert isinstance(form, FilesForm | ArchiveForm)
    contents, origin = form.contents(), form.origin() or "the form"
    return imports.hold(environment, contents, origin=origin, actor=request.user)
