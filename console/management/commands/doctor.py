"""`manage.py doctor`: is everything there that the console stands on? Exit 0 only when all is well."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import redis
from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from django.db import DatabaseError, connection
from django.db.migrations.executor import MigrationExecutor

from console import audit, audit_proof, checkpoints, live, sealing
from console.models import AuditEvent
from instances_app.models import Instance
from sync_app import heartbeat


class Command(BaseCommand):
    help = "Check database, migrations, Redis, workers, the checker, seal keys, the audit chain and its checkpoints."

    def handle(self, *args: Any, **options: Any) -> None:
        checks: dict[str, Callable[[], str]] = {
            "database": _database,
            "migrations": _migrations,
            "redis": _redis,
            "workers": _workers,
            "checker": _checker,
            "seal keys": _seal_keys,
            "audit chain": _audit,
            "checkpoints": _checkpoints,
        }
        failed = 0
        for name, check in checks.items():
            try:
                word, text = "ok", check()
            except (DatabaseError, redis.RedisError, Unwell) as error:
                failed += 1
                word, text = "FAILED", str(error).strip().split("\n", 1)[0]
            self.stdout.write(f"{word:7} {name}: {text}")
        if failed:
            raise CommandError(f"{failed} of {len(checks)} checks failed.", returncode=1)


class Unwell(Exception):
    """Something is wrong; the message says what, and what to do."""


def _database() -> str:
    with connection.cursor() as cursor:
        cursor.execute("SHOW server_version")
        row = cursor.fetchone()
    return f"Postgres {row[0] if row else '?'} answers"


def _migrations() -> str:
    executor = MigrationExecutor(connection)
    missing = executor.migration_plan(executor.loader.graph.leaf_nodes())
    if missing:
        raise Unwell(f"{len(missing)} not applied; run `python3 manage.py migrate`")
    return "all applied"


def _redis() -> str:
    redis.Redis.from_url(settings.REDIS_URL, socket_connect_timeout=2).ping()
    return "answers"


def _workers() -> str:
    at = live.heartbeat()
    if at is None:
        raise Unwell("no worker has carried out beat's tick yet; are worker and beat running?")
    age = datetime.now(UTC) - at
    if age > timedelta(seconds=3 * settings.TICK_SECONDS):
        raise Unwell(f"the last tick was {age.total_seconds():.0f} s ago; are worker and beat running?")
    return f"the last tick was {age.total_seconds():.0f} s ago"


def _checker() -> str:
    """Whether instances are asked what they run, and often enough for an answer to hold until the next."""
    if settings.STALE_SECONDS <= settings.OBSERVE_SECONDS:
        raise Unwell(
            f"CONSOLE_STALE_SECONDS ({settings.STALE_SECONDS}) is not more than CONSOLE_OBSERVE_SECONDS "
            f"({settings.OBSERVE_SECONDS}): every answer is too old to believe before the next one comes"
        )
    if names := heartbeat.missing():
        span = f"{heartbeat.longest().total_seconds():.0f} s"
        raise Unwell(f"nobody has asked {', '.join(names)} for {span} and more; are worker and beat running?")
    at = heartbeat.oldest()
    return (
        f"everybody was asked {(datetime.now(UTC) - at).total_seconds():.0f} s ago" if at else "no round of checks yet"
    )


def _seal_keys() -> str:
    number = older = 0
    try:
        for instance in Instance.objects.active():
            sealing.unseal(instance.token_sealed)
            number += 1
            older += not sealing.is_current(instance.token_sealed)
    except sealing.SealBroken as error:
        raise Unwell(str(error)) from None
    # Documents are not counted here: each would have to be read whole. `manage.py reseal --check` does.
    return f"{number} tokens can be opened" + (f", {older} with an older key: `manage.py reseal`" if older else "")


def _audit() -> str:
    """The chain, and against it every checkpoint there is."""
    folder = settings.CHECKPOINT_DIR
    try:
        known = checkpoints.read(folder, trusted=checkpoints.public_keys()) if folder.is_dir() else {}
    except checkpoints.BadCheckpoint as error:
        raise Unwell(str(error)) from None
    hashes = {sequence: checkpoint.hash for sequence, checkpoint in known.items()}
    proof = audit_proof.examine(audit.rows(), hashes, whole=True)
    if proof.bad is not None:
        raise Unwell(f"event {proof.bad[0]} is the first bad one: {proof.bad[1]}")
    return f"whole, {proof.events:,} events; {len(known):,} checkpoints agree"


def _checkpoints() -> str:
    """How far the trail is signed; what was recorded within the last three intervals may still wait for it."""
    if not settings.AUDIT_KEYS:
        raise Unwell("CONSOLE_AUDIT_KEY is not set, so none is written; docs/deployment.md says how to make one")
    try:
        last = checkpoints.newest(settings.CHECKPOINT_DIR)
    except checkpoints.BadCheckpoint as error:
        raise Unwell(str(error)) from None
    waiting = AuditEvent.objects.filter(sequence__gt=last.sequence if last else 0).order_by("sequence").first()
    where = f"the last one is of event {last.sequence:,}, {last.at}" if last else "none yet"
    if waiting is None:
        return where
    age = datetime.now(UTC) - waiting.at
    if age > timedelta(seconds=3 * settings.CHECKPOINT_SECONDS):
        raise Unwell(
            f"{where}; event {waiting.sequence:,} has waited for {age.total_seconds():.0f} s. "
            f"Are worker and beat running, and may they write to {settings.CHECKPOINT_DIR}?"
        )
    return f"{where}; event {waiting.sequence:,} waits for the next"
