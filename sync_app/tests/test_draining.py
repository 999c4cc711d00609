"""Draining around a push: in this order, and back into traffic whatever becomes of the push."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from console import testing
from console.errors import Refused
from console.testing import Cast, ended
from console.testing_processes import Process, SampleInstance, until
from instances_app import registry
from instances_app.plans import Plan
from sync_app import deliveries, draining, push, rollout_control, rollouts, tasks, waves
from sync_app.models import Delivery, Rollout
from sync_app.tests.attempts import begin as begin_without_wire
from sync_app.tests.attempts import states

pytestmark = pytest.mark.django_db(transaction=True)

NEW = testing.text({"orders": {"module": "log"}, "new": {"module": "log"}})
Start = Callable[..., list[SampleInstance]]


class Fleet:
    """Instances at one port, by path, that keep what they are asked, and fail as they are told."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str]] = []
        self.drained: set[str] = set()
        self.most = 0
        self.digests: dict[str, dict[str, str]] = {}
        self.fails: dict[tuple[str, str], int] = {}  # (name, endpoint) → HTTP status
        self.arrived = threading.Event()
        fleet, lock = self, threading.Lock()

        class Handler(BaseHTTPRequestHandler):
            def log_message(self, *_: object) -> None:
                pass

            def do_GET(self) -> None:
                name = self.path.split("/")[1]
                runs = fleet.digests.get(name, {})
                self.answer(200, {**runs, "health": "healthy", "draining": name in fleet.drained})

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                _, name, _, endpoint = self.path.split("/")
                with lock:
                    fleet.asked.append((name, endpoint))
                    status = fleet.fails.get((name, endpoint), 200)
                    if endpoint == "drain" and status == 200:
                        fleet.drained.add(name)
                        fleet.most = max(fleet.most, len(fleet.drained))
                    elif endpoint == "undrain" and status == 200:
                        fleet.drained.discard(name)
                    elif endpoint == "config-update" and status == 200:
                        fleet.digests[name] = {f"{part['type']}_digest": part["digest"] for part in body["configs"]}
                if endpoint == "drain":
                    fleet.arrived.set()
                self.answer(status, {"status": "success", "draining": name in fleet.drained, "error": "No."})

            def answer(self, status: int, body: dict[str, Any]) -> None:
                content = json.dumps(body).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.base_url = f"http://127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def of(self, name: str) -> list[str]:
        return [endpoint for who, endpoint in self.asked if who == name]


@pytest.fixture
def fleet() -> Iterator[Fleet]:
    made = Fleet()
    yield made
    made.server.shutdown()
    made.server.server_close()


def begin(fleet: Fleet, number: int = 1, *, able: bool = True, **plan: Any) -> tuple[Cast, Rollout]:
    cast = testing.cast()
    testing.bundle(cast.environment)
    for index in range(number):
        testing.instance(cast.environment, f"i{index}", f"{fleet.base_url}/i{index}")
    cast.environment.instances.update(info={"capabilities": ["batch", "drain"] if able else ["batch"]})
    cast.environment.plan = {"at_once": 1, "drain": True, **plan}
    cast.environment.save()
    return cast, rollouts.publish(testing.draft(cast.environment, actor=cast.olga, webhooks=NEW), actor=cast.olga)


def delivery(rollout: Rollout, name: str = "i0") -> Delivery:
    return rollout.deliveries.get(instance__name=name)


def test_each_is_drained_pushed_to_and_undrained_and_no_two_at_a_time(fleet: Fleet) -> None:
    _, rollout = begin(fleet, 3)
    while push.run(rollout.pk):
        pass
    waves.advance(rollout.pk)
    assert fleet.of("i1") == ["drain", "config-update", "undrain"]
    assert (fleet.most, fleet.drained) == (1, set())
    rollout.refresh_from_db()
    assert rollout.state == "succeeded"
    assert delivery(rollout).evidence == "Read back after the push. Drained around it."
    assert not draining.owed().exists()


def test_one_whose_agent_cannot_drain_is_pushed_to_without_and_that_is_said(fleet: Fleet) -> None:
    cast, rollout = begin(fleet, able=False)
    client = Client()
    client.force_login(cast.olga)
    page = client.get(reverse("sync:sync", args=["staging"])).content.decode()
    assert "Cannot be drained, so pushed to without: i0" in page
    push.run(rollout.pk)
    assert fleet.of("i0") == ["config-update"]
    assert "cannot drain, so it was pushed to without" in delivery(rollout).evidence


@pytest.mark.parametrize("status", [422, 500, 503, 401])
def test_a_push_that_fails_ends_in_traffic(fleet: Fleet, status: int) -> None:
    _, rollout = begin(fleet)
    fleet.fails["i0", "config-update"] = status
    Rollout.objects.update(max_attempts=1)
    push.run(rollout.pk)
    assert fleet.of("i0") == ["drain", "config-update", "undrain"]
    assert not fleet.drained
    assert delivery(rollout).drained_since is None


