"""Breaking the glass: an admin publishes without waiting for approvals.

Nothing else is skipped, and others look at it later: with it a late review opens.
"""

from __future__ import annotations

from configs_app import approvals, contributors, reasons
from configs_app.decision_models import BrokenGlass, Proposal
from configs_app.models import Change
from console import access, audit
from console.errors import Refused
from console.models import User
from instances_app import late_reviews
from instances_app.models import LateReview


def need(change: Change, *, actor: User) -> None:
    """Refused where there is no glass to break, or it is not this person's to break."""
    if not change.environment.protected:
        raise Refused(f"{change.environment} is not protected: publish the change, nobody has to approve it.")
    if not access.allows(actor, "change.break_glass", change.environment):
        raise Refused(f"Only an admin of {change.environment} publishes without approvals.")


def broke(change: Change, proposal: Proposal, *, reason: str, actor: User) -> BrokenGlass:
    """Write down that and why, and ask others to look at it. Belongs into the transaction that publishes."""
    standing = approvals.standing(change)
    if standing.enough:
        raise Refused("It has its approvals: publish it the ordinary way.")
    reason = reasons.tidy(reason)
    reasons.refuse_secrets(reason, reasons.beside_change(change))
    review = late_reviews.open_for(
        change.environment,
        cause=LateReview.Cause.GLASS,
        subject=f"{actor.username} broke the glass. Change {change.pk} was published with {standing.counted}.",
        reason=reason,
        actor=actor,
        had_part=contributors.of(change),
    )
    return BrokenGlass.objects.create(change=change, proposal=proposal, review=review, reason=review.reason, by=actor)


def record(broken: BrokenGlass, *, actor: User) -> None:
    """Into the audit trail, which is locked last."""
    audit.record(
        "glass.broken",
        actor=actor,
        target=broken.change,
        what=broken.review.subject,
        reason=broken.reason,
        proposal=broken.proposal.number,
        review=broken.review.pk,
        due=broken.review.due_at.isoformat(),
    )
