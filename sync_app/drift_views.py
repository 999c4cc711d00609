"""The drift desk: what drifts in an environment, what is there, and what people do about it."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.functional import SimpleLazyObject
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from configs_app import documents, reading, reasons
from configs_app.json_text import JsonError
from configs_app.models import Revision
from configs_app.naming import Names
from console import access
from console.errors import Refused
from console.http import ConsoleRequest, whole
from instances_app import plans
from instances_app.models import Environment, Instance, Kind
from instances_app.shortcuts import get_environment
from sync_app import drift, drift_content, fleet, heartbeat, repairs, rollouts, self_heal, set_aside
from sync_app.drift import Drifting
from sync_app.drift_forms import IgnoreForm, SnoozeForm
from sync_app.models import Cause, Drift, LiveCopy, Rollout, SetAside

LATELY = 10  # of what is over, and of repairs
LISTED = 500  # contents, or instances, on a page
ASKED = 2  # instances that are asked while a person waits


def count(request: HttpRequest) -> dict[str, Any]:
    """A context processor: how many instances drift in the page's environment, asked when a page shows it."""
    match = request.resolver_match
    name = match.kwargs.get("environment") if match else None

    def ask() -> int:
        environment = Environment.objects.filter(name=name).first()
        return drift.count(documents.desired(environment)) if environment else 0

    return {"drift_count": SimpleLazyObject(ask) if isinstance(name, str) else 0}


@require_safe
def desk(request: ConsoleRequest, environment: str) -> HttpResponse:
    """Everything that drifts, grouped by content."""
    found = get_environment(request.user, environment, needs="environment.view")
    return render(request, "sync_app/drift.html", _desk(request, found))


@require_safe
def desk_now(request: ConsoleRequest, environment: str) -> HttpResponse:
    """The live part of the desk."""
    found = get_environment(request.user, environment, needs="environment.view")
    return render(request, "sync_app/_drift.html", _desk(request, found))


def _desk(request: ConsoleRequest, environment: Environment) -> dict[str, Any]:
    bundle = documents.desired(environment)
    names = Names(environment)
    standing = self_heal.look(environment)
    groups = drift.groups(bundle)
    asides = list(set_aside.standing(environment))
    known = {pk for aside in asides for pk in aside.instances[: drift.NAMED]}
    name_of = dict(Instance.objects.filter(pk__in=known).values_list("pk", "name"))
    repaired = Rollout.objects.filter(environment=environment, cause=Cause.REPAIR)
    return {
        "environment": environment,
        "may": access.verbs(request.user, environment),
        "bundle": bundle,
        "heartbeat": heartbeat.of(environment),
        "rows": [
            {
                "group": group,
                "revision": names.of(group.kind, group.digest),
                "stop": (group.kind, group.short) in standing.stopped,
                "healing": _healing(standing, group),
            }
            for group in groups[:LISTED]
        ],
        "more": max(0, len(groups) - LISTED),
        "instances": environment.instances.managed().count(),
        "heal": standing,
        "asides": [
            (aside, [name_of.get(pk, "") for pk in aside.instances[: drift.NAMED]], len(aside.instances) - drift.NAMED)
            for aside in asides
        ],
        "over": Drift.objects.filter(environment=environment).exclude(ended_at=None).order_by("-ended_at")[:LATELY],
        "repaired": repaired.select_related("author").order_by("-number")[:LATELY],
    }


@require_safe
def content(request: ConsoleRequest, environment: str, kind: str, short: str) -> HttpResponse:
    """One content: who runs it since when, what differs, and what can be done."""
    found = get_environment(request.user, environment, needs="environment.view")
    return _page(request, found, kind, short)


