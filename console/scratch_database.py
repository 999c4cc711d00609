"""A database for a benchmark: on the same cluster as the console's own, and gone afterwards."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

from django.core.management import call_command
from django.db import connection


@contextmanager
def made(purpose: str = "bench") -> Iterator[str]:
    """Make it, migrate it and use it, in this process and those it starts; the one used before comes back."""
    name, before = f"{purpose}_{os.getpid()}", connection.settings_dict["NAME"]
    with connection.cursor() as cursor:
        cursor.execute(f'CREATE DATABASE "{name}"')
    use(name)
    try:
        call_command("migrate", verbosity=0, interactive=False)
        yield name
    finally:
        use(before)
        with connection.cursor() as cursor:
            cursor.execute(f'DROP DATABASE "{name}" WITH (FORCE)')


def use(name: str) -> None:
    connection.close()
    connection.settings_dict["NAME"] = name
    url, _, query = os.environ["DATABASE_URL"].partition("?")
    os.environ["DATABASE_URL"] = f"{url.rsplit('/', 1)[0]}/{name}" + (f"?{query}" if query else "")
