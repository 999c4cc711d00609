"""How far a change is towards being approved: whose yes counts now, how many are needed, and from whom.

Only `changes` moves a change; this says whether it may. Nothing is remembered: roles, groups, rules and what was
proposed are looked up whenever somebody asks.
"""

from __future__ import annotations

from dataclasses import dataclass

from django.contrib.auth.models import Group

from configs_app import consequences, contributors, proposals
from configs_app.consequences import Risk
from configs_app.decision_models import Proposal
from configs_app.models import Approval, Change, ChangeState
from console import access
from console.models import User


@dataclass(frozen=True, slots=True)
class Standing:
    """For one change as it is proposed, now."""

    proposal: Proposal | None
    given: list[Approval]  # that count
    void: list[str]  # why none counts, one sentence each
    needed: int
    high: bool  # one of its consequences has a high risk
    group: Group | None  # one of the approvals has to come from it
    from_group: bool  # one does
    can: list[str]  # who may give what is missing, by name

    @property
    def enough(self) -> bool:
        return not self.void and len(self.given) >= self.needed and (self.group is None or self.from_group)

    @property
    def missing(self) -> str:
        """What is still needed, in words: "1 more", "one of the group payments-leads"; empty when nothing is."""
        more = self.needed - len(self.given)
        if self.group is None or self.from_group:
            return f"{more} more" if more > 0 else ""
        return f"{more}, one of them of the group {self.group}" if more > 1 else f"one of the group {self.group}"

    @property
    def counted(self) -> str:
        return f"{len(self.given)} of {self.needed} approval{'' if self.needed == 1 else 's'}"

    @property
    def words(self) -> str:
        return f"{self.counted}; still needed: {self.missing}" if self.missing else self.counted


def standing(change: Change, *, risk: Risk | None = None) -> Standing:
    """Where the change stands; `risk` spares working out its consequences again."""
    environment, proposal = change.environment, proposals.current(change)
    void = proposals.departures(change, proposal) if change.is_open else []
    had_part = contributors.of(change)
    given = _counting(change, proposal, had_part) if proposal and not void else []
    risk = consequences.of_change(change).risk if risk is None else risk
    # What was proposed as risky stays so, also when what it breaks has gone meanwhile.
    high = risk == Risk.HIGH or (proposal is not None and proposal.risk == Risk.HIGH.word)
    needed, group = environment.approvals_high if high else environment.approvals, environment.approvers_group
    members = _members(group)
    from_group = any(approval.approver_id in members for approval in given)
    who = User.objects.filter(username__in=access.who_can("change.review", environment))
    who = who.exclude(pk__in=had_part).exclude(pk__in=[approval.approver_id for approval in given])
    if group is not None and not from_group and needed - len(given) <= 1:
        who = who.filter(pk__in=members)
    can = sorted(who.values_list("username", flat=True))
    return Standing(proposal, given, void, needed, high=high, group=group, from_group=from_group, can=can)


def held(change: Change) -> Standing:
    """The same, for whoever publishes: nobody takes a role from the approvers until the transaction ends."""
    proposal = proposals.current(change)
    if proposal is not None:
        access.hold(list(proposal.approvals.values_list("approver_id", flat=True)), change.environment)
    return standing(change)


def may_add(change: Change, person: User) -> bool:
    """Whether a proposed change has no approval of this person yet, and theirs would count.

    For lists, which prefetch `contributors` and `approvals`; whether what was proposed still stands is not asked.
    """
    given = any(one.approver_id == person.pk and one.seal == change.seal for one in change.approvals.all())
    return (
        change.state == ChangeState.PROPOSED
        and not given
        and person.pk not in contributors.of(change)
        and access.allows(person, "change.review", change.environment)
    )


def _counting(change: Change, proposal: Proposal, had_part: frozenset[int]) -> list[Approval]:
    """Of people who may still approve, and had no part in it. Once it is decided, that is how it was decided."""
    return [
        approval
        for approval in proposal.approvals.select_related("approver")
        if not change.is_open
        or (
            approval.approver_id not in had_part
            and access.allows(approval.approver, "change.review", change.environment)
        )
    ]


def _members(group: Group | None) -> frozenset[int]:
    return frozenset(User.objects.filter(groups=group).values_list("pk", flat=True)) if group else frozenset()
