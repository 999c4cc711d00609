"""Which instances a change goes to, and in what order."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from django.db.models import QuerySet

from configs_app.decision_models import Proposal
from configs_app.models import Change
from instances_app import plans
from instances_app.models import Instance
from instances_app.plans import Plan


class Target(NamedTuple):
    """An instance as it is now. Of thousands: rows are read in half the time of models, and last answers are large."""

    pk: int
    name: str
    base_url: str
    labels: dict[str, str]


@dataclass(frozen=True, slots=True)
class Reach:
    """For people: the plan, each wave by the names of its instances, and what has become of the fleet meanwhile."""

    plan: Plan
    own: bool  # the change's own plan, not the environment's
    chosen: bool  # named instances, not simply all of them
    waves: list[list[str]]
    retired: list[str]  # proposed for, and gone since: nothing is sent to them
    newcomers: int  # registered since: not included
    in_maintenance: list[str]  # of those it goes to: left out, unless that ends before it is published

    @property
    def instances(self) -> int:
        return sum(map(len, self.waves))


def plan(change: Change) -> Plan:
    """The change's own plan, or the environment's as it is now."""
    return Plan.of(change.environment.plan if change.plan is None else change.plan)


def wanted(change: Change) -> list[Target]:
    """The managed instances that it would be proposed for now, by name."""
    managed = Instance.objects.managed().filter(environment=change.environment)
    return _read(managed if change.targets is None else managed.filter(pk__in=change.targets))


def left(proposal: Proposal) -> list[Target]:
    """The instances that it was proposed for, without those that were retired since."""
    return _read(Instance.objects.managed().filter(pk__in=[target.id for target in proposal.aimed_at]))


def _read(instances: QuerySet[Instance]) -> list[Target]:
    return [Target(*row) for row in instances.values_list("pk", "name", "base_url", "labels")]


def of(change: Change, proposal: Proposal | None) -> Reach:
    """As it was proposed, or without a proposal as it would be now."""
    instances = wanted(change) if proposal is None else left(proposal)
    way = plan(change) if proposal is None else Plan.of(proposal.plan)
    known = {instance.pk for instance in instances}
    since = Instance.objects.managed().filter(environment=change.environment)
    return Reach(
        plan=way,
        own=change.plan is not None,
        chosen=change.targets is not None,
        waves=plans.names(way, instances),
        retired=[target.name for target in proposal.aimed_at if target.id not in known] if proposal else [],
        in_maintenance=sorted(since.in_maintenance().filter(pk__in=known).values_list("name", flat=True)),
        newcomers=since.filter(created_at__gt=proposal.at).exclude(pk__in=known).count() if proposal else 0,
    )
