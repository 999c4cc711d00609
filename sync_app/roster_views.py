"""A fleet as a file: export what a filter lets through; import instances after a look at what each line would do."""

from __future__ import annotations

import json
import time

from django import forms
from django.contrib import messages
from django.db import transaction
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.views.decorators.http import require_http_methods, require_POST

from configs_app import documents
from console import audit
from console.errors import Refused
from console.http import ConsoleRequest
from console.sealing import SealBroken, seal, unseal
from instances_app import rosters
from instances_app.models import Environment, Instance
from instances_app.shortcuts import get_environment
from sync_app import fleet, history_export, tasks
from sync_app.columns import Columns
from sync_app.fleet_page import Filter

BIGGEST = 1_000_000  # bytes of a file
HELD_SECONDS = 3600  # between the look and the deed
SHOWN = 500  # lines of a preview
DONE = (rosters.ADD, rosters.CHANGE)


class RosterForm(forms.Form):
    file = forms.FileField(label="CSV file", help_text="At most 1 MB and 2,000 lines, in UTF-8.")

    def clean_file(self) -> str:
        sent = self.cleaned_data["file"]
        if sent.size > BIGGEST:
            raise forms.ValidationError("The file is larger than 1 MB. Divide it.")
        try:
            text: str = sent.read().decode()
        except UnicodeDecodeError:
            raise forms.ValidationError("The file is not UTF-8. Save it as CSV UTF-8.") from None
        return text


@require_POST
def fleet_export(request: ConsoleRequest, environment: str) -> HttpResponse:
    """The instances that the filter lets through, as CSV, without tokens. A POST: each export is an event."""
    found = get_environment(request.user, environment, needs="environment.view")
    bundle, asked, columns = documents.desired(found), Filter.of(request.POST), Columns.of(request.POST)
    glances = list(asked.matching(found, bundle).order_by("name"))
    few = Instance.objects.defer("token_sealed", "info").annotate(**columns.needed())
    instances = few.in_bulk([glance.pk for glance in glances])
    columns.fill(instances.values())
    rows = fleet.rows_of(glances, {one.pk: instances[one.pk] for one in glances if one.pk in instances}, bundle)
    with transaction.atomic():
        audit.record("fleet.exported", actor=request.user, target=found, number=len(rows), filter=asked.words())
    table: list[history_export.Row] = [
        {
            "name": row.instance.name,
            "base_url": row.instance.base_url,
            "labels": rosters.labels_text(row.instance.labels),
            "config": row.config,
            "differs": " ".join(row.differs),
            "config_seen_at": row.config_at,
            "health": row.health,
            "health_detail": row.instance.health_detail,
            "health_seen_at": row.instance.health_at,
            "last_delivery": row.delivery.state if row.delivery else None,
            "last_rollout": row.delivery.rollout.number if row.delivery else None,
            **_chosen(row.instance, columns),
        }
        for row in rows
    ]
    return history_export.answer(table, shape="csv", file=f"{found.name}-{timezone.now():%Y%m%d-%H%M%S}", about={})


def _chosen(instance: Instance, columns: Columns) -> history_export.Row:
    """The columns of the page that a table has not anyway."""
    found: history_export.Row = {}
    if "agent" in columns:
        found["agent"] = getattr(instance, "agent", "")
    if "abilities" in columns:
        found["abilities"] = " ".join(getattr(instance, "abilities", ()))
    if "maintenance" in columns:
        found["maintenance"] = instance.maintenance_reason if instance.in_maintenance else ""
        found["maintenance_until"] = instance.maintenance_until if instance.in_maintenance else None
    if "latency" in columns:
        found["latency_ms"] = instance.latency_ms
    return found | {f"label {key}": instance.labels.get(key, "") for key in columns.labels}


@require_http_methods(["GET", "POST"])
def roster(request: ConsoleRequest, environment: str) -> HttpResponse:
    """Choose a file; see what every line would do; then do it. The file comes back sealed: it may hold tokens."""
    found = get_environment(request.user, environment, needs="instance.change")
    form = RosterForm()
    lines: list[rosters.Line] = []
    text, status = "", 200
    if request.method == "POST":
        held = request.POST.get("held", "")
        form = form if held else RosterForm(request.POST, request.FILES)
        try:
            if held:
                text = _opened(held, found, request)
                return _do(request, found, rosters.carry_out(found, text, actor=request.user))
            if form.is_valid():
                text = form.cleaned_data["file"]
                lines = rosters.read(found, text)
            else:
                status = 422
        except Refused as refusal:
            messages.error(request, str(refusal))
            status = 422
            lines = _again(found, text) if held else []
    by_deed = {deed: [line for line in lines if line.deed == deed] for deed in (rosters.REFUSED, *DONE, rosters.SAME)}
    context = {
        "environment": found,
        "form": form,
        "columns": rosters.COLUMNS,
        "lines": [line for group in by_deed.values() for line in group][:SHOWN],
        "counts": {deed: len(group) for deed, group in by_deed.items()},
        "number": len(lines),
        "held": _sealed(text, found, request) if lines else "",
        "ready": bool(lines) and not by_deed[rosters.REFUSED] and any(by_deed[deed] for deed in DONE),
    }
    response = render(request, "sync_app/roster.html", context, status=status)
    response["Cache-Control"] = "no-store"
    return response


def _do(request: ConsoleRequest, environment: Environment, lines: list[rosters.Line]) -> HttpResponse:
    added, changed = (sum(line.deed == deed for line in lines) for deed in DONE)
    names = [line.name for line in lines if line.deed in DONE]
    pks = list(environment.instances.active().filter(name__in=names).values_list("pk", flat=True))
    tasks.wake_look(pks)
    unchanged = f"; {len(lines) - len(names):,} were so already" if len(names) < len(lines) else ""
    messages.success(request, f"{added:,} added, {changed:,} changed{unchanged}. They are being asked what they run.")
    return redirect("sync:environment", environment.name)


def _again(environment: Environment, text: str) -> list[rosters.Line]:
    """The lines as they stand now, beside the refusal; none where the file itself was lost."""
    try:
        return rosters.read(environment, text) if text else []
    except Refused:
        return []


def _sealed(text: str, environment: Environment, request: ConsoleRequest) -> str:
    held = {"text": text, "environment": environment.pk, "person": request.user.pk, "until": time.time() + HELD_SECONDS}
    return seal(json.dumps(held)).decode()


def _opened(held: str, environment: Environment, request: ConsoleRequest) -> str:
    """The file that this person looked at here, within the last hour."""
    try:
        facts = json.loads(unseal(held.encode()))
        whose = (facts["environment"], facts["person"])
    except (SealBroken, ValueError, KeyError, TypeError):
        raise Refused("The file was not kept. Choose it again.") from None
    if whose != (environment.pk, request.user.pk) or facts["until"] < time.time():
        raise Refused("The file was not kept: too long ago, or not yours. Choose it again.")
    return str(facts["text"])
