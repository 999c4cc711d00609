"""An environment's settings: its rules, its plan, self-heal, and who holds which role."""

from __future__ import annotations

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_http_methods

from console import access
from console.errors import Refused
from console.http import ConsoleRequest
from console.models import RoleBinding
from instances_app import freezes, healing, plans, rules
from instances_app.healing_forms import SelfHealForm
from instances_app.models import Environment
from instances_app.plan_forms import PlanForm
from instances_app.plans import Plan
from instances_app.rules_forms import RulesForm
from instances_app.shortcuts import get_environment
from instances_app.transport import Transport


@require_http_methods(["GET", "POST"])
def environment_settings(request: ConsoleRequest, environment: str) -> HttpResponse:
    """Three forms; `rules` is in the first only, `heal` in the last."""
    found = get_environment(request.user, environment, needs="environment.change")
    instances = list(found.instances.managed().only("environment", "name", "labels"))
    sent = request.POST if request.method == "POST" else None
    rules_form = RulesForm(sent if sent and "rules" in sent else None, rules=rules.Rules.of(found))
    heal_form = SelfHealForm(
        sent if sent and "heal" in sent else None, heal=healing.SelfHeal.of(found), protected=found.protected
    )
    of_plan = sent if sent and not {"rules", "heal"} & set(sent) else None
    plan_form = PlanForm(of_plan, instances=instances, plan=Plan.of(found.plan), prefix="plan")
    done = None
    if rules_form.is_bound:
        done = _change_rules(request, found, rules_form)
    elif heal_form.is_bound:
        done = _set_heal(request, found, heal_form)
    elif plan_form.is_bound and "preview" not in request.POST:
        done = _set_plan(request, found, plan_form)
    if done is not None:
        return done
    shown = plan_form.plan() if plan_form.is_bound and plan_form.is_valid() else Plan.of(found.plan)
    bindings = RoleBinding.objects.filter(environment=found).select_related("user").order_by("role", "user__username")
    context = {
        "environment": found,
        "may": access.verbs(request.user, found),
        "bindings": bindings,
        "freezes": freezes.standing(found),
        "rules_form": rules_form,
        "plan_form": plan_form,
        "heal_form": heal_form,
        "plan": shown,
        "waves": plans.names(shown, instances),
        "previewed": plan_form.is_bound,
        "transport": Transport.of(found),
    }
    refused = request.method == "POST" and not ("preview" in request.POST and plan_form.is_valid())
    return render(request, "instances_app/environment_settings.html", context, status=422 if refused else 200)


def _change_rules(request: ConsoleRequest, environment: Environment, form: RulesForm) -> HttpResponse | None:
    if not form.is_valid():
        return None
    try:
        rules.change(environment, form.rules(), reason=form.cleaned_data["reason"], actor=request.user)
    except Refused as refusal:
        form.add_error(None, str(refusal))
        return None
    messages.success(request, f"The rules of {environment} hold from now on.")
    return redirect("instances:environment-settings", environment.name)


def _set_plan(request: ConsoleRequest, environment: Environment, form: PlanForm) -> HttpResponse | None:
    if not form.is_valid():
        return None
    try:
        rules.set_plan(environment, form.plan(), actor=request.user)
    except Refused as refusal:
        form.add_error(None, str(refusal))
        return None
    messages.success(request, f"Rollouts in {environment} follow this plan from now on.")
    return redirect("instances:environment-settings", environment.name)


def _set_heal(request: ConsoleRequest, environment: Environment, form: SelfHealForm) -> HttpResponse | None:
    if not form.is_valid():
        return None
    try:
        healing.change(environment, form.heal(), reason=form.cleaned_data["reason"], actor=request.user)
    except Refused as refusal:
        form.add_error(None, str(refusal))
        return None
    messages.success(request, f"Self-heal of {environment} is {'on' if form.heal().on else 'off'}.")
    return redirect("instances:environment-settings", environment.name)
