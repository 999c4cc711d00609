"""Fleet, instance and history pages: what runs where, and how we know."""

from __future__ import annotations

from django.contrib import messages
from django.db import transaction
from django.db.models import Count
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.views.decorators.http import require_POST, require_safe

from configs_app import imports
from configs_app.naming import Names
from console import access, audit
from console.errors import Refused
from console.http import ConsoleRequest, whole
from instances_app import identity
from instances_app.models import Instance
from instances_app.shortcuts import get_environment, get_instance
from sync_app import fleet_page, instance_page, rotation_page, saved_views, tasks
from sync_app.columns import Columns
from sync_app.fleet_page import Filter
from sync_app.history_views import instance_context
from sync_app.models import Blocked, Rollout, SavedView

HISTORY = 50


@require_safe
def environment(request: ConsoleRequest, environment: str) -> HttpResponse:
    """The fleet: three words per instance, and the bundle they should run."""
    found = get_environment(request.user, environment, needs="environment.view")
    context = fleet_page.context(found, request.user, request.GET)
    context["views"] = saved_views.of(found, request.user)
    context["rotation"] = rotation_page.newest(found)
    return render(request, "sync_app/environment.html", context)


@require_POST
def view_save(request: ConsoleRequest, environment: str) -> HttpResponse:
    """Keep what the fleet page is filtered by, for oneself, and show it."""
    found = get_environment(request.user, environment, needs="environment.view")
    query = "&".join(filter(None, (Filter.of(request.POST).query, Columns.of(request.POST).query)))
    try:
        view = saved_views.save(found, name=request.POST.get("name", ""), query=query, actor=request.user)
    except Refused as refusal:
        messages.error(request, str(refusal))
    else:
        messages.success(request, f"The view “{view}” is kept. Only you see it.")
    return redirect(f"{reverse('sync:environment', args=[found.name])}?{query}")


@require_POST
def view_remove(request: ConsoleRequest, pk: int) -> HttpResponse:
    view = get_object_or_404(SavedView.objects.select_related("environment"), pk=pk, person=request.user)
    access.require(request.user, "environment.view", view.environment)
    saved_views.remove(view)
    messages.success(request, f"The view “{view}” is removed.")
    return redirect("sync:environment", view.environment.name)


@require_safe
def fleet_rows(request: ConsoleRequest, environment: str) -> HttpResponse:
    """The live part of the environment page: its numbers, and the rows that changed."""
    found = get_environment(request.user, environment, needs="environment.view")
    context = fleet_page.context(found, request.user, request.GET)
    context["changed"] = context["seen"].changed(request.GET.get("seen", ""))
    return render(request, "sync_app/_fleet_live.html", context)


@require_POST
def verify_all(request: ConsoleRequest, environment: str) -> HttpResponse:
    """Ask every instance what it runs, now; the rows move as the answers come."""
    found = get_environment(request.user, environment, needs="instance.check")
    with transaction.atomic():
        audit.record("environment.check_requested", actor=request.user, target=found)
        tasks.wake_check(found.pk)
    messages.info(request, "Every instance is being asked what it runs. The rows change as the answers come.")
    return redirect("sync:environment", found.name)


@require_safe
def rollout_list(request: ConsoleRequest, environment: str) -> HttpResponse:
    found = get_environment(request.user, environment, needs="environment.view")
    before = whole(request.GET.get("before", ""))
    query = found.rollouts.select_related("bundle__webhooks__document", "bundle__connections__document", "author")
    query = query.defer("bundle__webhooks__content_sealed", "bundle__connections__content_sealed")
    if before is not None:
        query = query.filter(number__lt=before)
    page = list(query.order_by("-number")[: HISTORY + 1])
    states: dict[int, dict[str, int]] = {}
    for row in (
        Rollout.objects.filter(pk__in=[rollout.pk for rollout in page])
        .values_list("pk", "deliveries__state")
        .annotate(n=Count("deliveries"))
        .order_by()
    ):
        states.setdefault(row[0], {})[row[1]] = row[2]
    context = {
        "environment": found,
        "may": access.verbs(request.user, found),
        "rollouts": [(rollout, states.get(rollout.pk, {})) for rollout in page[:HISTORY]],
        "blocked": Blocked.objects.filter(environment=found, lifted_at=None).select_related(
            "by", "rollout", "bundle__webhooks__document", "bundle__connections__document"
        ),
        "older": page[HISTORY - 1].number if len(page) > HISTORY else None,
    }
    return render(request, "sync_app/rollout_list.html", context)


@require_safe
def instance(request: ConsoleRequest, pk: int) -> HttpResponse:
    """One instance: is it right, what stopped it if not, and what to do."""
    found = get_instance(request.user, pk, needs="environment.view")
    names = Names(found.environment)
    context = {
        **instance_page.now(found, request.user, names),
        **instance_page.past(found, before=whole(request.GET.get("before", ""))),
        "twins": _twins(found),
        **instance_context(request, found, names),
    }
    return render(request, "sync_app/instance.html", context, status=200 if context["at_form"].is_valid() else 422)


@require_safe
def instance_now(request: ConsoleRequest, pk: int) -> HttpResponse:
    """The live part of an instance's page."""
    found = get_instance(request.user, pk, needs="environment.view")
    return render(
        request, "sync_app/_instance_now.html", instance_page.now(found, request.user, Names(found.environment))
    )


@require_POST
def instance_import(request: ConsoleRequest, pk: int) -> HttpResponse:
    """Read what this instance runs, and show what it would bring."""
    found = get_instance(request.user, pk, needs="change.edit")
    try:
        held = imports.read_instance(found, actor=request.user)
    except Refused as refusal:
        messages.error(request, str(refusal))
        return redirect("sync:instance", pk)
    return redirect("configs:import-preview", held.pk)


def _twins(instance: Instance) -> list[str]:
    """Names of those with its identity; of other environments nobody here need know more than that."""
    found = identity.twins(instance).order_by("name").values_list("name", "environment_id")
    here = [name for name, environment_id in found if environment_id == instance.environment_id]
    return here + ["an instance of another environment"] * any(one != instance.environment_id for _, one in found)
