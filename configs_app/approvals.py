"""Whose yes counts for a change. Only `changes` moves a change; this says whether it may."""

from __future__ import annotations

from configs_app import contributors
from configs_app.models import Approval, Change
from console import access

NEEDED = 1  # per protected environment


def valid(change: Change) -> list[Approval]:
    """The approvals of exactly this content, by people who may still approve and had no part in the change."""
    had_part = contributors.of(change)
    return [
        approval
        for approval in change.approvals.filter(seal=change.seal).select_related("approver")
        if change.seal
        and approval.approver_id not in had_part
        and access.allows(approval.approver, "change.review", change.environment)
    ]
