"""The page before anything is sent: how many instances, which entries, and what is already on its way."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_http_methods, require_POST

from configs_app import approvals, consequences, contents, documents, proposals, reach, reasons
from configs_app.models import Change
from console import access
from console.errors import Refused
from console.http import ConsoleRequest, whole
from instances_app import plans
from instances_app.models import Environment, Instance
from instances_app.plans import Plan
from instances_app.shortcuts import get_environment
from sync_app import fleet, fleet_page, rollouts
from sync_app.models import UNFINISHED, Cause

CHOICE = {"instance", "ids", "all", "only"}  # what an address chooses instances by; without any of them it is everybody
LISTED = 200  # more instances are not ticked one by one here, but on the fleet page


@require_http_methods(["GET", "POST"])
def publish(request: ConsoleRequest, pk: int) -> HttpResponse:
    """State the impact of a change; on POST make it the desired state and send it."""
    change = get_object_or_404(Change.objects.select_related("environment", "author", "last_editor"), pk=pk)
    access.require(request.user, "change.publish", change.environment)
    context = _targets(request, change.environment)
    summary = consequences.of_change(change)
    context |= {"change": change, "summary": summary, "documents": contents.changed_documents(change)}
    if change.environment.protected:
        context["reach"] = reach.of(change, proposals.current(change))
    else:
        if change.targets is not None and not {"instance", "ids"} & request.POST.keys():
            context["ticked"] = set(change.targets)
        context |= _waves(change.environment, context["ticked"], change)
    if request.method == "POST":
        try:
            if summary.guards and request.POST.get("confirmation", "").strip() != change.environment.name:
                raise Refused(f"{summary.guards[0]} Type {change.environment.name} to confirm that it is meant.")
            rollout = rollouts.publish(
                change,
                actor=request.user,
                instances=_chosen(request, change.environment, context["everybody"]),
                supersede=request.POST.get("supersede") == "on",
            )
        except Refused as refusal:
            messages.error(request, str(refusal))
            return render(request, "sync_app/publish.html", context, status=422)
        return redirect("sync:rollout", rollout.pk)
    return render(request, "sync_app/publish.html", context)


@require_http_methods(["GET", "POST"])
def break_glass(request: ConsoleRequest, pk: int) -> HttpResponse:
    """What is skipped and what is not; on POST publish without waiting for approvals."""
    change = get_object_or_404(Change.objects.select_related("environment", "author", "last_editor"), pk=pk)
    access.require(request.user, "change.break_glass", change.environment)
    if not change.environment.protected:
        return redirect("sync:publish", pk)
    summary = consequences.of_change(change)
    standing = approvals.standing(change, risk=summary.risk)
    context = {
        **_targets(request, change.environment),
        "change": change,
        "summary": summary,
        "standing": standing,
        "reach": reach.of(change, None if standing.void else standing.proposal),
        "days": settings.REVIEW_DAYS,
        "reason": request.POST.get("reason", ""),
    }
    if request.method == "POST":
        try:
            if request.POST.get("confirmation", "").strip() != change.environment.name:
                raise Refused(f"Type {change.environment.name} to confirm that you mean it.")
            rollout = rollouts.publish(
                change,
                actor=request.user,
                supersede=request.POST.get("supersede") == "on",
                glass_reason=request.POST.get("reason", ""),
            )
        except Refused as refusal:
            messages.error(request, str(refusal))
            context["reason"] = reasons.without_secrets(context["reason"], reasons.beside_change(change))
            return render(request, "sync_app/break_glass.html", context, status=422)
        return redirect("sync:rollout", rollout.pk)
    return render(request, "sync_app/break_glass.html", context)


@require_http_methods(["GET", "POST"])
def sync(request: ConsoleRequest, environment: str) -> HttpResponse:
    """Bring chosen instances to the desired bundle; without a choice, all that are not proven to run it."""
    found = get_environment(request.user, environment, needs="rollout.start")
    context = _targets(request, found)
    context["bundle"] = documents.desired(found)
    context |= _waves(found, context["ticked"])
    if request.method == "POST":
        try:
            rollout = rollouts.start(
                found,
                actor=request.user,
                cause=Cause.SYNC,
                instances=_chosen(request, found, context["everybody"]),
                supersede=request.POST.get("supersede") == "on",
            )
        except Refused as refusal:
            messages.error(request, str(refusal))
            return render(request, "sync_app/sync.html", context, status=422)
        return redirect("sync:rollout", rollout.pk)
    return render(request, "sync_app/sync.html", context)


@require_POST
def waves_preview(request: ConsoleRequest, environment: str) -> HttpResponse:
    """In which waves the ticked instances would be sent to."""
    found = get_environment(request.user, environment, needs="rollout.start")
    change = Change.objects.filter(environment=found, pk=whole(request.POST.get("change", "")) or 0).first()
    context = {"environment": found, "change": change, **_waves(found, fleet_page.chosen(found, request.POST), change)}
    return render(request, "sync_app/_waves.html", context)


def _waves(environment: Environment, chosen: set[int], change: Change | None = None) -> dict[str, Any]:
    """The plan in words, and the names in each of its waves."""
    plan = rollouts.plan_for(environment, change)
    instances = list(environment.instances.managed().filter(pk__in=chosen).defer("token_sealed", "info"))
    left_out = [one for one in instances if one.in_maintenance]
    waves = plans.waves(plan, (one for one in instances if not one.in_maintenance))
    sent_to = [one.pk for wave in waves for one in wave]
    return {"plan": plan, "waves": waves, "left_out": left_out, "undrainable": _undrainable(plan, sent_to)}


def _undrainable(plan: Plan, instances: list[int]) -> list[str]:
    """Whom a plan that drains pushes to without, by name."""
    if not plan.drain:
        return []
    return [one.name for one in Instance.objects.filter(pk__in=instances) if "drain" not in one.capabilities]


def _targets(request: ConsoleRequest, environment: Environment) -> dict[str, Any]:
    """The instances to choose from, which are ticked, and the rollout that is in the way."""
    everybody = set(environment.instances.managed().values_list("pk", flat=True))
    asked = request.POST or request.GET
    ticked = fleet_page.chosen(environment, asked) & everybody
    if request.GET.get("only") == "differing" and not request.POST:
        ticked = set(fleet.to_sync(environment, documents.desired(environment)).values_list("pk", flat=True))
    running = rollouts.going(environment)
    managed = environment.instances.managed().order_by("name")
    return {
        "environment": environment,
        "everybody": everybody,
        "rows": fleet.rows_for(managed, documents.desired(environment)) if len(everybody) <= LISTED else [],
        # A choice that has become empty stays empty: whoever asked for three must not be offered thousands.
        "monitored": environment.instances.active().filter(monitored_only=True).count(),
        "ticked": ticked if request.POST or CHOICE & set(request.GET) else everybody,
        "running": running,
        "carried": running.deliveries.filter(state__in=UNFINISHED).count() if running else 0,
        "supersede": request.POST.get("supersede") == "on",
    }


def _chosen(request: ConsoleRequest, environment: Environment, everybody: set[int]) -> set[int] | None:
    """The ticked instances; None (every managed one, also one registered meanwhile) when all are ticked."""
    ticked = fleet_page.chosen(environment, request.POST)
    return None if ticked >= everybody else ticked
