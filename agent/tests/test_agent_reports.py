from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.parts import NEW, OLD, TOKEN, Client, Service, agent_for, client_for, lay, nothing, pair, single
from webhook_agent import ReloadFailed, __version__, protocol
from webhook_agent.host import QUOTES

WEBHOOKS, CONNECTIONS = (protocol.digest(OLD[kind]) for kind in protocol.KINDS)


async def test_the_version_of_a_fresh_start_is_what_was_on_disk(client: Client) -> None:
    answer = await client.get("/admin/config-version")
    assert answer.json == {
        "webhooks_version": WEBHOOKS[:16],
        "connections_version": CONNECTIONS[:16],
        "webhooks_digest": WEBHOOKS,
        "connections_digest": CONNECTIONS,
        "last_reload": answer.json["last_reload"],
        "sequence": None,
        "on_disk": {"webhooks": WEBHOOKS, "connections": CONNECTIONS},
        "differs": [],
        "identity": answer.json["identity"],
        "workers": {"alive": 1, "loaded": 1},
    }
    assert answer.headers["cache-control"] == "no-store"


async def test_a_file_edited_by_hand_is_told_apart_from_what_the_host_runs(client: Client, service: Service) -> None:
    lay(service.folder, {"webhooks": NEW["webhooks"]})
    version = (await client.get("/admin/config-version")).json
    assert version["webhooks_digest"] == WEBHOOKS
    assert version["on_disk"]["webhooks"] == protocol.digest(NEW["webhooks"])
    assert version["differs"] == ["webhooks"]
    info = (await client.get("/admin/instance-info")).json
    assert info["documents"]["webhooks"]["reload_status"] == "changed"

    reloaded = await client.post("/admin/reload-config")
    assert reloaded.json["status"] == "success"
    assert reloaded.json["reloaded"] == {"webhooks": True, "connections": True}
    assert reloaded.json["webhooks_version"] == protocol.digest(NEW["webhooks"])[:16]
    assert (await client.get("/admin/config-version")).json["differs"] == []


async def test_edits_of_equal_size_in_quick_succession_are_all_seen(client: Client, service: Service) -> None:
    for letter in "abcdefgh":
        lay(service.folder, {"webhooks": {letter: {"module": "log"}}})
        on_disk = (await client.get("/admin/config-version")).json["on_disk"]["webhooks"]
        assert on_disk == protocol.digest({letter: {"module": "log"}})


async def test_instance_info_has_the_fields_of_the_proposal_and_ours(client: Client, service: Service) -> None:
    info = (await client.get("/admin/instance-info")).json
    assert info == {
        "instance_id": "one",
        "identity": (service.folder / ".webhook_agent.identity").read_text().strip(),
        "hostname": info["hostname"],
        "version": "",
        "uptime_seconds": 0,
        "webhooks_count": 1,
        "connections_count": 1,
        "config_version": WEBHOOKS[:16],
        "last_reload": info["last_reload"],
        "health": "healthy",
        "health_reason": None,
        "documents": {
            "webhooks": {
                "digest": WEBHOOKS,
                "size": (service.folder / "webhooks.json").stat().st_size,
                "entries": 1,
                "reload_status": "loaded",
                "on_disk": WEBHOOKS,
                "problem": None,
            },
            "connections": info["documents"]["connections"],
        },
        "workers": {"alive": 1, "loaded": 1},
        "draining": False,
        "agent_version": __version__,
        "protocol": 1,
        "capabilities": [
            "batch",
            "digest",
            "sequence",
            "dry_run",
            "read",
            "drain",
            "readiness",
            "rotate_token",
            "identity",
        ],
    }


async def test_an_instance_without_files_reports_no_version(tmp_path: Path) -> None:
    client = client_for(Service(tmp_path))
    version = (await client.get("/admin/config-version")).json
    assert version["webhooks_version"] is None
    assert version["differs"] == []
    info = (await client.get("/admin/instance-info")).json
    assert info["documents"]["webhooks"]["reload_status"] == "missing"
    assert info["health"] == "healthy"
    assert (await client.post("/admin/reload-config")).json["reloaded"] == {
        "webhooks": False,
        "connections": False,
    }


async def test_a_failed_reload_keeps_the_old_version_and_degrades(client: Client, service: Service) -> None:
    lay(service.folder, {"webhooks": NEW["webhooks"]})
    service.refuse["new"] = "Unknown module"
    answer = await client.post("/admin/reload-config", {"reload_connections": False})
    assert answer.status == 422
    assert answer.json == {
        "status": "error",
        "error": "Unknown module",
        "code": "rejected",
        "outcome": "rejected",
    }
    info = (await client.get("/admin/instance-info")).json
    assert (info["health"], info["health_reason"]) == ("degraded", "Unknown module")
    assert info["documents"]["webhooks"]["digest"] == WEBHOOKS
    assert info["documents"]["webhooks"]["reload_status"] == "failed"
    service.refuse.clear()
    await client.post("/admin/config-update", pair())
    assert (await client.get("/admin/instance-info")).json["health"] == "healthy"


