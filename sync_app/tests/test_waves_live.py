"""Waves on real parts: what the agents saw is what counts."""

from __future__ import annotations

import json
import socket
import threading
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from django.utils import timezone
from webhook_agent import protocol

from console import live, sealing, testing
from console.testing import Cast, ended
from console.testing_processes import Process, SampleInstance, until
from instances_app import registry
from instances_app.models import Instance
from sync_app import push, rollbacks, rollout_control, rollouts
from sync_app.models import Rollout
from sync_app.tests.attempts import states

pytestmark = pytest.mark.django_db(transaction=True)

Start = Callable[..., list[SampleInstance]]
NEW = testing.text({"orders": {"module": "log"}, "new": {"module": "log"}})


def begin(fleet: list[SampleInstance], **plan: Any) -> tuple[Cast, Rollout]:
    """i0, the canary, is the first of the fleet."""
    cast = testing.cast()
    testing.bundle(cast.environment)
    made = [
        registry.check(testing.instance(cast.environment, f"i{n}", one.base_url, one.token), actor=cast.olga)
        for n, one in enumerate(fleet)
    ]
    cast.environment.plan = {"canaries": [made[0].pk], **plan}
    cast.environment.save()
    draft = testing.draft(cast.environment, actor=cast.olga, webhooks=NEW)
    return cast, rollouts.publish(draft, actor=cast.olga)


def seen(instance: SampleInstance) -> int | None:
    """The highest sequence that the agent was ever sent."""
    request = urllib.request.Request(  # noqa: S310 - our own http address
        f"{instance.base_url}/admin/config-version", headers={"Authorization": f"Bearer {instance.token}"}
    )
    with urllib.request.urlopen(request, timeout=5) as answer:  # noqa: S310
        sequence = json.load(answer)["sequence"]
    return int(sequence) if sequence is not None else None


def state(rollout: Rollout) -> str:
    rollout.refresh_from_db()
    return rollout.state


def two_ticks() -> None:
    """Long enough for a worker to have done whatever it would do by itself."""
    for _ in range(2):
        now = timezone.now()
        until(lambda now=now: (at := live.heartbeat()) is not None and at > now, what="a tick")  # type: ignore[misc]


def test_nothing_is_sent_beyond_the_canary_before_its_gate_opens(
    worker_process: Process, sample_instances: Start
) -> None:
    fleet = sample_instances(4)
    _, rollout = begin(fleet, waves=["1", "50%", "100%"], soak_seconds=2)

    until(lambda: states(rollout)["i0"] == "verified", what="the canary")
    assert [seen(one) for one in fleet[1:]] == [None, None, None]
    until(lambda: state(rollout) == "running" and rollout.wave == 2, what="the second wave")
    until(lambda: Counter(states(rollout).values())["verified"] == 2, what="the second wave's end")
    assert Counter(seen(one) for one in fleet) == {rollout.sequence: 2, None: 2}
    until(lambda: ended(rollout), what="the rollout's end")

    assert rollout.state == "succeeded"
    assert [seen(one) for one in fleet] == [rollout.sequence] * 4


def test_a_canary_that_rejects_halts_and_rolling_back_touches_only_it(
    worker_process: Process, sample_instances: Start
) -> None:
    fleet = sample_instances(4)
    (fleet[0].folder / "reject").write_text("Unknown module 'teleport'")
    cast, rollout = begin(fleet, waves=["1", "100%"])
    until(lambda: state(rollout) == "halted", what="the halt")
    assert rollout.halt_reason.startswith("Wave 1: rejected by i0;")
    (fleet[0].folder / "reject").unlink()

    back = rollbacks.roll_back(rollout, actor=cast.olga, reason="teleport is not there")

    until(lambda: ended(back), what="the end of the way back")
    assert (back.state, states(back)) == ("succeeded", {"i0": "verified"})
    assert seen(fleet[0]) == back.sequence
    assert [seen(one) for one in fleet[1:]] == [None, None, None]
    on_disk = protocol.parse((fleet[0].folder / "webhooks.json").read_text())
    assert on_disk == testing.WEBHOOKS


def test_a_worker_that_is_killed_in_the_soak_loses_no_wave_and_doubles_none(
    worker_process: Process, sample_instances: Start
) -> None:
    fleet = sample_instances(3)
    _, rollout = begin(fleet, waves=["1", "2", "100%"], soak_seconds=2)
    until(lambda: states(rollout)["i0"] == "verified", what="the canary")
    worker_process.kill()
    worker_process.start()
    until(lambda: state(rollout) == "running" and rollout.wave == 2, seconds=30, what="the second wave")
    worker_process.kill()
    worker_process.start()

    until(lambda: ended(rollout), seconds=60, what="the rollout's end")
    assert rollout.state == "succeeded"
    assert Counter(rollout.deliveries.values_list("wave", flat=True)) == {1: 1, 2: 1, 3: 1}
    in_order = list(rollout.deliveries.order_by("finished_at").values_list("wave", flat=True))
    assert in_order == [1, 2, 3]


def test_a_canary_that_goes_down_in_the_soak_halts(worker_process: Process, sample_instances: Start) -> None:
    fleet = sample_instances(2)
    _, rollout = begin(fleet, waves=["1", "100%"], soak_seconds=2)
    until(lambda: states(rollout)["i0"] == "verified", what="the canary")
    fleet[0].kill()
    until(lambda: state(rollout) == "halted", what="the halt")
    assert rollout.halt_reason == "Wave 1: after the soak i0 is down."
    assert seen(fleet[1]) is None


