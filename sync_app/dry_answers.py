"""Everything that moves the answers of a dry run, up to its end.

Nothing that is sent changes anything (`instances_app.client.dry`), so asking twice does no harm: whoever asked an
instance under a lease that has ended since is not heard, by `attempts` as fencing number. Locks: run → audit.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from django.conf import settings
from django.db import connection, transaction
from django.db.models import Count
from django.utils import timezone

from console import audit, live
from sync_app.dry_run_models import OPEN, DryAnswerState, DryRun, DryRunState
from sync_app.dry_verdicts import Verdict

AT_ONCE = 100  # instances of one run that all workers together ask at a time
MOST_ATTEMPTS = 3  # at one instance, when workers are killed while they ask it


@dataclass(frozen=True, slots=True)
class Claim:
    """An instance that this worker asks until its lease ends."""

    id: int
    instance_id: int
    attempt: int


def create(run: DryRun, instance_ids: Sequence[int]) -> None:
    """One for each instance, in one statement."""
    with connection.cursor() as cursor:
        cursor.execute(
            """
            INSERT INTO sync_app_dryanswer
                (run_id, instance_id, state, kinds, attempts, changed_at, code, error, placeholders)
            SELECT %s, instance, 'pending', '{}', 0, now(), '', '', '{}' FROM unnest(%s::bigint[]) AS to_(instance)
            """,
            [run.pk, list(instance_ids)],
        )


def claim(run_id: int, *, limit: int) -> list[Claim]:
    """Take up to `limit` instances to ask. All workers together have at most AT_ONCE: they count under a lock."""
    with transaction.atomic():
        run = DryRun.objects.select_for_update().filter(pk=run_id, state=DryRunState.RUNNING).first()
        if run is None:
            return []
        limit = min(limit, AT_ONCE - run.answers.filter(state=DryAnswerState.ASKING).count())
        if limit <= 0:
            return []
        with connection.cursor() as cursor:
            cursor.execute(
                """
                UPDATE sync_app_dryanswer a
                SET state = 'asking', attempts = a.attempts + 1, changed_at = now(),
                    lease_until = now() + make_interval(secs => %s)
                FROM (SELECT id FROM sync_app_dryanswer WHERE run_id = %s AND state = 'pending'
                      ORDER BY id LIMIT %s) due
                WHERE a.id = due.id
                RETURNING a.id, a.instance_id, a.attempts
                """,
                [settings.LEASE_SECONDS, run_id, limit],
            )
            return [Claim(*row) for row in cursor.fetchall()]


def renew(claims: Iterable[Claim]) -> None:
    """Keep the leases while this worker lives."""
    with connection.cursor() as cursor:
        cursor.execute(
            """
            UPDATE sync_app_dryanswer a SET lease_until = now() + make_interval(secs => %s)
            FROM unnest(%s::bigint[], %s::int[]) AS held(id, attempt)
            WHERE a.id = held.id AND a.attempts = held.attempt AND a.state = 'asking'
            """,
            [settings.LEASE_SECONDS, *_columns(claims)],
        )


def record(run: DryRun, results: Sequence[tuple[Claim, tuple[str, ...], Verdict]]) -> None:
    """Write down what a batch brought, each with the documents it was asked about, in one statement; ping the pages."""
    if not results:
        return
    rows = [
        {
            "id": claim.id,
            "attempt": claim.attempt,
            "kinds": kinds,
            "state": verdict.state,
            "code": verdict.code[:40],
            "error": verdict.error[:500],
            "reached": verdict.checks.reached,
            "admitted": verdict.checks.admitted,
            "validator": verdict.checks.validator,
            "writable": verdict.checks.writable,
            "room": verdict.checks.room,
            "free_bytes": verdict.checks.free_bytes,
            "placeholders": verdict.checks.placeholders,
        }
        for claim, kinds, verdict in results
    ]
    with connection.cursor() as cursor:
        cursor.execute(
            """
            UPDATE sync_app_dryanswer a
            SET state = v.state, kinds = v.kinds, code = v.code, error = v.error, reached = v.reached,
                admitted = v.admitted, validator = v.validator, writable = v.writable, room = v.room,
                free_bytes = v.free_bytes, placeholders = v.placeholders, lease_until = NULL, changed_at = now()
            FROM jsonb_to_recordset(%s::jsonb) AS v(id bigint, attempt int, kinds text[], state text, code text,
                error text, reached bool, admitted bool, validator bool, writable bool, room bool, free_bytes bigint,
                placeholders jsonb)
            WHERE a.id = v.id AND a.attempts = v.attempt AND a.state = 'asking'
            """,
            [json.dumps(rows)],
        )
    live.ping(run.change.environment_id, topic(run.change_id))


def close(run_id: int) -> None:
    """End the run when every instance has its answer; nothing when it has ended already."""
    with transaction.atomic():
        run = _lock(run_id)
        if run is not None and not run.answers.filter(state__in=OPEN).exists():
            _end(run, DryRunState.FINISHED)


def stop(run_id: int, *, because: str) -> None:
    """Ask nobody else."""
    with transaction.atomic():
        run = _lock(run_id)
        if run is not None:
            left = run.answers.filter(state__in=OPEN)
            left.update(state=DryAnswerState.SKIPPED, error=because, lease_until=None, changed_at=timezone.now())
            _end(run, DryRunState.STOPPED, because=because)


def resume() -> list[int]:
    """Beat's part: what a killed worker left behind is asked again, a few times. The runs that are not at their end."""
    with connection.cursor() as cursor:
        cursor.execute(
            """
            UPDATE sync_app_dryanswer a
            SET state = CASE WHEN a.attempts < %(most)s THEN 'pending' ELSE 'unknown' END,
                code = CASE WHEN a.attempts < %(most)s THEN '' ELSE 'lease_expired' END,
                error = CASE WHEN a.attempts < %(most)s THEN '' ELSE 'The worker stopped each time it asked.' END,
                lease_until = NULL, changed_at = now()
            WHERE a.id IN (SELECT id FROM sync_app_dryanswer WHERE state = 'asking' AND lease_until < now()
                           FOR UPDATE SKIP LOCKED)
            """,
            {"most": MOST_ATTEMPTS},
        )
    return list(DryRun.objects.filter(state=DryRunState.RUNNING).order_by("pk").values_list("pk", flat=True))


def topic(change_id: int) -> str:
    """What open pages of the change are pinged with."""
    return f"dry-run-{change_id}"


def _lock(run_id: int) -> DryRun | None:
    """The run, held, while it has not ended."""
    DryRun.objects.select_for_update().only("pk").get(pk=run_id)
    running = DryRun.objects.filter(pk=run_id, state=DryRunState.RUNNING)
    return running.select_related("change__environment").first()


def _end(run: DryRun, state: DryRunState, *, because: str = "") -> None:
    run.state, run.finished_at, run.ended_because = state, timezone.now(), because
    run.save(update_fields=["state", "finished_at", "ended_because"])
    counts: Counter[str] = Counter()
    for word, number in run.answers.values_list("state").annotate(Count("pk")).order_by():
        counts[word] = number
    audit.record(
        "change.dry_run_finished",
        actor=None,
        target=run.change,
        run=run.number,
        state=state.value,
        answers=dict(counts),
    )
    ping(run)


def ping(run: DryRun) -> None:
    environment_id, name = run.change.environment_id, topic(run.change_id)
    transaction.on_commit(lambda: live.ping(environment_id, name), robust=True)


def _columns(claims: Iterable[Claim]) -> list[list[Any]]:
    held = list(claims)
    return [[claim.id for claim in held], [claim.attempt for claim in held]]
