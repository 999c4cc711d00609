"""Instances that tell of themselves, with a join token: POST /api/agents/register."""

from __future__ import annotations

import hmac
import json
import secrets
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

from django import forms
from django.db import transaction
from django.utils import timezone

from console import audit
from console.errors import Refused
from console.models import User
from console.sealing import seal
from instances_app.discovery import found
from instances_app.discovery.found import Found
from instances_app.models import DiscoverySource, FoundInstance, Joined, SourceKind

TITLE = "Self-registration"
ABOUT = "Instances tell of themselves when they start, with a join token that you give them. A person adds them."
SECRET = ""
LARGEST = 16 * 1024  # bytes of a registration
SILENCE = ((1, "1 hour"), (6, "6 hours"), (24, "1 day"), (168, "7 days"))


class Settings(forms.Form):
    hours = forms.TypedChoiceField(
        label="Gone after a silence of",
        choices=SILENCE,
        coerce=int,
        initial=24,
        help_text="Instances register again and again; whoever does not is marked gone.",
    )


def find(settings: dict[str, Any], *, secret: str) -> Iterator[Found]:
    heard = Joined.objects.filter(source=settings["source"], heard_at__gte=_since(settings))
    for one in heard.order_by("pk"):
        yield Found(one.base_url, one.name, one.labels)


def make_token(source: DiscoverySource, *, actor: User) -> str:
    """A new join token; the one before ends. It is shown once, and kept sealed."""
    token = f"join-{source.pk}-{secrets.token_urlsafe(32)}"
    with transaction.atomic():
        locked = DiscoverySource.objects.select_for_update(no_key=True).filter(pk=source.pk).first()
        if locked is None or locked.kind != SourceKind.JOINING:
            raise Refused("Only self-registration has a join token.")
        locked.secret_sealed = seal(token)
        locked.save(update_fields=["secret_sealed"])
        audit.record("source.join_token_made", actor=actor, target=locked)
    return token


def source_of(token: str) -> DiscoverySource | None:
    """The running source whose token this is; compared in constant time."""
    word, _, rest = token.partition("-")
    number = rest.partition("-")[0]
    if word != "join" or not (number.isascii() and number.isdigit() and len(number) <= 18):
        return None
    source = DiscoverySource.objects.filter(pk=int(number), kind=SourceKind.JOINING, paused=False).first()
    known = source.secret if source is not None else ""
    return source if known and hmac.compare_digest(known.encode(), token.encode()) else None


def register(source: DiscoverySource, body: bytes) -> str:
    """Keep what an instance tells of itself; the state that it has here. Raises Refused with what is wrong."""
    entry = _read(body)
    with transaction.atomic():
        locked = DiscoverySource.objects.select_for_update(no_key=True).get(pk=source.pk)
        Joined.objects.filter(source=locked, heard_at__lt=_since(locked.settings)).delete()
        known = Joined.objects.filter(source=locked, base_url=entry.base_url).exists()
        if not known and Joined.objects.filter(source=locked).count() >= found.MOST:
            raise Refused(f"{found.MOST:,} instances have registered here. No more are taken.")
        values = {"name": entry.name, "labels": entry.labels, "heard_at": timezone.now()}
        Joined.objects.update_or_create(source=locked, base_url=entry.base_url, defaults=values)
    row = FoundInstance.objects.filter(source=source, base_url=entry.base_url).first()
    return row.state if row is not None else "waiting"


def _since(settings: dict[str, Any]) -> datetime:
    return timezone.now() - timedelta(hours=settings["hours"])


def _read(body: bytes) -> found.Fit:
    try:
        told = json.loads(body)
        base_url, name, labels = told["base_url"], told.get("name") or "", told.get("labels") or {}
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        raise Refused('Send JSON: {"base_url": "http://…", "name": "…", "labels": {…}}.') from None
    if not (isinstance(base_url, str) and isinstance(name, str) and isinstance(labels, dict)):
        raise Refused("base_url and name are texts, labels an object.")
    (entry,) = found.clean([Found(base_url, name, labels)])
    if entry.reason:
        raise Refused(entry.reason)
    return entry
