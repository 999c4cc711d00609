"""What ran where at a moment, and what should have: one instance, a whole fleet, one revision.

The answers rest on observations (`instances_app/history.py`); they name revisions where a digest is one of ours.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from webhook_agent import protocol

from configs_app.models import Bundle, Revision
from configs_app.naming import Names
from instances_app import history
from instances_app.history import CHANGING, KNOWN, UNKNOWN, Sight
from instances_app.models import Environment, Instance, Kind


@dataclass(frozen=True, slots=True)
class Ran:
    """What one instance ran of one document then; a revision of None beside a digest is not one of ours."""

    kind: str
    sight: Sight
    revision: Revision | None
    following: Revision | None  # of the next report


@dataclass(frozen=True, slots=True)
class Member:
    """An instance in a group, with what was seen of it."""

    pk: int
    name: str
    ran: Ran


@dataclass(slots=True, eq=False)
class Group:
    """Instances that were known to run the same content then."""

    digest: str
    revision: Revision | None
    desired: bool  # it is what they should have run
    members: list[Member] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Part:
    """One document of a fleet at a moment. Every instance that was active then is counted once."""

    kind: str
    desired: Revision | None
    groups: list[Group]  # the desired one first, then newest revision first, what is not ours last
    changing: list[Member]
    unknown: list[Member]

    @property
    def total(self) -> int:
        return sum(len(group.members) for group in self.groups) + len(self.changing) + len(self.unknown)

    @property
    def right(self) -> int:
        return sum(len(group.members) for group in self.groups if group.desired)

    @property
    def older(self) -> list[Group]:
        """Groups on a revision before the desired one."""
        wanted = self.desired.number if self.desired else 0
        return [
            group for group in self.groups if group.revision and not group.desired and group.revision.number < wanted
        ]

    @property
    def other(self) -> list[Group]:
        """Groups on something that is neither desired nor an older revision."""
        return [group for group in self.groups if not group.desired and group not in self.older]

    @property
    def older_count(self) -> int:
        return sum(len(group.members) for group in self.older)

    @property
    def other_count(self) -> int:
        return sum(len(group.members) for group in self.other)


@dataclass(frozen=True, slots=True)
class Fleet:
    """A whole environment at a moment."""

    moment: datetime
    bundle: Bundle | None  # what it should have run; None: nothing yet
    parts: list[Part]  # webhooks, connections
    instances: int


@dataclass(frozen=True, slots=True)
class On:
    """Who ran one revision's content then."""

    revision: Revision
    surely: list[Member]
    perhaps: list[Member]  # changing from it or to it, or silent since they ran it
    unknown: list[Member]  # nobody knows what these ran


def bundle_at(environment: Environment, moment: datetime) -> Bundle | None:
    """The desired state of that moment."""
    return (
        Bundle.objects.filter(environment=environment, created_at__lte=moment)
        .select_related("webhooks__document__environment", "connections__document__environment")
        .defer("webhooks__content_sealed", "connections__content_sealed")
        .order_by("-number")
        .first()
    )


def ran_at(instance: Instance, moment: datetime, *, now: datetime | None = None) -> list[Ran]:
    """What it ran then, one for each document; empty when it was not there yet or retired already."""
    if instance.created_at > moment or (instance.retired_at is not None and instance.retired_at <= moment):
        return []
    names = Names(instance.environment)
    sights = history.of_instance(instance, moment, now=now)
    return [_ran(names, kind, sights[kind], moment) for kind in Kind.values]


def fleet_at(environment: Environment, moment: datetime, *, now: datetime | None = None) -> Fleet:
    """What every instance that was active then ran, beside what it should have run; in three queries."""
    bundle = bundle_at(environment, moment)
    names = Names(environment)
    stood = history.at(environment, moment, now=now)
    parts = [
        _part(
            kind,
            bundle.revision(kind) if bundle else None,
            [Member(one.instance_id, one.name, _ran(names, kind, one.sights[kind], moment)) for one in stood],
        )
        for kind in Kind.values
    ]
    return Fleet(moment, bundle, parts, len(stood))


def on_revision(fleet: Fleet, revision: Revision) -> On:
    """Who ran this revision's content at the fleet's moment."""
    part = next(part for part in fleet.parts if part.kind == revision.document.kind)
    surely = [m for group in part.groups for m in group.members if protocol.same(group.digest, revision.digest)]
    perhaps, unknown = [], []
    for member in (*part.changing, *part.unknown):
        seen = member.ran.sight
        either = seen.digest, seen.following
        if any(protocol.same(digest, revision.digest) for digest in either):
            perhaps.append(member)
        elif seen.word == UNKNOWN:
            unknown.append(member)
    return On(revision, surely, perhaps, unknown)


def _ran(names: Names, kind: str, sight: Sight, moment: datetime) -> Ran:
    return Ran(
        kind, sight, names.of(kind, sight.digest, moment), names.of(kind, sight.following, sight.until or moment)
    )


def _part(kind: str, desired: Revision | None, members: list[Member]) -> Part:
    groups: dict[str, Group] = {}
    others: dict[str, list[Member]] = {CHANGING: [], UNKNOWN: []}
    for member in members:
        ran = member.ran
        if ran.sight.word != KNOWN:
            others[ran.sight.word].append(member)
            continue
        key = protocol.short(ran.sight.digest)  # seed-only services report no more of it
        if key not in groups:
            right = desired is not None and protocol.same(ran.sight.digest, desired.digest)
            groups[key] = Group(ran.sight.digest, desired if right else ran.revision, right)
        groups[key].members.append(member)
    ordered = sorted(
        groups.values(),
        key=lambda group: (not group.desired, -(group.revision.number if group.revision else 0), group.digest),
    )
    return Part(kind, desired, ordered, others[CHANGING], others[UNKNOWN])