async def test_a_half_written_or_vanished_file_is_not_loaded(client: Client, service: Service) -> None:
    (service.folder / "webhooks.json").write_text('{"half": ')
    answer = await client.post("/admin/reload-config")
    assert (answer.status, answer.json["code"]) == (422, "malformed")
    (service.folder / "webhooks.json").unlink()
    answer = await client.post("/admin/reload-config")
    assert (answer.status, answer.json["code"]) == (422, "not_found")
    assert service.reloads == []
    assert (await client.get("/admin/config-version")).json["differs"] == ["webhooks"]


async def test_reload_config_refuses_a_choice_it_cannot_read(client: Client) -> None:
    for body in ({"reload_webhooks": "no"}, {"reload_webhooks": False, "reload_connections": False}):
        assert (await client.post("/admin/reload-config", body)).json["code"] == "shape"
    assert (await client.post("/admin/reload-config", b"{")).json["code"] == "malformed"


async def test_a_host_that_started_without_its_files_reports_no_version(service: Service) -> None:
    agent = agent_for(service)
    agent.not_loaded("Unknown module 'x' in webhook 'y'", kinds=["webhooks"])
    client = Client(agent.wrap(nothing))
    version = (await client.get("/admin/config-version")).json
    assert version["webhooks_version"] is None
    assert version["connections_version"] == CONNECTIONS[:16]
    assert version["differs"] == ["webhooks"]
    assert (await client.get("/admin/instance-info")).json["health"] == "degraded"
    answer = await client.post("/admin/config-update", single("webhooks", OLD["webhooks"]))
    assert answer.json["outcome"] == "applied"
    assert (await client.get("/admin/instance-info")).json["health"] == "healthy"


async def test_nothing_a_host_says_of_its_files_gives_away_what_a_variable_stands_for(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WA_PASSWORD", "hunter2-the-value")

    def refuse(*_: object) -> None:
        raise ReloadFailed("invalid password 'hunter2-the-value' in db")

    lay(service.folder, {"connections": {"db": {"type": "postgresql", "password": "{$WA_PASSWORD}"}}})
    client = client_for(service, reload=refuse, started=refuse)
    assert (await client.get("/admin/instance-info")).json["health_reason"] == QUOTES
    assert (await client.post("/admin/reload-config")).json["error"] == QUOTES
    lay(service.folder)
    document = {"db": {"type": "postgresql", "password": "{$WA_PASSWORD}"}}
    pushed = await client.post("/admin/config-update", single("connections", document))
    assert (pushed.json["outcome"], pushed.json["error"]) == ("rolled_back", QUOTES)
    assert "hunter2" not in pushed.body.decode()  # nor what it says of the previous files


async def test_config_gives_the_bytes_on_disk(client: Client, service: Service) -> None:
    raw = b'{ "old" :\r\n {"module": "log", "n": 1.50} }'
    (service.folder / "webhooks.json").write_bytes(raw)
    answer = await client.get("/admin/config?type=webhooks")
    assert answer.body == raw
    assert answer.headers["content-type"] == "application/json"
    (service.folder / "webhooks.json").write_bytes(b"{half")
    assert (await client.get("/admin/config?type=webhooks")).body == b"{half"
    (service.folder / "webhooks.json").unlink()
    assert (await client.get("/admin/config?type=webhooks")).json["code"] == "not_found"
    assert (await client.get("/admin/config?type=passwd")).json["code"] == "shape"
    assert (await client.get("/admin/config")).json["code"] == "shape"


async def test_reading_can_be_switched_off(service: Service) -> None:
    client = client_for(service, allow_read=False)
    answer = await client.get("/admin/config?type=webhooks")
    assert (answer.status, answer.json["code"]) == (404, "not_found")
    assert "read" not in (await client.get("/admin/instance-info")).json["capabilities"]


async def test_no_answer_names_a_path_or_a_token(client: Client, service: Service) -> None:
    lay(service.folder, {"webhooks": {"a": {"authorization": "hunter2"}}})
    for path in ("config-version", "instance-info", "config", "config?type=nothing"):
        text = json.dumps((await client.get(f"/admin/{path}")).json)
        assert str(service.folder) not in text
        assert TOKEN not in text
        assert "hunter2" not in text
