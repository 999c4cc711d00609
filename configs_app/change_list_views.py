"""The lists of changes: of one environment, and of all that a person may see."""

from __future__ import annotations

from django.http import HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from configs_app import change_lists
from console import access
from console.http import ConsoleRequest
from instances_app.models import Environment
from instances_app.shortcuts import get_environment


@require_safe
def everywhere(request: ConsoleRequest) -> HttpResponse:
    form = change_lists.ChangeFilter(request.GET)
    names = Environment.objects.visible_to(request.user).values_list("name", flat=True)
    context = {"form": form, "names": names, **change_lists.page(form, request.user)}
    return render(request, "configs_app/change_list.html", context, status=200 if form.is_valid() else 422)


@require_safe
def of_environment(request: ConsoleRequest, environment: str) -> HttpResponse:
    found = get_environment(request.user, environment, needs="environment.view")
    form = change_lists.ChangeFilter(request.GET)
    context = {
        "environment": found,
        "may": access.verbs(request.user, found),
        "form": form,
        **change_lists.page(form, request.user, environment=found),
    }
    return render(request, "configs_app/change_list.html", context, status=200 if form.is_valid() else 422)
