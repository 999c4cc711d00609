"""Which instances run which revision of a document, from what they last reported."""

from __future__ import annotations

from dataclasses import dataclass

from django.db.models.functions import Left
from webhook_agent import protocol

from configs_app.models import Bundle, Revision
from instances_app.models import Environment, Instance, Observation, is_fresh


@dataclass(frozen=True, slots=True)
class Group:
    """Instances that run the same revision; None is something that is no revision we know."""

    revision: Revision | None
    current: bool
    instances: list[Instance]


@dataclass(frozen=True, slots=True)
class Running:
    groups: list[Group]  # newest revision first, what we do not know last
    unknown: list[Instance]  # no report, or one too old to believe

    def of(self, revision: Revision) -> list[Instance]:
        """The instances that run this very revision."""
        return next((group.instances for group in self.groups if group.revision == revision), [])

    @property
    def total(self) -> int:
        return sum(len(group.instances) for group in self.groups) + len(self.unknown)


def of_document(environment: Environment, kind: str) -> Running:
    """Every managed instance of the environment, in four queries. Of revisions with one content the newest is named."""
    instances = list(environment.instances.managed().order_by("name"))
    reports = {
        report.instance_id: report
        for report in Observation.objects.filter(instance__in=instances, kind=kind, until=None)
        if is_fresh(report.seen_at)
    }
    revisions = list(
        Revision.objects.filter(document__environment=environment, document__kind=kind)
        .annotate(short=Left("digest", len(protocol.short("0" * 64))))
        .filter(short__in={protocol.short(report.digest) for report in reports.values()})
        .defer("content_sealed")
        .select_related("document__environment")
        .order_by("-number")
    )
    known: dict[str, Revision] = {}  # digest, whole and short → the newest revision with it
    for revision in revisions:
        known.setdefault(revision.digest, revision)
        known.setdefault(protocol.short(revision.digest), revision)
    running: dict[Revision | None, list[Instance]] = {}
    unknown: list[Instance] = []
    for instance in instances:
        report = reports.get(instance.pk)
        if report is None:
            unknown.append(instance)
        else:
            running.setdefault(known.get(report.digest), []).append(instance)
    bundles = Bundle.objects.filter(environment=environment).order_by("-number")
    current = bundles.values_list(f"{kind}_id", flat=True).first()  # without opening two sealed texts
    groups = [Group(found, found is not None and found.pk == current, names) for found, names in running.items()]
    return Running(sorted(groups, key=lambda group: -(group.revision.number if group.revision else 0)), unknown)
