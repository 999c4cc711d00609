"""The three words of every instance: Config, Health, Last delivery, each with its age.

One word for everything would hide what matters: a healthy instance with the wrong documents, an unreachable one
that was right when last seen. Rows and counters ask the same expressions, so that they cannot say different things.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db.models import (
    Case,
    CharField,
    Count,
    DateTimeField,
    Expression,
    F,
    OuterRef,
    Q,
    QuerySet,
    Subquery,
    Value,
    When,
)
from django.db.models.functions import Least
from webhook_agent import protocol

from configs_app import documents
from configs_app.models import Bundle
from instances_app.models import Environment, Glance, Health, Instance, fresh_since, maintained, monitored
from sync_app import drift
from sync_app.models import Delivery

IN_SYNC = "in sync"  # fresh reports of our digests, for every document of the bundle
OUT_OF_SYNC = "out of sync"  # something else, and we know why: it was never sent, or a rollout ended without proof
DRIFTED = "drifted"  # it reports what no rollout left there (sync_app/drift.py)
UNKNOWN = "unknown"  # no report, or one too old to believe
MONITORED = "monitored only"  # no agent: nobody knows what it runs, and nothing is sent to it
CONFIG_WORDS = (DRIFTED, OUT_OF_SYNC, UNKNOWN, MONITORED, IN_SYNC)  # what needs a person first
HEALTH_WORDS = (Health.DOWN, Health.DEGRADED, Health.LATE, Health.UNKNOWN, Health.NEW, Health.HEALTHY)
Glances = QuerySet[Any]  # of Glance, with the annotations of `glances`


@dataclass(frozen=True, slots=True)
class Row:
    """One instance as the fleet pages show it."""

    instance: Instance
    config: str
    config_at: datetime | None  # the oldest report that the word rests on
    differs: tuple[str, ...]  # the documents that differ
    health: str
    delivery: Delivery | None  # the last one, of whatever rollout

    @property
    def key(self) -> str:
        """Its id on a page."""
        return f"instance-{self.instance.pk}"


def glances(environment: Environment, bundle: Bundle | None, *, drifting: Collection[int] | None = None) -> Glances:
    """The active instances, each with `config`, `config_at` and `health_word` as of now. `drifting` of whoever has
    asked `drift.told` already.
    """
    since = fresh_since()
    reports: list[Any] = [F(f"{kind}_at") for kind in (bundle.digests() if bundle else ())]
    return Glance.objects.filter(environment=environment).annotate(
        config=_config(environment, bundle, since, drifting),
        config_at=Least(*reports) if len(reports) > 1 else (reports or [Value(None, DateTimeField())])[0],
        health_word=Case(
            When(health_at=None, then=Value(Health.NEW.value)),
            When(health_at__gte=since, then=F("health")),
            default=Value(Health.UNKNOWN.value),
            output_field=CharField(),
        ),
    )


def rows(environment: Environment) -> list[Row]:
    """Every active instance of the environment, by name, in a fixed number of queries."""
    return rows_for(list(environment.instances.active().order_by("name")), documents.desired(environment))


def rows_for(instances: Iterable[Instance], bundle: Bundle | None) -> list[Row]:
    """Instances of one environment with their words, in the order given, in two queries. Retired ones are unknown."""
    instances = list(instances)
    if not instances:
        return []
    found = glances(instances[0].environment, bundle).filter(pk__in=[instance.pk for instance in instances])
    return rows_of(found, {instance.pk: instance for instance in instances}, bundle)


def rows_of(found: Iterable[Any], instances: Mapping[int, Instance], bundle: Bundle | None) -> list[Row]:
    """Rows in the order of `instances` (id → instance), from annotated glances."""
    wanted = bundle.digests() if bundle else {}
    seen = {glance.pk: glance for glance in found}
    last = _last_deliveries(instances)
    return [_row(instance, seen.get(pk), wanted, last.get(pk)) for pk, instance in instances.items()]


def counts(environment: Environment) -> dict[str, int]:
    """Config word → number of instances, all five words, worst first."""
    found = glances(environment, documents.desired(environment))
    counted = dict(found.values_list("config").annotate(n=Count("pk")).order_by())
    return {word: counted.get(word, 0) for word in CONFIG_WORDS}


def to_sync(environment: Environment, bundle: Bundle | None) -> Glances:
    """Those not proven to run the bundle, that have an agent and are not in maintenance."""
    return glances(environment, bundle).exclude(config__in=[IN_SYNC, MONITORED]).exclude(maintained("instance__"))


def _config(
    environment: Environment, bundle: Bundle | None, since: datetime, drifting: Collection[int] | None
) -> Expression:
    without_agent = When(pk__in=monitored(environment.pk), then=Value(MONITORED))
    if bundle is None or not (wanted := bundle.digests()):
        return Case(without_agent, default=Value(UNKNOWN))
    seen, same = Q(), Q()
    for kind, digest in wanted.items():
        seen &= Q(**{f"{kind}_at__gte": since})
        same &= Q(**{f"{kind}_digest__in": drift.forms(digest)})
    return Case(
        without_agent,
        When(~seen, then=Value(UNKNOWN)),
        When(same, then=Value(IN_SYNC)),
        When(pk__in=drift.told(bundle) if drifting is None else drifting, then=Value(DRIFTED)),
        default=Value(OUT_OF_SYNC),
    )


def _row(instance: Instance, seen: Any, wanted: Mapping[str, str], delivery: Delivery | None) -> Row:
    if seen is None:
        return Row(instance, UNKNOWN, None, (), instance.health_word, delivery)
    differs = tuple(
        kind
        for kind, digest in wanted.items()
        if (reported := getattr(seen, f"{kind}_digest")) and not protocol.same(digest, reported)
    )
    return Row(instance, seen.config, seen.config_at, differs, seen.health_word, delivery)


def _last_deliveries(ids: Iterable[int]) -> dict[int, Delivery]:
    """instance → its last delivery, found by one step in an index for each."""
    newest = Delivery.objects.filter(instance=OuterRef("pk")).order_by("-pk").values("pk")[:1]
    wanted = Instance.objects.filter(pk__in=list(ids)).annotate(last=Subquery(newest)).values("last")
    return {one.instance_id: one for one in Delivery.objects.filter(pk__in=wanted).select_related("rollout")}
