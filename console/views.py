"""The site's own pages: home, live stream, health."""

from __future__ import annotations

from typing import Any

from asgiref.sync import sync_to_async
from django.contrib.auth.decorators import login_not_required
from django.db import connection, transaction
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import get_object_or_404, render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET, require_safe
from django.views.defaults import page_not_found

from configs_app import change_lists, reviews
from configs_app.models import Change
from console import access, audit, live
from console.errors import Denied, Hidden
from console.http import ConsoleRequest
from console.models import User
from instances_app.models import Environment
from sync_app import fleet
from sync_app.models import GOING, Rollout


@require_safe
def home(request: ConsoleRequest) -> HttpResponse:
    """Every fleet this person can see, and what waits for them."""
    environments = list(Environment.objects.visible_to(request.user))
    running = {
        rollout.environment_id: rollout
        for rollout in Rollout.objects.filter(environment__in=environments, state__in=GOING)
    }
    cards = []
    for environment in environments:
        counts = fleet.counts(environment)
        cards.append(
            {
                "environment": environment,
                "instances": sum(counts.values()),
                "counts": counts,
                "rollout": running.get(environment.pk),
                "may_add": not any(counts.values()) and access.allows(request.user, "instance.change", environment),
            }
        )
    for_review = reviews.waiting_for(request.user)
    mine = change_lists.mine(Change.objects.filter(environment__in=environments), request.user)
    return render(
        request,
        "console/home.html",
        {
            "cards": cards,
            "for_review": for_review,
            "mine": mine.select_related("environment"),
            "may_add": request.user.is_superuser,
        },
    )


async def live_stream(request: HttpRequest, environment: str) -> HttpResponseBase:
    """Pings for the open pages of one environment."""
    watched = await sync_to_async(_get_watched)(request, environment)
    response = StreamingHttpResponse(live.stream(frozenset({watched.pk})), content_type="text/event-stream")
    response["Cache-Control"] = "no-cache"
    response["X-Accel-Buffering"] = "no"
    return response


def _get_watched(request: HttpRequest, name: str) -> Environment:
    environment = get_object_or_404(Environment, name=name)
    access.require(request.user, "environment.view", environment)
    return environment


@login_not_required
@never_cache
@require_GET
def healthz(request: HttpRequest) -> HttpResponse:
    """For load balancers: 200 when a page could be served."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")
    return HttpResponse("ok\n", content_type="text/plain")


def denied(request: HttpRequest, exception: Exception) -> HttpResponse:
    """403 with what is missing and who has it; the attempt goes into the audit trail."""
    context: dict[str, Any] = {"message": "", "who_can": []}
    if isinstance(exception, Denied):
        context = {"message": exception.message, "who_can": exception.who_can}
        with transaction.atomic():
            audit.record(
                "access.denied",
                actor=_user(request.user),
                environment=exception.environment,
                verb=exception.verb,
                path=request.path,
            )
    return render(request, "403.html", context, status=403)


def missing(request: HttpRequest, exception: Exception) -> HttpResponse:
    """404; what is there but hidden from somebody without a role goes into the audit trail, and not onto their page."""
    if isinstance(exception, Hidden):
        with transaction.atomic():
            audit.record(
                "access.hidden",
                actor=_user(request.user),
                environment=exception.environment,
                verb=exception.verb,
                path=request.path,
            )
    return page_not_found(request, exception)


def _user(user: object) -> User | None:
    return user if isinstance(user, User) else None
