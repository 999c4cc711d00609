"""Whose turn it is: who may approve a change now, what waits for one person, and the next step in words."""

from __future__ import annotations

from collections.abc import Sequence

from configs_app import approvals
from configs_app.approvals import Standing
from configs_app.models import Change, ChangedDocument, ChangeState
from console import access
from console.models import User
from instances_app.models import Environment


def waiting_for(person: User) -> list[Change]:
    """Every change that waits for this person's approval, the latest first."""
    visible = Change.objects.filter(environment__in=Environment.objects.visible_to(person))
    return approvals.awaited_from(person, visible.select_related("author", "last_editor"))


def next_step(
    change: Change,
    *,
    changed: Sequence[ChangedDocument],
    stale: Sequence[object],
    obstacles: Sequence[object],
    standing: Standing,
) -> str:
    """What the change waits for, and from whom; a sentence."""
    environment = change.environment
    editors = ", ".join(access.who_can("change.edit", environment)) or "somebody with the role operator"
    if change.state == ChangeState.PUBLISHED:
        return f"Nothing: it is published, as {change.bundle}."
    if change.state == ChangeState.WITHDRAWN:
        return "Nothing: it was given up. Its text stays readable here."
    if not changed:
        return f"Waits for an edit: the texts are the ones that are current. Can edit: {editors}."
    if stale:
        return f"Waits to be merged with what was published meanwhile. Can merge: {editors}."
    if change.state == ChangeState.REJECTED:
        return f"Waits for an edit that answers the rejection. Can edit: {editors}."
    if obstacles:
        number = len(obstacles)
        return f"Waits for {number} finding{'' if number == 1 else 's'} to be corrected or accepted."
    if environment.protected and change.state == ChangeState.DRAFT:
        return f"Waits to be proposed for approval. Can propose: {editors}."
    if environment.protected and standing.void:
        return f"Waits to be proposed again. {standing.void[0]} Can propose: {editors}."
    if environment.protected and not standing.enough:
        what = "one approval" if standing.missing == "1 more" else f"approvals ({standing.missing})"
        names = ", ".join(standing.can)
        return f"Waits for {what} from: {names or 'nobody yet; give another person the role approver'}."
    publishers = ", ".join(access.who_can("change.publish", environment))
    return f"Waits to be published. Can publish: {publishers or 'nobody: give somebody the role operator'}."
