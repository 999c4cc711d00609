"""Asking an instance what it would say to documents, without giving them to it.

A service that knows nothing of dry runs would take one for an update. So it is asked what it can do first, each
time and not what it once said, and the documents go in the form `configs`, which such a service does not know either.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import NewType

from instances_app.client import bodies
from instances_app.client.replies import Outcome, Reply, Target

NEEDED = frozenset({"batch", "dry_run"})
DryBody = NewType("DryBody", bytes)  # `body` alone makes one, so nothing else is ever sent as a dry run


@dataclass(frozen=True, slots=True)
class DryPush:
    key: int
    target: Target
    body: DryBody


@dataclass(frozen=True, slots=True)
class DryPushed:
    """`answer` is None where the instance could not be asked: it did not answer, or knows no dry runs."""

    key: int
    info: Reply
    answer: Reply | None


def body(documents: Iterable[tuple[str, str, str]], *, request_id: str) -> DryBody:
    """(kind, digest, text), in the order in which they are applied."""
    parts = [f"{{{bodies.members(*document)}}}" for document in documents]
    common = f'"dry_run":true,"source":"webhook-console","request_id":{json.dumps(request_id)}'
    return DryBody(f'{{{common},"configs":[{",".join(parts)}]}}'.encode())


def can_be_asked(info: Reply) -> bool:
    """Whether an instance-info answer names what a dry run needs."""
    listed = info.body.get("capabilities")
    return info.outcome == Outcome.OK and isinstance(listed, list) and all(name in listed for name in NEEDED)
