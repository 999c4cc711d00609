"""Real rollouts to a simulated fleet, beside the reference clients in the same minutes.

Nothing of the console's data is touched: everything happens in the database and the Redis of the caller, through the
real path (publish, wake-up, Celery worker processes, read-back).
"""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

from configs_app import changes, documents
from configs_app.models import Change
from console.models import User
from console.sealing import seal
from instances_app.models import Environment, Instance, Kind
from sync_app import rollout_control, rollouts
from sync_app.bench import fleet, references, stage
from sync_app.models import UNFINISHED, Delivery, DeliveryState, Rollout

TOKEN = "bench-token"  # noqa: S105 - of the simulated fleet
ENTRIES = 220  # webhooks; makes a document of about 60 KB
BROKERS = 7  # connections that they name
DEADLINE = 900.0
LOOK_SECONDS = 0.005  # between two looks at whether it is over
SEED_LIMIT = 3000  # its clients, all made at once, need more memory beyond that than most machines have


@dataclass(frozen=True, slots=True)
class Setting:
    """What is measured: `hang` and `reject` in percent of the instances."""

    instances: int
    hang: float = 0.0
    reject: float = 0.0
    workers: int = 1
    repeat: int = 1  # rollouts, in turn with curl
    seed: bool = True
    until_verified: bool = False  # stop when all who can be are verified; the ones that hang take minutes to give up

    @property
    def sound(self) -> int:
        """How many neither hang nor refuse."""
        bad = round(self.instances * self.hang / 100) + round(self.instances * self.reject / 100)
        return self.instances - bad


@dataclass(slots=True)
class Run:
    """One rollout: seconds from before the publish until its last delivery ended, and until the last was verified."""

    wall_s: float
    verified_s: float
    cpu_s: float
    states: Counter[str] = field(default_factory=Counter)


def measure(setting: Setting, folder: Path, *, say: Callable[[str], None]) -> dict[str, Any]:
    """The figures of one setting. Medians where it is repeated; a reference that was not run is None."""
    port = stage.free_port()
    urls = [f"http://{fleet.address(index)}:{port}" for index in range(setting.instances)]
    environment, author = prepare(urls)
    runs: list[Run] = []
    curls: list[dict[str, Any]] = []
    body = b""
    with (
        stage.fleet(setting.instances, port, hang=setting.hang, reject=setting.reject),
        stage.workers(setting.workers, folder) as processes,
    ):
        for number in range(setting.repeat):
            change = draft(environment, author=author, entries=ENTRIES + 1 + number % 3)  # never the one before
            body = _body(change)
            say(f"rolling out to {setting.instances} simulated instances ({number + 1} of {setting.repeat})")
            runs.append(_rollout(change, processes, setting))
        memory = max(map(stage.peak_mb, processes))
    with stage.fleet(setting.instances, port, hang=0.0, reject=0.0):
        for _ in range(setting.repeat):
            say("the same POSTs with curl")
            curls += [curl] if (curl := references.curl(urls, body, TOKEN)) else []
        seed = None
        if setting.seed and setting.instances <= SEED_LIMIT:
            say("the same POSTs with the seed's coordinator")
            seed = references.seed(urls, body, TOKEN)
    wall = median(run.wall_s for run in runs)
    curl = {**curls[0], "wall_s": median(one["wall_s"] for one in curls)} if curls else None
    states = sum((run.states for run in runs), Counter[str]())
    return {
        "instances": setting.instances,
        "wall_s": round(wall, 3),
        "per_second": round(setting.instances / wall, 1),
        "cpu_ms_per_delivery": round(1000 * median(run.cpu_s for run in runs) / setting.instances, 2),
        "peak_worker_mb": round(memory, 1),
        "verified": min(run.states[DeliveryState.VERIFIED] for run in runs),
        "last_verified_s": round(median(run.verified_s for run in runs), 3),
        "states": {state: count // setting.repeat for state, count in sorted(states.items())},
        "hang_percent": setting.hang,
        "reject_percent": setting.reject,
        "workers": setting.workers,
        "repeat": setting.repeat,
        "document_bytes": len(body),
        "reference": {"curl": curl, "seed": seed},
        "ratio_to_curl": round(wall / curl["wall_s"], 2) if curl else None,
        "times_faster_than_seed": round(seed["wall_s"] / wall, 1) if seed else None,
    }


def _rollout(change: Change, processes: list[int], setting: Setting) -> Run:
    """Publish the change to everybody and wait until every delivery has ended."""
    cpu, started = sum(map(stage.cpu_seconds, processes)), time.perf_counter()
    rollout = rollouts.publish(change, actor=change.author)
    deliveries = Delivery.objects.filter(rollout=rollout)
    unfinished = deliveries.filter(state__in=UNFINISHED)
    verified_s = 0.0
    while unfinished.exists() and time.perf_counter() - started < DEADLINE:
        if setting.hang and not verified_s:
            verified = deliveries.filter(state=DeliveryState.VERIFIED).count()
            verified_s = time.perf_counter() - started if verified >= setting.sound else 0.0
            if verified_s and setting.until_verified:
                rollout_control.cancel(rollout, actor=change.author)
                break
        time.sleep(LOOK_SECONDS)
    wall = time.perf_counter() - started
    cpu = sum(map(stage.cpu_seconds, processes)) - cpu
    while Rollout.objects.get(pk=rollout.pk).is_going and time.perf_counter() - started < DEADLINE:
        time.sleep(LOOK_SECONDS)
    return Run(wall, verified_s or wall, cpu, Counter(deliveries.values_list("state", flat=True)))


def prepare(urls: list[str]) -> tuple[Environment, User]:
    """An environment that runs its first documents, with an instance at each of these addresses."""
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
    return environment, author


def draft(environment: Environment, *, author: User, entries: int) -> Change:
    change = changes.open_draft(environment, actor=author, title="bench")
    base = documents.current(environment, "webhooks")
    bases = {"webhooks": base.pk if base else None}
    return changes.save(change, {"webhooks": _document(entries)}, bases=bases, actor=author)


def _body(change: Change) -> bytes:
    """What the references send: the same document, as the seed's protocol has it."""
    text = change.documents.get(kind=Kind.WEBHOOKS).text
    return f'{{"type":"webhooks","config":{text},"source":"bench"}}'.encode()


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
