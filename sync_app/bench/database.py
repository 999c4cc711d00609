"""A database of its own for a measurement, on the console's cluster, dropped afterwards."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

from django.core.management import call_command
from django.db import connection


@contextmanager
def scratch_database() -> Iterator[None]:
    """Everything in the block works on an empty, migrated database; processes it starts find it in DATABASE_URL."""
    name, before = f"bench_{os.getpid()}", connection.settings_dict["NAME"]
    with connection.cursor() as cursor:
        cursor.execute(f'CREATE DATABASE "{name}"')
    _use(name)
    try:
        call_command("migrate", verbosity=0, interactive=False)
        yield
    finally:
        _use(before)
        with connection.cursor() as cursor:
            cursor.execute(f'DROP DATABASE "{name}" WITH (FORCE)')


def _use(name: str) -> None:
    connection.close()
    connection.settings_dict["NAME"] = name
    url, _, query = os.environ["DATABASE_URL"].partition("?")
    os.environ["DATABASE_URL"] = f"{url.rsplit('/', 1)[0]}/{name}" + (f"?{query}" if query else "")
