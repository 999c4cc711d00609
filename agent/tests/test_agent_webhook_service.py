"""The adapter for spiderhash-io/webhook, on a manager that behaves as the real one was seen to (0.2.0).

The service itself lies outside this project; its config manager's quirks are kept here: a refused file stays in the
provider's memory, validation follows after loading, non-objects break its validators.
"""

from __future__ import annotations

import json
import sys
import types
from pathlib import Path
from typing import Any

import pytest

from tests.parts import NEW, OLD, TOKEN, Client, held, lay, nothing, pair, single
from webhook_agent.adapters import webhook_service
from webhook_agent.host import QUOTES

UPDATE = "/admin/config-update"


def load_env_vars(data: Any) -> Any:
    """Placeholders resolved as `{$NAME}`; of Vault there is one secret, and the other references cannot be."""
    if isinstance(data, dict):
        return {key: load_env_vars(value) for key, value in data.items()}
    if data == "{$vault:kv/known#password}":
        return "Hunter2 of the vault"
    if isinstance(data, str) and data.startswith("{$vault:"):
        raise ValueError("Vault secret reference could not be resolved")
    return data.replace("{$MODULE}", "log") if isinstance(data, str) else data


class Result:
    def __init__(self, error: str | None) -> None:
        self.success, self.error = error is None, error


class Provider:
    def __init__(self, folder: Path, backend: str = "file") -> None:
        self.folder, self.backend = folder, backend
        self.held: dict[str, Any] = {}
        for kind in ("webhooks", "connections"):
            self.load(kind)

    def load(self, kind: str) -> Any:
        self.held[kind] = load_env_vars(json.loads((self.folder / f"{kind}.json").read_text()))
        return self.held[kind]

    def get_status(self) -> dict[str, str]:
        return {"backend": self.backend}

    def get_all_webhook_configs(self) -> Any:
        return dict(self.held["webhooks"])

    def get_all_connection_configs(self) -> Any:
        return dict(self.held["connections"])


class Manager:
    def __init__(self, provider: Provider) -> None:
        self.provider = provider
        self.serves = dict(provider.held)
        self.reloaded: list[str] = []

    async def _validate_webhook_config(self, config: Any) -> str | None:
        for name, entry in config.items():
            if entry.get("module") not in {"log", "kafka"}:
                return f"Webhook '{name}' uses unknown module '{entry.get('module')}'"
        return None

    async def _validate_connection_config(self, config: Any) -> str | None:
        for name, entry in config.items():
            if not entry.get("type"):
                return f"Connection '{name}' is missing required 'type' field"
        return None

    async def _reload(self, kind: str, judged: Any) -> Result:
        self.reloaded.append(kind)
        loaded = self.provider.load(kind)
        reason = await judged(loaded)
        if reason is None:
            self.serves = dict(self.provider.held)  # all of it: what was refused before goes live here
        return Result(f"Validation failed: {reason}" if reason else None)

    async def reload_webhooks(self) -> Result:
        return await self._reload("webhooks", self._validate_webhook_config)

    async def reload_connections(self) -> Result:
        return await self._reload("connections", self._validate_connection_config)


class Service:
    """The FastAPI app as far as the adapter sees it."""

    def __init__(self, manager: Manager | None) -> None:
        self.state = types.SimpleNamespace(config_manager=manager)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        await nothing(scope, receive, send)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    lay(tmp_path)
    monkeypatch.setenv("WEBHOOKS_CONFIG_FILE", str(tmp_path / "webhooks.json"))
    monkeypatch.setenv("CONNECTIONS_CONFIG_FILE", str(tmp_path / "connections.json"))
    monkeypatch.setenv("CONFIG_ADMIN_TOKEN", f"old-token {TOKEN}")
    return tmp_path


@pytest.fixture
def manager(folder: Path) -> Manager:
    return Manager(Provider(folder))


def client(manager: Manager | None) -> Client:
    return Client(webhook_service.wrap(Service(manager)))


async def test_an_update_is_loaded_file_by_file_connections_first(folder: Path, manager: Manager) -> None:
    assert (await client(manager).post(UPDATE, pair())).json["outcome"] == "applied"
    assert manager.reloaded == ["connections", "webhooks"]
    assert manager.serves == NEW


