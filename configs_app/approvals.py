"""Whose yes counts for a change. Only `changes` moves a change; this says whether it may."""

from __future__ import annotations

from configs_app import contributors, proposals
from configs_app.models import Approval, Change
from console import access

NEEDED = 1  # per protected environment


def valid(change: Change) -> list[Approval]:
    """The approvals of the change as it stands, by people who may still approve and had no part in it."""
    proposal = proposals.current(change)
    if proposal is None or proposals.departures(change, proposal):
        return []
    had_part = contributors.of(change)
    return [
        approval
        for approval in proposal.approvals.select_related("approver")
        if approval.approver_id not in had_part
        and access.allows(approval.approver, "change.review", change.environment)
    ]
