"""Adding an instance: what to put into the service, where it is, and then waiting for its first answer."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Self

from django.contrib import messages
from django.core.exceptions import ValidationError
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.template.loader import render_to_string
from django.views.decorators.http import require_http_methods, require_safe

from configs_app import documents
from console import access
from console.errors import Refused
from console.http import ConsoleRequest
from console.sealing import SealBroken, seal, unseal
from instances_app import embedding, registry
from instances_app.forms import InstanceForm
from instances_app.models import Environment, Instance
from instances_app.shortcuts import get_environment, get_instance
from sync_app import fleet, onboarding, tasks


@dataclass(frozen=True, slots=True)
class Held:
    """The token that a form offers, and the one typed into it: sealed in the page, for this person and environment.

    So neither is lost when the form is refused, and a typed one never goes back to the browser in the clear.
    """

    fresh: str
    typed: str = ""

    @classmethod
    def of(cls, sent: str, environment: Environment, request: ConsoleRequest) -> Self | None:
        """None for what is not this person's, or cannot be opened."""
        try:
            facts = json.loads(unseal(sent.encode()))
            whose = (facts["environment"], facts["person"])
            return cls(facts["fresh"], facts["typed"]) if whose == (environment.pk, request.user.pk) else None
        except (SealBroken, ValueError, LookupError, TypeError):
            return None

    def sealed(self, environment: Environment, request: ConsoleRequest) -> str:
        facts = {"fresh": self.fresh, "typed": self.typed, "environment": environment.pk, "person": request.user.pk}
        return seal(json.dumps(facts)).decode()


@require_http_methods(["GET", "POST"])
def instance_new(request: ConsoleRequest, environment: str) -> HttpResponse:
    """The lines, a fresh token, and a form. Registered at once, so that nothing typed is lost."""
    found = get_environment(request.user, environment, needs="instance.change")
    form = InstanceForm(request.POST or None)
    held = Held.of(request.POST.get("held", ""), found, request)
    lost = request.method == "POST" and held is None
    held = held or Held(embedding.fresh_token())
    if request.method == "POST":
        typed_now = "" if "token" in form.errors else request.POST.get("token", "").strip()
        held = Held(held.fresh, typed_now or held.typed)
        if form.is_valid():
            try:
                if lost and not held.typed:
                    raise Refused("The token that was shown is not known any more. Set the one that is shown now.")
                typed = {**form.cleaned_data, "token": held.typed or held.fresh}
                instance = registry.register(found, **typed, actor=request.user)
            except Refused as refusal:
                form.add_error(None, str(refusal))
            except ValidationError as refusal:
                form.add_error(None, refusal)
            else:
                onboarding.begin(instance, actor=request.user)
                return redirect("sync:instance-onboarding", instance.pk)
    context = {
        "environment": found,
        "form": form,
        "first": not found.instances.active().exists(),
        "held": held,
        "sealed": held.sealed(found, request),
        **_embedding(held.fresh),
    }
    return _private(render(request, "sync_app/onboarding_new.html", context, status=422 if form.is_bound else 200))


@require_http_methods(["GET", "POST"])
def instance_onboarding(request: ConsoleRequest, pk: int) -> HttpResponse:
    """How far it got; ``do`` is begin (to ask, and go on asking), monitor (without an agent) or token (a new one)."""
    instance = get_instance(request.user, pk, needs="instance.change")
    if request.method == "POST":
        try:
            return _do(request, instance)
        except Refused as refusal:
            messages.error(request, str(refusal))
        return redirect("sync:instance-onboarding", pk)
    if instance.retired_at is not None:
        return redirect("sync:instance", pk)
    context = _context(request, instance)
    return _private(render(request, "sync_app/onboarding.html", {**context, **_embedding()}))


@require_safe
def instance_onboarding_now(request: ConsoleRequest, pk: int) -> HttpResponse:
    """The live part. A page that has all of it already gets its age alone."""
    instance = get_instance(request.user, pk, needs="instance.change")
    context = _context(request, instance)
    if request.GET.get("have") != context["standing"].key:
        return render(request, "sync_app/_onboarding.html", context)
    answer = HttpResponse(render_to_string("sync_app/_onboarding_age.html", {**context, "oob": True}, request))
    answer["HX-Reswap"] = "none"
    return answer


def _do(request: ConsoleRequest, instance: Instance) -> HttpResponse:
    match request.POST.get("do", ""):
        case "begin":
            onboarding.begin(instance, actor=request.user)
            return redirect("sync:instance-onboarding", instance.pk)
        case "monitor":
            onboarding.keep_monitored(instance, actor=request.user)
            tasks.wake_look([instance.pk])
            messages.success(request, f"{instance} is monitored only: asked how it is, never sent anything.")
            return redirect("sync:instance", instance.pk)
        case "token":
            token = onboarding.new_token(instance, actor=request.user)
            context = {"environment": instance.environment, "instance": instance, **_embedding(token)}
            return _private(render(request, "sync_app/onboarding_token.html", context))
    raise Refused("Choose what to do: begin, monitor or token.")


def _context(request: ConsoleRequest, instance: Instance) -> dict[str, Any]:
    standing = onboarding.standing(instance)
    if onboarding.is_due(instance, standing):
        tasks.wake_first_look(instance.pk)
    bundle = documents.desired(instance.environment)
    context: dict[str, Any] = {
        "environment": instance.environment,
        "instance": instance,
        "may": access.verbs(request.user, instance.environment),
        "standing": standing,
        "bundle": bundle,
        "heard": instance.was_heard,  # an agent has answered before
    }
    if standing.is_proven:
        instance.refresh_from_db()  # it was read before the answer: what was found is told after the row is written
        (row,) = fleet.rows_for([instance], bundle)
        context |= {"row": row, "reported": onboarding.reported(instance), "can": sorted(instance.capabilities)}
    return context


def _embedding(token: str = "") -> dict[str, str]:
    return {
        "token": token,
        "variable": embedding.VARIABLE,
        "service_file": embedding.SERVICE_FILE,
        "service_lines": embedding.SERVICE_LINES,
        "service_start": embedding.SERVICE_START,
        "asgi_lines": embedding.ASGI_LINES,
    }


def _private(response: HttpResponse) -> HttpResponse:
    """It may show a token."""
    response["Cache-Control"] = "no-store"
    return response
