"""What people do to chosen instances: a page that names them and what will be done, then the deed.

The page carries the ids that it names, so the deed is done to these and no others, whatever matches the filter by then.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

from django import forms
from django.contrib import messages
from django.db import transaction
from django.http import Http404, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.http import require_http_methods

from console import audit
from console.errors import Refused
from console.http import ConsoleRequest
from instances_app import moving, rotation, selections
from instances_app.forms import LabelsForm, MoveForm
from instances_app.models import Environment
from instances_app.selections import Done
from instances_app.shortcuts import get_environment
from sync_app import fleet_page, maintenance, tasks
from sync_app.freeze_forms import MaintenanceForm, hide_secrets

NAMED = 200  # instances on a page that asks for a decision
SAID = 5  # names in one sentence


class Asked(NamedTuple):
    """Who asks for what, of whom; `form` is what was typed."""

    request: ConsoleRequest
    environment: Environment
    ids: list[int]
    form: Any


class Happened(NamedTuple):
    """What happened, in words, and the page that shows it: by default the fleet's. Without words nothing did yet."""

    words: str
    where: str = ""


@dataclass(frozen=True, slots=True)
class Deed:
    needs: str
    title: str  # stands before "3 instances of staging"
    do: Callable[[Asked], Happened]
    form: type[forms.Form] | None = None
    managed: bool = False  # not for those that are monitored only
    harm: bool = False  # wants the environment's name typed


@require_http_methods(["GET", "POST"])
def selected(request: ConsoleRequest, environment: str, deed: str) -> HttpResponse:
    if deed not in DEEDS:
        raise Http404("No such deed.")
    what = DEEDS[deed]
    found = get_environment(request.user, environment, needs=what.needs)
    posted = request.method == "POST"
    there = found.instances.managed() if what.managed else found.instances.active()
    chosen = there.filter(pk__in=fleet_page.chosen(found, request.POST if posted else request.GET))
    names = dict(chosen.order_by("name").values_list("pk", "name"))
    form = (what.form or forms.Form)(request.POST if posted else None)
    if posted:
        try:
            if what.harm and request.POST.get("confirmation", "").strip() != found.name:
                raise Refused(f"Type {found.name} to confirm that it is meant.")
            happened = what.do(Asked(request, found, list(names), form))
            if happened.words:
                messages.success(request, happened.words)
                return redirect(happened.where or reverse("sync:environment", args=[found.name]))
        except Refused as refusal:
            form.is_valid()
            form.add_error(None, str(refusal))
            if "reason" in form.fields:
                hide_secrets(form, found)
    refused = bool(form.errors) if posted else False
    context = {
        "environment": found,
        "deed": deed,
        "title": what.title,
        "harm": what.harm,
        "names": list(names.values())[:NAMED],
        "ids": ",".join(map(str, names)),
        "number": len(names),
        "form": form,
        "confirmation": request.POST.get("confirmation", ""),
        **(_moves(found, list(names), form) if deed == "move" and posted else {}),
    }
    return render(request, "sync_app/selected.html", context, status=422 if refused else 200)


def _check(asked: Asked) -> Happened:
    number = len(asked.ids)
    if not number:
        raise Refused(selections.NOBODY)
    with transaction.atomic():
        audit.record("instances.check_requested", actor=asked.request.user, target=asked.environment, number=number)
        tasks.wake_look(asked.ids)
    what = "it runs" if number == 1 else "they run"
    return Happened(f"{_instances(number)} asked what {what}. The rows change as the answers come.")


def _label(asked: Asked) -> Happened:
    if not asked.form.is_valid():
        raise Refused("Nothing was changed.")
    data = asked.form.cleaned_data
    done = selections.label(
        asked.environment, asked.ids, put=data["put"], remove=data["remove"], actor=asked.request.user
    )
    return Happened(f"{_instances(len(done.changed))} labelled anew{_which(done)}.")