def _page(
    request: ConsoleRequest,
    environment: Environment,
    kind: str,
    short: str,
    *,
    ignoring: IgnoreForm | None = None,
    snoozing: SnoozeForm | None = None,
    status: int = 200,
) -> HttpResponse:
    bundle = documents.desired(environment)
    there = drift.members(bundle, kind, short) if kind in Kind.values else []
    seen = repairs.found(environment, kind, short)
    if not there and seen is None:
        raise Http404("No instance drifts to this content, and none did.")
    copy = repairs.copy_of(environment, kind, short)
    standing = self_heal.look(environment)
    base = _base(there)
    desired = bundle.revision(kind) if bundle else None
    context: dict[str, Any] = {
        "environment": environment,
        "may": access.verbs(request.user, environment),
        "kind": kind,
        "short": short,
        "members": [(one, _word(one), _heal_words(standing, one)) for one in there[:LISTED]],
        "total": len(there),
        "open": sum(one.is_open for one in there),
        "ticked": _ticked(request) or {one.instance_id for one in there if one.is_open},
        "since": min((one.since for one in there), default=None),
        "seen": seen,
        "copy": copy,
        "desired": desired,
        "base": base or desired,
        "known": Names(environment).of(kind, there[0].digest if there else seen.digest if seen else ""),
        "heartbeat": heartbeat.of(environment),
        "heal": standing,
        "stop": self_heal.STOPS.get(standing.stopped.get((kind, short), ""), ""),
        "ignoring": ignoring or IgnoreForm(),
        "snoozing": snoozing or SnoozeForm(),
        "acting": "ignore" if ignoring else "snooze" if snoozing else "",
        "reading": reading.asked(request),
    }
    if copy is not None and desired is not None:
        context["difference"] = context["reading"].between(desired.text, copy.text)
        try:
            context["three"] = drift_content.three_way(base or desired, desired, copy.text)
        except JsonError:
            context["three"] = None
    return render(request, "sync_app/drift_content.html", context, status=status)


def _base(there: list[Drifting]) -> Revision | None:
    """What most of them were verified with last."""
    verified = [one.revision_id for one in there if one.revision_id is not None]
    if not verified:
        return None
    most = max(sorted(set(verified)), key=verified.count)
    return Revision.objects.select_related("document__environment").get(pk=most)


def _word(one: Drifting) -> str:
    if not one.fresh:
        return fleet.UNKNOWN
    if one.in_maintenance:  # nothing that could be taken back here
        return "in maintenance"
    return "ignored" if one.ignored else "snoozed" if one.snoozed else fleet.DRIFTED


def _healing(standing: self_heal.Standing, group: drift.Group) -> str:
    """What self-heal does about a content, in a few words."""
    stop = standing.stopped.get((group.kind, group.short))
    if stop:
        return self_heal.STOPS[stop]
    due = sum(pk in standing.due for pk in group.ids)
    if due:
        return f"repairs {due} with its next turn"
    why = next((standing.left[pk] for pk in group.ids if pk in standing.left), "")
    return f"not yet, or not at all: {why}" if why else "waits" if standing.waits else ""


def _heal_words(standing: self_heal.Standing, one: Drifting) -> str:
    if one.instance_id in standing.stops:
        return self_heal.STOPS[standing.stops[one.instance_id]]
    if one.instance_id in standing.left:
        return f"Not repaired by itself: {standing.left[one.instance_id]}."
    return "It is repaired with the next turn." if one.instance_id in standing.due else ""


@require_POST
def read(request: ConsoleRequest, environment: str, kind: str, short: str) -> HttpResponse:
    """Have the content from one of the instances that run it."""
    found = get_environment(request.user, environment, needs="instance.check")
    _try(request, lambda: _read(found, kind, short))
    return redirect("sync:drift-content", environment, kind, short)


@require_POST
def adopt(request: ConsoleRequest, environment: str, kind: str, short: str) -> HttpResponse:
    """A change with what is there, as a draft."""
    found = get_environment(request.user, environment, needs="change.edit")
    try:
        _read(found, kind, short)
        change = repairs.adopt(found, kind, short, actor=request.user)
    except Refused as refusal:
        messages.error(request, str(refusal))
        return redirect("sync:drift-content", environment, kind, short)
    messages.success(request, "This draft has what runs there. Look at it, then propose or publish it as any change.")
    return redirect("configs:change", change.pk)


