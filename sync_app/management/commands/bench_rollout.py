"""`manage.py bench_rollout --instances N`: a real rollout to a simulated fleet, beside the reference clients.

Nothing of the console's data is touched: the rollout runs in a database and a Redis made for it, through the real
path (publish, wake-up, Celery worker processes, read-back).
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from argparse import ArgumentParser
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand

from configs_app import changes, documents
from configs_app.models import Change
from console import live, scratch_database
from console.bootstrap import ROOT
from console.celery import use_broker
from console.embedded import redis
from console.embedded.children import Child, die_with_parent
from console.models import User
from console.sealing import seal
from instances_app.models import Environment, Instance, Kind
from sync_app import rollouts, tasks
from sync_app.bench import fleet, references
from sync_app.models import FINAL, Delivery, DeliveryState

TOKEN = "bench-token"  # noqa: S105 - of the simulated fleet
ENTRIES = 220  # webhooks; makes a document of about 60 KB
BROKERS = 7  # connections that they name
DEADLINE = 900.0


class Command(BaseCommand):
    help = "Measure a rollout to a simulated fleet against curl and the seed's coordinator."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--instances", type=int, default=300)
        parser.add_argument("--hang", type=_percent, default=0.0, metavar="PERCENT", help="never answer a push")
        parser.add_argument("--reject", type=_percent, default=0.0, metavar="PERCENT", help="refuse every push")
        parser.add_argument("--workers", type=int, default=1, help="Celery worker processes")
        parser.add_argument("--json", action="store_true", help="print one JSON object")

    def handle(self, *args: Any, **options: Any) -> None:
        count = options["instances"]
        with tempfile.TemporaryDirectory(prefix="bench-") as folder, scratch_database.made(), _redis(Path(folder)):
            port = _free_port()
            urls = [f"http://{fleet.address(index)}:{port}" for index in range(count)]
            self.say(f"rolling out to {count} simulated instances")
            with _fleet(count, port, hang=options["hang"], reject=options["reject"]):
                figures = _rollout(urls, workers=options["workers"], folder=Path(folder))
            change = figures.pop("body")
            for name, reference in (("curl", references.curl), ("seed", references.seed)):
                self.say(f"the same POSTs with {name}")
                with _fleet(count, port, hang=0.0, reject=0.0):
                    figures["reference"][name] = reference(urls, change, TOKEN)
        curl, seed = figures["reference"]["curl"], figures["reference"]["seed"]
        figures["ratio_to_curl"] = round(figures["wall_s"] / curl["wall_s"], 2) if curl else None
        figures["times_faster_than_seed"] = round(seed["wall_s"] / figures["wall_s"], 1)
        if options["json"]:
            self.stdout.write(json.dumps(figures))
            return
        for name, value in figures.items():
            self.stdout.write(f"{name:24} {value}")

    def say(self, text: str) -> None:
        self.stderr.write(text)


def _rollout(urls: list[str], *, workers: int, folder: Path) -> dict[str, Any]:
    """Publish one change to all of them and wait until every delivery has ended."""
    change = _prepare(urls)
    with _workers(workers, folder) as processes:
        started = time.perf_counter()
        cpu = sum(map(_cpu, processes))
        rollout = rollouts.publish(change, actor=change.author)
        unfinished = Delivery.objects.filter(rollout=rollout).exclude(state__in=FINAL)
        while unfinished.exists():
            if time.perf_counter() - started > DEADLINE:
                break
            time.sleep(0.02)
        wall = time.perf_counter() - started
        cpu = sum(map(_cpu, processes)) - cpu
        memory = max(map(_peak_mb, processes))
    states = list(rollout.deliveries.values_list("state", "finished_at"))
    verified = [at for state, at in states if state == DeliveryState.VERIFIED and at]
    text = change.documents.get(kind=Kind.WEBHOOKS).text
    return {
        "instances": len(urls),
        "wall_s": round(wall, 3),
        "per_second": round(len(urls) / wall, 1),
        "cpu_ms_per_delivery": round(1000 * cpu / len(urls), 2),
        "peak_worker_mb": round(memory, 1),
        "verified": len(verified),
        "last_verified_s": round((max(verified) - rollout.started_at).total_seconds(), 3) if verified else None,
        "states": {state: sum(one == state for one, _ in states) for state in sorted({one for one, _ in states})},
        "workers": workers,
        "document_bytes": len(text.encode()),
        "reference": {},
        "body": json.dumps({"type": "webhooks", "config": json.loads(text), "source": "bench"}).encode(),
    }


def _prepare(urls: list[str]) -> Change:
    author = User.objects.create_superuser("bench")
    environment = Environment.objects.create(name="bench")
    brokers = {f"kafka_{number}": {"type": "kafka", "bootstrap_servers": "kafka:9092"} for number in range(BROKERS)}
    texts: dict[str, str] = {"webhooks": _document(ENTRIES), "connections": json.dumps(brokers)}
    documents.import_first(environment, texts, actor=author, origin="the benchmark")
    token = seal(TOKEN)
    Instance.objects.bulk_create(
        Instance(
            environment=environment,
            name=f"instance-{index:05}",
            base_url=url,
            token_sealed=token,
            info={"capabilities": ["batch", "digest", "sequence"]},
        )
        for index, url in enumerate(urls)
    )
    change = changes.open_draft(environment, actor=author, title="bench")
    base = documents.current(environment, "webhooks")
    changes.save(
        change, {"webhooks": _document(ENTRIES + 1)}, bases={"webhooks": base.pk if base else None}, actor=author
    )
    return change


def _document(entries: int) -> str:
    """Webhooks of the usual shape, about 270 bytes each."""
    return json.dumps(
        {
            f"webhook_{number:04}": {
                "data_type": "json",
                "module": "kafka",
                "connection": f"kafka_{number % BROKERS}",
                "module-config": {"topic": f"topic-{number}", "forward_headers": False},
                "authorization": "Bearer {$WEBHOOK_TOKEN}",
                "note": "x" * 30,
            }
            for number in range(entries)
        },
        indent=2,
    )


@contextmanager
def _redis(folder: Path) -> Iterator[None]:
    server = redis.prepare(folder / "redis")
    child = server.child(log=folder / "redis.log", echo=False)
    child.start()
    redis.wait(server, child)
    before = settings.REDIS_URL
    try:
        _use_redis(server.url())
        yield
    finally:
        _use_redis(before)
        child.stop()


def _use_redis(url: str) -> None:
    os.environ["REDIS_URL"] = settings.REDIS_URL = url
    use_broker(url)
    live.forget()


@contextmanager
def _fleet(instances: int, port: int, *, hang: float, reject: float) -> Iterator[None]:
    command = [sys.executable, "-m", "sync_app.bench.fleet", "--instances", str(instances), "--port", str(port)]
    command += ["--hang", str(hang), "--reject", str(reject)]
    process = subprocess.Popen(
        command,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "agent")])},
        stdout=subprocess.PIPE,
        preexec_fn=die_with_parent(signal.SIGKILL),
    )
    with process:
        try:
            if process.stdout is None or not process.stdout.readline():
                raise RuntimeError("The simulated fleet did not start.")
            yield
        finally:
            process.kill()


@contextmanager
def _workers(number: int, folder: Path) -> Iterator[list[int]]:
    """The process ids of workers that have reported ready."""
    paths = os.pathsep.join([str(ROOT), str(ROOT / "agent")])
    environment = {**os.environ, "PYTHONPATH": paths, "CONSOLE_OBSERVE_SECONDS": "3600"}
    children = []
    for index in range(number):
        beat = ["-B", "-s", str(folder / "beat")] if index == 0 else []
        command = [sys.executable, "-m", "celery", "-q", "-A", "console", "worker", "-P", "threads", "-c", "4", *beat]
        command += ["--without-gossip", "--without-mingle", "-l", "INFO", "-n", f"bench{index}@%h"]
        log = folder / f"worker-{index}.log"
        children.append(Child(f"worker-{index}", command, environment, cwd=ROOT, log=log, echo=False))
    try:
        for child in children:
            child.start()
        deadline = time.monotonic() + 60
        while not all(child.log and child.log.exists() and b" ready." in child.log.read_bytes() for child in children):
            if time.monotonic() > deadline:
                raise RuntimeError("The workers did not start.")
            time.sleep(0.05)
        _warm_up()
        yield [child.process.pid for child in children if child.process is not None]
    finally:
        for child in children:
            child.stop()


def _warm_up() -> None:
    """One tick, there and back: a console that runs has its ways to the broker and the database open."""
    live.connection().delete(live.HEARTBEAT_KEY)
    tasks.tick.delay()
    deadline = time.monotonic() + 60
    while live.heartbeat() is None:
        if time.monotonic() > deadline:
            raise RuntimeError("No worker carried out a task.")
        time.sleep(0.05)


def _cpu(pid: int) -> float:
    """Seconds of CPU used so far by the process (proc(5), fields utime and stime)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _peak_mb(pid: int) -> float:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 1024
    return 0.0


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.1.0.1", 0))
        return int(probe.getsockname()[1])


def _percent(text: str) -> float:
    value = float(text.rstrip("%"))
    if not 0 <= value <= 100:
        raise ValueError(text)
    return value