def test_nothing_is_pushed_where_draining_is_refused(fleet: Fleet) -> None:
    _, rollout = begin(fleet)
    fleet.fails["i0", "drain"] = 409
    push.run(rollout.pk)
    assert fleet.of("i0") == ["drain"]
    found = delivery(rollout)
    assert (found.state, found.error, found.drained_since) == ("rejected", "No.", None)


def test_an_answer_that_never_came_may_have_drained_it(fleet: Fleet) -> None:
    _, rollout = begin(fleet)
    fleet.fails["i0", "drain"] = 500
    push.run(rollout.pk)
    assert fleet.of("i0") == ["drain", "undrain"]
    assert (delivery(rollout).state, delivery(rollout).drained_since) == ("retrying", None)


def test_one_that_stays_drained_halts_the_rollout_is_named_and_is_asked_until_it_takes_traffic(fleet: Fleet) -> None:
    cast, rollout = begin(fleet, 2)
    fleet.fails.update({("i0", "undrain"): 500, ("i1", "undrain"): 500})
    push.run(rollout.pk)
    waves.advance(rollout.pk)
    rollout.refresh_from_db()
    (stuck,) = fleet.drained
    assert rollout.halt_reason == f"Wave 1: still drained: {stuck}."
    assert delivery(rollout, stuck).state == "verified"
    client = Client()
    client.force_login(cast.victor)
    page = client.get(reverse("sync:rollout", args=[rollout.pk])).content.decode()
    assert "Still drained, so without traffic" in page
    assert draining.ask() == 1
    assert delivery(rollout, stuck).drain_error == "No."
    fleet.fails.clear()

    tasks.undrain()

    assert fleet.drained == set()
    assert delivery(rollout, stuck).drained_since is None
    rollout_control.continue_(rollout, actor=cast.anna, reason="It takes traffic again")
    while push.run(rollout.pk):
        pass
    assert waves.advance(rollout.pk).delay is None
    rollout.refresh_from_db()
    assert rollout.state == "succeeded"


def test_continuing_forgives_what_is_still_drained_and_the_end_is_incomplete(fleet: Fleet) -> None:
    cast, rollout = begin(fleet, 2)
    fleet.fails["i0", "undrain"] = fleet.fails["i1", "undrain"] = 500
    push.run(rollout.pk)
    waves.advance(rollout.pk)
    (stuck,) = fleet.drained
    fleet.fails = {(stuck, "undrain"): 500}
    rollout_control.continue_(rollout, actor=cast.anna, reason="The host is being replaced")
    while push.run(rollout.pk):
        pass
    waves.advance(rollout.pk)
    rollout.refresh_from_db()
    assert rollout.state == "running"  # beat is still asking
    Delivery.objects.update(changed_at=timezone.now() - 2 * waves.PATIENCE)
    waves.advance(rollout.pk)
    rollout.refresh_from_db()
    assert (rollout.state, set(states(rollout).values())) == ("incomplete", {"verified"})


@pytest.mark.parametrize(("verb", "state"), [("cancel", "cancelled"), ("pause", "pending")])
def test_what_is_held_while_it_waits_drained_is_not_pushed_and_is_undrained(
    fleet: Fleet, verb: str, state: str
) -> None:
    cast, rollout = begin(fleet, drain_seconds=3)

    def work() -> None:
        with closing(connection):
            push.run(rollout.pk)

    worker = threading.Thread(target=work)
    worker.start()
    assert fleet.arrived.wait(10)
    {"cancel": rollout_control.cancel, "pause": rollout_control.pause}[verb](rollout, actor=cast.anna)
    worker.join()
    waves.advance(rollout.pk)
    assert fleet.of("i0") == ["drain", "undrain"]
    assert (delivery(rollout).state, delivery(rollout).drained_since) == (state, None)


def test_what_an_older_rollout_puts_back_into_traffic_meanwhile_is_not_pushed_to_but_drained_again(
    fleet: Fleet,
) -> None:
    _, rollout = begin(fleet, drain_seconds=3)

    def work() -> None:
        with closing(connection):
            push.run(rollout.pk)

    worker = threading.Thread(target=work)
    worker.start()
    assert fleet.arrived.wait(10)
    fleet.drained.clear()  # as the older one's undrain does
    worker.join()
    assert fleet.of("i0") == ["drain", "undrain"]
    found = delivery(rollout)
    assert (found.state, found.code, found.drained_since) == ("retrying", "back_in_traffic", None)
    Delivery.objects.update(next_attempt_at=None)
    push.run(rollout.pk)
    assert fleet.of("i0")[2:] == ["drain", "config-update", "undrain"]
    assert delivery(rollout).evidence == "Read back after the push. Drained around it."


def test_beat_does_not_put_back_what_a_newer_rollout_is_just_drained_for(fleet: Fleet) -> None:
    cast, older = begin(fleet)
    fleet.fails["i0", "undrain"] = 500
    push.run(older.pk)
    assert draining.owed().exists()
    newest = testing.draft(cast.environment, actor=cast.olga, webhooks=testing.text(testing.WEBHOOKS))
    newer = rollouts.publish(newest, actor=cast.olga, supersede=True)
    (claim,) = deliveries.claim(newer.pk, limit=1, at_once=1)
    able = {claim.instance_id: delivery(newer).instance.capabilities}
    draining.Draining(newer, Plan.of(newer.plan)).intend([claim], able)
    asked = list(fleet.asked)
    assert draining.ask() == 0
    assert fleet.asked == asked
    assert draining.left(older).exists()


