"""What is on the instances: the content of a drift, read once from one of them, kept sealed, and compared.

A copy is kept only when its digest is the one that was reported, so it never grows old: other content is another drift.
Whoever overwrites a drift destroys the only other copy, so it is read before, wherever an instance hands it over.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta

from django.conf import settings
from django.db import transaction
from django.utils import timezone
from webhook_agent import protocol

from configs_app import entry_diff, merges
from configs_app.entry_diff import EntryChanges
from configs_app.members import read as read_members
from configs_app.models import Revision
from console.errors import Refused
from console.sealing import seal
from instances_app import client
from instances_app.models import Instance
from sync_app.models import Drift, LiveCopy

KEPT = timedelta(days=30)  # after the drift has ended
AGAIN = timedelta(minutes=5)  # until an instance that did not hand it over is asked again by itself
READ = "read"  # the agent's capability
KEYS = 6  # that are named of one entry


def read(drift: Drift, instances: Iterable[Instance]) -> LiveCopy:
    """Ask these, one after the other, until one hands it over; the copy that is kept. No transaction may be open."""
    chosen = list(instances)
    Drift.objects.filter(pk=drift.pk).update(tried_at=timezone.now())  # before: whoever asks next, asks for another one
    problem = "Of the instances that run it none has been heard of lately."
    if chosen:
        problem = "None of them hands over its documents: their agents cannot, or are told not to."
    for instance in chosen:
        if READ not in instance.capabilities:
            continue
        instance.refresh_from_db(
            fields=["base_url", "token_sealed"]
        )  # whoever was asked before may have taken its time
        reply = client.document(instance.target, drift.kind)
        problem = _problem(instance, drift, reply)
        if not problem:
            return _keep(drift, instance, reply.text)
    Drift.objects.filter(pk=drift.pk).update(read_error=problem[:500])
    raise Refused(problem)


def forget_old() -> None:
    """What was over long ago, with its copy; the audit trail knows of it still."""
    Drift.objects.filter(ended_at__lt=timezone.now() - KEPT).delete()


@dataclass(frozen=True, slots=True)
class Entry:
    """What became of one entry since the last verified revision, on each side; empty: nothing."""

    name: str
    live: str  # words
    desired: str
    both: bool  # and not in the same way


@dataclass(frozen=True, slots=True)
class ThreeWay:
    """Live and desired, each against what was verified last."""

    base: Revision
    entries: list[Entry]
    conflicts: list[tuple[tuple[str, ...], list[tuple[str, str | None]]]]  # path, side → masked value


def three_way(base: Revision, desired: Revision, live: str) -> ThreeWay:
    """Entry by entry; the texts have to be documents."""
    merged = merges.merged(base.text, desired.text, live)
    was = read_members(base.text)
    on_host, wanted = (_Side(entry_diff.compared(was, read_members(text))) for text in (live, desired.text))
    entries = [
        Entry(part.name, on_host.words(part.name), wanted.words(part.name), bool(part.conflicts))
        for part in merged.parts
    ]
    conflicts = [
        (
            conflict.path,
            [
                (side, merges.shown(conflict.path, text))
                for side, text in (("base", conflict.base), ("ours", conflict.ours), ("theirs", conflict.theirs))
            ],
        )
        for conflict in merged.conflicts
    ]
    return ThreeWay(base, entries, conflicts)


class _Side:
    """What one side did to the entries."""

    def __init__(self, changes: EntryChanges) -> None:
        self._keys = changes.keys
        self._added, self._removed = set(changes.added), set(changes.removed)

    def words(self, name: str) -> str:
        """Empty for nothing that an instance would see."""
        if name not in self._keys:
            return "added" if name in self._added else "removed" if name in self._removed else ""
        keys = self._keys[name]
        more = f" and {len(keys) - KEYS} more" if len(keys) > KEYS else ""
        return f"changed: {', '.join(keys[:KEYS])}{more}"


def _problem(instance: Instance, drift: Drift, reply: client.Reply) -> str:
    """Why this answer is not the content that was reported; empty when it is."""
    if reply.outcome != client.Outcome.OK:
        return f"{instance} did not hand over its {drift.kind} document: {reply.error}"
    size, limit = len(reply.text.encode("utf-8", "surrogatepass")), settings.DOCUMENT_MAX_BYTES
    if size > limit:
        return f"The {drift.kind} document of {instance} has {size:,} bytes; the limit is {limit:,}."
    try:
        digest = protocol.digest(protocol.parse(reply.text))
    except protocol.ProtocolError as error:
        return f"What {instance} has on its disk is no document: {error}"
    if not protocol.same(digest, drift.digest):
        return (
            f"{instance} reported {drift.digest[:12]} and handed over {digest[:12]}: its file was changed since, or is "
            "not loaded yet. Check it, then look again."
        )
    return ""


def _keep(drift: Drift, instance: Instance, text: str) -> LiveCopy:
    with transaction.atomic():
        Drift.objects.filter(pk=drift.pk).update(read_error="")
        copy, _ = LiveCopy.objects.get_or_create(
            drift=drift, defaults={"text_sealed": seal(text), "instance": instance}
        )
    return copy
