"""Everything that moves an exchange: one instance's way from its old token to a new one.

In every state at least one token opens that stands here, sealed; in most both. The new one is committed before it is
sent, it is used once it is proven, and the old one is dropped only when nobody can still be on the way with it:

    waiting → giving → given → proven ···· settled, two leases later ···· dropping → old dropped

Workers compare and set, with `attempts` as fencing number; what a killed one left is *unknown*, and both tokens are
asked with. Locks: rotation, instances by number, exchanges, audit.
"""

from __future__ import annotations

import random
import secrets
import time
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

from django.conf import settings
from django.db import connection, transaction
from django.db.models import F, Q
from django.db.models.functions import Coalesce, Now
from django.utils import timezone

from console import audit
from console.errors import Refused
from console.sealing import SealBroken, seal, unseal
from instances_app import rotation as rotations
from instances_app.client import Drop, End, Give, Outcome, Turned
from instances_app.models import Instance
from instances_app.rotation_models import GOING, LEASED, OPEN, Exchange, ExchangeState, Rotation, RotationState

AT_ONCE = 20  # instances of one rotation that all workers together turn at a time
LONGEST_DELAY = 60.0  # seconds between two tries
LEASES = 2  # that an old token is kept after the switch: longer than anything that asks without a lease of its own
PATIENCE = timedelta(minutes=10)  # with one instance: to give it the new token, and again to have the old one dropped
MOST = 500  # characters of a reason

RETIRED = "It was retired meanwhile. Its agent may take the token it was given, which nobody has."
RETIRED_AFTER = (
    "It was retired after the switch: its old token still opens, and so does the new one, which nobody has seen."
)
MONITORED = (
    "It is monitored only now, so nothing is sent there. An agent may take the token it was given, which nobody has."
)
TYPED = (
    "Somebody typed another token meanwhile. Its agent may also take the one it was given, which nobody has: "
    "rotate once more to have it dropped."
)
STOPPED_WORKER = "The worker stopped in the middle. Both tokens are asked with."
NEITHER = (
    "It refuses the old and the new token. Is the same agent registered here twice, or does another service share its "
    "state folder? The rotation of one drops the other's."
)
STAYS = "The old token stays in use."
IN_USE = "The new token is in use."


@dataclass(frozen=True, slots=True)
class Claim:
    """An exchange that this worker turns until its lease ends."""

    id: int
    instance_id: int
    attempt: int
    job: Give | Drop


def stamp(rotation_id: int) -> None:
    """Note of those who use the new token that everybody who reads a token from now on reads the new one.

    A statement of its own: it sees only switches that are committed, and looks at the clock afterwards.
    """
    with connection.cursor() as cursor:
        cursor.execute(
            """
            UPDATE instances_app_exchange SET settled_at = clock_timestamp()
            WHERE rotation_id = %s AND switched_at IS NOT NULL AND settled_at IS NULL AND state = 'proven'
            """,
            [rotation_id],
        )


def claim(rotation_id: int, *, limit: int, held: Collection[int] = ()) -> list[Claim]:
    """Take up to `limit` that are due. `held`: instances whose old token somebody may still be on the way with.

    All workers together turn at most AT_ONCE: they count under the rotation's lock.
    """
    with transaction.atomic():
        rotation = rotations.lock(rotation_id)
        if rotation is None:
            return []
        if rotation.state == RotationState.STOPPING:
            rotations.end_waiting(rotation)
        limit = min(limit, AT_ONCE - rotation.exchanges.filter(state__in=LEASED).count())
        if limit <= 0:
            return []
        due = dict(_due(rotation, held).values_list("pk", "instance_id")[:limit])
        instances = _locked(due.values())
        found = rotation.exchanges.select_for_update().filter(pk__in=due).filter(~Q(state__in=LEASED), state__in=OPEN)
        claims = [_begin(one, instances[one.instance_id]) for one in found.order_by("pk")]
    return [one for one in claims if one is not None]


