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

from console import audit, live, sealing
from instances_app.models import Instance


class Command(BaseCommand):
    help = "Check database, migrations, Redis, workers, seal keys and the audit chain."

    def handle(self, *args: Any, **options: Any) -> None:
        checks: dict[str, Callable[[], str]] = {
            "database": _database,
            "migrations": _migrations,
            "redis": _redis,
            "workers": _workers,
            "seal keys": _seal_keys,
            "audit chain": _audit,
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
    bad = audit.first_bad(audit.rows())
    if bad is not None:
        raise Unwell(f"event {bad[0]} is the first bad one: {bad[1]}")
    return "whole"
