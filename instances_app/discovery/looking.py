"""Asking a source, showing what its answer would do, and writing it down."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import timedelta

from django.db import IntegrityError, transaction
from django.utils import timezone

from console import audit
from console.errors import Refused
from console.models import User
from instances_app import registry
from instances_app.client.replies import printable
from instances_app.discovery import difference, found, kinds
from instances_app.discovery.difference import Difference, Managed
from instances_app.discovery.found import Fit, SourceError, unique
from instances_app.models import DiscoverySource, Environment, FoundInstance, FoundState, Instance, Policy

logger = logging.getLogger(__name__)

TRIES = 3  # somebody may register one of the addresses at the same moment
BATCH = 1000


@dataclass(frozen=True, slots=True)
class Answer:
    entries: list[Fit]
    index: int = 0  # where the source stood, if it can be waited at

    @property
    def digest(self) -> str:
        """Of what it tells, whatever the order: what a person saw on the preview is what is taken."""
        told = sorted((entry.base_url, entry.name, sorted(entry.labels.items())) for entry in self.entries)
        return hashlib.sha256(json.dumps(told).encode()).hexdigest()


def look(source: DiscoverySource, *, patient: bool = False) -> Answer:
    """Ask it now; `patient`: some seconds may pass until something changes there.

    Raises SourceError, also where its module fails: no answer is never an empty one.
    """
    kind = kinds.KINDS[source.kind]
    try:
        facts = {"source": source.pk, "index": source.index if patient else 0}
        told = kind.find({**source.settings, **facts}, secret=source.secret)
        return Answer(found.clean(told), told.at if isinstance(told, found.Told) else 0)
    except SourceError:
        raise
    except Exception as error:  # whatever it sent: this source has no answer, and the others go on
        logger.exception("The source %s in %s failed", source, source.environment_id)
        raise SourceError(f"The answer could not be read ({type(error).__name__}). The log has the details.") from error


def preview(source: DiscoverySource, answer: Answer) -> Difference:
    """What taking this answer would do; nothing is written."""
    return _compare(source, answer)


def take(source: DiscoverySource, digest: str, *, actor: User) -> Difference:
    """Ask again and write the answer down, held or not, if it is still the one that the person saw."""
    answer = look(source)
    if answer.digest != digest:
        raise Refused("The source answers differently now. Look at this preview, then take it.")
    done = write(source, answer, actor=actor)
    if done is None:
        raise Refused("The source was changed or removed meanwhile. Look again.")
    return done


def write(source: DiscoverySource, answer: Answer, *, turn: int | None = None, actor: User | None) -> Difference | None:
    """Write an answer down. By a person: whatever it says. By a `turn`: held when it says suddenly much less.

    None when the turn is over: somebody changed the source meanwhile, or another worker has taken it.
    """
    for tries_left in reversed(range(TRIES)):
        try:
            with transaction.atomic():
                return _write(source, answer, turn=turn, actor=actor)
        except IntegrityError:
            if not tries_left:
                raise
    return None


def fail(source: DiscoverySource, error: SourceError, *, turn: int) -> None:
    """Keep why there was no answer; what the source told before still stands."""
    with transaction.atomic():
        locked = _lock(source, turn=turn)
        if locked is None:
            return
        text = printable(error, 500)
        if not locked.error:
            audit.record("source.failed", actor=None, target=locked, error=text)
        locked.error = text
        _end(locked)
        locked.save(update_fields=["error", "looked_at", "next_at", "index"])


def _write(source: DiscoverySource, answer: Answer, *, turn: int | None, actor: User | None) -> Difference | None:
    environment = Environment.objects.select_for_update(no_key=True).get(pk=source.environment_id)
    locked = _lock(source, turn=turn)
    if locked is None:
        return None
    now = _compare(locked, answer)
    _end(locked, index=answer.index)
    locked.error = ""
    if now.held and turn is not None:
        if not locked.held:
            audit.record("source.held", actor=None, target=locked, why=now.held)
        locked.held = now.held
        locked.save(update_fields=["error", "held", "looked_at", "next_at", "index"])
        return now
    locked.held, locked.answered_at, locked.counts = "", locked.looked_at, now.counts
    locked.save(update_fields=["error", "held", "looked_at", "next_at", "index", "answered_at", "counts"])
    _keep(locked, now)
    counts = {name: count for name, count in now.counts.items() if count and name != "reported"}
    if {"new", "managed", "changed", "back", "gone", "forgotten"} & counts.keys():
        audit.record("source.answered", actor=actor, target=locked, counts=counts)
    if locked.policy == Policy.ADD:
        waiting = list(locked.found.filter(state=FoundState.PROPOSED))
        register(environment, locked, waiting, token=locked.token, actor=actor)
        follow(locked, [row for row in locked.found.filter(state=FoundState.ADDED, ours=True) if row.is_changed])
    _retire_due(environment, locked)
    return now


def register(
    environment: Environment, source: DiscoverySource, rows: Sequence[FoundInstance], *, token: str, actor: User | None
) -> None:
    """Make these instances, with names that are free. Under the environment's lock."""
    if not rows:
        return
    taken = set(environment.instances.active().values_list("name", flat=True))
    made = [Instance(name=unique(row.name, taken), base_url=row.base_url, labels=row.labels) for row in rows]
    added = registry.register_many(environment, made, token=token, actor=actor, source=source.name)
    for row, instance in zip(rows, added, strict=True):
        row.state, row.reason, row.instance, row.ours, row.taken = FoundState.ADDED, "", instance, True, row.labels
    FoundInstance.objects.bulk_update(rows, ["state", "reason", "instance", "ours", "taken"], BATCH)


