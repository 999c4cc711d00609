"""What pages cost on much data beside the same pages on little, in one run: for the commands that measure them.

Through Django's test client: the view, its queries and its template. Both sides are asked in turns, so that they meet
the same noise; figures are the median of many, and the best of each side, which feels other work on the machine least.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from django.db import connection
from django.test import Client

from console import scratch_database
from console.models import User

ROUNDS, TIMES = 20, 2  # turns, at most; requests in each

Address = Callable[[Client], str]  # looked up outside of the time


@dataclass(frozen=True, slots=True)
class Spent:
    """Seconds of one request, those of its queries among them."""

    total: float
    database: float
    queries: int
    sent: int  # bytes of the answer


@dataclass(slots=True)
class Clock:
    """Times what is asked of the database."""

    seconds: float = 0.0
    queries: int = 0

    def __call__(self, execute: Any, *asked: Any) -> Any:
        started = time.perf_counter()
        try:
            return execute(*asked)
        finally:
            self.seconds += time.perf_counter() - started
            self.queries += 1


def at(address: str) -> Address:
    """One that needs no looking up."""
    return lambda client: address


def compare(
    person: str, short: tuple[str, Address], long: tuple[str, Address], *, rounds: int = ROUNDS
) -> dict[str, Any]:
    """Two (database, address) pairs, asked by that person."""
    spent: tuple[list[Spent], list[Spent]] = ([], [])
    for _ in range(rounds):
        for found, (database, address) in zip(spent, (short, long), strict=True):
            scratch_database.use(database)
            found.extend(_spent(person, address))
    return _figures(*spent)


def _spent(person: str, address: Address) -> Iterator[Spent]:
    client = Client(SERVER_NAME="localhost")
    client.force_login(User.objects.get(username=person))
    client.get(address(client))  # connects, and fills the caches of both sides
    for _ in range(TIMES):
        asked, clock = address(client), Clock()
        with connection.execute_wrapper(clock):
            started = time.perf_counter()
            answer = client.get(asked)
            total = time.perf_counter() - started
        if answer.status_code != 200:
            raise RuntimeError(f"{asked} answered {answer.status_code}")
        yield Spent(total, clock.seconds, clock.queries, len(answer.content))


def _figures(few: list[Spent], many: list[Spent]) -> dict[str, Any]:
    short, long = (statistics.median(spent.total for spent in part) for part in (few, many))
    return {
        "short_ms": round(1000 * short, 1),
        "long_ms": round(1000 * long, 1),
        "ratio": round(long / short, 2),
        "best_ms": [round(1000 * min(spent.total for spent in part), 1) for part in (few, many)],
        "database_short_ms": round(1000 * statistics.median(spent.database for spent in few), 1),
        "database_long_ms": round(1000 * statistics.median(spent.database for spent in many), 1),
        "queries": [few[-1].queries, many[-1].queries],
        "bytes": [few[-1].sent, many[-1].sent],
    }