def test_a_cancelled_rollout_never_opens_another_wave(worker_process: Process, sample_instances: Start) -> None:
    fleet = sample_instances(3)
    cast, rollout = begin(fleet, waves=["1", "100%"], soak_seconds=2)
    until(lambda: states(rollout)["i0"] == "verified", what="the canary")
    rollout_control.cancel(rollout, actor=cast.anna)
    two_ticks()  # of a second: the soak is over
    two_ticks()
    assert [seen(one) for one in fleet[1:]] == [None, None]
    assert states(rollout) == {"i0": "verified", "i1": "cancelled", "i2": "cancelled"}


class Crowd:
    """Many instances at one port, by path, that count how many are being pushed to at the same time."""

    def __init__(self, *, hold: float) -> None:
        self.now = self.most = 0
        self.pushed: list[str] = []
        self.digests: dict[str, dict[str, str]] = {}
        lock, crowd, pause = threading.Lock(), self, threading.Event()

        class Handler(BaseHTTPRequestHandler):
            def log_message(self, *_: object) -> None:
                pass

            def do_GET(self) -> None:
                reported = crowd.digests.get(self.path.split("/")[1], {})
                self.answer({**reported, "capabilities": ["batch"], "health": "healthy"})

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                name = self.path.split("/")[1]
                with lock:
                    crowd.now += 1
                    crowd.most = max(crowd.most, crowd.now)
                    crowd.pushed.append(name)
                pause.wait(hold)
                reported = {f"{part['type']}_digest": part["digest"] for part in body["configs"]}
                with lock:
                    crowd.digests[name] = {**crowd.digests.get(name, {}), **reported}
                    crowd.now -= 1
                self.answer({"status": "success", "outcome": "applied"})

            def answer(self, body: dict[str, Any]) -> None:
                content = json.dumps(body).encode()
                self.send_response(200)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.base_url = f"http://127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


@pytest.fixture
def crowd() -> Iterator[Crowd]:
    made = Crowd(hold=0.2)
    yield made
    made.server.shutdown()
    made.server.server_close()


def begin_crowd(crowd: Crowd, number: int, **plan: Any) -> tuple[Cast, Rollout]:
    cast = testing.cast()
    testing.bundle(cast.environment)
    for index in range(number):
        testing.instance(cast.environment, f"i{index}", f"{crowd.base_url}/i{index}", "t0ken")
    cast.environment.instances.update(info={"capabilities": ["batch"]})
    cast.environment.plan = plan
    cast.environment.save()
    return cast, rollouts.publish(testing.draft(cast.environment, actor=cast.olga, webhooks=NEW), actor=cast.olga)


def test_two_workers_together_push_to_no_more_than_planned_at_once(
    worker_process: Process, crowd: Crowd, scratch: Path
) -> None:
    beat = worker_process.command.index("-B")
    command = [*worker_process.command[:beat], *worker_process.command[beat + 3 :], "-n", "second@%h"]
    second = Process(command, worker_process.environment, scratch / "second.log")
    second.start()
    try:
        _, rollout = begin_crowd(crowd, 24, at_once=3)
        until(lambda: ended(rollout), seconds=40, what="the rollout's end")
    finally:
        second.kill()
    assert rollout.state == "succeeded"
    assert sorted(crowd.pushed) == sorted(states(rollout))  # each once
    assert 1 < crowd.most <= 3


def test_a_pause_stops_the_sending_within_what_is_on_the_wire(worker_process: Process, crowd: Crowd) -> None:
    cast, rollout = begin_crowd(crowd, 16, at_once=2)
    until(lambda: len(crowd.pushed) >= 4, what="four pushes")
    rollout_control.pause(rollout, actor=cast.anna)
    before = len(crowd.pushed)
    two_ticks()
    until(lambda: "sending" not in states(rollout).values(), what="quiet")
    stopped = len(crowd.pushed)
    assert stopped <= before + 2  # of which the worker had taken hold already
    two_ticks()
    assert len(crowd.pushed) == stopped < 16

    rollout_control.resume(rollout, actor=cast.olga)

    until(lambda: ended(rollout), what="the rollout's end")
    assert rollout.state == "succeeded"
    assert sorted(crowd.pushed) == sorted(states(rollout))


def test_instances_that_hang_do_not_hold_up_the_others(worker_process: Process, crowd: Crowd) -> None:
    worker_process.kill()
    worker_process.environment["CONSOLE_READ_SECONDS"] = "60"  # nobody gives up on them during this test
    worker_process.start()
    cast = testing.cast()
    testing.bundle(cast.environment)
    number = push.WINDOW + 620  # more than it waits for at once
    with socket.create_server(("127.0.0.1", 0), backlog=number) as black_hole:  # connects, never answers
        address = f"http://127.0.0.1:{black_hole.getsockname()[1]}"
        Instance.objects.bulk_create(
            Instance(
                environment=cast.environment,
                name=f"hangs{index}",
                base_url=f"{address}/{index}",
                token_sealed=sealing.seal("t0ken"),
            )
            for index in range(number)
        )
        for index in range(3):
            testing.instance(cast.environment, f"z{index}", f"{crowd.base_url}/z{index}", "t0ken")
        cast.environment.instances.update(info={"capabilities": ["batch"]})

        rollout = rollouts.publish(testing.draft(cast.environment, actor=cast.olga, webhooks=NEW), actor=cast.olga)

        until(lambda: Counter(states(rollout).values())["verified"] == 3, seconds=60, what="the three that answer")
        assert Counter(states(rollout).values()) == {"verified": 3, "sending": number}
        worker_process.kill()  # before the black hole closes
