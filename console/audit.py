"""The audit trail: one writer, one chain, one check.

Rows are chained under an advisory lock that is held until the caller's transaction ends, so sequence order is
commit order and there are no gaps. Record last: whoever takes a row lock after recording can deadlock with
somebody who took it before.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

from django.db import connection, models
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
    "request_id",
    "environment",
    "target_type",
    "target_id",
    "target_label",
    "data",
    "previous_hash",
]


@dataclass(frozen=True, slots=True)
class Origin:
    """Where the running request came from; empty outside requests."""

    address: str = ""
    request_id: str = ""


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
    from the target where it has one.
    """
    if not connection.in_atomic_block:
        raise RuntimeError("audit.record needs the transaction of what it records.")
    here = origin.get()
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", [LOCK])
    last = AuditEvent.objects.order_by("-sequence").values_list("sequence", "hash").first()
    event = AuditEvent(
        sequence=last[0] + 1 if last else 1,
        at=timezone.now(),
        action=action,
        actor_id=actor.pk if actor else None,
        actor_name=actor.username if actor else (actor_name or SYSTEM),
        address=here.address,
        request_id=here.request_id,
        environment=environment or _environment_of(target),
        target_type=target._meta.model_name or "" if target is not None else "",
        target_id=str(target.pk) if target is not None else "",
        target_label=str(target)[:200] if target is not None else "",
        data=data,
        previous_hash=last[1] if last else "",
    )
    event.hash = chain_hash(_row(event))
    event.save(force_insert=True)
    return event


def chain_hash(row: dict[str, Any]) -> str:
    """SHA-256 of the event's columns (`CHAINED`) as sorted JSON; times in ISO 8601 UTC with microseconds."""
    return hashlib.sha256(json.dumps(row, sort_keys=True).encode()).hexdigest()


def rows() -> Iterator[dict[str, Any]]:
    """Every event, oldest first, as plain values: what `audit export` writes and `first_bad` reads."""
    for event in AuditEvent.objects.order_by("sequence").iterator(chunk_size=2000):
        yield {**_row(event), "hash": event.hash}


def first_bad(events: Iterable[dict[str, Any]]) -> tuple[int, str] | None:
    """The first event that breaks the chain and why, or None. Works on exported rows as well."""
    sequence, previous = 0, ""
    for row in events:
        if row["sequence"] != sequence + 1:
            return row["sequence"], f"event {sequence + 1} is missing"
        if row["previous_hash"] != previous:
            return row["sequence"], "it does not continue the event before it"
        if chain_hash({name: row[name] for name in CHAINED}) != row["hash"]:
            return row["sequence"], "its content does not match its hash"
        sequence, previous = row["sequence"], row["hash"]
    return None


def _row(event: AuditEvent) -> dict[str, Any]:
    row = {name: getattr(event, name) for name in CHAINED}
    row["at"] = event.at.isoformat(timespec="microseconds")
    return row


def _environment_of(target: models.Model | None) -> str:
    if target is None:
        return ""
    if target._meta.model_name == "environment":
        return str(target)
    return str(getattr(target, "environment", ""))
