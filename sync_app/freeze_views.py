"""Freezes and maintenance windows of an environment, and the maintenance of one instance."""

from __future__ import annotations

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.views.decorators.http import require_http_methods

from configs_app import reasons
from console import access
from console.errors import Refused
from console.http import ConsoleRequest
from instances_app import freezes
from instances_app.freeze_models import Freeze
from instances_app.shortcuts import get_environment, get_instance
from sync_app import freezing, maintenance, rollouts
from sync_app.freeze_forms import FreezeForm, MaintenanceForm, hide_secrets

PAST = 20


@require_http_methods(["GET", "POST"])
def freeze_list(request: ConsoleRequest, environment: str) -> HttpResponse:
    """What holds, what comes, what was; on POST set another one."""
    needs = "freeze.set" if request.method == "POST" else "environment.view"
    found = get_environment(request.user, environment, needs=needs)
    form = FreezeForm(request.POST if request.method == "POST" else None, environment=found)
    if request.method == "POST" and form.is_valid():
        try:
            freeze = freezing.add(form.freeze(timezone.now()), actor=request.user)
        except Refused as refusal:
            form.add_error(None, str(refusal))
        else:
            messages.success(request, f"The {freeze.noun} is set: {freezes.schedule(freeze)}.")
            return redirect("sync:freezes", found.name)
    hide_secrets(form, found)
    standing = freezes.standing(found)
    past = Freeze.objects.filter(environment=found).exclude(pk__in=[one.pk for one in standing])
    context = {
        "environment": found,
        "may": access.verbs(request.user, found),
        "standing": standing,
        "in_force": freezes.in_force(found),
        "past": past.select_related("by", "lifted_by").order_by("-pk")[:PAST],
        "form": form,
        "setters": access.who_can("freeze.set", found),
    }
    return render(request, "sync_app/freezes.html", context, status=422 if request.method == "POST" else 200)


@require_http_methods(["GET", "POST"])
def freeze_lift(request: ConsoleRequest, pk: int) -> HttpResponse:
    """What it holds back; on POST lift it, with a reason."""
    found = get_object_or_404(Freeze.objects.select_related("environment", "by"), pk=pk)
    access.require(request.user, "freeze.lift", found.environment)
    reason = request.POST.get("reason", "")
    this_time = request.POST.get("this_time") == "yes"
    refused = None
    if request.method == "POST":
        try:
            freezing.lift(found, reason=reason, this_time=this_time, actor=request.user)
            messages.success(request, f"The {found.noun} is lifted{' for this time' if this_time else ''}.")
            return redirect("sync:freezes", found.environment.name)
        except Refused as refusal:
            refused, reason = str(refusal), reasons.without_secrets(reason, reasons.current(found.environment))
    context = {
        "freeze": found,
        "environment": found.environment,
        "reason": reason,
        "this_time": this_time or request.method == "GET",
        "refused": refused,
        "skippable": freezing.skippable(found),
        "review": found.environment.protected and freezes.looser_without(found),
        "going": rollouts.going(found.environment),
    }
    return render(request, "sync_app/freeze_lift.html", context, status=422 if refused else 200)


@require_http_methods(["GET", "POST"])
def instance_maintenance(request: ConsoleRequest, pk: int) -> HttpResponse:
    """Put an instance into maintenance, or take it out."""
    instance = get_instance(request.user, pk, needs="instance.maintain")
    posted = request.method == "POST"
    form = MaintenanceForm(
        request.POST if posted and "end" not in request.POST else None,
        initial={"zone": "UTC", "reason": instance.maintenance_reason if instance.in_maintenance else ""},
    )
    try:
        if posted and "end" in request.POST:
            maintenance.end(instance, actor=request.user)
            messages.success(request, f"{instance} takes part again. Sync it, if it is out of sync.")
            return redirect("sync:instance", pk)
        if posted and form.is_valid():
            maintenance.begin(instance, reason=form.cleaned_data["reason"], until=form.end(), actor=request.user)
            messages.success(request, f"{instance} is in maintenance. Rollouts leave it out.")
            return redirect("sync:instance", pk)
    except Refused as refusal:
        messages.error(request, str(refusal))
    hide_secrets(form, instance.environment)
    context = {"instance": instance, "environment": instance.environment, "form": form}
    return render(request, "sync_app/instance_maintenance.html", context, status=422 if posted else 200)
