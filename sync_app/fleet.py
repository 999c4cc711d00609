"""The three words of every instance: Config, Health, Last delivery, each with its age.

One word for everything would hide what matters: a healthy instance with the wrong documents, an unreachable one
that was right when last seen.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

from webhook_agent import protocol

from configs_app import documents
from configs_app.models import Bundle
from instances_app.models import Environment, Instance, Observation, is_fresh
from sync_app import drift
from sync_app.models import Delivery

IN_SYNC = "in sync"  # fresh reports of our digests, for every document of the bundle
OUT_OF_SYNC = "out of sync"  # something else, and we know why: it was never sent, or a rollout ended without proof
DRIFTED = "drifted"  # it reports what no rollout left there (sync_app/drift.py)
UNKNOWN = "unknown"  # no report, or one too old to believe
CONFIG_WORDS = (DRIFTED, OUT_OF_SYNC, UNKNOWN, IN_SYNC)  # what needs a person first


@dataclass(frozen=True, slots=True)
class Row:
    """One instance as the fleet pages show it."""

    instance: Instance
    config: str
    config_at: datetime | None  # the oldest report that the word rests on
    differs: tuple[str, ...]  # the documents that differ
    health: str
    delivery: Delivery | None  # the last one, of whatever rollout


def rows(environment: Environment) -> list[Row]:
    """Every active instance of the environment, by name, in a fixed number of queries."""
    bundle = documents.desired(environment)
    instances = list(environment.instances.active().order_by("name"))
    return rows_for(instances, bundle)


def rows_for(instances: list[Instance], bundle: Bundle | None) -> list[Row]:
    wanted = bundle.digests() if bundle else {}
    ids = [instance.pk for instance in instances]
    seen: dict[int, dict[str, Observation]] = {}
    for observation in Observation.objects.filter(instance_id__in=ids, until=None):
        seen.setdefault(observation.instance_id, {})[observation.kind] = observation
    last = {
        delivery.instance_id: delivery
        for delivery in Delivery.objects.filter(instance_id__in=ids)
        .select_related("rollout")
        .order_by("instance_id", "-pk")
        .distinct("instance_id")
    }
    drifted = drift.drifted(bundle, ids)
    return [
        _row(instance, wanted, seen.get(instance.pk, {}), last.get(instance.pk), instance.pk in drifted)
        for instance in instances
    ]


def to_sync(row: Row) -> bool:
    """Not proven to run the bundle, and not in maintenance."""
    return row.config != IN_SYNC and not row.instance.in_maintenance


def counts(rows: Iterable[Row]) -> dict[str, int]:
    """Config word → number of instances, all four words, worst first."""
    counted = Counter(row.config for row in rows)
    return {word: counted[word] for word in CONFIG_WORDS}


def _row(
    instance: Instance,
    wanted: Mapping[str, str],
    seen: Mapping[str, Observation],
    delivery: Delivery | None,
    drifted: bool,
) -> Row:
    times = [seen[kind].seen_at for kind in wanted if kind in seen]
    at = min(times) if times else None
    differs = tuple(
        kind for kind, digest in wanted.items() if kind in seen and not protocol.same(digest, seen[kind].digest)
    )
    if not wanted or len(times) < len(wanted) or not is_fresh(at):
        config = UNKNOWN
    elif not differs:
        config = IN_SYNC
    else:
        config = DRIFTED if drifted else OUT_OF_SYNC
    return Row(instance, config, at, differs, instance.health_word, delivery)
