"""The page of one rollout, and what people do there."""

from __future__ import annotations

from collections.abc import Callable

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from configs_app import reasons
from console import access
from console.errors import Refused
from console.http import ConsoleRequest
from sync_app import blocklist, gates, rollbacks, rollout_control, rollout_page, rollouts
from sync_app.models import Blocked, Rollout

NAMED = 200  # instances on a page that asks for a decision


@require_safe
def rollout(request: ConsoleRequest, pk: int) -> HttpResponse:
    found = _get_rollout(request, pk, needs="environment.view")
    return render(request, "sync_app/rollout.html", rollout_page.context(found, request.user, request.GET))


@require_safe
def rollout_progress(request: ConsoleRequest, pk: int) -> HttpResponse:
    """The live part of the rollout page; its numbers, and the rows that changed. Its last version asks for no other."""
    found = _get_rollout(request, pk, needs="environment.view")
    context = rollout_page.context(found, request.user, request.GET)
    changed = context["seen"].changed(request.GET.get("seen", ""))
    context["said_anew"] = changed is None or rollout_page.SAID in changed
    context["changed"] = None if changed is None else changed - {rollout_page.SAID}
    return render(request, "sync_app/_rollout_live.html", context)


@require_POST
def rollout_pause(request: ConsoleRequest, pk: int) -> HttpResponse:
    found = _get_rollout(request, pk, needs="rollout.pause")
    return _do(request, pk, lambda: rollout_control.pause(found, actor=request.user))


@require_POST
def rollout_resume(request: ConsoleRequest, pk: int) -> HttpResponse:
    found = _get_rollout(request, pk, needs="rollout.resume")
    return _do(request, pk, lambda: rollout_control.resume(found, actor=request.user))


@require_POST
def rollout_cancel(request: ConsoleRequest, pk: int) -> HttpResponse:
    found = _get_rollout(request, pk, needs="rollout.cancel")
    done = f"Rollout {found.number} is cancelled. Nothing more is sent."
    return _do(request, pk, lambda: rollout_control.cancel(found, actor=request.user), done)


@require_POST
def rollout_retry(request: ConsoleRequest, pk: int) -> HttpResponse:
    """What failed, and with `unstarted` also what was never sent, in a rollout of its own."""
    found = _get_rollout(request, pk, needs="rollout.start")
    unstarted = request.POST.get("unstarted") == "yes"
    return _do(request, pk, lambda: rollouts.retry(found, actor=request.user, unstarted=unstarted))


@require_http_methods(["GET", "POST"])
def rollout_continue(request: ConsoleRequest, pk: int) -> HttpResponse:
    """Why it is halted and what would be sent next; on POST go on, with a reason."""
    found = _get_rollout(request, pk, needs="rollout.continue")
    reason = request.POST.get("reason", "")
    refused = None
    if request.method == "POST":
        try:
            rollout_control.continue_(found, actor=request.user, reason=reason)
            return redirect("sync:rollout", pk)
        except Refused as refusal:
            refused, reason = str(refusal), reasons.without_secrets(reason, reasons.beside_bundles(found.bundle))
    wave_ended = not gates.tallies(found)[found.wave].unfinished
    following = min(found.wave + 1, found.waves) if wave_ended else found.wave
    context = {
        "rollout": found,
        "environment": found.environment,
        "reason": reason,
        "refused": refused,
        "wave": following,
        "names": list(found.deliveries.filter(wave=following).values_list("instance__name", flat=True)[:NAMED]),
        "total": found.deliveries.filter(wave=following).count(),
        "deciders": rollout_page.deciders(found),
    }
    return render(request, "sync_app/rollout_continue.html", context, status=422 if refused else 200)


@require_http_methods(["GET", "POST"])
def rollout_roll_back(request: ConsoleRequest, pk: int) -> HttpResponse:
    """Where it leads, whether that is valid today, and to whom it is sent; on POST do it, with a reason."""
    found = _get_rollout(request, pk, needs="rollout.roll_back")
    reason = request.POST.get("reason", "")
    refused = None
    if request.method == "POST":
        try:
            started = rollbacks.roll_back(found, actor=request.user, reason=reason)
            return redirect("sync:rollout", started.pk)
        except Refused as refusal:
            refused, reason = str(refusal), reasons.without_secrets(reason, reasons.beside_bundles(found.bundle))
    names = rollbacks.touched(found).order_by("instance__name").values_list("instance__name", flat=True).distinct()
    context = {
        "rollout": found,
        "environment": found.environment,
        "reason": reason,
        "refused": refused,
        "way": rollbacks.way_back(found),
        "names": list(names[:NAMED]),
        "total": names.count(),
        "going": rollouts.going(found.environment),
    }
    return render(request, "sync_app/rollout_roll_back.html", context, status=422 if refused else 200)


@require_http_methods(["GET", "POST"])
def blocked_lift(request: ConsoleRequest, pk: int) -> HttpResponse:
    """What is blocked and why; on POST let it be sent again, with a reason."""
    query = Blocked.objects.select_related("environment", "by", "rollout", "bundle__webhooks__document")
    found = get_object_or_404(query.select_related("bundle__connections__document"), pk=pk)
    access.require(request.user, "rollout.unblock", found.environment)
    reason = request.POST.get("reason", "")
    refused = None
    if request.method == "POST":
        try:
            blocklist.lift(found, actor=request.user, reason=reason)
            messages.success(request, f"{found.bundle} may be sent again.")
            return redirect("sync:rollout", found.rollout_id)
        except Refused as refusal:
            refused, reason = str(refusal), reasons.without_secrets(reason, reasons.beside_bundles(found.bundle))
    context = {"blocked": found, "environment": found.environment, "reason": reason, "refused": refused}
    return render(request, "sync_app/blocked_lift.html", context, status=422 if refused else 200)


def _do(request: ConsoleRequest, pk: int, verb: Callable[[], Rollout], done: str = "") -> HttpResponse:
    """Carry it out and show the rollout that it is about then, or say why not."""
    try:
        result = verb()
    except Refused as refusal:
        messages.error(request, str(refusal))
        return redirect("sync:rollout", pk)
    if done:
        messages.success(request, done)
    return redirect("sync:rollout", result.pk)


def _get_rollout(request: ConsoleRequest, pk: int, *, needs: str) -> Rollout:
    query = Rollout.objects.select_related(
        "environment",
        "author",
        "change",
        "held_by",
        "frozen_by__by",
        "bundle__webhooks__document",
        "bundle__connections__document",
        "superseded_by",
        "retries",
    ).defer("bundle__webhooks__content_sealed", "bundle__connections__content_sealed")
    found = get_object_or_404(query, pk=pk)
    access.require(request.user, needs, found.environment)
    return found
