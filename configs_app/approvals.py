"""How far a change is towards being approved: whose yes counts now, how many are needed, and from whom.

Only `changes` moves a change; this says whether it may. Nothing is remembered: roles, groups, rules and what was
proposed are looked up whenever somebody asks.
"""

from __future__ import annotations

from dataclasses import dataclass

from django.contrib.auth.models import Group
from django.db.models import Prefetch, QuerySet

from configs_app import consequences, contributors, proposals
from configs_app.consequences import Risk
from configs_app.decision_models import Proposal
from configs_app.models import STANDS_PROPOSED, Approval, Change
from console import access
from console.models import User
from instances_app.models import Environment


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


def awaited_from(person: User, changes: QuerySet[Change]) -> list[Change]:
    """Those of the changes that lack an approval by today's rules, and theirs would count.

    For lists: a fixed number of queries for each environment. Whether what was proposed still stands is not asked, and
    its risk is the one it was proposed with.
    """
    proposed = changes.filter(state__in=STANDS_PROPOSED).select_related("environment__approvers_group")
    kept = Prefetch("proposals", Proposal.objects.only("change", "number", "seal", "risk"))
    who: dict[int, tuple[frozenset[int], frozenset[int]]] = {}
    found = []
    for change in proposed.prefetch_related("contributors", "approvals", kept):
        environment = change.environment
        if environment.pk not in who:
            who[environment.pk] = _signers(environment), _members(environment.approvers_group)
        signers, members = who[environment.pk]
        may = signers - contributors.of(change)
        given = may & {approval.approver_id for approval in change.approvals.all() if approval.seal == change.seal}
        high = any(one.seal == change.seal and one.risk == Risk.HIGH.word for one in change.proposals.all())
        lacking = (environment.approvals_high if high else environment.approvals) - len(given)
        if environment.approvers_group is not None and not given & members:
            may, lacking = may if lacking > 1 else may & members, max(lacking, 1)
        if lacking > 0 and person.pk in may - given:
            found.append(change)
    return found


def _signers(environment: Environment) -> frozenset[int]:
    names = access.who_can("change.review", environment)
    return frozenset(User.objects.filter(username__in=names).values_list("pk", flat=True))


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
