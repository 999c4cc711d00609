"""What ran where, when: the pages and the files."""

from __future__ import annotations

from typing import Any

from django.db import models, transaction
from django.http import Http404, HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.utils.text import slugify
from django.views.decorators.http import require_POST, require_safe

from configs_app import revisions
from configs_app.models import Revision
from configs_app.naming import Names
from console import access, audit
from console.errors import Refused
from console.http import ConsoleRequest
from instances_app import history as seen
from instances_app.models import Environment, Instance
from instances_app.shortcuts import get_environment, get_instance
from sync_app import history, history_export, splits
from sync_app.history_forms import AtForm, HistoryForm
from sync_app.models import Rollout

NEWEST = 50  # observations of each document that an instance's page shows
PUBLISHED = 5  # bundles of a period whose spread the environment's page shows
LISTED = 200  # names of a group that the page lists; the export has all


@require_safe
def environment_history(request: ConsoleRequest, environment: str) -> HttpResponse:
    """A fleet at a moment, who was on a revision, and the splits of a period."""
    found = get_environment(request.user, environment, needs="environment.view")
    form = HistoryForm(request.GET.dict())
    context: dict[str, Any] = {
        "environment": found,
        "may": access.verbs(request.user, found),
        "form": form,
        "most": LISTED,
        "listed": f":{LISTED}",  # as the slice filter takes it
    }
    if form.is_valid():
        data = form.cleaned_data
        fleet = history.fleet_at(found, data["at"])
        context |= {
            "fleet": fleet,
            "splits": _splits(found, form),
            "spreads": _spreads(found, form),
        }
        try:
            revision = _revision(found, form)
        except Refused as refusal:
            form.add_error("revision", str(refusal))
        else:
            context["on"] = history.on_revision(fleet, revision) if revision else None
    return render(request, "sync_app/history.html", context, status=200 if form.is_valid() else 422)


@require_POST
def environment_export(request: ConsoleRequest, environment: str) -> HttpResponse:
    """What the page shows, whole, as a file: ``what`` is fleet or splits."""
    found = get_environment(request.user, environment, needs="environment.view")
    form = HistoryForm(request.POST.dict())
    what = request.POST.get("what", "fleet")
    if not form.is_valid() or what not in {"fleet", "splits"}:
        return render(
            request,
            "sync_app/history.html",
            {"environment": found, "may": access.verbs(request.user, found), "form": form},
            status=422,
        )
    data = form.cleaned_data
    if what == "fleet":
        asked = {"at": data["at"].isoformat()}
        rows = history_export.fleet_rows(history.fleet_at(found, data["at"]))
    else:
        asked = {name: data[name].isoformat() for name in ("since", "until")}
        rows = history_export.split_rows(splits.splits(found, data["since"], data["until"]), Names(found))
    return _export(request, rows, target=found, what=what, asked=asked)


@require_POST
def instance_export(request: ConsoleRequest, pk: int) -> HttpResponse:
    """Everything that one instance was ever seen to run."""
    found = get_instance(request.user, pk, needs="environment.view")
    stretches, _ = seen.stretches(found)
    rows = history_export.timeline_rows(stretches, Names(found.environment))
    return _export(request, rows, target=found, what="timeline", asked={})


def instance_context(request: ConsoleRequest, instance: Instance, names: Names) -> dict[str, Any]:
    """What an instance's page shows of its past."""
    form = AtForm(request.GET.dict())
    stretches, older = seen.stretches(instance, newest=NEWEST)
    end = instance.retired_at or timezone.now()
    return {
        "at_form": form,
        "ran": history.ran_at(instance, form.cleaned_data["at"]) if form.is_valid() else None,
        "timeline": [(one, names.of(one.kind, one.digest, one.since) if one.digest else None) for one in stretches],
        "timeline_end": end,
        "older": older,
    }


def _export(
    request: ConsoleRequest,
    rows: list[history_export.Row],
    *,
    target: Environment | Instance,
    what: str,
    asked: dict[str, str],
) -> HttpResponse:
    shape = request.POST.get("format", "csv")
    if shape not in history_export.FORMATS:
        raise Http404("Exports are csv or json.")
    _record(request, target, what=what, format=shape, rows=len(rows), **asked)
    about = {"what": what, "of": str(target), **asked}
    file = f"{slugify(str(target)) or target.pk}-{what}-{timezone.now():%Y%m%d-%H%M%S}"
    return history_export.answer(rows, shape=shape, file=file, about=about)


def _record(request: ConsoleRequest, target: models.Model, **data: Any) -> None:
    with transaction.atomic():
        audit.record("history.exported", actor=request.user, target=target, **data)


def _revision(environment: Environment, form: HistoryForm) -> Revision | None:
    word = form.cleaned_data["revision"]
    return revisions.find(environment, form.cleaned_data["kind"], word) if word else None


def _splits(environment: Environment, form: HistoryForm) -> list[dict[str, Any]]:
    """The splits with the revisions they were between."""
    names = Names(environment)
    told = []
    for split in splits.splits(environment, form.cleaned_data["since"], form.cleaned_data["until"]):
        ran = [(names.of(split.kind, digest, split.until), digest) for digest in split.digests]
        ran.sort(key=lambda one: (one[0] is None, one[0].number if one[0] else 0))
        desired = [names.of(split.kind, digest, split.until) for digest in split.desired]
        told.append({"split": split, "ran": ran, "desired": desired})
    return told


def _spreads(environment: Environment, form: HistoryForm) -> list[dict[str, Any]]:
    """The publications of the period with the rollouts that brought them."""
    found = splits.spreads(environment, form.cleaned_data["since"], form.cleaned_data["until"], newest=PUBLISHED)
    rollouts: dict[int, list[Rollout]] = {}
    for rollout in Rollout.objects.filter(bundle__in=[one.bundle for one in found]).order_by("number"):
        rollouts.setdefault(rollout.bundle_id, []).append(rollout)
    return [{"spread": one, "rollouts": rollouts.get(one.bundle.pk, [])} for one in found]
