from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.parts import NEW, OLD, Client, Service, client_for, held, lay, leftovers, pair, single
from webhook_agent import Rejected, ReloadFailed, protocol

UPDATE = "/admin/config-update"


async def test_it_applies_one_document_and_answers_with_digests_read_back(client: Client, service: Service) -> None:
    config = NEW["webhooks"]
    answer = await client.post(UPDATE, single("webhooks", config, request_id="r-1", sequence=7))
    assert answer.status == 200
    digest = protocol.digest(config)
    assert answer.json == {
        "status": "success",
        "outcome": "applied",
        "error": None,
        "code": None,
        "details": {
            "webhooks": {
                "digest": digest,
                "size": len(protocol.written(config)),
                "entries": 1,
                "changed": True,
                "version": "v1",
            }
        },
        "timestamp": answer.json["timestamp"],
        "instance_id": "one",
        "identity": (service.folder / ".webhook_agent.identity").read_text().strip(),
        "version": "v1",
        "request_id": "r-1",
        "webhooks_version": digest[:16],
        "connections_version": protocol.digest(OLD["connections"])[:16],
        "sequence": 7,
        "workers": {"alive": 1, "loaded": 1},
    }
    assert held(service.folder) == {**OLD, "webhooks": config}
    assert service.loaded["webhooks"] == config
    assert service.reloads == [("webhooks",)]


async def test_the_file_keeps_the_key_order_and_its_mode_and_the_previous_one_is_kept(
    client: Client, service: Service
) -> None:
    path = service.folder / "connections.json"
    path.chmod(0o640)
    before = path.read_bytes()
    document = {"z": {"type": "kafka", "b": 1, "a": "ü"}, "a": {"type": "s3"}}
    await client.post(UPDATE, single("connections", document))
    assert path.read_bytes() == protocol.written(document)
    assert path.stat().st_mode & 0o777 == 0o640
    assert (service.folder / "connections.json.previous").read_bytes() == before
    assert leftovers(service.folder) == set()


async def test_a_new_file_is_for_its_owner_only(tmp_path: Path) -> None:
    client = client_for(Service(tmp_path))
    answer = await client.post(UPDATE, single("connections", NEW["connections"]))
    assert answer.json["outcome"] == "applied"
    assert (tmp_path / "connections.json").stat().st_mode & 0o777 == 0o600


async def test_a_batch_is_applied_with_one_reload(client: Client, service: Service) -> None:
    answer = await client.post(UPDATE, pair())
    assert answer.json["outcome"] == "applied"
    assert held(service.folder) == NEW
    assert service.reloads == [("webhooks", "connections")]


async def test_a_batch_is_applied_together_or_not_at_all(client: Client, service: Service) -> None:
    before = {kind: (service.folder / f"{kind}.json").read_bytes() for kind in OLD}
    service.refuse["mq"] = "Connection 'mq' is unreachable"
    answer = await client.post(UPDATE, pair(request_id="r-2"))
    assert answer.status == 422
    body = answer.json
    assert (body["status"], body["outcome"], body["code"]) == ("error", "rolled_back", "rolled_back")
    assert body["error"] == "Connection 'mq' is unreachable"
    assert body["request_id"] == "r-2"
    assert body["webhooks_version"] == protocol.digest(OLD["webhooks"])[:16]
    assert {kind: (service.folder / f"{kind}.json").read_bytes() for kind in OLD} == before
    assert service.loaded == OLD
    assert service.reloads == [("webhooks", "connections")] * 2
    assert leftovers(service.folder) == set()


async def test_a_refused_first_document_leaves_no_file(tmp_path: Path) -> None:
    service = Service(tmp_path)
    service.refuse["new"] = "no"
    answer = await client_for(service).post(UPDATE, single("webhooks", NEW["webhooks"]))
    assert answer.json["outcome"] == "rolled_back"
    assert not (tmp_path / "webhooks.json").exists()


async def test_a_rollback_leaves_the_previous_file_of_the_last_good_update(client: Client, service: Service) -> None:
    first = (service.folder / "webhooks.json").read_bytes()
    await client.post(UPDATE, single("webhooks", {"second": {"module": "log"}}))
    service.refuse["new"] = "no"
    await client.post(UPDATE, single("webhooks", NEW["webhooks"]))
    assert (service.folder / "webhooks.json.previous").read_bytes() == first


async def test_a_host_that_does_not_take_its_old_files_back_is_degraded(client: Client, service: Service) -> None:
    service.refuse.update({"new": "broken new", "old": "broken old"})
    answer = await client.post(UPDATE, single("webhooks", NEW["webhooks"]))
    assert answer.json["error"] == "broken new"
    assert answer.json["details"] == {"types": ["webhooks"], "after_rollback": "broken old"}
    info = (await client.get("/admin/instance-info")).json
    assert info["health"] == "degraded"
    assert "broken old" in info["health_reason"]
    service.refuse.clear()
    await client.post("/admin/reload-config")
    assert (await client.get("/admin/instance-info")).json["health"] == "healthy"