async def test_the_services_own_reason_is_told_and_nothing_refused_lingers_in_its_memory(
    folder: Path, manager: Manager
) -> None:
    service = client(manager)
    refused = await service.post(UPDATE, single("webhooks", {"x": {"module": "teleport"}}))
    assert refused.json["error"] == "Webhook 'x' uses unknown module 'teleport'"
    assert manager.reloaded == []
    assert (await service.post(UPDATE, single("connections", NEW["connections"]))).status == 200
    assert manager.serves == {**OLD, "connections": NEW["connections"]}


async def test_placeholders_are_resolved_before_it_is_judged_and_written_as_they_were(
    folder: Path, manager: Manager
) -> None:
    document = {"x": {"module": "{$MODULE}"}}
    assert (await client(manager).post(UPDATE, single("webhooks", document))).json["outcome"] == "applied"
    assert held(folder)["webhooks"] == document
    assert manager.serves["webhooks"] == {"x": {"module": "log"}}


@pytest.mark.parametrize(
    ("document", "words"),
    [({"x": {"module": "{$vault:a#b}"}}, "placeholder cannot be resolved"), ({"_comment": "x"}, "must be an object")],
)
async def test_what_would_break_its_loader_is_refused_with_a_reason(
    folder: Path, manager: Manager, document: dict[str, Any], words: str
) -> None:
    answer = await client(manager).post(UPDATE, single("webhooks", document))
    assert (answer.status, answer.json["outcome"]) == (422, "rejected")
    assert words in answer.json["error"]


async def test_with_the_etcd_backend_nothing_is_pretended(folder: Path) -> None:
    answer = await client(Manager(Provider(folder, "etcd"))).post(UPDATE, pair())
    assert answer.json["outcome"] == "rejected"
    assert "etcd" in answer.json["error"]
    assert held(folder) == OLD


async def test_a_start_with_a_bad_file_is_degraded_with_the_reason(folder: Path) -> None:
    lay(folder, {"webhooks": {"x": {"module": "teleport"}}})
    info = (await client(Manager(Provider(folder))).get("/admin/instance-info")).json
    assert (info["health"], info["config_version"]) == ("degraded", None)
    assert "unknown module 'teleport'" in info["health_reason"]
    lay(folder, OLD)


async def test_a_service_without_its_manager_is_degraded_and_takes_nothing(folder: Path) -> None:
    service = client(None)
    assert (await service.get("/admin/instance-info")).json["health"] == "degraded"
    assert "without its config manager" in (await service.post(UPDATE, pair())).json["error"]


def test_the_guard_looks_after_the_files_the_service_will_read(folder: Path) -> None:
    (folder / "webhooks.json").write_text("{")
    assert "does not parse" in webhook_service.guard()[0]


def test_it_is_the_loader_that_the_manager_itself_uses() -> None:
    assert sys.modules[Manager.__module__].__dict__["load_env_vars"] is load_env_vars


async def test_a_dry_run_tells_which_references_the_services_loader_finds(folder: Path, manager: Manager) -> None:
    document = {"x": {"module": "log", "a": "{$vault:kv/known#password}", "b": "{$vault:kv/other#password}"}}
    answer = await client(manager).post(UPDATE, single("webhooks", document, dry_run=True))
    assert answer.json["outcome"] == "rejected"
    assert answer.json["readiness"]["placeholders"] == {
        "vault:kv/known#password": "yes",
        "vault:kv/other#password": "no",
    }
    assert "Hunter2" not in answer.body.decode()
    assert held(folder) == OLD


async def test_a_validators_words_do_not_give_away_what_a_placeholder_stands_for(
    folder: Path, manager: Manager
) -> None:
    document = {"x": {"module": "{$vault:kv/known#password}"}}
    answer = await client(manager).post(UPDATE, single("webhooks", document, dry_run=True))
    assert answer.json["error"] == QUOTES


async def test_nor_do_its_words_about_the_files_it_loads(folder: Path, manager: Manager) -> None:
    lay(folder, {"webhooks": {"x": {"module": "{$vault:kv/known#password}"}}})
    reloaded = await client(manager).post("/admin/reload-config")
    assert (reloaded.status, reloaded.json["error"]) == (422, QUOTES)
    info = (await client(Manager(Provider(folder))).get("/admin/instance-info")).json
    assert (info["health"], info["health_reason"]) == ("degraded", f"webhooks: {QUOTES}")
    lay(folder, OLD)