def renew(claims: Iterable[Claim]) -> None:
    """Keep the leases of those who are being given a token. A drop's is not prolonged: its job ends before."""
    held = [one for one in claims if isinstance(one.job, Give)]
    with connection.cursor() as cursor:
        cursor.execute(
            """
            UPDATE instances_app_exchange e SET lease_until = now() + make_interval(secs => %s)
            FROM unnest(%s::bigint[], %s::int[]) AS held(id, attempt)
            WHERE e.id = held.id AND e.attempts = held.attempt AND e.state = 'giving'
            """,
            [settings.LEASE_SECONDS, [one.id for one in held], [one.attempt for one in held]],
        )


def record(rotation: Rotation, results: Sequence[tuple[Claim, Turned]]) -> None:
    """Write down what a batch brought; whoever has lost its lease is not heard."""
    if not results:
        return
    by_id = {one.id: (one, turned) for one, turned in results}
    with transaction.atomic():
        instances = _locked(one.instance_id for one, _ in results)
        mine = Exchange.objects.select_for_update().filter(pk__in=by_id, state__in=LEASED).order_by("pk")
        events: list[tuple[str, Instance, dict[str, Any]]] = []
        for exchange in mine:
            one, turned = by_id[exchange.pk]
            if exchange.attempts == one.attempt:
                instance = instances[exchange.instance_id]
                turn = _gave if isinstance(one.job, Give) else _dropped
                events += [(action, instance, data) for action, data in turn(exchange, instance, turned)]
                exchange.save()
        for action, instance, data in events:
            audit.record(action, actor=None, target=instance, rotation=rotation.number, **data)
        rotations.ping(rotation)


def resume() -> list[int]:
    """Beat's part: what a killed worker left behind is unknown. The rotations that are not at their end."""
    ended = Exchange.objects.select_for_update(skip_locked=True).filter(state__in=LEASED, lease_until__lt=Now())
    with transaction.atomic():
        ids = list(ended.order_by("pk").values_list("pk", flat=True))
        Exchange.objects.filter(pk__in=ids).update(
            state=ExchangeState.UNKNOWN,
            sent_at=Coalesce("sent_at", "changed_at"),
            code="lease_expired",
            error=STOPPED_WORKER,
            lease_until=None,
            next_attempt_at=None,
            changed_at=timezone.now(),
        )
    return list(Rotation.objects.filter(state__in=GOING).order_by("pk").values_list("pk", flat=True))


def typed(instance: Instance) -> None:
    """Somebody types another token for it, and holds its row: its exchange is given up.

    Refused while its old token is being dropped, for that would drop the typed one, too; and for a lease after a drop
    that nobody answered, which may still wait before the agent.
    """
    open_ = Exchange.objects.select_for_update().filter(instance=instance, state__in=OPEN).first()
    if open_ is None:
        return
    lately = timezone.now() - timedelta(seconds=settings.LEASE_SECONDS)
    unanswered = open_.state == ExchangeState.UNKNOWN and open_.switched_at and open_.changed_at > lately
    if open_.state == ExchangeState.DROPPING or unanswered:
        raise Refused(
            f"The old token of {instance} is being dropped just now, and every other one with it. "
            "Try again in a minute; until then nothing is changed."
        )
    _end(open_, ExchangeState.GIVEN_UP, "typed", TYPED)
    open_.save()


def refuse_move(instances: Collection[int]) -> None:
    """Whoever holds these rows wants to change addresses: not between two tokens, for the other host knows only one."""
    names = Exchange.objects.filter(instance__in=instances, state__in=OPEN).values_list("instance__name", flat=True)
    if names:
        raise Refused(
            f"The token of {', '.join(sorted(names)[:5])} is being rotated. Move it when that has ended "
            "(the rotation's page says when), or stop the rotation before."
        )


def refuse_unmanaged(instance: Instance) -> None:
    """Whoever holds its row wants nothing to be sent to it any more."""
    if Exchange.objects.filter(instance=instance, state__in=OPEN).exists():
        raise Refused(f"The token of {instance} is being rotated. Stop the rotation, or wait for its end.")


def kept_for() -> timedelta:
    """How long an old token is kept after the switch, whoever asks."""
    return timedelta(seconds=LEASES * settings.LEASE_SECONDS)


