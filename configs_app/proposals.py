"""What is put to people for approval, kept as it was, and the seal that their approvals are of.

The seal covers the documents with their digests and bases, the instances with their addresses and waves, and the plan.
It is computed anew when it matters: what has moved since makes the approvals void, in words that say which. Names and
labels of instances are not under it, but decide the waves (`plans.waves`), and so does which instances are left.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict

from configs_app import consequences, contents, reach
from configs_app.decision_models import Proposal, ProposedTarget
from configs_app.models import Change, ChangedDocument
from console.models import User
from console.sealing import seal
from instances_app import plans
from instances_app.plans import Plan

NAMED = 3


def make(change: Change, *, actor: User) -> Proposal:
    """Keep the change as it is now. The caller holds its lock and has checked the contents."""
    changed = contents.changed_documents(change)
    last = change.proposals.order_by("-number").values_list("number", flat=True).first()
    number, plan = (last or 0) + 1, reach.plan(change)
    targets = _targets(reach.wanted(change), plan)
    return Proposal.objects.create(
        change=change,
        number=number,
        seal=seal_of(change, changed, number=number, targets=targets, plan=plan),
        texts_sealed=seal(json.dumps({document.kind: document.text for document in changed})),
        targets=[asdict(one) for one in targets],
        plan=plan.data,
        risk=consequences.of_change(change).risk.word,
        by=actor,
    )


def current(change: Change) -> Proposal | None:
    """What the change stands proposed as; None for a draft, and for what was proposed before proposals were kept."""
    return change.proposals.filter(seal=change.seal).select_related("by").first() if change.seal else None


def departures(change: Change, proposal: Proposal | None) -> list[str]:
    """Why approvals of this proposal are void now, one sentence each; empty while everything is as it was proposed."""
    if proposal is None:
        return ["It was proposed before approvals covered instances and plan."] if change.seal else []
    plan, aimed_at = reach.plan(change), proposal.aimed_at
    if not all(one.wave for one in aimed_at):
        return ["It was proposed before approvals covered which instance is in which wave."]
    left = {one.id: one for one in _targets(reach.left(proposal), plan)}
    targets = [left.get(one.id, one) for one in aimed_at]
    changed = contents.changed_documents(change)
    chosen = change.targets is None or {one.id for one in targets} <= set(change.targets)
    if chosen and proposal.seal == seal_of(change, changed, number=proposal.number, targets=targets, plan=plan):
        return []
    pairs = list(zip(targets, aimed_at, strict=True))
    moved = [now.name for now, then in pairs if now.base_url != then.base_url]
    shifted = [now.name for now, then in pairs if now.wave != then.wave]
    found = []
    if moved:
        found.append(f"The address of {_some(moved)} was changed since.")
    if shifted and plan.data == proposal.plan:
        found.append(
            f"{_some(shifted)} would be in another wave now: that is decided by names, labels and which are left."
        )
    if plan.data != proposal.plan:
        whose = f"of {change.environment}" if change.plan is None else "of the change"
        found.append(f"The plan {whose} was changed since: from “{Plan.of(proposal.plan).words}” to “{plan.words}”.")
    if not chosen:
        found.append("The choice of instances was changed since.")
    return found or ["Its documents are no longer those that were proposed."]


def differs(change: Change, proposal: Proposal | None) -> bool:
    """Whether proposing it again would put anything else to people: contents, plan, or the fleet has moved."""
    if proposal is None or departures(change, proposal):
        return True
    return {one.id for one in proposal.aimed_at} != {instance.pk for instance in reach.wanted(change)}


def _targets(instances: Sequence[reach.Target], plan: Plan) -> list[ProposedTarget]:
    numbers = plans.numbers(plan, instances)
    return [ProposedTarget(one.pk, one.name, one.base_url, numbers[one.pk]) for one in instances]


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return f"{', '.join(names[:NAMED])}{more}"


def seal_of(
    change: Change,
    changed: Sequence[ChangedDocument],
    *,
    number: int,
    targets: Sequence[ProposedTarget],
    plan: Plan,
) -> str:
    """SHA-256 over everything that an approval says yes to."""
    parts = {
        "change": [change.pk, number],
        "documents": {
            document.kind: [
                hashlib.sha256(document.text.encode("utf-8", "surrogatepass")).hexdigest(),
                document.digest,
                document.base_id,
            ]
            for document in changed
        },
        "targets": sorted([one.id, one.base_url, one.wave] for one in targets),
        "plan": plan.data,
    }
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()
