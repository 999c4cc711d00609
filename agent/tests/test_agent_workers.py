"""Several worker processes behind one port: an update is done when all of them have loaded it, and not before."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.parts import NEW, OLD, Client, Service, agent_for, client_for, held, lay, nothing, pair, single
from tests.processes import Process
from webhook_agent import protocol
from webhook_agent.workers import NAME, Worker, Workers

REQUESTS = 400


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    lay(tmp_path)
    return tmp_path


@pytest.fixture
def four(folder: Path) -> Iterator[Process]:
    with Process(folder, workers=4) as process:
        until(lambda: _workers(process) == {"alive": 4, "loaded": 4})
        yield process


def until(condition: Callable[[], Any], *, seconds: float = 15.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not come in time"
        time.sleep(0.02)


def _workers(process: Process) -> Any:
    """A worker is counted from its first request on, so this also wakes them."""
    for _ in range(16):
        process.call("/admin/health")
    return process.call("/admin/config-version")[1]["workers"]


def status(url: str) -> int:
    request = urllib.request.Request(url, data=b"{}", headers={"Connection": "close"})  # noqa: S310 - our own address
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310
            return int(answer.status)
    except urllib.error.HTTPError as error:
        with error:
            return error.code


def test_after_one_push_every_request_on_a_fresh_connection_sees_the_new_webhook(four: Process) -> None:
    with ThreadPoolExecutor(8) as pool:
        before = set(pool.map(lambda _: status(f"{four.url}/webhook/new"), range(40)))
        answer = four.push(pair(sequence=1))
        after = list(pool.map(lambda _: status(f"{four.url}/webhook/new"), range(REQUESTS)))
    assert before == {404}
    assert answer[1]["outcome"] == "applied"
    assert answer[1]["workers"] == {"alive": 4, "loaded": 4}
    assert after == [200] * REQUESTS
    print(f"{len(after)} requests on fresh connections, {after.count(200)} saw the new webhook")  # noqa: T201


def test_a_worker_that_cannot_follow_is_named_and_no_version_is_claimed_until_it_does(four: Process) -> None:
    records = four.folder / NAME
    stopped = int(next(path.name.split("-")[1] for path in records.iterdir()))
    os.kill(stopped, signal.SIGSTOP)
    try:
        code, answer = _push_elsewhere(four)
        assert (code, answer["code"]) == (503, "workers_behind")
        assert f"process {stopped}" in answer["error"]
        version = _version_elsewhere(four)
        assert version["webhooks_version"] is None
        assert version["on_disk"]["webhooks"] == protocol.digest(NEW["webhooks"])
        assert version["workers"] == {"alive": 4, "loaded": 3}
    finally:
        os.kill(stopped, signal.SIGCONT)
    until(lambda: four.call("/admin/config-version")[1]["webhooks_digest"] == protocol.digest(NEW["webhooks"]))
    assert four.push(pair(sequence=1))[1]["outcome"] == "unchanged"


def _push_elsewhere(process: Process) -> tuple[int, Any]:
    """Connections that the stopped worker took are not answered; the next one is another's."""
    return _until_answered(lambda: process.push(pair(sequence=1), timeout=8))


def _version_elsewhere(process: Process) -> Any:
    return _until_answered(lambda: process.call("/admin/config-version", timeout=1))[1]


def _until_answered(ask: Callable[[], tuple[int, Any]]) -> tuple[int, Any]:
    for _ in range(20):
        try:
            return ask()
        except (TimeoutError, urllib.error.URLError):
            continue
    raise AssertionError("no worker answered")


def test_a_killed_worker_is_forgotten_and_its_successor_serves_what_was_pushed(four: Process) -> None:
    victim = int(next(path.name.split("-")[1] for path in (four.folder / NAME).iterdir()))
    os.kill(victim, signal.SIGKILL)
    assert four.push(pair())[1]["outcome"] == "applied"
    until(lambda: _workers(four) == {"alive": 4, "loaded": 4})
    assert {status(f"{four.url}/webhook/new") for _ in range(40)} == {200}
    assert not any(path.name.split("-")[1] == str(victim) for path in (four.folder / NAME).iterdir())


def test_a_refused_update_leaves_every_worker_on_the_old_pair(four: Process) -> None:
    (four.folder / "reject").write_text("no")
    assert four.push(pair())[1]["outcome"] == "rolled_back"
    assert held(four.folder) == OLD
    assert {status(f"{four.url}/webhook/old") for _ in range(40)} == {200}
    assert _workers(four) == {"alive": 4, "loaded": 4}