@require_http_methods(["GET", "POST"])
def overwrite(request: ConsoleRequest, environment: str, kind: str, short: str) -> HttpResponse:
    """What is sent to whom, and what is lost; on POST with `sure` do it."""
    found = get_environment(request.user, environment, needs="rollout.start")
    bundle = documents.desired(found)
    there = drift.members(bundle, kind, short) if kind in Kind.values else []
    ticked = _ticked(request)
    chosen = {one.instance_id for one in there if (one.instance_id in ticked if request.POST else one.is_open)}
    refused = ""
    if request.method == "POST" and "sure" in request.POST:
        if repairs.copy_of(found, kind, short) is None:
            with suppress(Refused):  # the last moment at which there is a second copy
                _read(found, kind, short)
        try:
            rollout = repairs.overwrite(found, kind, short, instances=chosen, actor=request.user)
            return redirect("sync:rollout", rollout.pk)
        except Refused as refusal:
            refused = str(refusal)
    plan = rollouts.plan_for(found)
    instances = list(found.instances.managed().filter(pk__in=chosen).defer("token_sealed", "info"))
    sent_to = {one.pk: one for one in instances if not one.in_maintenance}
    others = [one for one in drift.members(bundle, instances=sent_to) if (one.kind, one.short) != (kind, short)]
    context = {
        "environment": found,
        "kind": kind,
        "short": short,
        "bundle": bundle,
        "chosen": sorted(chosen),
        "sent_to": len(sent_to),
        "names": [one.name for one in there if one.instance_id in sent_to][:LISTED],
        "left_out": [one for one in instances if one.in_maintenance],
        "others": others,
        "unproven": sum(not one.proven for one in there if one.instance_id in sent_to),
        "copy": repairs.copy_of(found, kind, short),
        "plan": plan,
        "waves": plans.waves(plan, sent_to.values()),
        "going": rollouts.going(found),
        "refused": refused,
    }
    return render(request, "sync_app/drift_overwrite.html", context, status=422 if refused else 200)


@require_POST
def ignore(request: ConsoleRequest, environment: str, kind: str, short: str) -> HttpResponse:
    found = get_environment(request.user, environment, needs="drift.set_aside")
    form = IgnoreForm(request.POST)
    if form.is_valid():
        try:
            set_aside.ignore(
                found,
                kind,
                short,
                instances=_ticked(request),
                until=form.moment(),
                reason=form.cleaned_data["reason"],
                actor=request.user,
            )
        except Refused as refusal:
            form.add_error(None, str(refusal))
        else:
            messages.success(request, f"Ignored until the end of {form.cleaned_data['until']}: this content only.")
            return redirect("sync:drift", found.name)
    _hide_secrets(form, found, kind, short)
    return _page(request, found, kind, short, ignoring=form, status=422)


@require_POST
def snooze(request: ConsoleRequest, environment: str, kind: str, short: str) -> HttpResponse:
    found = get_environment(request.user, environment, needs="drift.set_aside")
    form = SnoozeForm(request.POST)
    if form.is_valid():
        data = form.cleaned_data
        try:
            set_aside.snooze(
                found, instances=_ticked(request), hours=data["hours"], reason=data["reason"], actor=request.user
            )
        except Refused as refusal:
            form.add_error(None, str(refusal))
        else:
            messages.success(request, f"Snoozed for {data['hours']} hours, whatever they run.")
            return redirect("sync:drift", found.name)
    _hide_secrets(form, found, kind, short)
    return _page(request, found, kind, short, snoozing=form, status=422)


@require_POST
def set_aside_end(request: ConsoleRequest, pk: int) -> HttpResponse:
    found = get_object_or_404(SetAside.objects.select_related("environment"), pk=pk)
    access.require(request.user, "drift.set_aside", found.environment)
    _try(request, lambda: set_aside.take_back(found, actor=request.user))
    return redirect("sync:drift", found.environment.name)


def _read(environment: Environment, kind: str, short: str) -> LiveCopy:
    """The copy that there is, else the one that an instance hands over now."""
    copy = repairs.copy_of(environment, kind, short)
    if copy is not None:
        return copy
    there = drift.members(documents.desired(environment), kind, short) if kind in Kind.values else []
    seen = repairs.found(environment, kind, short)
    if not there:
        raise Refused("No instance drifts to this content any more.")
    if seen is None or seen.ended_at is not None:  # beat has not been here yet
        seen, _ = Drift.objects.get_or_create(
            environment=environment, kind=kind, short=short, ended_at=None, defaults={"digest": there[0].digest}
        )
    fresh = [one.instance_id for one in there if one.fresh][:ASKED]
    return drift_content.read(seen, Instance.objects.filter(pk__in=fresh).order_by("name"))


def _hide_secrets(form: IgnoreForm | SnoozeForm, environment: Environment, kind: str, short: str) -> None:
    """What was typed is shown again, but no secret in it."""
    known = set_aside.copies(environment) | set_aside.copies(environment, kind, short)
    texts = reasons.current(environment) | known
    name = form.add_prefix("reason")
    form.data = {**dict(form.data.items()), name: reasons.without_secrets(form.data.get(name, ""), texts)}


def _try(request: ConsoleRequest, verb: Callable[[], object]) -> None:
    try:
        verb()
    except Refused as refusal:
        messages.error(request, str(refusal))


def _ticked(request: ConsoleRequest) -> set[int]:
    return {number for number in map(whole, request.POST.getlist("instance")) if number is not None}
