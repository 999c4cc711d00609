"""Editing, checking and retiring; adding one, and what it runs, is shown by sync_app."""

from __future__ import annotations

from django import forms
from django.contrib import messages
from django.core.exceptions import ValidationError
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_http_methods, require_POST

from console.errors import Denied, Refused
from console.http import ConsoleRequest
from instances_app import registry
from instances_app.forms import EnvironmentForm, InstanceForm
from instances_app.shortcuts import get_instance


@require_http_methods(["GET", "POST"])
def environment_new(request: ConsoleRequest) -> HttpResponse:
    if not request.user.is_superuser:
        raise Denied("Only a superuser adds environments.", verb="environment.add")
    form = EnvironmentForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        data = form.cleaned_data
        try:
            environment = registry.add_environment(data["name"], protected=data["protected"], actor=request.user)
        except ValidationError as refusal:
            _explain(form, refusal)
        else:
            messages.success(request, f"{environment} is there. Add its first instance.")
            return redirect("sync:instance-new", environment.name)
    return render(
        request,
        "instances_app/environment_form.html",
        {"form": form},
        status=422 if request.method == "POST" else 200,
    )


@require_http_methods(["GET", "POST"])
def instance_edit(request: ConsoleRequest, pk: int) -> HttpResponse:
    """With ?from=onboarding it leads back to the page that waits for the first answer."""
    instance = get_instance(request.user, pk, needs="instance.change")
    awaited = request.GET.get("from") == "onboarding"
    form = InstanceForm(request.POST or None, instance=instance)
    if request.method == "POST" and form.is_valid():
        data = form.cleaned_data
        anyway = data.pop("unproven", False)
        try:
            if data["token"] and not anyway:
                doubt = registry.doubt(instance, base_url=data["base_url"], token=data["token"])
                if doubt:
                    raise Refused(
                        f"{doubt} Nothing is saved, and the token from before stays in use. Correct it, or type it "
                        "again and tick that it is stored all the same."
                    )
            registry.change(instance, **data, actor=request.user)
        except (Refused, ValidationError) as refusal:
            _explain(form, refusal)
        else:
            messages.success(request, f"{form.cleaned_data['name']} is saved.")
            return redirect("sync:instance-onboarding" if awaited else "sync:instance", pk)
    return render(
        request,
        "instances_app/instance_form.html",
        {"form": form, "environment": instance.environment, "instance": instance, "awaited": awaited},
        status=422 if request.method == "POST" else 200,
    )


@require_http_methods(["GET", "POST"])
def instance_retire(request: ConsoleRequest, pk: int) -> HttpResponse:
    """A page that says what retiring means, then the deed."""
    instance = get_instance(request.user, pk, needs="instance.change")
    if request.method == "POST":
        try:
            registry.retire(instance, actor=request.user)
        except Refused as refusal:
            messages.error(request, str(refusal))
            return redirect("sync:instance", pk)
        messages.success(request, f"{instance} is retired. Nothing is sent to it any more.")
        return redirect("sync:environment", instance.environment.name)
    return render(
        request,
        "instances_app/instance_retire.html",
        {"instance": instance, "environment": instance.environment},
    )


@require_POST
def instance_check(request: ConsoleRequest, pk: int) -> HttpResponse:
    instance = get_instance(request.user, pk, needs="instance.check")
    checked = registry.check(instance, actor=request.user)
    level = messages.SUCCESS if checked.health == "healthy" else messages.WARNING
    messages.add_message(request, level, f"{checked} is {checked.health}. {checked.health_detail}".strip())
    return redirect("sync:instance", pk)


def _explain(form: forms.Form, refusal: Refused | ValidationError) -> None:
    form.add_error(None, refusal if isinstance(refusal, ValidationError) else str(refusal))
