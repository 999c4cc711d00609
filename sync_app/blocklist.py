"""Bundles that are not sent again: by content, so that neither a restore nor an old approval brings one back.

`rollouts.start` asks, and every rollout goes through it. A trigger is the backstop.
"""

from __future__ import annotations

from django.db import transaction
from django.utils import timezone

from configs_app import documents, reasons
from configs_app.models import Bundle
from console import audit
from console.errors import Refused
from console.models import User
from instances_app.models import Environment, Kind
from sync_app.models import Blocked, Rollout

Pair = tuple[str, str]  # digests of webhooks and connections; empty for a document that is not there


def pair(bundle: Bundle) -> Pair:
    digests = bundle.digests()
    return digests.get(Kind.WEBHOOKS, ""), digests.get(Kind.CONNECTIONS, "")


def ever(environment: Environment) -> set[Pair]:
    """What is or was blocked there."""
    blocked = Blocked.objects.filter(environment=environment)
    return set(blocked.values_list("webhooks_digest", "connections_digest"))


def of(bundle: Bundle) -> Blocked | None:
    """The block that stands against this content."""
    webhooks, connections = pair(bundle)
    return (
        Blocked.objects.filter(
            environment_id=bundle.environment_id,
            webhooks_digest=webhooks,
            connections_digest=connections,
            lifted_at=None,
        )
        .select_related("by", "rollout", "environment")
        .first()
    )


def refuse_blocked(bundle: Bundle) -> None:
    found = of(bundle)
    if found is not None:
        raise Refused(
            f"{bundle} has the content of {found.bundle}, which was rolled back: {found.reason} ({found.by}). "
            "It is blocked until somebody lifts that with a reason, on the page of "
            f"rollout {found.rollout.number}."
        )


def block(rollout: Rollout, *, actor: User, reason: str) -> None:
    """Let the rollout's bundle not be sent again. The caller holds the environment's lock."""
    bundle = rollout.bundle
    if of(bundle) is not None:
        return
    webhooks, connections = pair(bundle)
    Blocked.objects.create(
        environment=rollout.environment,
        bundle=bundle,
        webhooks_digest=webhooks,
        connections_digest=connections,
        rollout=rollout,
        reason=reason,
        by=actor,
    )
    audit.record(
        "bundle.blocked", actor=actor, target=rollout, bundle=str(bundle), digests=bundle.digests(), reason=reason
    )


def lift(blocked: Blocked, *, actor: User, reason: str) -> None:
    """Let the content be sent again, by the ordinary ways."""
    reason = reasons.tidy(reason, missing="Say why it may be sent again; the audit trail keeps it.")
    reasons.refuse_secrets(reason, reasons.beside_bundles(blocked.bundle))
    with transaction.atomic():
        documents.lock(blocked.environment)
        query = Blocked.objects.select_for_update(of=("self",)).select_related("rollout__environment")
        found = query.get(pk=blocked.pk)
        if found.lifted_at is not None:
            raise Refused("This block has been lifted already.")
        found.lifted_at, found.lifted_by, found.lift_reason = timezone.now(), actor, reason
        found.save(update_fields=["lifted_at", "lifted_by", "lift_reason"])
        audit.record(
            "bundle.block_lifted",
            actor=actor,
            target=found.rollout,
            bundle=str(found.bundle),
            digests=found.bundle.digests(),
            reason=reason,
        )
