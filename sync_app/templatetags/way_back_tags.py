"""The way back from a change that is not published yet."""

from __future__ import annotations

from typing import Any

from django import template

from configs_app.models import Change
from sync_app import rollbacks

register = template.Library()


@register.inclusion_tag("sync_app/_way_back.html")
def way_back(change: Change) -> dict[str, Any]:
    """Where a rollout of this change could be rolled back to, by today's rules."""
    return {"way": rollbacks.way_back_from(change) if change.is_open else None}
