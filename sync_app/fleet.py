"""The three words of every instance: Config, Health, Last delivery, each with its age.

One word for everything would hide what matters: a healthy instance with the wrong documents, an unreachable one
that was right when last seen. Rows and counters ask the same expressions, so that they cannot say different things.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db import connection
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
from instances_app.models import Environment, Glance, Health, Instance, fresh_since
from sync_app.models import Delivery

IN_SYNC = "in sync"  # fresh reports of our digests, for every document of the bundle
OUT_OF_SYNC = "out of sync"  # something else, and we know why: it was never sent, or a rollout ended without proof
DRIFTED = "drifted"  # it ran our bundle and now reports something else, and no rollout explains it
UNKNOWN = "unknown"  # no report, or one too old to believe
CONFIG_WORDS = (DRIFTED, OUT_OF_SYNC, UNKNOWN, IN_SYNC)  # what needs a person first
HEALTH_WORDS = (Health.DOWN, Health.DEGRADED, Health.UNKNOWN, Health.HEALTHY)
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


def glances(environment: Environment, bundle: Bundle | None) -> Glances:
    """The active instances, each with `config`, `config_at` and `health_word` as of now."""
    since = fresh_since()
    reports: list[Any] = [F(f"{kind}_at") for kind in (bundle.digests() if bundle else ())]
    return Glance.objects.filter(environment=environment).annotate(
        config=_config(environment, bundle, since),
        config_at=Least(*reports) if len(reports) > 1 else (reports or [Value(None, DateTimeField())])[0],
        health_word=Case(
            When(health_at__gte=since, then=F("health")), default=Value(Health.UNKNOWN.value), output_field=CharField()
        ),
    )


def rows(environment: Environment) -> list[Row]:
    """Every active instance of the environment, by name, in a fixed number of queries."""
    return rows_for(list(environment.instances.active().order_by("name")), documents.desired(environment))


def rows_for(instances: Sequence[Instance], bundle: Bundle | None) -> list[Row]:
    """Instances of one environment with their words, in the order given, in two queries. Retired ones are unknown."""
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
    """Config word → number of instances, all four words, worst first."""
    found = glances(environment, documents.desired(environment))
    counted = dict(found.values_list("config").annotate(n=Count("pk")).order_by())
    return {word: counted.get(word, 0) for word in CONFIG_WORDS}


def _config(environment: Environment, bundle: Bundle | None, since: datetime) -> Expression:
    if bundle is None or not (wanted := bundle.digests()):
        return Value(UNKNOWN)
    seen, same = Q(), Q()
    for kind, digest in wanted.items():
        seen &= Q(**{f"{kind}_at__gte": since})
        same &= Q(**{f"{kind}_digest__in": _forms(digest)})
    return Case(
        When(~seen, then=Value(UNKNOWN)),
        When(same, then=Value(IN_SYNC)),
        When(pk__in=_drifted(environment, bundle), then=Value(DRIFTED)),
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


def _drifted(environment: Environment, bundle: Bundle) -> list[int]:
    """Instances that ran a document of the bundle since it is desired and do not any more, unless it is explained:
    the last delivery was of this bundle and has not ended in proof.

    Those that left the wanted digests are found by an index of their own, and are few. A verified delivery needs no
    look of its own: it is recorded together with an observation of these digests.
    """
    kinds, digests = zip(
        *((kind, form) for kind, digest in bundle.digests().items() for form in _forms(digest)), strict=True
    )
    with connection.cursor() as cursor:
        cursor.execute(
            """
            SELECT DISTINCT o.instance_id
            FROM unnest(%s::text[], %s::text[]) AS wanted (kind, digest)
            JOIN instances_app_observation o ON o.digest = wanted.digest AND o.kind = wanted.kind AND o.until > %s
            JOIN instances_app_glance g ON g.instance_id = o.instance_id AND g.environment_id = %s
            LEFT JOIN LATERAL (
                SELECT d.state FROM sync_app_delivery d JOIN sync_app_rollout r ON r.id = d.rollout_id
                WHERE d.instance_id = o.instance_id AND r.bundle_id = %s ORDER BY d.id DESC LIMIT 1
            ) AS last ON true
            WHERE left(CASE o.kind WHEN 'webhooks' THEN g.webhooks_digest ELSE g.connections_digest END, 16)
                  <> left(o.digest, 16)
              AND (last.state IS NULL OR last.state = 'verified')
            """,
            [list(kinds), list(digests), bundle.created_at, environment.pk, bundle.pk],
        )
        return [row[0] for row in cursor.fetchall()]


def _forms(digest: str) -> list[str]:
    """A digest whole, and as the 16 digits that a seed-only service reports."""
    return [digest, protocol.short(digest)]