def follow(source: DiscoverySource, rows: Sequence[FoundInstance], *, actor: User | None = None) -> None:
    """Put the labels that the source tells of on its instances; labels that people added stay."""
    if not rows:
        return
    instances = (
        Instance.objects.select_for_update(no_key=True).order_by("pk").in_bulk([row.instance_id for row in rows])
    )
    for row in rows:
        instance = instances[row.instance_id or 0]
        own = {key: value for key, value in instance.labels.items() if key not in row.taken}
        instance.labels, row.taken = {**own, **row.labels}, row.labels
    Instance.objects.bulk_update(instances.values(), ["labels"], BATCH)
    FoundInstance.objects.bulk_update(rows, ["taken"], BATCH)
    for start in range(0, len(rows), registry.NAMED):
        some = {instances[row.instance_id or 0].name: row.labels for row in rows[start : start + registry.NAMED]}
        audit.record("source.labels_followed", actor=actor, target=source, count=len(some), instances=some)


def _lock(source: DiscoverySource, *, turn: int | None) -> DiscoverySource | None:
    locked = DiscoverySource.objects.select_for_update(no_key=True).filter(pk=source.pk).first()
    if locked is None or locked.turn != (source.turn if turn is None else turn):
        return None
    return locked


def _end(source: DiscoverySource, *, index: int = 0) -> None:
    """With an index the next question waits there, so it may come with the next beat."""
    source.looked_at, source.index = timezone.now(), index
    source.next_at = source.looked_at + timedelta(seconds=0 if index else source.seconds)


def _compare(source: DiscoverySource, answer: Answer) -> Difference:
    known = list(source.found.all())
    addresses = {entry.base_url for entry in answer.entries} | {row.base_url for row in known}
    active = Instance.objects.active().filter(base_url__in=addresses)
    managed = {
        base_url: Managed(pk, environment == source.environment_id)
        for pk, base_url, environment in active.values_list("pk", "base_url", "environment_id")
    }
    environment = Environment.objects.get(pk=source.environment_id)  # as it is now: its rules decide, not the source
    entries = [
        entry if entry.reason else replace(entry, reason=registry.plain_refusal(environment, entry.base_url))
        for entry in answer.entries
    ]
    return difference.compare(entries, known=known, managed=managed)


def _keep(source: DiscoverySource, now: Difference) -> None:
    """The rows of a source as this answer leaves them, in a few statements."""
    known = {row.base_url: row for row in source.found.all()}
    source.found.filter(pk__in=[row.pk for row in now.forgotten]).delete()
    at = timezone.now()
    new: list[FoundInstance] = []
    changed: list[FoundInstance] = []
    for base_url, (state, entry, instance) in now.rows.items():
        row = known.get(base_url) or FoundInstance(source=source, base_url=base_url)
        before = (row.name, row.labels, row.state, row.reason, row.instance_id, row.ours)
        row.ours = row.ours and row.instance_id == instance
        row.name, row.labels, row.state, row.reason, row.instance_id = (
            entry.name,
            entry.labels,
            state,
            entry.reason,
            instance,
        )
        row.gone_at = (row.gone_at or at) if state == FoundState.GONE else None
        if row.pk is None:
            new.append(row)
        elif before != (row.name, row.labels, row.state, row.reason, row.instance_id, row.ours):
            changed.append(row)
    FoundInstance.objects.bulk_create(new, batch_size=BATCH)
    fields = ["name", "labels", "state", "reason", "instance", "ours", "gone_at"]
    FoundInstance.objects.bulk_update(changed, fields, BATCH)


def _retire_due(environment: Environment, source: DiscoverySource) -> None:
    """Let go what has been gone for as long as the source says, and what it had registered itself."""
    if source.retire_hours is None:
        return
    before = timezone.now() - timedelta(hours=source.retire_hours)
    due = source.found.filter(state=FoundState.GONE, ours=True, gone_at__lte=before)
    retire(environment, source, list(due), actor=None)


def retire(
    environment: Environment, source: DiscoverySource, rows: Sequence[FoundInstance], *, actor: User | None
) -> None:
    """Retire the instances of these rows and forget the rows. Under the environment's lock."""
    registry.retire_many(
        environment, [row.instance_id for row in rows if row.instance_id], actor=actor, source=source.name
    )
    source.found.filter(pk__in=[row.pk for row in rows]).delete()
