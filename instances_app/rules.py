"""What an environment asks of a change before it is published, and the plan that rollouts follow there.

Rules that become looser open a late review, as breaking the glass does: one admin alone could otherwise switch
protection off, publish, and switch it on again, and nobody would look.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

from django.contrib.auth.models import Group
from django.db import transaction

from console import audit
from console.errors import Refused
from console.models import User
from instances_app import late_reviews
from instances_app.models import MOST_APPROVALS, Environment
from instances_app.plans import Plan


@dataclass(frozen=True, slots=True)
class Rules:
    """While protected: how many approvals, how many when a risk is high, and a group one of them has to come from."""

    protected: bool
    approvals: int = 1
    approvals_high: int = 1
    group: Group | None = None

    @classmethod
    def of(cls, environment: Environment) -> Self:
        return cls(
            environment.protected, environment.approvals, environment.approvals_high, environment.approvers_group
        )

    @property
    def data(self) -> dict[str, Any]:
        return {
            "protected": self.protected,
            "approvals": self.approvals,
            "approvals_high": self.approvals_high,
            "group": self.group.name if self.group else None,
        }

    def looser_than(self, before: Rules) -> list[str]:
        """What would no longer be asked for, one sentence each."""
        if not before.protected:
            return []
        if not self.protected:
            return ["Changes no longer need approval."]
        found = []
        if self.approvals < before.approvals:
            found.append(f"Changes need {self.approvals} instead of {before.approvals} approvals.")
        if self.approvals_high < before.approvals_high:
            found.append(f"With a high risk they need {self.approvals_high} instead of {before.approvals_high}.")
        if before.group is not None and self.group != before.group:
            found.append(f"None has to come from {before.group.name} any more.")
        return found


def change(environment: Environment, rules: Rules, *, reason: str = "", actor: User) -> Environment:
    """Hold the environment to other rules from now on, its open changes as well.

    What becomes looser needs a reason and opens a late review.
    """
    if not 1 <= rules.approvals <= rules.approvals_high <= MOST_APPROVALS:
        raise Refused(f"1 to {MOST_APPROVALS} approvals, and with a high risk at least as many as otherwise.")
    with transaction.atomic():
        environment = _locked(environment)
        before = Rules.of(environment)
        if rules == before:
            raise Refused("These are the rules already.")
        looser = rules.looser_than(before)
        review = late_reviews.open_if_looser(environment, looser, reason=reason, actor=actor)
        environment.protected = rules.protected
        environment.approvals, environment.approvals_high = rules.approvals, rules.approvals_high
        environment.approvers_group = rules.group
        healed = environment.self_heal and rules.protected and not before.protected
        if healed:
            environment.self_heal = False  # to be switched on there as a decision of its own
        environment.save(update_fields=["protected", "approvals", "approvals_high", "approvers_group", "self_heal"])
        audit.record(
            "environment.loosened" if review else "environment.changed",
            actor=actor,
            target=environment,
            before=before.data,
            after=rules.data,
            **review,
            **({"self_heal": "switched off"} if healed else {}),
        )
    return environment


def set_plan(environment: Environment, plan: Plan, *, actor: User) -> Environment:
    """The plan of every rollout there that has none of its own. Approvals of changes that follow it are void then."""
    with transaction.atomic():
        environment = _locked(environment)
        before = Plan.of(environment.plan).data
        if plan.data == before:
            raise Refused("This is the plan already.")
        environment.plan = plan.data
        environment.save(update_fields=["plan"])
        audit.record("environment.plan_changed", actor=actor, target=environment, before=before, after=plan.data)
    return environment


def _locked(environment: Environment) -> Environment:
    held = Environment.objects.select_for_update(no_key=True, of=("self",))
    return held.select_related("approvers_group").get(pk=environment.pk)
