"""The site's own pages: home, sign-in, audit trail, live stream, health."""

from __future__ import annotations

from typing import Any

from asgiref.sync import sync_to_async
from django.contrib.auth import views as auth_views
from django.contrib.auth.decorators import login_not_required
from django.contrib.auth.forms import AuthenticationForm
from django.db import connection, transaction
from django.db.models import Q
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import get_object_or_404, render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET, require_safe

from configs_app.models import Change, ChangeState
from console import access, audit, live
from console.errors import Denied
from console.forms import AuditFilter
from console.http import ConsoleRequest
from console.models import AuditEvent, User
from instances_app.models import Environment
from sync_app import fleet
from sync_app.models import GOING, Rollout

PAGE_SIZE = 50


@require_safe
def home(request: ConsoleRequest) -> HttpResponse:
    """Every fleet this person can see, and what waits for them."""
    environments = list(Environment.objects.visible_to(request.user))
    running = {
        rollout.environment_id: rollout
        for rollout in Rollout.objects.filter(environment__in=environments, state__in=GOING)
    }
    open_changes = list(
        Change.objects.filter(environment__in=environments)
        .exclude(state__in=[ChangeState.PUBLISHED, ChangeState.WITHDRAWN])
        .select_related("environment", "author", "last_editor")
    )
    cards = []
    for environment in environments:
        rows = fleet.rows(environment)
        cards.append(
            {
                "environment": environment,
                "instances": len(rows),
                "counts": fleet.counts(rows),
                "rollout": running.get(environment.pk),
            }
        )
    for_review = [
        change
        for change in open_changes
        if change.state == ChangeState.PROPOSED
        and request.user.pk not in {change.author_id, change.last_editor_id}
        and access.allows(request.user, "change.review", change.environment)
    ]
    mine = [change for change in open_changes if request.user.pk in {change.author_id, change.last_editor_id}]
    return render(
        request,
        "console/home.html",
        {"cards": cards, "for_review": for_review, "mine": mine, "may_add": request.user.is_superuser},
    )


@require_safe
def audit_trail(request: ConsoleRequest) -> HttpResponse:
    """Who did what: newest first, filtered by the address, paged by sequence number."""
    form = AuditFilter(request.GET)
    events = _visible_events(request.user)
    if form.is_valid():
        events = form.narrow(events)
        before = form.cleaned_data["before"]
        if before:
            events = events.filter(sequence__lt=before)
    page = list(events.order_by("-sequence")[: PAGE_SIZE + 1])
    older = page[PAGE_SIZE - 1].sequence if len(page) > PAGE_SIZE else None
    context = {"form": form, "events": page[:PAGE_SIZE], "older": older}
    return render(request, "console/audit.html", context, status=200 if form.is_valid() else 422)


@require_safe
def audit_event(request: ConsoleRequest, sequence: int) -> HttpResponse:
    event = get_object_or_404(_visible_events(request.user), sequence=sequence)
    related = (
        _visible_events(request.user).filter(request_id=event.request_id).exclude(pk=event.pk)
        if event.request_id
        else AuditEvent.objects.none()
    )
    return render(request, "console/audit_event.html", {"event": event, "related": related.order_by("sequence")})


def _visible_events(user: User) -> Any:
    if user.is_superuser or user.auditor:
        return AuditEvent.objects.all()
    names = list(Environment.objects.visible_to(user).values_list("name", flat=True))
    return AuditEvent.objects.filter(Q(environment__in=names) | Q(actor_id=user.pk))


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


class SignIn(auth_views.LoginView):
    redirect_authenticated_user = True

    def form_valid(self, form: AuthenticationForm) -> HttpResponse:
        response = super().form_valid(form)
        with transaction.atomic():
            audit.record("session.started", actor=_user(form.get_user()))
        return response

    def form_invalid(self, form: AuthenticationForm) -> HttpResponse:
        typed = str(form.data.get("username", ""))[:150]
        with transaction.atomic():
            # What was typed is data, not an actor: nobody has proved to be that person.
            audit.record("session.refused", actor=None, actor_name="nobody", typed=typed)
        return self.render_to_response(self.get_context_data(form=form), status=422)


class SignOut(auth_views.LogoutView):
    def post(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        if isinstance(request.user, User):
            with transaction.atomic():
                audit.record("session.ended", actor=request.user)
        return super().post(request, *args, **kwargs)


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


def _user(user: object) -> User | None:
    return user if isinstance(user, User) else None
