"""A rotation of tokens: its page, the live part of that, and stopping it. It is begun with chosen instances."""

from __future__ import annotations

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_POST, require_safe

from console import access
from console.errors import Refused
from console.http import ConsoleRequest
from instances_app import rotation as rotations
from instances_app.models import Rotation
from sync_app import rotation_page, tasks


@require_safe
def rotation(request: ConsoleRequest, pk: int) -> HttpResponse:
    found = _get(request, pk, needs="environment.view")
    return render(request, "sync_app/rotation.html", rotation_page.page(found, request.user, request.GET))


@require_safe
def rotation_progress(request: ConsoleRequest, pk: int) -> HttpResponse:
    """The live part; its last version no longer asks for another."""
    found = _get(request, pk, needs="environment.view")
    return render(request, "sync_app/_rotation.html", rotation_page.page(found, request.user, request.GET))


@require_POST
def rotation_stop(request: ConsoleRequest, pk: int) -> HttpResponse:
    found = _get(request, pk, needs="instance.change")
    try:
        rotations.stop(found, actor=request.user)
        tasks.wake_rotation(found.pk)
        messages.success(request, "Nobody else is begun with. Those that were given a token come to the end.")
    except Refused as refusal:
        messages.error(request, str(refusal))
    return redirect("sync:rotation", pk)


def _get(request: ConsoleRequest, pk: int, *, needs: str) -> Rotation:
    found = get_object_or_404(Rotation.objects.select_related("environment", "author", "stopped_by"), pk=pk)
    access.require(request.user, needs, found.environment)
    return found
