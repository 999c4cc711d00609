"""`manage.py bench_fleet --instances 10000`: the pages of a large fleet beside the same pages of one with a hundred.

Both fleets are made in databases of their own, which are dropped afterwards; the console's data is not touched. Of the
large one a hundredth has drifted, another is down, half carries a label; a rollout to all of it is half way.
"""

from __future__ import annotations

import json
import re
from argparse import ArgumentParser
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

from django.core.management.base import BaseCommand
from django.db import connection
from django.test import Client
from django.utils import timezone

from configs_app import documents
from console import bench_pages, scratch_database
from console.bench_pages import Address
from console.models import User
from console.sealing import seal
from instances_app.models import Environment, Instance
from sync_app import deliveries
from sync_app.models import Cause, Rollout

FEW = 100  # as many as a page shows
PAST = 10  # rollouts that have ended
CHANGED = 25  # rows of a page that change between two live answers

OBSERVATIONS = """
INSERT INTO instances_app_observation (instance_id, kind, digest, since, seen_at, until)
SELECT i.id, w.kind, CASE WHEN left_.yes AND w.kind = 'webhooks' THEN repeat('e', 64) ELSE w.digest END,
    now(), now() + interval '1 hour', NULL
FROM instances_app_instance i CROSS JOIN (VALUES ('webhooks', %(webhooks)s), ('connections', %(connections)s))
    AS w (kind, digest)
CROSS JOIN LATERAL (SELECT i.id %% 100 = 11 AS yes) AS left_
UNION ALL
SELECT i.id, 'webhooks', %(webhooks)s, now() - interval '1 minute', now() + interval '1 hour', now() + interval '1 hour'
FROM instances_app_instance i WHERE i.id %% 100 = 11
"""
ENDED = """
UPDATE sync_app_delivery SET state = 'verified', evidence = 'Read back after the push.', attempts = 1,
    finished_at = now(), sent_at = now() WHERE rollout_id = %s
"""
# Half way: as many as the first half of the deliveries; of these one in fifty was refused.
UNDER_WAY = """
UPDATE sync_app_delivery SET attempts = 1, sent_at = now(),
    state = CASE WHEN id %% 50 = 3 THEN 'rejected' WHEN id %% 50 = 4 THEN 'sending' ELSE 'verified' END,
    lease_until = now() + interval '1 hour', error = CASE WHEN id %% 50 = 3 THEN 'Unknown module' ELSE '' END,
    evidence = 'Read back after the push.', finished_at = CASE WHEN id %% 50 = 4 THEN NULL ELSE now() END
WHERE rollout_id = %s AND id IN (SELECT id FROM sync_app_delivery WHERE rollout_id = %s ORDER BY id LIMIT %s)
"""


