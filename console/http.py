"""The request as our views see it."""

from __future__ import annotations

from django.http import HttpRequest
from django_htmx.middleware import HtmxDetails

from console.models import User


class ConsoleRequest(HttpRequest):
    """A signed-in request: LoginRequiredMiddleware has run."""

    user: User
    htmx: HtmxDetails


def whole(text: str) -> int | None:
    """A number from an address or a form, of at most eighteen digits; None for anything else."""
    return int(text) if text.isascii() and text.isdigit() and len(text) <= 18 else None
