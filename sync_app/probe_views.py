"""The serving probe: setting it up, trying it out, and asking one service by hand."""

from __future__ import annotations

from django.contrib import messages
from django.db import transaction
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_http_methods, require_POST

from console import access, audit
from console.errors import Refused
from console.http import ConsoleRequest
from instances_app import probes
from instances_app.models import Environment, Instance, Service
from instances_app.shortcuts import get_environment, get_instance
from sync_app import serving
from sync_app.probe_forms import ProbeForm
from sync_app.serving import Found

OFFERED = 50  # names that the field for a try suggests


@require_http_methods(["GET", "POST"])
def probe(request: ConsoleRequest, environment: str) -> HttpResponse:
    """One form; `try` asks one instance with what is typed and keeps nothing, `remove` takes the probe away."""
    found = get_environment(request.user, environment, needs="environment.change")
    standing = probes.of(found)
    if request.method == "POST" and "remove" in request.POST:
        return _remove(request, found)
    form = ProbeForm(request.POST if request.method == "POST" else None, probe=standing)
    name = request.POST.get("instance", "").strip()
    tried: Found | None = None
    if form.is_bound and form.is_valid():
        try:
            if "try" not in request.POST:
                probes.change(found, form.settings(), actor=request.user)
                messages.success(request, f"Services in {found} are asked this from now on.")
                return redirect("sync:probe", found.name)
            tried = _try(request, found, form, name)
        except Refused as refusal:
            form.add_error(None, str(refusal))
    offered = found.instances.managed().order_by("name").values_list("name", flat=True)[:OFFERED]
    context = {
        "environment": found,
        "may": access.verbs(request.user, found),
        "probe": standing,
        "form": form,
        "tried": tried,
        "name": name or next(iter(offered), ""),
        "offered": offered,
    }
    response = render(request, "sync_app/probe.html", context, status=422 if form.is_bound and not tried else 200)
    response["Cache-Control"] = "no-store"  # it may hold what was typed
    return response


@require_POST
def instance_probe(request: ConsoleRequest, pk: int) -> HttpResponse:
    """Ask this instance's service now; what is found is kept, whatever it is."""
    instance = get_instance(request.user, pk, needs="instance.check")
    standing = probes.of(instance.environment)
    if standing is None or instance.retired_at is not None or instance.monitored_only:
        why = "retired" if instance.retired_at is not None else "monitored only: asked for its own /health alone"
        messages.error(request, "No probe is set up here." if standing is None else f"{instance} is {why}.")
        return redirect("sync:instance", pk)
    try:
        found = serving.by_hand(standing, instance)
    except Refused as refusal:
        messages.error(request, str(refusal))
        return redirect("sync:instance", pk)
    with transaction.atomic():
        audit.record("instance.probed", actor=request.user, target=instance, found=found.word)
    level = messages.SUCCESS if found.word == Service.SERVING else messages.WARNING
    messages.add_message(request, level, f"{instance}: {found.word}. {found.detail}".strip())
    return redirect("sync:instance", pk)


def _try(request: ConsoleRequest, environment: Environment, form: ProbeForm, name: str) -> Found:
    wanted = form.settings()
    instance = Instance.objects.managed().filter(environment=environment, name=name).first()
    if instance is None:
        raise Refused(f"There is no instance named “{name[:80]}” here. Type the name of one to try it on.")
    if form.uses_sealed:
        serving.refuse_unproven(instance)
    (found,) = serving.look(environment, wanted, [instance], curious=True)
    with transaction.atomic():
        audit.record(
            "environment.probe_tried",
            actor=request.user,
            target=environment,
            probe=wanted.data,
            instance=instance.name,
            found=found.word,
        )
    return found


def _remove(request: ConsoleRequest, environment: Environment) -> HttpResponse:
    try:
        probes.remove(environment, actor=request.user)
        messages.success(request, f"Services in {environment} are not asked any more whether they serve.")
    except Refused as refusal:
        messages.error(request, str(refusal))
    return redirect("sync:probe", environment.name)
