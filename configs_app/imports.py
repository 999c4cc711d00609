"""Taking over documents that exist elsewhere: read, shown with what is wrong in them, then started with or proposed.

In an environment without revisions an import becomes the first ones: what runs is taken as it is, errors included.
Where there are revisions, and in a protected environment always, it becomes a change and goes the way of every change:
whoever can register an instance could otherwise make anything the desired state alone.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta

from django.conf import settings
from django.db import transaction
from django.db.models import QuerySet
from django.utils import timezone

from configs_app import acceptances, changes, consequences, documents, validation
from configs_app.models import Bundle, Change, Import, Revision
from console.errors import Refused
from console.models import User
from console.sealing import seal
from instances_app import client
from instances_app.models import OTHER, Environment, Instance, Kind

KEPT = timedelta(days=1)  # an import that nobody decided on


@dataclass(frozen=True, slots=True)
class Part:
    """One document of an import as its page shows it."""

    kind: str
    size: int  # bytes
    current: Revision | None  # what stands there now
    same: bool  # nothing would change
    findings: list[validation.Finding]

    def count(self, level: str) -> int:
        return sum(finding.level == level for finding in self.findings)

    @property
    def errors(self) -> int:
        return self.count(validation.Level.ERROR)

    @property
    def warnings(self) -> int:
        return self.count(validation.Level.WARNING)


def hold(
    environment: Environment,
    contents: Mapping[str, bytes | str],
    *,
    origin: str,
    instance: Instance | None = None,
    actor: User,
) -> Import:
    """Keep what was read, sealed, until somebody decides on it; the documents of the environment stay as they are.

    Refuses what could become neither revisions nor a change: no document at all, too large, not UTF-8, and where
    there are no revisions yet, what is not JSON.
    """
    texts = {kind: _text(kind, content, origin) for kind, content in contents.items()}
    if not texts:
        raise Refused(f"{origin} has no documents to import. Choose webhooks.json, connections.json or both.")
    if documents.desired(environment) is None:
        for kind, text in texts.items():
            documents.need_document(kind, text, origin=origin)
    Import.objects.filter(created_at__lt=timezone.now() - KEPT).delete()
    return Import.objects.create(
        environment=environment,
        origin=origin[:150],
        instance=instance,
        texts_sealed=seal(json.dumps(texts)),
        author=actor,
    )


def held() -> QuerySet[Import]:
    """What may still be decided on; anything older is as good as gone."""
    return Import.objects.filter(created_at__gte=timezone.now() - KEPT)


def read_instance(instance: Instance, *, actor: User) -> Import:
    """Ask an instance for both documents."""
    if instance.retired_at is not None:
        raise Refused(f"{instance} is retired and is not asked any more.")
    if instance.monitored_only:
        raise Refused(f"{instance} is monitored only: it has no agent that would hand over its documents.")
    target = instance.target
    texts: dict[str, str] = {}
    for kind in Kind.values:
        reply = client.document(target, kind)
        if reply.outcome != client.Outcome.OK:
            raise Refused(f"{instance} did not hand over its {kind} document: {reply.error}")
        texts[kind] = reply.text
    return hold(instance.environment, texts, origin=str(instance), instance=instance, actor=actor)


def parts(held: Import) -> list[Part]:
    """What each document would bring, with everything there is to say about it."""
    found = []
    texts = held.texts
    current = documents.pair(held.environment)
    for kind in Kind.values:
        if kind in texts:
            now, other = current[kind], current[OTHER[kind]]
            beside = texts.get(OTHER[kind], other.text if other else None)
            found.append(
                Part(
                    kind=kind,
                    size=len(texts[kind].encode("utf-8", "surrogatepass")),
                    current=now,
                    same=now is not None and now.text == texts[kind],
                    findings=validation.findings(kind, texts[kind], beside=beside),
                )
            )
    return found


def summary(held: Import) -> consequences.Summary:
    """The consequences against what stands there now."""
    texts = held.texts
    current = documents.pair(held.environment)
    standing = {kind: now.text for kind, now in current.items() if now}
    webhooks = texts.get(Kind.WEBHOOKS, standing.get(Kind.WEBHOOKS))
    pairs = {kind: (standing.get(kind), text) for kind, text in texts.items() if text != standing.get(kind)}
    return consequences.of_texts(pairs, webhooks=webhooks)


def may_start(held: Import) -> bool:
    """Whether it may become the first revisions without anybody's approval."""
    return documents.desired(held.environment) is None and not held.environment.protected


def start(held: Import, *, actor: User) -> Bundle:
    """Make the import the environment's first revisions, what is wrong in them accepted. Nothing is sent anywhere."""
    with transaction.atomic():
        environment = documents.lock(held.environment)
        if environment.protected:
            raise Refused(f"{environment} is protected: an import becomes a change that another person approves.")
        texts, origin = held.texts, held.origin
        wrong = [
            finding
            for part in parts(held)
            for finding in part.findings
            if finding.level != validation.Level.NOTE and acceptances.can_be_accepted(finding)
        ]
        _take(held)
        bundle = documents.import_first(environment, texts, actor=actor, origin=origin)
        if wrong:
            reason = f"It was so in what was imported from {origin}."
            acceptances.accept(environment, wrong, reason=reason, until=acceptances.usual_end(), actor=actor)
        return bundle


def as_change(held: Import, *, actor: User) -> Change:
    """Make the import a draft on today's revisions, broken or not; it goes the way of every change."""
    with transaction.atomic():
        environment = documents.lock(held.environment)
        _take(held)
        change = changes.open_draft(environment, actor=actor, title=f"Import from {held.origin}")
        bases = {kind: now.pk if now else None for kind, now in documents.pair(environment).items()}
        changes.save(change, held.texts, bases=bases, actor=actor)
        if not change.documents.exists():
            raise Refused(f"{held.origin} has what is current in {environment} already: there is nothing to change.")
    return change


def discard(held: Import) -> None:
    Import.objects.filter(pk=held.pk).delete()


def _take(held: Import) -> None:
    """Once only: of two people who decide at the same time one is told that it is done."""
    deleted, _ = Import.objects.filter(pk=held.pk).delete()
    if not deleted:
        raise Refused(f"What was read from {held.origin} was decided on already.")


def _text(kind: str, content: bytes | str, origin: str) -> str:
    if isinstance(content, bytes):
        try:
            content = content.decode("utf-8")
        except UnicodeDecodeError as error:
            raise Refused(f"{kind} from {origin} is not UTF-8 (byte {error.start}). Save it as UTF-8.") from None
    size, limit = len(content.encode("utf-8", "surrogatepass")), settings.DOCUMENT_MAX_BYTES
    if size > limit:
        raise Refused(f"{kind} from {origin} has {size:,} bytes; the limit is {limit:,}. Split the environment.")
    return content
