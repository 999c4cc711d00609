"""Adding, changing, starting and removing sources."""

from __future__ import annotations

from typing import Any

from django.db import IntegrityError, transaction
from django.utils import timezone

from console import audit
from console.errors import Refused
from console.models import User
from console.sealing import seal
from instances_app.models import DiscoverySource, Environment, Policy, SourceKind

WHERE = ("url", "authority")  # what says who gets to see the source's secret
RECORDED = ("name", "kind", "settings", "policy", "seconds", "retire_hours")


def add(
    environment: Environment, *, kind: str, settings: dict[str, Any], secret: str, token: str, actor: User, **rest: Any
) -> DiscoverySource:
    """A new source; it is paused until somebody has seen what it would do.

    `rest`: name, policy, seconds, retire_hours.
    """
    source = DiscoverySource(environment=environment, kind=kind, settings=settings, **rest)
    return _save(source, "source.added", secret=secret, token=token, actor=actor)


def change(
    source: DiscoverySource, *, settings: dict[str, Any], secret: str, token: str, actor: User, **rest: Any
) -> DiscoverySource:
    """Other settings from now on; empty secrets keep the sealed ones.

    The secret of a server goes to that server only: another address needs it typed again.
    An answer that is on its way is dropped.
    """
    with transaction.atomic():
        source = _lock(source)
        before = facts(source)
        elsewhere = any(source.settings.get(name) != settings.get(name) for name in WHERE)
        if elsewhere and source.secret_sealed and not secret.strip():
            raise Refused(
                "The secret was stored for another address or CA. Type it again: it goes nowhere else by itself."
            )
        source.settings = settings
        for name, value in rest.items():
            setattr(source, name, value)
        source.turn += 1
        source.index = 0
        source.next_at = timezone.now()
        return _save(source, "source.changed", secret=secret, token=token, actor=actor, before=before)


def start(source: DiscoverySource, *, actor: User) -> None:
    """Ask it from now on."""
    _set_paused(source, False, "source.started", actor=actor)


def pause(source: DiscoverySource, *, actor: User) -> None:
    """Ask it no more until somebody starts it; what it told stays."""
    _set_paused(source, True, "source.paused", actor=actor)


def remove(source: DiscoverySource, *, actor: User) -> None:
    """Forget the source and what it told. Instances stay."""
    with transaction.atomic():
        source = _lock(source)
        audit.record("source.removed", actor=actor, target=source, **facts(source))
        source.delete()


def facts(source: DiscoverySource) -> dict[str, Any]:
    """What the audit trail keeps of it: no secrets."""
    data = {name: getattr(source, name) for name in RECORDED}
    data["settings"] = {
        key: value if len(str(value)) <= 300 else f"{str(value)[:300]}…" for key, value in data["settings"].items()
    }
    return data


def _lock(source: DiscoverySource) -> DiscoverySource:
    found = DiscoverySource.objects.select_for_update().filter(pk=source.pk).first()
    if found is None:
        raise Refused("This source is not there any more.")
    return found


def _set_paused(source: DiscoverySource, paused: bool, action: str, *, actor: User) -> None:
    with transaction.atomic():
        source = _lock(source)
        if source.paused == paused:
            raise Refused(f"{source} {'is paused' if paused else 'runs'} already.")
        source.paused, source.turn, source.next_at = paused, source.turn + 1, timezone.now()
        source.save(update_fields=["paused", "turn", "next_at"])
        audit.record(action, actor=actor, target=source)


def _save(
    source: DiscoverySource, action: str, *, secret: str, token: str, actor: User, **data: Any
) -> DiscoverySource:
    if secret.strip():
        source.secret_sealed = seal(secret.strip())
    if token.strip():
        source.token_sealed = seal(token.strip())
    if source.policy == Policy.ADD and source.kind == SourceKind.JOINING:
        raise Refused("Whoever registers itself waits for a person: choose that its instances are proposed.")
    if source.policy == Policy.ADD and not source.token_sealed:
        raise Refused("To add instances by itself it needs their agents' token.")
    try:
        with transaction.atomic():
            source.save()
            data |= {"token_changed": bool(token.strip()), "secret_changed": bool(secret.strip())}
            audit.record(action, actor=actor, target=source, after=facts(source), **data)
    except IntegrityError as error:
        if "source_name_once" in str(error):
            raise Refused(f"{source.environment} has a source named {source.name} already.") from None
        raise
    return source
