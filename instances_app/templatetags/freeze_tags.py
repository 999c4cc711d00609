"""What stands in the way of a rollout's start, the same on every page."""

from __future__ import annotations

from typing import Any

from django import template
from django.template.context import RequestContext

from console import access
from instances_app import freezes
from instances_app.freeze_models import Freeze
from instances_app.models import Environment

register = template.Library()


@register.inclusion_tag("instances_app/_frozen.html", takes_context=True)
def frozen(context: RequestContext, environment: Environment, *, coming: bool = False) -> dict[str, Any]:
    """What holds now, why, until when, who can lift it; with `coming` also what begins soon. Nothing otherwise."""
    found = freezes.frozen(environment)
    return {
        "environment": environment,
        "frozen": found,
        "may_lift": found is not None and access.allows(context["request"].user, "freeze.lift", environment),
        "lifters": access.who_can("freeze.lift", environment) if found else [],
        "coming": freezes.coming(environment) if coming else [],
    }


@register.filter
def schedule(freeze: Freeze) -> str:
    return freezes.schedule(freeze)