def _maintain(asked: Asked) -> Happened:
    if not asked.form.is_valid():
        raise Refused("Nothing was changed.")
    done = maintenance.begin_many(
        asked.environment,
        asked.ids,
        reason=asked.form.cleaned_data["reason"],
        until=asked.form.end(),
        actor=asked.request.user,
    )
    return Happened(f"{_instances(len(done.changed))} in maintenance{_which(done)}. Rollouts leave them out.")


def _return(asked: Asked) -> Happened:
    done = maintenance.end_many(asked.environment, asked.ids, actor=asked.request.user)
    rest = f"{_instances(len(done.unchanged))} not in maintenance." if done.unchanged else ""
    if not done.changed:
        raise Refused(f"Nothing was changed: {rest}")
    text = f"{_instances(len(done.changed))} out of maintenance: {_named(done.changed)}. {rest}"
    return Happened(f"{text} Sync those that are out of sync.".replace("  ", " "))


def _move(asked: Asked) -> Happened:
    """First what would become of each address; then, of what was shown, the deed."""
    if not asked.form.is_valid():
        raise Refused("Nothing was moved.")
    find, put, seen = (*(asked.form.cleaned_data[name] for name in ("find", "put")), asked.request.POST.get("seen", ""))
    if not seen:
        if not moving.preview(asked.environment, asked.ids, find=find, put=put):
            raise Refused(f"None of their addresses has {find} in it.")
        return Happened("")
    with transaction.atomic():
        done = moving.move(asked.environment, asked.ids, find=find, put=put, seen=seen, actor=asked.request.user)
        moved = asked.environment.instances.active().filter(pk__in=asked.ids, name__in=done.changed)
        tasks.wake_look(list(moved.values_list("pk", flat=True)))
    rest = f"; {len(done.unchanged):,} had another address" if done.unchanged else ""
    return Happened(f"{_instances(len(done.changed))} moved: {_named(done.changed)}{rest}. Each is being asked there.")


def _moves(environment: Environment, ids: list[int], form: Any) -> dict[str, Any]:
    """What the page shows of a move before it is done."""
    if not {"find", "put"} <= form.cleaned_data.keys():
        return {}
    try:
        moves = moving.preview(environment, ids, find=form.cleaned_data["find"], put=form.cleaned_data["put"])
    except Refused:
        return {}  # the form says so
    problems = sum(bool(move.problem) for move in moves)
    return {"moves": moves, "problems": problems, "seen": "" if problems else moving.mark(moves)}


def _rotate(asked: Asked) -> Happened:
    with transaction.atomic():
        begun = rotation.start(asked.environment, asked.ids, actor=asked.request.user)
        tasks.wake_rotation(begun.pk)
    return Happened("The rotation has begun.", reverse("sync:rotation", args=[begun.pk]))


def _retire(asked: Asked) -> Happened:
    done = selections.retire(asked.environment, asked.ids, actor=asked.request.user)
    return Happened(f"{_instances(len(done.changed))} retired{_which(done)}. Nothing is sent there any more.")


DEEDS = {
    "check": Deed("instance.check", "Check", _check),
    "label": Deed("instance.change", "Label", _label, LabelsForm),
    "maintain": Deed("instance.maintain", "Put into maintenance", _maintain, MaintenanceForm),
    "return": Deed("instance.maintain", "Take out of maintenance", _return),
    "move": Deed("instance.change", "Move", _move, MoveForm),
    "rotate": Deed("instance.change", "Rotate the tokens of", _rotate, managed=True),
    "retire": Deed("instance.change", "Retire", _retire, harm=True),
}


def _instances(number: int) -> str:
    return f"{number:,} instance{' is' if number == 1 else 's are'}"


def _which(done: Done) -> str:
    unchanged = f"; {len(done.unchanged):,} had it so already" if done.unchanged else ""
    return f"{': ' if done.changed else ''}{_named(done.changed)}{unchanged}"


def _named(names: list[str]) -> str:
    more = f" and {len(names) - SAID:,} more" if len(names) > SAID else ""
    return f"{', '.join(names[:SAID])}{more}"
