from __future__ import annotations

import asyncio

import pytest

from tests.parts import NEW, OLD, Client, Service, client_for, held, pair, single

UPDATE = "/admin/config-update"


async def test_updates_wait_for_each_other_and_the_last_sequence_wins(client: Client, service: Service) -> None:
    bodies = [single("webhooks", {f"w{number}": {"module": "log"}}, sequence=number) for number in range(12)]
    answers = await asyncio.gather(*(client.post(UPDATE, body) for body in bodies))
    assert {answer.json["outcome"] for answer in answers} <= {"applied", "stale"}
    assert held(service.folder)["webhooks"] == {"w11": {"module": "log"}} == service.loaded["webhooks"]


async def test_an_update_that_cannot_have_the_lock_in_time_is_told_when_to_come_back(
    service: Service,
) -> None:
    entered, leave = asyncio.Event(), asyncio.Event()

    async def reload(kinds: tuple[str, ...]) -> None:
        entered.set()
        await leave.wait()

    client = client_for(service, reload=reload, lock_wait=0.05)
    first = asyncio.ensure_future(client.post(UPDATE, single("webhooks", NEW["webhooks"])))
    await entered.wait()
    second = await client.post(UPDATE, single("webhooks", {"other": {}}, request_id="r-9"))
    assert (second.status, second.json["code"], second.json["request_id"]) == (503, "busy", "r-9")
    assert int(second.headers["retry-after"]) >= 1
    assert (await client.get("/admin/config-version")).status == 200
    leave.set()
    assert (await first).json["outcome"] == "applied"
    assert (await client.post(UPDATE, single("webhooks", {"other": {}}))).json["outcome"] == "applied"


async def test_an_agent_of_another_process_is_waited_for(service: Service) -> None:
    entered, leave = asyncio.Event(), asyncio.Event()

    async def reload(kinds: tuple[str, ...]) -> None:
        entered.set()
        await leave.wait()

    first, second = client_for(service, reload=reload), client_for(service, lock_wait=0.05)
    running = asyncio.ensure_future(first.post(UPDATE, single("webhooks", NEW["webhooks"])))
    await entered.wait()
    assert (await second.post(UPDATE, pair(OLD))).json["code"] == "busy"
    late = client_for(service, lock_wait=0.05)  # a worker that starts now must not undo what is under way
    leave.set()
    assert (await running).json["outcome"] == "applied"
    assert held(service.folder)["webhooks"] == NEW["webhooks"]
    assert (await late.post(UPDATE, pair(OLD))).json["outcome"] == "applied"


async def test_an_update_runs_to_its_end_when_the_request_is_cancelled(service: Service) -> None:
    entered, leave, loaded = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def reload(kinds: tuple[str, ...]) -> None:
        entered.set()
        await leave.wait()
        loaded.set()

    client = client_for(service, reload=reload)
    request = asyncio.ensure_future(client.post(UPDATE, single("webhooks", NEW["webhooks"])))
    await entered.wait()
    request.cancel()
    with pytest.raises(asyncio.CancelledError):
        await request
    leave.set()
    await loaded.wait()
    answer = await client.post(UPDATE, single("webhooks", NEW["webhooks"]))  # behind it, through the same lock
    assert answer.json["outcome"] == "unchanged"
