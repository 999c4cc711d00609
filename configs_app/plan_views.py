"""Where a change goes and by which plan: its own page, with the waves by name before anybody approves them."""

from __future__ import annotations

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_http_methods

from configs_app import change_views, changes, reach
from console import access
from console.errors import Refused
from console.http import ConsoleRequest, whole
from instances_app import plans
from instances_app.plan_forms import PlanForm
from instances_app.plans import Plan


@require_http_methods(["GET", "POST"])
def aim(request: ConsoleRequest, pk: int) -> HttpResponse:
    """`reach` is all or chosen, `follow` is environment or own; with `preview` nothing is saved."""
    change = change_views.get_change(request, pk, needs="change.edit")
    instances = list(change.environment.instances.managed().only("environment", "name", "labels"))
    sent = request.POST if request.method == "POST" else None
    own = sent.get("follow") == "own" if sent else change.plan is not None
    chosen = sent.get("reach") == "chosen" if sent else change.targets is not None
    ticked = {number for number in map(whole, sent.getlist("instance")) if number is not None} if sent else set()
    form = PlanForm(sent if own else None, instances=instances, plan=reach.plan(change), prefix="plan")
    plan = Plan.of(change.environment.plan)
    valid = not own or sent is None or form.is_valid()
    if own:
        plan = form.plan() if form.is_bound and valid else reach.plan(change)
    if sent and valid and "preview" not in sent:
        try:
            changes.aim(change, targets=ticked if chosen else None, plan=plan if own else None, actor=request.user)
        except Refused as refusal:
            messages.error(request, str(refusal))
            valid = False
        else:
            return redirect("configs:change", pk)
    if not sent:
        ticked = set(change.targets or [instance.pk for instance in instances])
    aimed_at = [instance for instance in instances if not chosen or instance.pk in ticked]
    context = {
        "change": change,
        "environment": change.environment,
        "may": access.verbs(request.user, change.environment),
        "form": form,
        "own": own,
        "chosen": chosen,
        "instances": instances,
        "ticked": ticked,
        "plan": plan,
        "waves": plans.names(plan, aimed_at),
        "voids": change.is_proposed,
        "previewed": bool(sent),
    }
    return render(request, "configs_app/change_plan.html", context, status=200 if valid else 422)
