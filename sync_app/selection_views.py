"""What people do to chosen instances: a page that names them and what will be done, then the deed.

The page carries the ids that it names, so the deed is done to these and no others, whatever matches the filter by then.
"""

from __future__ import annotations

from django.contrib import messages
from django.db import transaction
from django.http import Http404, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_http_methods

from console import audit
from console.errors import Refused
from console.http import ConsoleRequest
from instances_app import selections
from instances_app.forms import LabelsForm
from instances_app.models import Environment
from instances_app.selections import Done
from instances_app.shortcuts import get_environment
from sync_app import fleet_page, tasks

NEEDS = {"check": "instance.check", "label": "instance.change", "retire": "instance.change"}
NAMED = 200  # instances on a page that asks for a decision
SAID = 5  # names in one sentence


@require_http_methods(["GET", "POST"])
def selected(request: ConsoleRequest, environment: str, deed: str) -> HttpResponse:
    if deed not in NEEDS:
        raise Http404("No such deed.")
    found = get_environment(request.user, environment, needs=NEEDS[deed])
    sent = request.POST if request.method == "POST" else request.GET
    chosen = found.instances.active().filter(pk__in=fleet_page.chosen(found, sent))
    names = dict(chosen.order_by("name").values_list("pk", "name"))
    form = LabelsForm(request.POST or None)
    if request.method == "POST":
        try:
            messages.success(request, _do(request, found, deed, list(names), form))
            return redirect("sync:environment", found.name)
        except Refused as refusal:
            form.is_valid()
            form.add_error(None, str(refusal))
    context = {
        "environment": found,
        "deed": deed,
        "names": list(names.values())[:NAMED],
        "ids": ",".join(map(str, names)),
        "number": len(names),
        "form": form,
        "confirmation": request.POST.get("confirmation", ""),
    }
    return render(request, "sync_app/selected.html", context, status=422 if request.method == "POST" else 200)


def _do(request: ConsoleRequest, environment: Environment, deed: str, ids: list[int], form: LabelsForm) -> str:
    """Carry it out; what happened, in words."""
    if deed == "check":
        if not ids:
            raise Refused("No instance is chosen. Tick some on the fleet page, or choose all that match its filter.")
        with transaction.atomic():
            audit.record("instances.check_requested", actor=request.user, target=environment, number=len(ids))
            tasks.wake_look(ids)
        return f"{_instances(len(ids))} asked what {_they(len(ids))}. The rows change as the answers come."
    if deed == "label":
        if not form.is_valid():
            raise Refused("Nothing was changed.")
        data = form.cleaned_data
        done = selections.label(environment, ids, put=data["put"], remove=data["remove"], actor=request.user)
        return f"{_instances(len(done.changed))} labelled anew{_which(done)}."
    if request.POST.get("confirmation", "").strip() != environment.name:
        raise Refused(f"Type {environment.name} to confirm that it is meant.")
    done = selections.retire(environment, ids, actor=request.user)
    return f"{_instances(len(done.changed))} retired{_which(done)}. Nothing is sent there any more."


def _instances(number: int) -> str:
    return f"{number:,} instance{' is' if number == 1 else 's are'}"


def _they(number: int) -> str:
    return "it runs" if number == 1 else "they run"


def _which(done: Done) -> str:
    named = ", ".join(done.changed[:SAID])
    more = f" and {len(done.changed) - SAID:,} more" if len(done.changed) > SAID else ""
    unchanged = f"; {len(done.unchanged):,} had it so already" if done.unchanged else ""
    return f"{': ' if named else ''}{named}{more}{unchanged}"
