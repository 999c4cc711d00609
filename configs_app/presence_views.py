"""What an open editor is told of the others: who is here, what else is under way, whether the page is out of date."""

from __future__ import annotations

from typing import Any

from django.http import HttpResponse
from django.shortcuts import get_object_or_404, render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from configs_app import changes, presence
from configs_app.models import Change, ChangeState
from console import access
from console.http import ConsoleRequest
from console.models import User

LISTED = 3


@never_cache
@require_safe
def editing(request: ConsoleRequest, pk: int) -> HttpResponse:
    """The fragment that the editor asks for every ten seconds, with the stamp that it has seen."""
    change = get_object_or_404(Change.objects.select_related("environment", "last_editor"), pk=pk)
    access.require(request.user, "change.edit", change.environment)
    seen = request.GET.get("seen") or changes.stamp(change)
    return render(request, "configs_app/_editing.html", others(change, person=request.user, seen=seen))


def others(change: Change, *, person: User, seen: str) -> dict[str, Any]:
    """The context of the fragment."""
    editors = presence.arrive(change, person=person)
    here = User.objects.filter(pk__in=editors.get(change.pk, set()) - {person.pk})
    elsewhere = (
        Change.objects.filter(environment=change.environment)
        .exclude(pk=change.pk)
        .exclude(state__in=[ChangeState.PUBLISHED, ChangeState.WITHDRAWN])
        .exclude(last_editor=person)
        .exclude(title="", documents=None)  # opened, and nothing typed yet
        .select_related("last_editor")
    )
    listed = list(elsewhere[: LISTED + 1])
    return {
        "change": change,
        "environment": change.environment,
        "here": sorted(user.username for user in here),
        "elsewhere": [(other, other.last_editor_id in editors.get(other.pk, ())) for other in listed[:LISTED]],
        "more": len(listed) > LISTED,
        "outdated": seen != changes.stamp(change) and change.last_editor_id != person.pk,
    }
