"""Waiting for the first answer of an instance: asked every few seconds while somebody looks, for some minutes at most.

The instance is registered before: what was typed is safe, the token sealed, the address taken, and whoever closes the
browser finds it on the fleet page, called new. Undoing it is retiring it. The wait itself holds nothing that must not
be lost: it is kept in the cache, and without it the page offers to begin again.
"""

from __future__ import annotations

import hashlib
import time
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

from django.conf import settings
from django.core.cache import cache
from django.db import transaction

from configs_app import documents
from console import audit, live
from console.errors import Refused
from console.models import User
from instances_app import client, embedding, observations, registry
from instances_app.client.first import SECONDS
from instances_app.models import Instance
from sync_app import onboarding_words, rollouts, turn_lock
from sync_app.models import UNFINISHED, Delivery
from sync_app.onboarding_words import STEPS, Explained

WAIT_SECONDS = 600.0  # then a person says that it goes on
PLACES = 0x57434F42  # advisory locks, one for each question at a time
AT_ONCE = 2  # questions of all who wait: one that hangs holds a worker's thread, and rollouts need those
EVERY_SECONDS = 3.0  # between an answer and the next question
KEPT_SECONDS = 3600  # what was found last
LOST_SECONDS = 2 * SECONDS + 30  # a question that nobody answered, because its worker died
SLOW_SECONDS = 20.0  # no worker has taken the question, or the instance hangs

_WAIT, _ASKING, _FOUND = (f"onboarding:{what}:%s" for what in ("wait", "asking", "found"))


@dataclass(frozen=True, slots=True)
class Step:
    """One rung of the ladder: passed, failed, not reached, or none at all (TLS over http)."""

    name: str
    word: str


@dataclass(frozen=True, slots=True)
class Standing:
    """What a page says about the wait."""

    found: Explained | None  # the last answer, or the lack of one
    at: datetime | None  # when
    waiting: bool  # it is asked again and again
    slow: bool  # the question has been out for long
    ladder: tuple[Step, ...]

    @property
    def is_proven(self) -> bool:
        return self.found is not None and self.found.stopped in {"", "documents"}

    @property
    def key(self) -> str:
        """Differs when there is something new to say; a page that has it is not drawn anew."""
        return hashlib.sha256(repr((self.found, self.waiting, self.slow)).encode()).hexdigest()[:16]


def begin(instance: Instance, *, actor: User) -> None:
    """Ask it from now on, while somebody looks; what was found before is forgotten."""
    if instance.retired_at is not None:
        raise Refused(f"{instance} is retired and is not asked any more.")
    with transaction.atomic():
        audit.record("instance.awaited", actor=actor, target=instance, base_url=instance.base_url)
    cache.delete(_FOUND % instance.pk)
    cache.set(_WAIT % instance.pk, {"until": time.time() + WAIT_SECONDS, "by": actor.pk}, timeout=WAIT_SECONDS)


def standing(instance: Instance) -> Standing:
    kept = cache.get(_FOUND % instance.pk)
    if kept is not None and kept["of"] != _mark(instance):
        kept = None  # it was corrected since
    found = Explained(**{**kept["found"], "next": tuple(kept["found"]["next"])}) if kept else None
    asked_at = cache.get(_ASKING % instance.pk)
    proven = found is not None and found.stopped in {"", "documents"} and not instance.monitored_only
    return Standing(
        found=found,
        at=datetime.fromtimestamp(kept["at"], UTC) if kept else None,
        waiting=not proven and instance.retired_at is None and cache.get(_WAIT % instance.pk) is not None,
        slow=asked_at is not None and time.time() - asked_at > SLOW_SECONDS,
        ladder=ladder(found, instance.base_url),
    )


def ladder(found: Explained | None, base_url: str) -> tuple[Step, ...]:
    reached = STEPS.index(found.stopped) if found and found.stopped else len(STEPS) if found else 0
    words = ["passed" if number < reached else "not yet" for number in range(len(STEPS))]
    if found and found.stopped:
        words[reached] = "failed"
    if base_url.startswith("http:") and words[STEPS.index("TLS")] == "passed":
        words[STEPS.index("TLS")] = "not used"
    return tuple(Step(name, word) for name, word in zip(STEPS, words, strict=True))