class Command(BaseCommand):
    help = (
        "Measure the fleet page, its filters, the rollout page and live updates on a large fleet against a small one."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--instances", type=int, default=10_000)
        parser.add_argument("--rounds", type=int, default=10, help="turns of both fleets for each page")
        parser.add_argument("--json", action="store_true", help="print one JSON object")

    def handle(self, *args: Any, **options: Any) -> None:
        number = options["instances"]
        with scratch_database.made("bench_few") as few, scratch_database.made("bench_many") as many:
            for name, instances in ((few, FEW), (many, number)):
                scratch_database.use(name)
                self.stderr.write(f"making a fleet of {instances:,}")
                _fill(instances)
            figures: dict[str, Any] = {"instances": number, "pages": {}}
            for name, page in _pages(few, many, options["rounds"]):
                self.stderr.write(f"{name:24} {json.dumps(page)}")
                figures["pages"][name] = page
        if options["json"]:
            self.stdout.write(json.dumps(figures))


def _pages(few: str, many: str, rounds: int) -> Iterator[tuple[str, dict[str, Any]]]:
    """Each page on both. What is asked of the small fleet shows as many rows, or drawing them would be measured."""
    fleet = "/e/bench/"
    for name, on_few, on_many in (
        ("home", "/", "/"),
        ("fleet", fleet, fleet),
        ("fleet_middle", fleet, f"{fleet}?after=edge-05000"),
        ("fleet_in_sync", f"{fleet}?config=in+sync", f"{fleet}?config=in+sync"),
        ("fleet_drifted", f"{fleet}?label=region%3Deu", f"{fleet}?config=drifted"),
        ("fleet_down", f"{fleet}?health=healthy", f"{fleet}?health=down"),
        ("fleet_label", f"{fleet}?label=region%3Deu", f"{fleet}?label=region%3Deu&q=edge-050"),
        ("fleet_common_text", f"{fleet}?q=edge", f"{fleet}?q=edge"),
        ("fleet_rare_text", f"{fleet}?q=edge-000", f"{fleet}?q=edge-099"),
    ):
        yield (
            name,
            bench_pages.compare("bench", (few, bench_pages.at(on_few)), (many, bench_pages.at(on_many)), rounds=rounds),
        )
    for name, page in (("fleet", bench_pages.at(fleet)), ("rollout", _rollout(""))):
        for changed in (0, CHANGED):
            live = _live(page, changed)
            yield f"{name}_live_{changed}_rows", bench_pages.compare("bench", (few, live), (many, live), rounds=rounds)
    for name, on_few, on_many in (
        ("rollout", "", ""),
        ("rollout_failed", "", "?state=failed"),
        ("rollout_text", "?q=edge", "?q=edge-05"),
    ):
        pair = (few, _rollout(on_few)), (many, _rollout(on_many))
        yield name, bench_pages.compare("bench", *pair, rounds=rounds)


def _rollout(query: str) -> Address:
    """The page of the last one."""
    return lambda client: f"/rollouts/{Rollout.objects.order_by('-pk').values_list('pk', flat=True)[0]}/{query}"


def _live(page: Address, changed: int) -> Address:
    """What an open page asks for next, after so many of its rows have changed."""

    def address(client: Client) -> str:
        body = client.get(page(client)).content.decode()
        asked = re.search(r'id="live"[^>]*hx-get="([^"]*)"', body)
        seen = re.search(r'id="seen" name="seen" value="([^"]*)"', body)
        if asked is None or seen is None:
            raise RuntimeError("The page asks for nothing.")
        rows = [int(pk) for pk in re.findall(r'<tr id="(?:instance|delivery)-(\d+)"', body)]
        kind = "instance" if 'id="instance-' in body else "delivery"
        column = "health_at" if kind == "instance" else "changed_at"
        table = "instances_app_instance" if kind == "instance" else "sync_app_delivery"
        with connection.cursor() as cursor:
            cursor.execute(f"UPDATE {table} SET {column} = clock_timestamp() WHERE id = ANY(%s)", [rows[:changed]])
        return f"{asked[1].replace('&amp;', '&')}&seen={seen[1]}"

    return address


def _instances(environment: Environment, number: int) -> Iterator[Instance]:
    token, seen = seal("bench"), timezone.now() + timedelta(hours=1)
    info = {"version": "1.2.3", "agent_version": "1.0", "protocol": 1, "text": "x" * 400}
    for index in range(1, number + 1):
        word = "down" if number > FEW and index % 100 == 7 else "healthy"
        yield Instance(
            environment=environment,
            name=f"edge-{index:05}",
            base_url=f"http://edge-{index}.internal:8000",
            token_sealed=token,
            labels={"region": ("eu", "us")[index % 2], "tier": ("web", "batch", "spare")[index % 3]},
            health=word,
            health_called=word,
            health_at=seen,
            info=info,
        )


def _fill(number: int) -> None:
    """A fleet that runs its first bundle, with rollouts in the past and one half way."""
    author = User.objects.create_superuser("bench")
    environment = Environment.objects.create(name="bench")
    texts = {"webhooks": '{"a": {}}', "connections": "{}"}
    bundle = documents.import_first(environment, texts, actor=author, origin="the benchmark")
    wanted = bundle.digests()
    Instance.objects.bulk_create(_instances(environment, number), batch_size=1000)
    with connection.cursor() as cursor:
        cursor.execute(OBSERVATIONS, wanted)
    everybody = list(environment.instances.order_by("pk").values_list("pk", flat=True))
    for index in range(1, PAST + 2):
        last = index > PAST
        rollout = Rollout.objects.create(
            environment=environment,
            number=index,
            bundle=bundle,
            cause=Cause.SYNC,
            state="running" if last else "succeeded",
            sequence=index,
            max_attempts=5,
            author=author,
            waves=2 if last else 1,
            wave=2 if last else 1,
        )
        waves = [everybody[: number // 10], everybody[number // 10 :]] if last else [everybody]
        deliveries.create(rollout, waves)
        with connection.cursor() as cursor:
            cursor.execute(*((UNDER_WAY, [rollout.pk, rollout.pk, number // 2]) if last else (ENDED, [rollout.pk])))
    connection.close()
    with connection.cursor() as cursor:
        cursor.execute("VACUUM ANALYZE")
