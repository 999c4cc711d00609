"""Who does something for the whole console alone: whoever comes second leaves it to the first."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from django.db import connection


@contextmanager
def alone(key: int) -> Iterator[bool]:
    """Whether nobody else is at it; until the end of the block nobody else is. The lock is the session's."""
    held = _ask("pg_try_advisory_lock", key)
    try:
        yield held
    finally:
        if held:
            _ask("pg_advisory_unlock", key)


def _ask(function: str, key: int) -> bool:
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT {function}(%s)", [key])
        row = cursor.fetchone()
    return bool(row and row[0])
