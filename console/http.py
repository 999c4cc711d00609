"""The request as our views see it."""

from __future__ import annotations

from django.http import HttpRequest
from django_htmx.middleware import HtmxDetails

from console.models import User


class ConsoleRequest(HttpRequest):
    """A signed-in request: LoginRequiredMiddleware has run."""

    user: User
    htmx: HtmxDetails
