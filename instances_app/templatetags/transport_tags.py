"""What of an environment's transport ends soon, the same on every page."""

from __future__ import annotations

from django import template

from instances_app.models import Environment
from instances_app.transport import Transport

register = template.Library()


@register.simple_tag
def transport_notes(environment: Environment) -> list[str]:
    """A sentence for each of its own certificates that ends soon or has ended. Asks nothing where there is none."""
    return Transport.of(environment).notes if environment.trust_id is not None else []