def test_updates_through_different_workers_end_in_one_pair_everywhere(four: Process) -> None:
    def push(number: int) -> int:
        entry = {f"n{number}": {"module": "log", "type": "kafka"}}
        return four.push(pair({"webhooks": entry, "connections": entry}, sequence=number))[0]

    with ThreadPoolExecutor(6) as pool:
        codes = set(pool.map(push, range(1, 25)))
    assert codes <= {200, 409, 503}
    webhooks, connections = held(four.folder).values()
    assert webhooks == connections == {"n24": {"module": "log", "type": "kafka"}}
    until(lambda: _workers(four) == {"alive": 4, "loaded": 4})
    assert {status(f"{four.url}/webhook/n24") for _ in range(40)} == {200}


def test_an_update_cut_short_by_a_dead_worker_is_settled_by_the_next_one(folder: Path) -> None:
    """The supervisor is slow, or there is none: a living sibling takes the next update."""
    with Process(folder) as alive:
        with Process(folder, WEBHOOK_AGENT_CRASH_AT="swapped") as dying:
            with pytest.raises(Exception, match=r"."):
                dying.push(pair(sequence=1))
            dying.wait()
        assert held(folder) == NEW  # half done, and nobody has noticed
        (folder / "reject").write_text("no")
        other = {"webhooks": {"third": {"module": "log"}}, "connections": {"bad": {"type": "kafka"}}}
        assert alive.push(pair(other, sequence=2))[1]["outcome"] == "rolled_back"
        assert held(folder) == OLD  # not what the dead one had left
        assert status(f"{alive.url}/webhook/old") == 200


async def test_a_worker_that_starts_late_loads_what_came_meanwhile_before_it_serves(service: Service) -> None:
    late_service = Service(service.folder)
    late = client_for(late_service)
    assert (await client_for(service).post("/admin/config-update", pair())).json["outcome"] == "applied"
    assert late_service.loaded["webhooks"] == OLD["webhooks"]
    assert (await late.call("GET", "/anything", token=None)).body == b"the host"
    assert late_service.loaded["webhooks"] == NEW["webhooks"]


async def test_a_mounted_agent_is_started_and_stopped_by_its_host(service: Service) -> None:
    agent = agent_for(service)
    await agent.start()
    assert len(list((service.folder / NAME).iterdir())) == 1
    await agent.stop()
    assert list((service.folder / NAME).iterdir()) == []


async def test_the_lifespan_of_the_host_starts_and_ends_it(service: Service) -> None:
    said: list[str] = []
    going: asyncio.Queue[dict[str, str]] = asyncio.Queue()

    async def host(scope: Any, receive: Any, send: Any) -> None:
        assert (await receive())["type"] == "lifespan.startup"
        await send({"type": "lifespan.startup.complete"})
        assert (await receive())["type"] == "lifespan.shutdown"
        said.append(str(len(list((service.folder / NAME).iterdir()))))
        await send({"type": "lifespan.shutdown.complete"})

    async def send(message: Any) -> None:
        said.append(message["type"])

    app = agent_for(service).wrap(host)
    running = asyncio.ensure_future(app({"type": "lifespan"}, going.get, send))
    await going.put({"type": "lifespan.startup"})
    while not said:
        await asyncio.sleep(0.01)
    assert len(list((service.folder / NAME).iterdir())) == 1
    await going.put({"type": "lifespan.shutdown"})
    await running
    assert said == ["lifespan.startup.complete", "0", "lifespan.shutdown.complete"]


async def test_a_host_that_came_up_without_its_files_is_degraded_and_claims_nothing(service: Service) -> None:
    from webhook_agent import ReloadFailed

    def started() -> None:
        raise ReloadFailed("Unknown module 'x'")

    client = Client(agent_for(service, started=started).wrap(nothing))
    version = (await client.get("/admin/config-version")).json
    info = (await client.get("/admin/instance-info")).json
    assert version["webhooks_version"] is None
    assert (info["health"], info["health_reason"]) == ("degraded", "Unknown module 'x'")
    assert (await client.post("/admin/config-update", single("webhooks", NEW["webhooks"]))).json["outcome"] == "applied"


def test_records_that_cannot_be_read_count_as_behind(tmp_path: Path) -> None:
    workers = Workers(tmp_path)
    workers.join()
    workers.tell(Worker(os.getpid(), 3, {"webhooks": "a"}))
    (own,) = (tmp_path / NAME).iterdir()
    assert json.loads(own.read_text())["generation"] == 3
    (tmp_path / NAME / "dead-1-x").write_text("{")
    assert workers.others() == []
    assert not (tmp_path / NAME / "dead-1-x").exists()
    workers.leave()
