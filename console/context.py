"""What base.html needs on every page."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest

from console import __version__
from instances_app import late_reviews
from instances_app.models import Environment


def page(request: HttpRequest) -> dict[str, Any]:
    user = getattr(request, "user", None)
    return {
        "csp_nonce": getattr(request, "csp_nonce", ""),
        "version": __version__,
        "environments_nav": Environment.objects.visible_to(user) if user is not None else (),
        "late_reviews": late_reviews.open_ones(user) if user is not None else (),
    }