async def test_a_host_that_breaks_is_rolled_back_without_its_traceback(service: Service) -> None:
    def broken(kinds: tuple[str, ...]) -> None:
        raise KeyError("/etc/secret hunter2")

    answer = await client_for(service, reload=broken).post(UPDATE, single("webhooks", NEW["webhooks"]))
    assert answer.json["outcome"] == "rolled_back"
    assert answer.json["error"] == "The host broke while loading (KeyError)."
    assert held(service.folder) == OLD


async def test_a_reason_carries_no_path_and_no_token(service: Service) -> None:
    async def refuse(kinds: tuple[str, ...]) -> None:
        raise ReloadFailed(f"cannot read {service.folder}/webhooks.json\nwith correct-horse-battery-staple")

    answer = await client_for(service, reload=refuse).post(UPDATE, single("webhooks", NEW["webhooks"]))
    assert answer.json["error"] == "cannot read … with …"


async def test_the_validator_may_refuse_before_anything_is_written(service: Service) -> None:
    seen = []

    async def validate(kind: str, document: dict[str, Any]) -> None:
        seen.append((kind, document))
        if kind == "connections":
            raise Rejected("type 'rabbitmq' is not welcome here")

    answer = await client_for(service, validate=validate).post(UPDATE, pair())
    assert answer.status == 422
    assert (answer.json["outcome"], answer.json["code"]) == ("rejected", "rejected")
    assert answer.json["error"] == "type 'rabbitmq' is not welcome here"
    assert seen == list(NEW.items())
    assert service.reloads == []
    assert held(service.folder) == OLD


async def test_a_broken_validator_refuses(service: Service) -> None:
    def validate(kind: str, document: dict[str, Any]) -> None:
        raise RuntimeError("hunter2")

    answer = await client_for(service, validate=validate).post(UPDATE, pair())
    assert answer.json["outcome"] == "rejected"
    assert "hunter2" not in answer.json["error"]


async def test_an_unchanged_document_is_neither_written_nor_loaded(client: Client, service: Service) -> None:
    before = (service.folder / "webhooks.json").stat()
    answer = await client.post(UPDATE, pair(OLD, sequence=3))
    assert answer.status == 200
    assert answer.json["outcome"] == "unchanged"
    assert answer.json["details"]["webhooks"]["changed"] is False
    assert service.reloads == []
    after = (service.folder / "webhooks.json").stat()
    assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)
    assert answer.json["sequence"] == 3


async def test_only_the_changed_half_of_a_batch_is_loaded(client: Client, service: Service) -> None:
    answer = await client.post(UPDATE, pair({**OLD, "connections": NEW["connections"]}))
    assert answer.json["outcome"] == "applied"
    assert service.reloads == [("connections",)]


async def test_a_hand_edited_file_is_overwritten_by_what_the_host_runs(client: Client, service: Service) -> None:
    lay(service.folder, {"webhooks": {"by": {"module": "hand"}}})
    answer = await client.post(UPDATE, single("webhooks", OLD["webhooks"]))
    assert answer.json["outcome"] == "applied"
    assert held(service.folder) == OLD


async def test_a_lower_sequence_is_refused_also_after_a_restart(client: Client, service: Service) -> None:
    await client.post(UPDATE, pair(sequence=8))
    for again in (client, client_for(service)):
        answer = await again.post(UPDATE, pair(OLD, sequence=7, request_id="late"))
        assert answer.status == 409
        assert (answer.json["outcome"], answer.json["code"]) == ("stale", "stale")
        assert answer.json["sequence"] == 8
        assert answer.json["request_id"] == "late"
    assert held(service.folder) == NEW


async def test_an_equal_sequence_and_none_are_accepted(client: Client, service: Service) -> None:
    await client.post(UPDATE, single("webhooks", NEW["webhooks"], sequence=8))
    assert (await client.post(UPDATE, single("connections", NEW["connections"], sequence=8))).status == 200
    assert (await client.post(UPDATE, pair(OLD))).status == 200
    assert (await client.get("/admin/config-version")).json["sequence"] == 8


async def test_a_rolled_back_sequence_does_not_count(client: Client, service: Service) -> None:
    service.refuse["new"] = "no"
    await client.post(UPDATE, single("webhooks", NEW["webhooks"], sequence=9))
    assert (await client.get("/admin/config-version")).json["sequence"] is None


async def test_a_dry_run_judges_and_touches_nothing(service: Service) -> None:
    def validate(kind: str, document: dict[str, Any]) -> None:
        if "bad" in document:
            raise Rejected("bad")

    client = client_for(service, validate=validate)
    await client.get("/admin/config-version")  # the process has its record from here on
    before = sorted(path.name for path in service.folder.iterdir())
    answer = await client.post(UPDATE, pair(dry_run=True, sequence=5))
    assert answer.json["outcome"] == "validated"
    assert answer.json["details"]["webhooks"]["digest"] == protocol.digest(NEW["webhooks"])
    assert answer.json["webhooks_version"] == protocol.digest(OLD["webhooks"])[:16]
    refused = await client.post(UPDATE, single("webhooks", {"bad": {}}, dry_run=True))
    assert refused.json["outcome"] == "rejected"
    assert sorted(path.name for path in service.folder.iterdir()) == before
    assert service.reloads == []
