"""Discovery: the sources of an environment, what each would do, and what people do about what it found."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from django import forms
from django.contrib import messages
from django.db.models import Count, Q
from django.http import Http404, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from console import access
from console.errors import Refused
from console.http import ConsoleRequest, whole
from instances_app.discovery import deciding, looking, sources
from instances_app.discovery.difference import Difference
from instances_app.discovery.found import SourceError
from instances_app.discovery.kinds import KINDS
from instances_app.discovery_forms import SourceForm
from instances_app.models import DiscoverySource, FoundState
from instances_app.shortcuts import get_environment

LISTED = 200  # of each state on a page


@require_safe
def source_list(request: ConsoleRequest, environment: str) -> HttpResponse:
    found = get_environment(request.user, environment, needs="environment.view")
    waiting = Count("found", filter=Q(found__state=FoundState.PROPOSED))
    gone = Count("found", filter=Q(found__state=FoundState.GONE))
    listed = found.sources.annotate(waiting=waiting, gone=gone)
    context = {
        "environment": found,
        "may": access.verbs(request.user, found),
        "sources": [(one, KINDS[one.kind].TITLE) for one in listed],
        "kinds": KINDS,
    }
    return render(request, "instances_app/sources.html", context)


@require_http_methods(["GET", "POST"])
def source_new(request: ConsoleRequest, environment: str, kind: str) -> HttpResponse:
    found = get_environment(request.user, environment, needs="source.change")
    if kind not in KINDS:
        raise Http404("No such kind of source.")
    form = SourceForm(request.POST or None, kind=KINDS[kind])
    if request.method == "POST" and form.is_valid():
        try:
            source = sources.add(found, kind=kind, **form.values(), actor=request.user)
        except Refused as refusal:
            form.add_error(None, str(refusal))
        else:
            messages.success(request, f"{source} is saved.")
            return redirect("instances:source", source.pk)
    context = {"environment": found, "form": form, "kind": KINDS[kind]}
    return render(request, "instances_app/source_form.html", context, status=422 if request.method == "POST" else 200)


@require_http_methods(["GET", "POST"])
def source_edit(request: ConsoleRequest, pk: int) -> HttpResponse:
    source = _source(request, pk, needs="source.change")
    kind = KINDS[source.kind]
    form = SourceForm(request.POST or None, kind=kind, source=source)
    if request.method == "POST" and form.is_valid():
        try:
            sources.change(source, **form.values(), actor=request.user)
        except Refused as refusal:
            form.add_error(None, str(refusal))
        else:
            messages.success(request, f"{form.cleaned_data['name']} is saved.")
            return redirect("instances:source", pk)
    context = {"environment": source.environment, "form": form, "kind": kind, "source": source}
    return render(request, "instances_app/source_form.html", context, status=422 if request.method == "POST" else 200)


@require_safe
def source(request: ConsoleRequest, pk: int) -> HttpResponse:
    """How it is, and everything it told of, by what became of it."""
    return _page(request, _source(request, pk, needs="environment.view"))


@require_POST
def source_preview(request: ConsoleRequest, pk: int) -> HttpResponse:
    """Ask it now and show what the answer would do; with `digest`, do what was shown."""
    source = _source(request, pk, needs="instance.change")
    refused = ""
    if "digest" in request.POST:
        try:
            looking.take(source, request.POST["digest"], actor=request.user)
        except (Refused, SourceError) as refusal:
            refused = str(refusal)
        else:
            messages.success(request, f"The answer of {source} is taken.")
            return redirect("instances:source", pk)
    context: dict[str, Any] = {"environment": source.environment, "source": source, "refused": refused}
    try:
        answer = looking.look(source)
    except SourceError as error:
        context["error"] = str(error)
    else:
        now = looking.preview(source, answer)
        context |= {"now": now, "digest": answer.digest, "lists": _lists(source, now)}
    context["may"] = access.verbs(request.user, source.environment)
    return render(request, "instances_app/source_preview.html", context, status=422 if refused else 200)


def _lists(source: DiscoverySource, now: Difference) -> list[tuple[str, int, list[Any]]]:
    """What would happen, how many times, and to which (the first LISTED)."""
    adds = "would be added" if source.policy == "add" else "would be proposed"
    named: list[tuple[str, Sequence[Any]]] = [
        (adds, now.new),
        ("managed here already", now.managed),
        ("would get other labels", now.changed),
        ("would be marked gone", now.gone),
        ("back again", now.back),
        ("cannot be added", now.unfit),
        ("would be forgotten: proposed before, told of no more", now.forgotten),
    ]
    return [(words, len(entries), list(entries[:LISTED])) for words, entries in named if entries]


@require_POST
def source_decide(request: ConsoleRequest, pk: int) -> HttpResponse:
    """`do`: add, leave out or retire what is ticked, or with `all` everything of that list as the page counted it."""
    source = _source(request, pk, needs="instance.change")
    deeds: dict[str, tuple[Callable[[set[int]], int], str, FoundState]] = {
        "add": (
            lambda ids: deciding.accept(source, ids, token=request.POST.get("token", "")[:500], actor=request.user),
            "added, or given their labels",
            FoundState.PROPOSED,
        ),
        "leave out": (lambda ids: deciding.refuse(source, ids, actor=request.user), "left out", FoundState.PROPOSED),
        "retire": (lambda ids: deciding.retire(source, ids, actor=request.user), "retired", FoundState.GONE),
    }
    chosen = deeds.get(request.POST.get("do", "add" if "all" in request.POST else ""))
    try:
        if chosen is None:
            raise Refused("Say what to do with them: add, leave out or retire.")
        deed, words, state = chosen
        messages.success(request, f"{deed(_ticked(request, source, state))} {words}.")
    except Refused as refusal:
        messages.error(request, str(refusal))
    return redirect("instances:source", pk)


@require_POST
def source_run(request: ConsoleRequest, pk: int) -> HttpResponse:
    """Start a source that is paused, pause one that runs."""
    source = _source(request, pk, needs="source.change")
    verb = sources.pause if request.POST.get("do") == "pause" else sources.start
    try:
        verb(source, actor=request.user)
    except Refused as refusal:
        messages.error(request, str(refusal))
    return redirect("instances:source", pk)


@require_http_methods(["GET", "POST"])
def source_remove(request: ConsoleRequest, pk: int) -> HttpResponse:
    """A page that says what removing means, then the deed."""
    source = _source(request, pk, needs="source.change")
    if request.method == "POST":
        sources.remove(source, actor=request.user)
        messages.success(request, f"{source} is removed. Its instances are still here.")
        return redirect("instances:sources", source.environment.name)
    context = {"environment": source.environment, "source": source, "added": source.found.filter(ours=True).count()}
    return render(request, "instances_app/source_remove.html", context)


def _page(request: ConsoleRequest, source: DiscoverySource) -> HttpResponse:
    rows = source.found.select_related("instance")
    changed = [row for row in rows.filter(state=FoundState.ADDED, ours=True) if row.is_changed]
    counts = dict(rows.order_by().values_list("state").annotate(count=Count("pk")))
    may = access.verbs(request.user, source.environment)
    context = {
        "environment": source.environment,
        "may": may,
        "may_decide": "instance.change" in may,
        "source": source,
        "kind": KINDS[source.kind],
        "settings": [(bound.label, _shown(bound, source.settings)) for bound in KINDS[source.kind].Settings()],
        "changed": changed[:LISTED],
        "lists": {
            state: {"rows": list(rows.filter(state=state)[:LISTED]), "count": counts.get(state, 0)}
            for state in FoundState.values
        },
    }
    return render(request, "instances_app/source.html", context)


def _shown(bound: forms.BoundField, settings: dict[str, Any]) -> Any:
    """A setting as it stands in the form: the words of a choice, yes for a tick."""
    value = settings.get(bound.name)
    if isinstance(value, bool):
        return "yes" if value else ""
    return dict(getattr(bound.field, "choices", ())).get(value, value)


def _source(request: ConsoleRequest, pk: int, *, needs: str) -> DiscoverySource:
    found = get_object_or_404(DiscoverySource.objects.select_related("environment"), pk=pk)
    access.require(request.user, needs, found.environment)
    return found


def _ticked(request: ConsoleRequest, source: DiscoverySource, state: FoundState) -> set[int]:
    if "all" not in request.POST:
        return {number for number in map(whole, request.POST.getlist("found")) if number is not None}
    ids = set(source.found.filter(state=state).values_list("pk", flat=True))
    if len(ids) != whole(request.POST["all"]):
        raise Refused("There are more or fewer of them now than the page said. Look again.")
    return ids
