"""The audit trail: one writer, one chain, one check.

Rows are chained under an advisory lock that is held until the caller's transaction ends, so sequence order is
commit order and there are no gaps. Record last: whoever takes a row lock after recording can deadlock with
somebody who took it before.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db import connection, models, transaction
from django.utils import timezone

from console.models import AuditEvent, User

LOCK = 0x57434155  # "WCAU": the advisory lock that serialises writers of the chain
SYSTEM = "system"  # the actor's name where no person acted: beat, a worker, a command
CHAINED = [
    "sequence",
    "at",
    "action",
    "actor_id",
    "actor_name",
    "address",
    "session",
    "request_id",
    "cause",
    "environment",
    "target_type",
    "target_id",
    "target_label",
    "data",
    "previous_hash",
]
# Columns that came later: left out of the hash where they are empty, so that what was hashed before them still holds.
LATER = ("session", "cause")
CONTINUED = ("change", "rollout", "rotation")  # what goes on by itself, in workers, after somebody began it
ENCODER = json.JSONEncoder(sort_keys=True)  # one for all: making it costs as much as using it
BATCH = 2000


def _no_session() -> str:
    return ""


@dataclass(frozen=True, slots=True)
class Origin:
    """Where the running request came from; empty outside requests. `session` is asked when an event is recorded:
    signing in changes it."""

    address: str = ""
    request_id: str = ""
    session: Callable[[], str] = _no_session


origin: ContextVar[Origin] = ContextVar("audit_origin", default=Origin())  # noqa: B039 - frozen


def record(
    action: str,
    *,
    actor: User | None,
    target: models.Model | None = None,
    environment: str = "",
    actor_name: str = "",
    **data: Any,
) -> AuditEvent:
    """Add one event to the chain, inside the caller's transaction.

    `data` must be JSON; digests, counts and names, never document contents or tokens. `environment` is taken
    from the target where it has one. What one request records belongs together; what a worker records later belongs to
    what the first event about the same target belongs to (`cause`).
    """
    if not connection.in_atomic_block:
        raise RuntimeError("audit.record needs the transaction of what it records.")
    here = origin.get()
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", [LOCK])
        # The database's clock: those of several web servers would disagree with the order of the chain.
        cursor.execute("SELECT clock_timestamp()")
        (now,) = cursor.fetchone() or (timezone.now(),)
    last = AuditEvent.objects.order_by("-sequence").values_list("sequence", "hash").first()
    target_type = target._meta.model_name or "" if target is not None else ""
    target_id = str(target.pk) if target is not None else ""
    event = AuditEvent(
        sequence=last[0] + 1 if last else 1,
        at=now,
        action=action,
        actor_id=actor.pk if actor else None,
        actor_name=actor.username if actor else (actor_name or SYSTEM),
        address=here.address,
        session=here.session(),
        request_id=here.request_id,
        cause=_cause(here.request_id, target_type, target_id),
        environment=environment or _environment_of(target),
        target_type=target_type,
        target_id=target_id,
        target_label=str(target)[:200] if target is not None else "",
        data=data,
        previous_hash=last[1] if last else "",
    )
    event.hash = chain_hash(_row(event))
    event.save(force_insert=True)
    return event


def _cause(request_id: str, target_type: str, target_id: str) -> int | None:
    """What began the action that now goes on. Looked up, not remembered: a transaction that is undone takes its
    numbers with it, and others get them."""
    if request_id:
        before = AuditEvent.objects.filter(request_id=request_id)
    elif target_type in CONTINUED:
        before = AuditEvent.objects.filter(target_type=target_type, target_id=target_id)
    else:
        return None
    first = before.order_by("sequence").only("sequence", "cause").first()
    return first.root if first else None


def chain_hash(row: dict[str, Any]) -> str:
    """SHA-256 of everything in the row but its hash, as sorted JSON; times in ISO 8601 UTC with microseconds."""
    return hashlib.sha256(ENCODER.encode({name: row[name] for name in row if name != "hash"}).encode()).hexdigest()


def rows(events: models.QuerySet[AuditEvent] | None = None) -> Iterator[dict[str, Any]]:
    """Every event, or these, oldest first, as plain values with their hash: what is exported and verified.

    Read through a server-side cursor, in one transaction: a million events need no more memory than a thousand.
    """
    chosen = AuditEvent.objects.all() if events is None else events
    with transaction.atomic():
        for values in chosen.order_by("sequence").values_list(*CHAINED, "hash").iterator(chunk_size=BATCH):
            yield _plain(dict(zip((*CHAINED, "hash"), values, strict=True)))


def plain(event: AuditEvent) -> dict[str, Any]:
    """One event as `rows` gives it."""
    return {**_row(event), "hash": event.hash}


def flaw(row: dict[str, Any], *, after: tuple[int, str] | None) -> str:
    """What is wrong with this event, or nothing. `after` is the sequence and the hash of the one before it, None where
    that one is not at hand."""
    if after is not None:
        if row["sequence"] <= after[0]:
            return f"it stands after event {after[0]}"
        if row["sequence"] != after[0] + 1:
            return f"event {after[0] + 1} is missing"
        if row["previous_hash"] != after[1]:
            return "it does not continue the event before it"
    return "" if chain_hash(row) == row["hash"] else "its content does not match its hash"


def first_bad(events: Iterable[dict[str, Any]]) -> tuple[int, str] | None:
    """The first event that breaks the chain and why, or None. `audit_proof.examine` says more."""
    after = (0, "")
    for row in events:
        if problem := flaw(row, after=after):
            return row["sequence"], problem
        after = (row["sequence"], row["hash"])
    return None


def _row(event: AuditEvent) -> dict[str, Any]:
    return _plain({name: getattr(event, name) for name in CHAINED})


def _plain(row: dict[str, Any]) -> dict[str, Any]:
    at: datetime = row["at"]
    row["at"] = at.isoformat(timespec="microseconds")
    for name in LATER:
        if not row[name]:
            del row[name]
    return row


def _environment_of(target: models.Model | None) -> str:
    if target is None:
        return ""
    if target._meta.model_name == "environment":
        return str(target)
    return str(getattr(target, "environment", ""))
