"""Draining around each push: nothing stays drained for ever.

`Delivery.drained_since` is written before an instance is drained and emptied when it says that it takes traffic again.
Whatever happens in between (a killed worker, a timeout, a cancel, a rejected push), the next attempt or beat undrains
it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.db import connection
from django.db.models import Exists, OuterRef, QuerySet

from console import live
from instances_app.client import Drain, Fleet, Pushed, Stop, Undrain, Undrained, undrained
from instances_app.models import Instance
from instances_app.plans import Plan
from sync_app.models import Delivery, DeliveryState, Rollout, RolloutState
from sync_app.verdicts import Verdict

if TYPE_CHECKING:
    from sync_app.deliveries import Claim

BATCH = 250
FLUSH_SECONDS = 0.25
RETIRED = (
    "It was retired while it was drained, so nobody asks it any more. Where it is still in use: POST /admin/undrain."
)
OVERLOOKED = "drained"  # in Rollout.overlooked, beside the states
# It answers and is drained all the same. One that does not answer is a matter of the plan's rule for that.
ANSWERED = (DeliveryState.VERIFIED, DeliveryState.REJECTED, DeliveryState.FAILED)


class Draining:
    """What one worker needs for a rollout whose plan drains."""

    def __init__(self, rollout: Rollout, plan: Plan) -> None:
        self._rollout_id, self._seconds = rollout.pk, plan.drain_seconds
        self.stop = Stop()

    def intend(self, claims: Iterable[Claim], capabilities: Mapping[int, AbstractSet[str]]) -> dict[int, Drain]:
        """delivery → its draining; the intention is committed before anybody is drained.

        Who has lost its claim meanwhile drains nobody.
        """
        claims = list(claims)
        able = {claim.id: "drain" in capabilities[claim.instance_id] for claim in claims}
        with connection.cursor() as cursor:
            cursor.execute(
                """
                WITH mine AS (
                    SELECT d.id, d.drained_since IS NOT NULL AS owed, claimed.drains
                    FROM sync_app_delivery d
                    JOIN unnest(%s::bigint[], %s::int[], %s::bool[]) AS claimed(id, attempt, drains)
                        ON claimed.id = d.id AND claimed.attempt = d.attempts AND d.state = 'sending'
                    ORDER BY d.id FOR UPDATE OF d
                )
                UPDATE sync_app_delivery d
                SET drained_since = CASE WHEN mine.drains OR mine.owed THEN clock_timestamp() END
                FROM mine WHERE d.id = mine.id
                RETURNING d.id, mine.owed
                """,
                [
                    [claim.id for claim in claims],
                    [claim.attempt for claim in claims],
                    [able[claim.id] and claim.may_send for claim in claims],
                ],
            )
            owed = dict(cursor.fetchall())
        return {
            pk: Drain(seconds=self._seconds, stop=self.stop, owed=owed.get(pk, False), possible=can and pk in owed)
            for pk, can in able.items()
        }

    def look(self) -> None:
        """Whether the rollout is still to be sent: what is drained meanwhile is not pushed to otherwise."""
        state = Rollout.objects.values_list("state", flat=True).get(pk=self._rollout_id)
        self.stop.closed = state != RolloutState.RUNNING


def note(verdict: Verdict, pushed: Pushed) -> Verdict:
    """Say in the evidence what became of the draining."""
    drain = pushed.drain
    if drain is None or not pushed.sent or not verdict.evidence:
        return verdict
    words = "Drained around it." if drain.used else "Its agent cannot drain, so it was pushed to without."
    return replace(verdict, evidence=f"{verdict.evidence} {words}")


def settle(results: Iterable[tuple[Claim, Pushed]]) -> None:
    """Empty the intentions of attempts that ended undrained, and keep why others did not. Fenced by the attempt."""
    ended = [(claim, pushed.drain) for claim, pushed in results if pushed.drain is not None]
    if not ended:
        return
    with connection.cursor() as cursor:
        cursor.execute(
            """
            UPDATE sync_app_delivery d
            SET drained_since = CASE WHEN v.owed THEN d.drained_since END, drain_error = v.error
            FROM unnest(%s::bigint[], %s::int[], %s::bool[], %s::text[]) AS v(id, attempt, owed, error)
            WHERE d.id = v.id AND d.attempts = v.attempt
            """,
            [
                [claim.id for claim, _ in ended],
                [claim.attempt for claim, _ in ended],
                [drain.left for _, drain in ended],
                [drain.error[:300] for _, drain in ended],
            ],
        )


def owed() -> QuerySet[Delivery]:
    """Whose instances may still be drained, with no worker at them, be it one of another rollout."""
    drained = Delivery.objects.filter(drained_since__isnull=False)
    draining = drained.filter(instance=OuterRef("instance"), state=DeliveryState.SENDING)
    return drained.exclude(state=DeliveryState.SENDING).exclude(Exists(draining))


def left(rollout: Rollout) -> QuerySet[Delivery]:
    """Those of one rollout, whoever is at them."""
    return rollout.deliveries.filter(drained_since__isnull=False).exclude(state=DeliveryState.SENDING)


def ask() -> int:
    """Undrain them now, at most BATCH; how many of them are still drained.

    In no order, so that those that never come back keep nobody from being asked. A worker that drains one meanwhile
    writes another time beside it; then this answer counts for nothing.
    """
    _let_go_retired()
    found = list(owed().select_related("instance__environment", "rollout").order_by("?")[:BATCH])
    answers: dict[int, Undrained] = {}
    with Fleet(connect_timeout=settings.CONNECT_SECONDS, read_timeout=settings.READ_SECONDS) as fleet:
        for delivery in found:
            fleet.submit(Undrain(key=delivery.pk, target=delivery.instance.target))
        while len(answers) < len(found):
            results = fleet.results(timeout=FLUSH_SECONDS)
            answers |= {result.key: result for result in results if isinstance(result, Undrained)}
    still = 0
    for delivery in found:
        done = undrained(answers[delivery.pk].reply)
        still += not done
        _keep(delivery.pk, delivery.drained_since, done=done, error=answers[delivery.pk].reply.error)
    for environment_id, rollout_id in {(one.rollout.environment_id, one.rollout_id) for one in found}:
        live.ping(environment_id, f"rollout-{rollout_id}", "fleet")
    return still


def _let_go_retired() -> None:
    """Nothing is sent to a retired instance; its row says what became of it."""
    gone = Instance.objects.filter(retired_at__isnull=False)
    owed().filter(instance__in=gone).update(drained_since=None, drain_error=RETIRED)


def _keep(pk: int, since: datetime | None, *, done: bool, error: str) -> None:
    values: dict[str, Any] = {"drained_since": None, "drain_error": ""} if done else {"drain_error": error[:300]}
    Delivery.objects.filter(pk=pk, drained_since=since).update(**values)