def _due(rotation: Rotation, held: Collection[int]) -> Any:
    now = timezone.now()
    settled = Now() - kept_for()  # by the database's clock, as it was written
    give = Q(switched_at=None, state__in=[ExchangeState.WAITING, ExchangeState.GIVEN, ExchangeState.UNKNOWN])
    drop = Q(settled_at__lte=settled, state__in=[ExchangeState.PROVEN, ExchangeState.UNKNOWN]) & ~Q(
        instance__in=list(held)
    )
    ready = Q(next_attempt_at=None) | Q(next_attempt_at__lte=now)
    return rotation.exchanges.filter(give | drop, ready).order_by(F("next_attempt_at").asc(nulls_first=True), "pk")


def _locked(instances: Iterable[int]) -> dict[int, Instance]:
    """In the order in which everybody locks instances."""
    found = Instance.objects.filter(pk__in=list(instances)).defer("info").order_by("pk")
    return {one.pk: one for one in found.select_for_update(no_key=True, of=("self",)).select_related("environment")}


def _begin(exchange: Exchange, instance: Instance) -> Claim | None:
    """Lease it, with what is to be done; or its end, where nothing is to be done any more."""
    now = timezone.now()
    switched = exchange.switched_at is not None
    try:
        current = unseal(instance.token_sealed)
        if exchange.token_next_sealed is None or exchange.token_old_sealed is None:
            exchange.token_old_sealed = bytes(instance.token_sealed)
            exchange.token_next_sealed = seal(secrets.token_urlsafe(32))
        old, new = unseal(exchange.token_old_sealed), unseal(exchange.token_next_sealed)
    except SealBroken as broken:
        _end(exchange, ExchangeState.FAILED, "seal", str(broken))
        exchange.save()
        return None
    gone = _gone(exchange, instance)
    if gone or current != (new if switched else old):
        _end(exchange, ExchangeState.GIVEN_UP, "given_up", gone or TYPED)
        exchange.save()
        return None
    exchange.state = ExchangeState.DROPPING if switched else ExchangeState.GIVING
    exchange.attempts += 1
    exchange.begun_at = exchange.begun_at or now
    exchange.changed_at, exchange.next_attempt_at = now, None
    exchange.lease_until = Now() + timedelta(seconds=settings.LEASE_SECONDS)
    exchange.save()
    before, after = replace(instance.target, token=old), replace(instance.target, token=new)
    job: Give | Drop
    if switched:  # half of the lease is left for its request to arrive
        job = Drop(exchange.pk, before, after, until=time.monotonic() + settings.LEASE_SECONDS / 2)
    else:
        job = Give(exchange.pk, before, after, sent=exchange.sent_at is not None)
    return Claim(exchange.pk, instance.pk, exchange.attempts, job)


def _gave(exchange: Exchange, instance: Instance, turned: Turned) -> list[tuple[str, dict[str, Any]]]:
    now = timezone.now()
    if turned.sent or turned.end == End.PROVEN:
        exchange.sent_at = exchange.sent_at or now
    said = turned.reply.error or "No answer."
    match turned.end:
        case End.PROVEN:
            gone = _gone(exchange, instance)
            if gone or unseal(instance.token_sealed) != _old(exchange):
                _end(exchange, ExchangeState.GIVEN_UP, "given_up", gone or TYPED)
                return []
            instance.token_sealed, instance.token_refused_at = bytes(exchange.token_next_sealed or b""), None
            instance.save(update_fields=["token_sealed", "token_refused_at"])
            _put(exchange, ExchangeState.PROVEN)
            exchange.switched_at, exchange.begun_at = now, None  # the drop has not been begun
            return [("instance.token_switched", {})]
        case End.UNABLE:
            why = (
                said
                if turned.reply.outcome != Outcome.OK
                else "Its agent takes no other token: it is too old for that, or told not to."
            )
            _end(exchange, ExchangeState.BY_HAND, turned.reply.code, f"{why} {STAYS}")
        case End.REFUSED:
            if turned.sent:
                said = (
                    "Its agent took the new token and then did not know it. Do several services answer at that address?"
                )
            _end(exchange, ExchangeState.FAILED, turned.reply.code, f"{said} {STAYS}")
        case _ if now - (exchange.begun_at or now) > PATIENCE:
            doubt = "It is not known whether its agent also takes the new one, which nobody has." * bool(
                exchange.sent_at
            )
            _end(exchange, ExchangeState.FAILED, turned.reply.code, f"{said} {STAYS} {doubt}".strip())
        case End.GIVEN:
            _again(exchange, ExchangeState.GIVEN, turned, said)
        case _:
            _again(exchange, ExchangeState.UNKNOWN if exchange.sent_at else ExchangeState.WAITING, turned, said)
    return _failed(exchange)


