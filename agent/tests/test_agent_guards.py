"""Where a request may come from, what it is signed with, how often it may come; and leaving the load balancer."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.parts import NEW, TOKEN, Client, Service, agent_for, client_for, held, nothing, pair, single
from tests.processes import CLOSED, Process, can_mount
from webhook_agent.guards import WINDOW, Networks, Signatures, sign

KEY = "a-signing-key-of-enough-length"
UPDATE = "/admin/config-update"


def signed(body: bytes, *, key: str = KEY, at: float | None = None, endpoint: str = "config-update") -> bytes:
    stamp = str(int(time.time() if at is None else at)).encode()
    return b"t=" + stamp + b",v1=" + sign(key.encode(), stamp, endpoint, body)


BODY = b'{"type": "webhooks", "config": {"signed": {"module": "log"}}}'


async def push(client: Client, header: bytes | None, body: bytes = BODY) -> tuple[int, str]:
    headers = [(b"x-config-signature", header)] if header is not None else []
    answer = await client.call("POST", UPDATE, body, headers=headers)
    return answer.status, answer.json["code"] or answer.json["outcome"]


async def test_a_signed_update_is_applied_once(service: Service) -> None:
    client = client_for(service, signing_keys=[KEY])
    header = signed(BODY)
    assert await push(client, header) == (200, "applied")
    assert await push(client, header) == (401, "bad_signature")  # replayed


@pytest.mark.parametrize(
    "header",
    [
        lambda: None,
        lambda: b"",
        lambda: b"v1=" + b"0" * 64,
        lambda: b"t=1,v1=" + b"0" * 64,
        lambda: b"t=x,v1=" + b"0" * 64,
        lambda: signed(BODY, key="another-key-of-enough-length"),
        lambda: signed(BODY + b" "),
        lambda: signed(BODY, endpoint="drain"),
        lambda: signed(BODY, at=time.time() - WINDOW - 60),
        lambda: signed(BODY, at=time.time() + WINDOW + 60),
    ],
)
async def test_anything_else_is_refused_and_touches_nothing(
    service: Service, header: Callable[[], bytes | None]
) -> None:
    before = held(service.folder)
    assert await push(client_for(service, signing_keys=[KEY]), header()) == (401, "bad_signature")
    assert held(service.folder) == before


async def test_keys_are_rotated_by_accepting_both(service: Service) -> None:
    client = client_for(service, signing_keys=[KEY, "the-next-key-of-enough-length"])
    assert (await push(client, signed(BODY)))[0] == 200
    other = single("webhooks", NEW["webhooks"])
    import json

    body = json.dumps(other).encode()
    assert (await push(client, signed(body, key="the-next-key-of-enough-length"), body))[0] == 200


def test_signatures_are_forgotten_after_their_window_and_not_before() -> None:
    now = [1_000_000.0]
    signatures = Signatures([KEY], clock=lambda: now[0])
    header = signed(b"x", at=now[0])
    assert signatures.refuse(header, "config-update", b"x") == ""
    now[0] += WINDOW
    assert "used before" in signatures.refuse(header, "config-update", b"x")
    now[0] += WINDOW
    assert "seconds away" in signatures.refuse(header, "config-update", b"x")
    with pytest.raises(ValueError, match="16 characters"):
        Signatures(["short"])


@pytest.mark.parametrize(
    ("host", "allowed"),
    [
        ("10.1.2.3", True),
        ("::ffff:10.1.2.3", True),
        ("2001:db8::1", True),
        ("192.0.2.7", False),
        ("", False),
        ("x", False),
    ],
)
def test_only_the_networks_named_may_call(host: str, allowed: bool) -> None:
    assert Networks(["10.0.0.0/8", "2001:db8::/32"]).allow(host) is allowed
    assert Networks([]).allow(host)


async def test_a_stranger_is_refused_before_the_token_is_looked_at(service: Service) -> None:
    agent = agent_for(service, allow_networks=["10.0.0.0/8"])
    stranger, friend = (Client(agent.wrap(nothing), address=address) for address in ("192.0.2.7", "10.0.0.7"))
    refused = await stranger.post(UPDATE, pair())
    assert (refused.status, refused.json["code"]) == (403, "forbidden")
    assert (await friend.post(UPDATE, pair())).status == 200
    with pytest.raises(ValueError, match="does not appear to be"):
        agent_for(service, allow_networks=["ten-dot"])


async def test_all_clients_together_are_limited_too(service: Service) -> None:
    agent = agent_for(service, requests_per_second_in_all=5)
    statuses = [
        (await Client(agent.wrap(nothing), address=f"192.0.2.{number}").get("/admin/config-version")).status
        for number in range(30)
    ]
    assert statuses[:20] == [200] * 20
    assert 429 in statuses


async def test_every_refusal_is_logged_once_and_without_the_token(
    service: Service, caplog: pytest.LogCaptureFixture
) -> None:
    client = client_for(service)
    with caplog.at_level(logging.INFO, logger="webhook_agent"):
        await client.get("/admin/config-version", token="a-wrong-token")
        await client.post(UPDATE, b"{")
        await client.post(UPDATE, single("webhooks", {}))
        await client.call("PUT", UPDATE, b"")
    said = [record.getMessage() for record in caplog.records]
    assert said == [
        "config-version from 192.0.2.7: unauthorised",
        "config-update from 192.0.2.7: malformed",
        "config-update from 192.0.2.7: empty",
        "config-update from 192.0.2.7: method_not_allowed",
    ]
    assert "a-wrong-token" not in caplog.text
    assert TOKEN not in caplog.text


async def test_a_drained_instance_says_so_to_load_balancers_and_outlives_a_restart(service: Service) -> None:
    client = client_for(service)
    assert (await client.get("/admin/health", token=None)).json == {"status": "ok"}
    assert (await client.post("/admin/drain")).json["draining"] is True
    for other in (client, client_for(service)):
        health = await other.get("/admin/health", token=None)
        assert (health.status, health.json) == (503, {"status": "draining"})
    assert (await client.get("/admin/instance-info")).json["draining"] is True
    assert (await client.post(UPDATE, pair())).status == 200  # draining is for traffic, not for updates
    assert (await client.post("/admin/undrain")).json["draining"] is False
    assert (await client.get("/admin/health", token=None)).status == 200


async def test_draining_needs_the_token_and_may_be_switched_off(service: Service) -> None:
    client = client_for(service)
    assert (await client.call("POST", "/admin/drain", token=None)).status == 401
    without = client_for(service, allow_drain=False)
    for path in ("/admin/drain", "/admin/health"):
        assert (await without.get(path, token=None)).body == b"the host"
    assert "drain" not in (await without.get("/admin/instance-info")).json["capabilities"]


@pytest.mark.parametrize("closed", ["nothing", "documents", "everything"])
def test_read_only_is_told_where_nothing_can_be_written_and_only_there(tmp_path: Path, closed: str) -> None:
    if not can_mount():
        pytest.skip("this machine lets nobody make mounts of their own")
    from tests.parts import OLD, lay

    folder, state = tmp_path / "documents", tmp_path / "state"
    folder.mkdir()
    state.mkdir()
    lay(folder)
    mount = {"nothing": "files in a folder", "documents": CLOSED, "everything": CLOSED}[closed]
    environment = {} if closed == "everything" else {"SAMPLE_STATE": str(state)}
    with Process(folder, workers=1, mount=mount, **environment) as process:
        capabilities = process.call("/admin/instance-info")[1]["capabilities"]
        code, answer = process.push(pair())
        if closed == "everything":
            assert "read_only" in capabilities
            assert (code, answer["code"]) == (409, "read_only")
            assert held(folder) == OLD
            assert process.call("/admin/drain", b"")[1]["code"] == "read_only"
        else:
            assert "read_only" not in capabilities
            assert answer["outcome"] == "applied"
            assert held(folder) == NEW