def test_those_that_never_come_back_keep_nobody_from_being_asked(fleet: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(draining, "BATCH", 2)
    _, rollout = begin(fleet, 3)
    fleet.fails.update({("i0", "undrain"): 500, ("i1", "undrain"): 500})
    fleet.drained = {"i0", "i1", "i2"}
    for number in range(3):
        since = timezone.now() + timedelta(seconds=number)
        rollout.deliveries.filter(instance__name=f"i{number}").update(drained_since=since)
    until(lambda: draining.ask() == 2 and fleet.drained == {"i0", "i1"}, what="the last to be undrained")


def test_a_retired_instance_is_not_asked_any_more_and_its_row_says_so(fleet: Fleet) -> None:
    cast, rollout = begin(fleet)
    fleet.fails["i0", "undrain"] = 500
    push.run(rollout.pk)
    registry.retire(delivery(rollout).instance, actor=cast.olga)
    asked = list(fleet.asked)
    assert draining.ask() == 0
    assert fleet.asked == asked
    assert not draining.left(rollout).exists()
    client = Client()
    client.force_login(cast.victor)
    page = client.get(reverse("sync:rollout", args=[rollout.pk])).content.decode()
    assert "retired while it was drained, so nobody asks it any more" in page


def test_a_late_answer_of_beat_does_not_empty_the_intention_of_a_worker_that_came_after(fleet: Fleet) -> None:
    _, rollout = begin(fleet)
    (claim,) = deliveries.claim(rollout.pk, limit=1, at_once=1)
    plan = Plan.of(rollout.plan)
    able = {claim.instance_id: delivery(rollout).instance.capabilities}
    assert draining.Draining(rollout, plan).intend([claim], able)[claim.id].left is False
    before = delivery(rollout).drained_since
    assert draining.Draining(rollout, plan).intend([claim], able)[claim.id].left is True
    draining._keep(claim.id, before, done=True, error="")
    assert delivery(rollout).drained_since is not None


def test_a_plan_that_drains_needs_a_limit_and_older_plans_keep_their_spelling() -> None:
    with pytest.raises(Refused, match="whole fleet would be drained together"):
        Plan.of({"drain": True})
    assert "drain" not in Plan().data
    plan = Plan.of({"drain": True, "drain_seconds": 20, "at_once": 2})
    assert Plan.of(plan.data) == plan
    assert plan.words == "all at once; 2 at once; each drained 20 s before its push"
    cast, _ = begin_without_wire(1)
    client = Client()
    client.force_login(cast.adam)
    page = client.post(
        reverse("instances:environment-settings", args=["staging"]), {"plan-waves": "100%", "plan-drain": "on"}
    )
    assert page.status_code == 422
    assert "whole fleet would be drained together" in page.content.decode()


def real(running: list[SampleInstance], **plan: Any) -> tuple[Cast, Rollout]:
    cast = testing.cast()
    testing.bundle(cast.environment)
    for number, one in enumerate(running):
        registry.check(testing.instance(cast.environment, f"i{number}", one.base_url, one.token), actor=cast.olga)
    cast.environment.plan = {"at_once": 1, "drain": True, **plan}
    cast.environment.save()
    return cast, rollouts.publish(testing.draft(cast.environment, actor=cast.olga, webhooks=NEW), actor=cast.olga)


def is_drained(one: SampleInstance) -> bool:
    return (one.folder / ".webhook_agent.drained").exists()


def test_a_worker_that_is_killed_between_drain_and_undrain_leaves_nothing_drained(
    worker_process: Process, sample_instances: Start
) -> None:
    running = sample_instances(2)
    _, rollout = real(running, drain_seconds=4)
    until(lambda: any(map(is_drained, running)), what="the first to be drained")
    worker_process.kill()
    assert any(map(is_drained, running))
    assert draining.owed().exists() or Delivery.objects.exclude(drained_since=None).exists()
    worker_process.start()
    until(lambda: ended(rollout), seconds=60, what="the rollout's end")
    assert rollout.state == "succeeded"
    assert not any(map(is_drained, running))
    assert not Delivery.objects.exclude(drained_since=None).exists()


def test_a_rollout_cancelled_after_its_worker_was_killed_is_undrained_by_beat(
    worker_process: Process, sample_instances: Start
) -> None:
    running = sample_instances(1)
    cast, rollout = real(running, drain_seconds=60)
    until(lambda: is_drained(running[0]), what="it to be drained")
    worker_process.kill()
    rollout_control.cancel(rollout, actor=cast.anna)
    worker_process.start()
    until(lambda: not is_drained(running[0]), seconds=30, what="it to be undrained")
    until(lambda: not Delivery.objects.exclude(drained_since=None).exists(), what="the intention to be emptied")
    until(lambda: states(rollout) == {"i0": "cancelled"}, what="the delivery's end")
