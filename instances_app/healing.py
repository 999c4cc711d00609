"""Whether the console repairs drift in an environment by itself, and how often at most.

Off unless somebody switches it on, and switched off when an environment becomes protected. Where it is protected, more
of it counts as looser rules: something is sent there then without a person who decides it at that moment.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

from django.db import transaction

from console import audit
from console.errors import Refused
from console.models import User
from instances_app import late_reviews
from instances_app.models import Environment

MOST_PER_INSTANCE, MOST_PER_HOUR = 100, 1000


@dataclass(frozen=True, slots=True)
class SelfHeal:
    """On or off, and its budget: repairs of one instance in 24 hours, and of the whole environment in one hour."""

    on: bool
    per_instance: int
    per_hour: int

    @classmethod
    def of(cls, environment: Environment) -> Self:
        return cls(environment.self_heal, environment.heals_per_instance, environment.heals_per_hour)

    @property
    def data(self) -> dict[str, Any]:
        return {"on": self.on, "per_instance": self.per_instance, "per_hour": self.per_hour}

    def looser_than(self, before: SelfHeal) -> list[str]:
        """What the console would do more of by itself, one sentence each."""
        if not self.on:
            return []
        if not before.on:
            return ["Drift is repaired without a person."]
        found = []
        if self.per_instance > before.per_instance:
            found.append(f"An instance is repaired {self.per_instance} instead of {before.per_instance} times a day.")
        if self.per_hour > before.per_hour:
            found.append(f"{self.per_hour} instead of {before.per_hour} repairs are made in an hour.")
        return found


def change(environment: Environment, heal: SelfHeal, *, reason: str = "", actor: User) -> Environment:
    """Repair by other rules from now on. Where it is protected, more of it needs a reason and opens a late review."""
    if not (1 <= heal.per_instance <= MOST_PER_INSTANCE and 1 <= heal.per_hour <= MOST_PER_HOUR):
        raise Refused(
            f"1 to {MOST_PER_INSTANCE} repairs of one instance a day, and 1 to {MOST_PER_HOUR} in all in an hour."
        )
    with transaction.atomic():
        environment = Environment.objects.select_for_update(no_key=True).get(pk=environment.pk)
        before = SelfHeal.of(environment)
        if heal == before:
            raise Refused("It is set like this already.")
        looser = heal.looser_than(before) if environment.protected else []
        review = late_reviews.open_if_looser(environment, looser, reason=reason, actor=actor)
        environment.self_heal = heal.on
        environment.heals_per_instance, environment.heals_per_hour = heal.per_instance, heal.per_hour
        environment.save(update_fields=["self_heal", "heals_per_instance", "heals_per_hour"])
        audit.record(
            "environment.loosened" if review else "environment.self_heal_changed",
            actor=actor,
            target=environment,
            before=before.data,
            after=heal.data,
            **review,
        )
    return environment
