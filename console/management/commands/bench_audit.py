"""`manage.py bench_audit --events 1000000`: the audit page on a long trail beside the same page on a hundred events.

Both trails are made in databases of their own, chained as the real one is; the console's data is not touched.
"""

from __future__ import annotations

import hashlib
import json
import resource
import time
from argparse import ArgumentParser
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

from django.core.management.base import BaseCommand
from django.db import connection

from console import audit, audit_proof, bench_pages, scratch_database
from console.models import AuditEvent, Role, RoleBinding, User
from instances_app.models import Environment

SHORT = 100
ENVIRONMENTS = 50
SEEN = 3  # environments in which the viewer has a role
PEOPLE = 20
PAGE = 50
ACTIONS = (
    "change.opened",
    "change.edited",
    "change.approved",
    "change.published",
    "rollout.started",
    "instance.checked",
)
COLUMNS = (*audit.CHAINED, "hash")


class Command(BaseCommand):
    help = "Measure the audit page on a long trail against a short one."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--events", type=int, default=1_000_000)
        parser.add_argument("--json", action="store_true", help="print one JSON object")

    def handle(self, *args: Any, **options: Any) -> None:
        number = options["events"]
        with scratch_database.made("bench_short") as short, scratch_database.made("bench_long") as long:
            for name, events in ((short, SHORT), (long, number)):
                scratch_database.use(name)
                self.stderr.write(f"recording {events:,} events")
                filled = _fill(events)
            self.stderr.write("verifying the chain")
            figures: dict[str, Any] = {"events": number, "fill_s": round(filled, 1), "verify": _verify(), "pages": {}}
            for name, page in _pages(short, long, number):
                self.stderr.write(f"{name:24} {json.dumps(page)}")
                figures["pages"][name] = page
        if options["json"]:
            self.stdout.write(json.dumps(figures))
        else:
            self.stdout.write(f"fill {figures['fill_s']} s, verify {json.dumps(figures['verify'])}")


def _pages(short: str, long: str, number: int) -> Iterator[tuple[str, dict[str, Any]]]:
    """Server time of each page on both, the median of many."""
    # On the short trail every page shows as many rows as on the long one, or drawing them would be measured.
    asked = {
        "first": ("", ""),
        "actor": ("?who=person-1", "?who=person-1"),
        "page_500": (f"?before={SHORT}", f"?before={number - 499 * PAGE + 1}"),
        "family": ("?action=change.*", "?action=change.*"),
        "rare_word": ("?text=bench", f"?text=needle{number // 20_000}"),
        "common_word": ("?text=bench", "?text=environment-1"),
        "every_word": ("?text=bench", "?text=bench"),
        "moment": ("?until=2026-01-02", "?until=2026-01-02"),
    }
    for person in ("superuser", "viewer"):
        for page, addresses in asked.items():
            few, many = (bench_pages.at(f"/audit/{query}") for query in addresses)
            yield f"{page}_{person}", bench_pages.compare(person, (short, few), (long, many))


def _verify() -> dict[str, Any]:
    before, started = _peak_mb(), time.perf_counter()
    proof = audit_proof.examine(audit.rows(), {}, whole=True)
    took = time.perf_counter() - started
    return {
        "s": round(took, 1),
        "per_second": round(proof.events / took),
        "more_memory_mb": round(_peak_mb() - before, 1),
    }


def _fill(number: int) -> float:
    """A trail of that length, and the two people who look at it. Returns the seconds it took."""
    started = time.perf_counter()
    User.objects.create_superuser("superuser")
    viewer = User.objects.create(username="viewer")
    environments = Environment.objects.bulk_create(Environment(name=f"environment-{i}") for i in range(ENVIRONMENTS))
    RoleBinding.objects.bulk_create(
        RoleBinding(user=viewer, environment=environment, role=Role.VIEWER) for environment in environments[:SEEN]
    )
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT indexname, indexdef FROM pg_indexes WHERE tablename = %s AND indexname LIKE 'audit_by_%%'",
            [AuditEvent._meta.db_table],
        )
        indexes = cursor.fetchall()
        for name, _ in indexes:
            cursor.execute(f'DROP INDEX "{name}"')
        with cursor.copy(f"COPY {AuditEvent._meta.db_table} ({', '.join(COLUMNS)}) FROM STDIN") as copy:
            for row in _events(number):
                copy.write_row(row)
        for _, definition in indexes:
            cursor.execute(definition)
        cursor.execute(f"VACUUM ANALYZE {AuditEvent._meta.db_table}")
    return time.perf_counter() - started


def _events(number: int) -> Iterator[list[Any]]:
    """Rows for COPY. A short trail is one that the viewer sees whole and of which person-1 did half."""
    previous, at = "", datetime(2026, 1, 1, tzinfo=UTC)
    places, people = (SEEN, 2) if number == SHORT else (ENVIRONMENTS, PEOPLE)
    for sequence in range(1, number + 1):
        at += timedelta(seconds=7)
        seed = hashlib.sha256(str(sequence).encode()).digest()
        person, place = seed[0] % people, seed[1] % places
        row: dict[str, Any] = {
            "sequence": sequence,
            "at": at.isoformat(timespec="microseconds"),
            "action": ACTIONS[seed[2] % len(ACTIONS)],
            "actor_id": 1000 + person,
            "actor_name": f"person-{person}",
            "address": f"10.0.0.{seed[3]}",
            "session": seed[4:10].hex(),
            "request_id": seed[:16].hex(),
            "environment": f"environment-{place}",
            "target_type": "change",
            "target_id": str(sequence // 7),
            "target_label": f"Change {sequence // 7} needle{sequence // 20}",
            "data": {"digests": {"webhooks": seed.hex(), "connections": seed[::-1].hex()}, "source": "bench"},
            "previous_hash": previous,
        }
        previous = row["hash"] = audit.chain_hash(row)
        row["data"] = json.dumps(row["data"])
        yield [row.get(name) for name in COLUMNS]


def _peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