def is_due(instance: Instance, now: Standing) -> bool:
    """Whether to ask it now; the caller does. True once for each question, however many pages look."""
    if not now.waiting or (now.at is not None and (datetime.now(UTC) - now.at).total_seconds() < EVERY_SECONDS):
        return False
    return cache.add(_ASKING % instance.pk, time.time(), timeout=LOST_SECONDS)


def ask(instance_id: int) -> None:
    """Ask once, and keep what was found. An agent's answer is kept as a check's is, and makes the instance managed.

    Nothing, while AT_ONCE others are being asked: the next look tries again.
    """
    try:
        with ExitStack() as places:
            if any(places.enter_context(turn_lock.alone(PLACES + number)) for number in range(AT_ONCE)):
                _ask(instance_id)
    finally:
        cache.delete(_ASKING % instance_id)


def _ask(instance_id: int) -> None:
    instance = Instance.objects.active().filter(pk=instance_id).first()
    wait = cache.get(_WAIT % instance_id)
    if instance is None or wait is None:
        return
    first = client.ask_first(
        instance.pk,
        instance.target,
        connect_timeout=settings.CONNECT_SECONDS,
        read_timeout=settings.READ_SECONDS,
    )
    found = onboarding_words.explain(first, instance.base_url)
    if first.is_agent:
        with transaction.atomic():
            now = Instance.objects.select_for_update(no_key=True).get(pk=instance_id)
            if now.retired_at is not None or _mark(now) != _mark(instance):
                return  # somebody else may have answered: it was retired, or its address or token corrected
            registry.manage(instance, actor=User.objects.filter(pk=wait["by"]).first())
            observations.record_looks([first.looked])
        live.ping(instance.environment_id, "fleet")
    kept = {"found": asdict(found), "at": time.time(), "of": _mark(instance)}
    cache.set(_FOUND % instance_id, kept, timeout=KEPT_SECONDS)


def keep_monitored(instance: Instance, *, actor: User) -> Instance:
    """Without an agent, for it answered as the service does; refused while a rollout waits for it."""
    with transaction.atomic():
        documents.lock(instance.environment)
        rollouts.lock_going(instance.environment)
        instance = (
            Instance.objects.select_for_update(no_key=True, of=("self",))
            .select_related("environment")
            .get(pk=instance.pk)
        )
        found = standing(instance).found  # of the address and token that it has now
        if found is None or not found.service:
            raise Refused(f"{instance} has not answered as a webhook service without an agent. Ask it first.")
        going = Delivery.objects.filter(instance=instance, state__in=UNFINISHED).select_related("rollout").first()
        if going is not None:
            raise Refused(f"Rollout {going.rollout.number} waits for {instance}. Cancel it, or wait for its end.")
        kept = registry.keep_monitored(instance, actor=actor)
    for key in (_WAIT, _FOUND):
        cache.delete(key % instance.pk)
    return kept


def new_token(instance: Instance, *, actor: User) -> str:
    """Another token, sealed in the place of the one before; the caller shows it once. Only while none was proven."""
    if instance.retired_at is not None:
        raise Refused(f"{instance} is retired. Add it again, with a token of its own.")
    if instance.was_heard or instance.exchanges.filter(switched_at__isnull=False).exists():
        raise Refused(f"{instance} has answered with the token that is sealed here. Edit it to store another one.")
    token = embedding.fresh_token()
    registry.change(
        instance, name=instance.name, base_url=instance.base_url, labels=instance.labels, token=token, actor=actor
    )
    return token


def reported(instance: Instance) -> list[dict[str, Any]]:
    """What its last report says of each document: kind, digest, size, entries, problem; untrusted, and bounded."""
    listed = instance.info.get("documents")
    told = listed if isinstance(listed, dict) else {}
    seen = {one.kind: one.digest for one in instance.observations.filter(until=None)}
    rows = []
    for kind in ("webhooks", "connections"):
        about = told.get(kind)
        about = about if isinstance(about, dict) else {}
        size, entries = (about.get(name) for name in ("size", "entries"))
        rows.append(
            {
                "kind": kind,
                "digest": seen.get(kind),
                "size": size if isinstance(size, int) else None,
                "entries": entries if isinstance(entries, int) else None,
                "problem": str(about.get("problem") or "")[:200],
            }
        )
    return rows


def _mark(instance: Instance) -> str:
    """Of what was asked, and with which token."""
    return hashlib.sha256(instance.base_url.encode() + bytes(instance.token_sealed)).hexdigest()[:24]
