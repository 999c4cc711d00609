"""What every request carries: where it came from, and a way back to the sign-in page for htmx."""

from __future__ import annotations

import uuid
from collections.abc import Callable

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, resolve_url
from django.urls import reverse

from console import audit, sealing, second_factor, sessions
from console.models import User

Handler = Callable[[HttpRequest], HttpResponse]


class RequestFacts:
    """Gives the request an id and tells the audit trail its address."""

    def __init__(self, get_response: Handler) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        request_id = uuid.uuid4().hex
        origin = audit.Origin(client_address(request), request_id, session=lambda: session_fingerprint(request))
        token = audit.origin.set(origin)
        try:
            response = self.get_response(request)
        finally:
            audit.origin.reset(token)
        response["X-Request-Id"] = request_id
        return response


def session_fingerprint(request: HttpRequest) -> str:
    """Tells one session from another in the audit trail; the key itself would open it."""
    key = request.session.session_key
    return sealing.fingerprint(f"session:{key}") if key else ""


def client_address(request: HttpRequest) -> str:
    """The peer; behind a trusted proxy the last hop it wrote down (what stands before that is hearsay)."""
    forwarded = request.META.get("HTTP_X_FORWARDED_FOR", "")
    if settings.BEHIND_PROXY and forwarded:
        return str(forwarded).rsplit(",", 1)[-1].strip()[:45]
    return str(request.META.get("REMOTE_ADDR", ""))[:45]


class SessionSeen:
    """Keeps the time at which a session was last used."""

    def __init__(self, get_response: Handler) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        if request.user.is_authenticated:
            sessions.touch(request)
        return self.get_response(request)


class SecondFactorFirst:
    """Who holds a role that asks for a second factor and has none sets one up, and can do nothing else before."""

    WITHOUT = frozenset({"login", "account_login", "logout", "healthz", "account", "session-end"})

    def __init__(self, get_response: Handler) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        return self.get_response(request)

    def process_view(self, request: HttpRequest, view: object, args: object, kwargs: object) -> HttpResponse | None:
        match = request.resolver_match
        name = (match.url_name or "") if match else ""
        if name in self.WITHOUT or name.startswith(("account_", "mfa_")) or not isinstance(request.user, User):
            return None
        if not second_factor.is_missing(request.user):
            return None
        if name == "live":
            return HttpResponse("A second factor is missing.", status=403, content_type="text/plain")
        if request.headers.get("HX-Request") == "true":
            return HttpResponse(status=204, headers={"HX-Redirect": reverse("account")})
        return redirect("account")


class HtmxLoginRedirect:
    """A signed-out tab goes to the sign-in page instead of getting one swapped into a table cell."""

    def __init__(self, get_response: Handler) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        response = self.get_response(request)
        if (
            request.headers.get("HX-Request") == "true"
            and response.status_code == 302
            and response["Location"].startswith(resolve_url(settings.LOGIN_URL))
        ):
            redirect = HttpResponse(status=204)
            redirect["HX-Redirect"] = response["Location"]
            return redirect
        return response