def _dropped(exchange: Exchange, instance: Instance, turned: Turned) -> list[tuple[str, dict[str, Any]]]:
    now = timezone.now()
    said = turned.reply.error or "The old token still opens."
    match turned.end:
        case End.DROPPED:
            _end(exchange, ExchangeState.DROPPED, "", "")
            return [("instance.token_dropped", {})]
        case End.BACK:
            if unseal(instance.token_sealed) == unseal(exchange.token_next_sealed or b""):
                instance.token_sealed, instance.token_refused_at = bytes(exchange.token_old_sealed or b""), None
                instance.save(update_fields=["token_sealed", "token_refused_at"])
            why = "Its agent knew the new token and does not any more: is its state folder kept? Is it one service?"
            _end(exchange, ExchangeState.FAILED, "forgotten", f"{why} The old token is in use again.")
        case End.REFUSED:
            _end(exchange, ExchangeState.FAILED, turned.reply.code, f"{NEITHER} {said}")
        case End.UNABLE:
            _end(exchange, ExchangeState.FAILED, turned.reply.code, f"{IN_USE} The old one still opens: {said}")
        case _ if now - (exchange.begun_at or now) > PATIENCE:
            doubt = f"{IN_USE} It is not known whether the old one still opens."
            _end(exchange, ExchangeState.FAILED, turned.reply.code, f"{doubt} {said}")
        case _:
            _again(exchange, ExchangeState.UNKNOWN if turned.sent else ExchangeState.PROVEN, turned, said)
    return _failed(exchange)


def _gone(exchange: Exchange, instance: Instance) -> str:
    """Why nothing is sent there any more, or nothing."""
    if instance.retired_at is not None:
        return RETIRED_AFTER if exchange.switched_at else RETIRED
    return MONITORED if instance.monitored_only else ""


def _failed(exchange: Exchange) -> list[tuple[str, dict[str, Any]]]:
    if exchange.state not in {ExchangeState.FAILED, ExchangeState.BY_HAND}:
        return []
    return [("instance.token_not_rotated", {"state": str(exchange.state), "reason": exchange.error})]


def _again(exchange: Exchange, state: ExchangeState, turned: Turned, said: str) -> None:
    _put(exchange, state, turned.reply.code, said)
    if turned.reply.outcome == Outcome.OK and not turned.sent:
        return  # only its time was over
    # With full jitter, as deliveries: instances that failed together do not come back together.
    delay = random.uniform(0, min(LONGEST_DELAY, settings.BACKOFF_SECONDS * 2 ** min(exchange.attempts - 1, 8)))  # noqa: S311
    exchange.next_attempt_at = timezone.now() + timedelta(seconds=max(delay, turned.reply.retry_after or 0.0))


def _end(exchange: Exchange, state: ExchangeState, code: str, error: str) -> None:
    _put(exchange, state, code, error)
    exchange.token_old_sealed = exchange.token_next_sealed = None


def _put(exchange: Exchange, state: ExchangeState, code: str = "", error: str = "") -> None:
    exchange.state, exchange.code, exchange.error = state, code[:40], error[:MOST]
    exchange.changed_at, exchange.lease_until, exchange.next_attempt_at = timezone.now(), None, None


def _old(exchange: Exchange) -> str:
    return unseal(exchange.token_old_sealed or b"")
