"""Whose turn it is: who may approve a change now, what waits for one person, and the next step in words."""

from __future__ import annotations

from collections.abc import Sequence

from configs_app import changes
from configs_app.models import Change, ChangedDocument, ChangeState
from console import access
from console.models import User
from instances_app.models import Environment


def waits_for(change: Change, person: User) -> bool:
    """Whether this person's yes would count now: they may review, had no part in it, and have not given it yet."""
    return (
        change.state == ChangeState.PROPOSED
        and person.pk not in {change.author_id, change.last_editor_id}
        and access.allows(person, "change.review", change.environment)
        and all(approval.approver_id != person.pk for approval in changes.valid_approvals(change))
    )


def waiting_for(person: User) -> list[Change]:
    """Every change that waits for this person's approval, the latest first."""
    proposed = Change.objects.filter(
        environment__in=Environment.objects.visible_to(person), state=ChangeState.PROPOSED
    ).select_related("environment", "author", "last_editor")
    return [change for change in proposed if waits_for(change, person)]


def reviewers(change: Change) -> list[str]:
    """Names of everybody whose approval would count now."""
    had_part = {str(change.author), str(change.last_editor)}
    given = {approval.approver_name for approval in changes.valid_approvals(change)}
    return [name for name in access.who_can("change.review", change.environment) if name not in had_part | given]


def next_step(
    change: Change, *, changed: Sequence[ChangedDocument], stale: Sequence[object], obstacles: Sequence[object]
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
    if change.state == ChangeState.PROPOSED and environment.protected:
        names = ", ".join(reviewers(change))
        return f"Waits for one approval from: {names or 'nobody yet; give another person the role approver'}."
    publishers = ", ".join(access.who_can("change.publish", environment))
    return f"Waits to be published. Can publish: {publishers or 'nobody: give somebody the role operator'}."
