"""The page that puts a stale change together with what was published meanwhile."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods

from configs_app import change_views, changes, contents, merges
from configs_app.forms import as_lf
from configs_app.models import ChangeState
from console import access
from console.errors import Refused
from console.http import ConsoleRequest

SIDES: dict[str, merges.Side] = {"ours": "ours", "theirs": "theirs", "edit": "edit"}
Choices = dict[str, dict[merges.Keys, merges.Choice]]


@never_cache
@require_http_methods(["GET", "POST"])
def merge(request: ConsoleRequest, pk: int) -> HttpResponse:
    """What merges by itself, by name, and each conflict to decide. A refused decision keeps what was chosen."""
    change = change_views.get_change(request, pk, needs="change.edit")
    if not change.is_open or not contents.stale(change):
        messages.info(request, "Nothing has moved on since this change was begun: there is nothing to merge.")
        return redirect("configs:change", pk)
    try:
        plain = contents.merged(change, {})
    except Refused as refusal:
        context = {"change": change, "environment": change.environment, "refusal": str(refusal)}
        return render(request, "configs_app/change_merge.html", context, status=422)
    choices, status = _choices(request, plain), 200
    if request.method == "POST":
        try:
            merged = changes.merge(change, actor=request.user, choices=choices, seen=request.POST.get("seen", ""))
        except Refused as refusal:
            messages.error(request, str(refusal))
            status = 422
        else:
            if merged.state == ChangeState.REJECTED:
                messages.success(request, "Merged with what is current. It stays rejected until it is edited.")
            else:
                messages.success(
                    request, "Merged, and saved as a draft on what is current. Look at it before it goes on."
                )
            return redirect("configs:change", pk)
    context = {
        "change": change,
        "environment": change.environment,
        "may": access.verbs(request.user, change.environment),
        "seen": changes.merge_stamp(change),
        "documents": [_shown(item, choices) for item in plain],
    }
    return render(request, "configs_app/change_merge.html", context, status=status)


def _choices(request: ConsoleRequest, plain: list[contents.Merging]) -> Choices:
    """What the form decides: ``webhooks-0`` is ours, theirs or edit, ``webhooks-0-text`` the typed value."""
    found: Choices = {}
    for document, _, merged in plain:
        for number, conflict in enumerate(merged.conflicts):
            name = f"{document.kind}-{number}"
            side = SIDES.get(request.POST.get(name, ""))
            if side is not None:
                typed = as_lf(request.POST.get(f"{name}-text", "")) if side == "edit" else ""
                found.setdefault(document.kind, {})[conflict.path] = merges.Choice(side, typed)
    return found


def _shown(item: contents.Merging, choices: Choices) -> dict[str, Any]:
    document, now, merged = item
    decided = choices.get(document.kind, {})
    return {
        "kind": document.kind,
        "base": document.base,
        "now": now,
        "words": _by_word(merged.parts),
        "together": [part for part in merged.parts if part.word is None and not part.conflicts],
        "partly": [part for part in merged.parts if part.conflicts and (part.ours or part.theirs or part.both)],
        "order": merged.order,
        "conflicts": [
            {
                "name": f"{document.kind}-{number}",
                "path": conflict.path,
                "sides": [
                    (word, merges.shown(conflict.path, text))
                    for word, text in (("base", conflict.base), ("ours", conflict.ours), ("theirs", conflict.theirs))
                ],
                "side": decided[conflict.path].side if conflict.path in decided else "",
                "typed": _typed(conflict, decided.get(conflict.path)),
            }
            for number, conflict in enumerate(merged.conflicts)
        ],
    }


def _typed(conflict: merges.Conflict, choice: merges.Choice | None) -> str:
    """What the field for another value holds: what was typed there, else this change's value to begin with."""
    if choice is not None and choice.side == "edit":
        return choice.typed
    return merges.shown(conflict.path, conflict.ours if conflict.ours is not None else conflict.theirs) or ""


def _by_word(parts: list[merges.Part]) -> dict[str, list[merges.Part]]:
    found: dict[str, list[merges.Part]] = {"theirs": [], "ours": [], "both": []}
    for part in parts:
        if part.word is not None:
            found[part.word].append(part)
    return found
