"""Everything that moves a Delivery.

Workers compare and set: `attempts` is the fencing number, so a result that comes after its lease was taken over
changes nothing. No transaction is open while anything is on the wire.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from django.conf import settings
from django.db import connection, transaction
from django.utils import timezone

from configs_app import reasons
from console import live
from instances_app import observations
from instances_app.client import Outcome, Pushed
from instances_app.models import Instance
from instances_app.observations import Sighting
from sync_app import draining, verdicts
from sync_app.models import FINAL, WAITING, WITH_REASON, Delivery, DeliveryState, Rollout, RolloutState
from sync_app.verdicts import Attempt, Verdict

# What becomes of a delivery that is proven not to have arrived, once nothing more of its rollout is sent.
ENDED_AS: dict[str, DeliveryState] = {
    RolloutState.CANCELLED: DeliveryState.CANCELLED,
    RolloutState.SUPERSEDED: DeliveryState.SUPERSEDED,
}
# Of a push that was on its way to the address from before: it proves nothing of the one that is there now.
ELSEWHERE = Verdict(
    DeliveryState.UNKNOWN,
    "moved",
    "Its address was changed while it was being sent to. The new one is asked what runs there.",
    delay=0.0,
)


@dataclass(frozen=True, slots=True)
class Claim:
    """A delivery that this worker owns until its lease ends."""

    id: int
    instance_id: int
    attempt: int
    was: str  # the state it was claimed from
    sent_before: bool
    may_send: bool


def create(rollout: Rollout, waves: Sequence[Sequence[int]]) -> None:
    """One delivery for each instance (ids), wave by wave, in one statement."""
    with connection.cursor() as cursor:
        cursor.execute(
            """
            INSERT INTO sync_app_delivery
                (rollout_id, instance_id, wave, kinds, state, attempts, changed_at, code, error, evidence)
            SELECT %s, to_.instance, to_.wave, %s, 'pending', 0, now(), '', '', ''
            FROM unnest(%s::bigint[], %s::int[]) AS to_(instance, wave)
            """,
            [
                rollout.pk,
                list(rollout.bundle.digests()),
                [pk for wave in waves for pk in wave],
                [number for number, wave in enumerate(waves, start=1) for _ in wave],
            ],
        )


def claim(rollout_id: int, *, limit: int, at_once: int = 0) -> list[Claim]:
    """Take up to `limit` due deliveries; rows another worker is taking are skipped, not waited for.

    Waves that are not open are left alone. While a rollout is held, and after it has ended, only what may have been
    sent (`unknown`) is taken, and only to read it back. With `at_once`, no more than that are being sent at a time by
    all workers together: they count under the rollout's lock, one after the other.
    """
    if not at_once:
        return _claim(rollout_id, limit)
    with transaction.atomic():
        Rollout.objects.select_for_update().only("pk").get(pk=rollout_id)
        sending = Delivery.objects.filter(rollout_id=rollout_id, state=DeliveryState.SENDING).count()
        return _claim(rollout_id, min(limit, at_once - sending))


def _claim(rollout_id: int, limit: int) -> list[Claim]:
    if limit <= 0:
        return []
    with connection.cursor() as cursor:
        cursor.execute(
            """
            WITH due AS (
                SELECT d.id, d.state AS was, r.state = 'running' AS may_send
                FROM sync_app_delivery d JOIN sync_app_rollout r ON r.id = d.rollout_id
                WHERE d.rollout_id = %s
                  AND d.wave <= r.wave
                  AND d.state IN ('pending', 'retrying', 'unknown')
                  AND (r.state = 'running' OR d.state = 'unknown')
                  AND (d.next_attempt_at IS NULL OR d.next_attempt_at <= now())
                ORDER BY d.next_attempt_at NULLS FIRST, d.id
                LIMIT %s
                FOR UPDATE OF d SKIP LOCKED
            )
            UPDATE sync_app_delivery d
            SET state = 'sending', attempts = d.attempts + 1, changed_at = now(), next_attempt_at = NULL,
                lease_until = now() + make_interval(secs => %s)
            FROM due WHERE d.id = due.id
            RETURNING d.id, d.instance_id, d.attempts, due.was, d.sent_at IS NOT NULL, due.may_send
            """,
            [rollout_id, limit, settings.LEASE_SECONDS],
        )
        return [
            Claim(id_, instance, attempt, was, sent or was == DeliveryState.UNKNOWN, may_send)
            for id_, instance, attempt, was, sent, may_send in cursor.fetchall()
        ]


def renew(claims: Iterable[Claim]) -> None:
    """Prolong the leases of what is still on the wire."""
    held = list(claims)
    with connection.cursor() as cursor:
        cursor.execute(
            """
            UPDATE sync_app_delivery d SET lease_until = now() + make_interval(secs => %s)
            FROM unnest(%s::bigint[], %s::int[]) AS held(id, attempt)
            WHERE d.id = held.id AND d.attempts = held.attempt AND d.state = 'sending'
            """,
            [settings.LEASE_SECONDS, [claim.id for claim in held], [claim.attempt for claim in held]],
        )


def expire_leases() -> list[int]:
    """What a dead worker held is unknown now, and due for a read-back. Returns the rollouts concerned."""
    with connection.cursor() as cursor:
        cursor.execute(
            """
            UPDATE sync_app_delivery
            SET state = 'unknown', lease_until = NULL, next_attempt_at = now(), changed_at = now(),
                sent_at = coalesce(sent_at, changed_at),
                code = 'lease_expired', error = 'The worker stopped while sending. Reading back what arrived.'
            WHERE id IN (SELECT id FROM sync_app_delivery WHERE state = 'sending' AND lease_until < now()
                         FOR UPDATE SKIP LOCKED)
            RETURNING rollout_id
            """
        )
        return sorted({row[0] for row in cursor.fetchall()})


def record(
    rollout: Rollout, results: Sequence[tuple[Claim, Pushed]], *, hide: Callable[[str], str] | None = None
) -> bool:
    """Write down what a batch of attempts brought: deliveries, observations, refused tokens; then ping the pages.

    `hide` takes the documents' secrets out of instances' words. Whether something of it may be a reason to halt.
    """
    if not results:
        return False
    wanted = rollout.bundle.digests()
    moved = _moved(results)
    verdicts_ = [
        ELSEWHERE if claim.id in moved else draining.note(_verdict(rollout, claim, pushed, wanted), pushed)
        for claim, pushed in results
    ]
    if any(verdict.error for verdict in verdicts_):
        hide = hide or reasons.hiding(revision.text for revision in rollout.bundle.revisions())
        verdicts_ = [replace(verdict, error=hide(verdict.error)) if verdict.error else verdict for verdict in verdicts_]
    now = timezone.now()
    with transaction.atomic():
        _update(results, verdicts_, now)
        draining.settle(results)
        refused = [claim.instance_id for (claim, _), v in zip(results, verdicts_, strict=True) if v.token_refused]
        if refused:  # those that are seen and those that refuse together, in the order in which everybody locks them
            batch = Instance.objects.filter(pk__in=[claim.instance_id for claim, _ in results]).order_by("pk")
            list(batch.select_for_update(no_key=True).values_list("pk"))
        observations.record(_sightings((claim, pushed) for claim, pushed in results if claim.id not in moved))
        if refused:
            Instance.objects.filter(pk__in=refused, token_refused_at=None).update(token_refused_at=now)
    live.ping(rollout.environment_id, f"rollout-{rollout.pk}", "fleet")
    return any(verdict.state in WITH_REASON for verdict in verdicts_) or any(
        pushed.drain is not None and pushed.drain.left for _, pushed in results
    )


def end_waiting(rollout: Rollout) -> int:
    """Nothing more of a rollout that has ended is sent: what waits ends with it, what may have arrived is read back.

    Held by the rollout's lock; how many ended unsent.
    """
    now = timezone.now()
    waiting = rollout.deliveries.filter(state__in=WAITING)
    waiting.exclude(sent_at=None).update(state=DeliveryState.UNKNOWN, changed_at=now)
    return waiting.filter(sent_at=None).update(
        state=ENDED_AS[rollout.state], finished_at=now, changed_at=now, next_attempt_at=None
    )


def _verdict(rollout: Rollout, claim: Claim, pushed: Pushed, wanted: dict[str, str]) -> Verdict:
    attempt = Attempt(
        number=claim.attempt,
        of=rollout.max_attempts,
        wanted=wanted,
        sent_before=claim.sent_before,
        may_send=claim.may_send and not (pushed.drain is not None and pushed.drain.held),
        unsent_as=ENDED_AS.get(rollout.state, DeliveryState.PENDING),
    )
    return verdicts.decide(pushed, attempt, backoff=settings.BACKOFF_SECONDS)


def _moved(results: Sequence[tuple[Claim, Pushed]]) -> set[int]:
    """Deliveries that were on the wire while their instance was given another address."""
    asked = [claim.id for claim, pushed in results if pushed.was_asked]
    with connection.cursor() as cursor:
        cursor.execute(
            """
            SELECT d.id FROM sync_app_delivery d JOIN instances_app_instance i ON i.id = d.instance_id
            WHERE d.id = ANY(%s) AND d.state = 'sending' AND i.moved_at >= d.changed_at
            """,
            [asked],
        )
        return {pk for (pk,) in cursor.fetchall()}


def _sightings(results: Iterable[tuple[Claim, Pushed]]) -> Iterable[Sighting]:
    for claim, pushed in results:
        for reply in (pushed.read_back, pushed.looked):
            digests = observations.reported_digests(reply) if reply is not None else {}
            if digests:
                yield Sighting(claim.instance_id, digests, datetime.fromtimestamp(pushed.finished_at, UTC))
                break


def _left_at(pushed: Pushed) -> float | None:
    """When a push left us (time.time()); a connection that never came about sent nothing."""
    if pushed.sent_at is None or all(reply.outcome == Outcome.UNREACHABLE for reply in pushed.sent):
        return None
    return pushed.sent_at


def _update(results: Sequence[tuple[Claim, Pushed]], verdicts_: Sequence[Verdict], now: datetime) -> None:
    """One UPDATE for the whole batch, fenced by state and attempt."""
    rows = [
        {
            "id": claim.id,
            "attempt": claim.attempt,
            "state": verdict.state,
            "code": verdict.code,
            "error": verdict.error[:500],
            "evidence": verdict.evidence,
            "due": None if verdict.delay is None else (now + timedelta(seconds=verdict.delay)).isoformat(),
            "sent": _left_at(pushed),
            "final": verdict.state in FINAL,
        }
        for (claim, pushed), verdict in zip(results, verdicts_, strict=True)
    ]
    with connection.cursor() as cursor:
        cursor.execute(
            """
            UPDATE sync_app_delivery d
            SET state = v.state, code = v.code, error = v.error, evidence = v.evidence, next_attempt_at = v.due,
                sent_at = coalesce(to_timestamp(v.sent), d.sent_at), lease_until = NULL, changed_at = %(now)s,
                finished_at = CASE WHEN v.final THEN %(now)s::timestamptz END
            FROM jsonb_to_recordset(%(rows)s::jsonb)
                 AS v(id bigint, attempt int, state text, code text, error text, evidence text, due timestamptz,
                      sent double precision, final bool)
            WHERE d.id = v.id AND d.attempts = v.attempt AND d.state = 'sending'
            """,
            {"rows": json.dumps(rows), "now": now},
        )
