"""What is new for somebody who has looked at an earlier proposal of a change already."""

from __future__ import annotations

from dataclasses import dataclass

from configs_app import contents, documents, reach
from configs_app.decision_models import Proposal
from configs_app.models import Change
from console.models import AuditEvent, User
from instances_app.models import Kind
from instances_app.plans import Plan

LOOKED = ("change.approved", "change.rejected", "change.commented")


@dataclass(frozen=True, slots=True)
class SinceReview:
    """Against the proposal that this person looked at last."""

    proposal: Proposal
    texts: dict[str, tuple[str | None, str]]  # kind → (the text then, the text now), where they differ
    plans: tuple[str, str] | None  # then and now, in words, where they differ
    arrived: list[str]  # instances that it goes to now, and did not then
    gone: list[str]


def of(change: Change, person: User) -> SinceReview | None:
    """None for somebody who has not looked at it, and while it is what they looked at."""
    proposal = looked_at(change, person)
    if proposal is None or not change.is_open or proposal.seal == change.seal:
        return None
    then, now = {one.id: one.name for one in proposal.aimed_at}, {one.pk: one.name for one in reach.wanted(change)}
    plan, old_plan = reach.plan(change), Plan.of(proposal.plan)
    return SinceReview(
        proposal=proposal,
        texts=_texts(change, proposal),
        plans=(old_plan.words, plan.words) if plan != old_plan else None,
        arrived=[name for pk, name in now.items() if pk not in then],
        gone=[name for pk, name in then.items() if pk not in now],
    )


def looked_at(change: Change, person: User) -> Proposal | None:
    """The proposal that stood when they last approved, rejected or commented."""
    trail = AuditEvent.objects.filter(target_type="change", target_id=str(change.pk), actor_id=person.pk)
    last = trail.filter(action__in=LOOKED).order_by("-sequence").first()
    return change.proposals.filter(at__lte=last.at).order_by("number").last() if last else None


def _texts(change: Change, proposal: Proposal) -> dict[str, tuple[str | None, str]]:
    """A document that only one of both touches is compared with what it stands on, or what stands there now."""
    then = proposal.texts
    changed = {document.kind: document for document in contents.changed_documents(change)}
    found: dict[str, tuple[str | None, str]] = {}
    for kind in Kind.values:
        document = changed.get(kind)
        if document is not None:
            old = then.get(kind, document.base.text if document.base else None)
            new = document.text
        elif kind in then:
            current = documents.current(change.environment, kind)
            old, new = then[kind], current.text if current else "{}\n"
        else:
            continue
        if old != new:
            found[kind] = (old, new)
    return found
