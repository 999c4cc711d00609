from __future__ import annotations

import functools
import logging
from pathlib import Path
from typing import Any

import pytest

import webhook_agent
from tests.parts import NEW, OLD, TOKEN, Client, Service, agent_for, held, nothing, single
from webhook_agent.http import Message


@pytest.mark.parametrize("path", ["/", "/admin", "/admin/", "/admin/other", "/admin/config-update/", "/x/admin/config"])
async def test_every_other_path_is_the_hosts(client: Client, path: str) -> None:
    assert (await client.post(path, token=None)).body == b"the host"


@pytest.mark.parametrize("kind", ["lifespan", "websocket"])
async def test_other_scopes_pass_through_untouched(service: Service, kind: str) -> None:
    seen: list[Any] = []

    async def host(scope: Any, receive: Any, send: Any) -> None:
        seen.append((scope, await receive()))
        await send({"type": "done"})

    async def receive() -> Message:
        return {"type": "hello"}

    async def send(message: Message) -> None:
        seen.append(message)

    scope = {"type": kind, "path": "/admin/config-update"}
    await agent_for(service).wrap(host)(scope, receive, send)
    assert seen[0][0] is scope
    assert seen[1:] == [{"type": "done"}]


async def test_the_wrong_method_is_named(client: Client) -> None:
    answer = await client.get("/admin/config-update")
    assert (answer.status, answer.json["code"]) == (405, "method_not_allowed")
    assert (await client.post("/admin/config-version")).status == 405


async def test_a_prefix_moves_the_endpoints(service: Service) -> None:
    client = Client(agent_for(service, prefix="/hooks").wrap(nothing))
    assert (await client.get("/hooks/admin/config-version")).status == 200
    assert (await client.get("/admin/config-version")).body == b"the host"


@pytest.mark.parametrize("path", ["/ops/admin/config-version", "/ops/config-version"])
async def test_it_can_be_mounted(service: Service, path: str) -> None:
    client = Client(agent_for(service).asgi)
    assert (await client.call("GET", path, root_path="/ops")).status == 200
    assert (await client.call("GET", path.removeprefix("/ops"), root_path="/ops")).status == 200
    answer = await client.call("GET", "/ops/nothing", root_path="/ops")
    assert (answer.status, answer.json["code"]) == (404, "not_found")


async def test_a_wrapped_app_below_a_root_path_is_found(client: Client) -> None:
    assert (await client.call("GET", "/svc/admin/config-version", root_path="/svc")).status == 200


async def test_reload_may_be_a_function_a_coroutine_a_method_a_partial_or_an_object(service: Service) -> None:
    called: list[Any] = []

    async def coroutine(kinds: tuple[str, ...]) -> None:
        called.append(kinds)

    async def with_option(option: str, kinds: tuple[str, ...]) -> None:
        called.append(kinds)

    class Caller:
        async def __call__(self, kinds: tuple[str, ...]) -> None:
            called.append(kinds)

    forms: list[Any] = [
        called.append,
        coroutine,
        functools.partial(with_option, "x"),
        Caller(),
        lambda kinds: coroutine(kinds),
    ]
    for number, form in enumerate(forms):
        agent = agent_for(service, reload=form)
        document = {f"w{number}": {"module": "log"}}
        answer = await Client(agent.wrap(nothing)).post("/admin/config-update", single("webhooks", document))
        assert answer.status == 200
        await agent.stop()  # or it follows what the next one does
    assert called == [("webhooks",)] * len(forms)


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("max_body", 0),
        ("lock_wait", -1),
        ("requests_per_second", 0),
        ("failures_per_minute", 0),
        ("prefix", "hooks"),
        ("prefix", "/hooks/"),
        ("reload", None),
        ("validate", "text"),
        ("webhooks_path", "/nowhere/at/all/webhooks.json"),
        ("state_folder", "/nowhere/at/all"),
    ],
)
def test_options_that_make_no_sense_are_refused_at_once(service: Service, option: str, value: object) -> None:
    with pytest.raises(ValueError, match=r".+"):
        agent_for(service, **{option: value})


def test_one_file_cannot_be_both_documents(service: Service) -> None:
    with pytest.raises(ValueError, match="two files"):
        agent_for(service, connections_path=service.folder / "webhooks.json")


async def test_the_files_may_live_apart_and_behind_a_link(tmp_path: Path) -> None:
    for name in ("a", "b", "state"):
        (tmp_path / name).mkdir()
    (tmp_path / "a" / "real.json").write_text("{}")
    (tmp_path / "webhooks.json").symlink_to(tmp_path / "a" / "real.json")
    service = Service(tmp_path)
    agent = agent_for(
        service,
        connections_path=tmp_path / "b" / "c.json",
        state_folder=tmp_path / "state",
        reload=lambda _: None,
    )
    client = Client(agent.wrap(nothing))
    body = {"configs": [{"type": kind, "config": config} for kind, config in NEW.items()], "sequence": 1}
    assert (await client.post("/admin/config-update", body)).json["outcome"] == "applied"
    assert (tmp_path / "webhooks.json").is_symlink()
    assert b"new" in (tmp_path / "a" / "real.json").read_bytes()
    assert b"mq" in (tmp_path / "b" / "c.json").read_bytes()
    state = {path.name for path in (tmp_path / "state").iterdir()}
    assert state == {".webhook_agent.identity", ".webhook_agent.journal", ".webhook_agent.workers"}


async def test_a_fault_of_the_agent_is_logged_and_not_told(service: Service, caplog: pytest.LogCaptureFixture) -> None:
    client = Client(agent_for(service).wrap(nothing))
    (service.folder / "webhooks.json").unlink()
    (service.folder / "webhooks.json").mkdir()
    answer = await client.get("/admin/config-version")
    assert (answer.status, answer.json["code"]) == (500, "internal")
    assert "webhooks.json" not in answer.body.decode()
    assert "Traceback" not in answer.body.decode()
    assert "IsADirectoryError" in caplog.text


async def test_the_log_names_digests_and_no_contents(
    client: Client, service: Service, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "webhook_agent")
    service.refuse["b"] = "refused hunter2"
    await client.post("/admin/config-update", single("webhooks", {"a": {"authorization": "hunter2"}}))
    await client.post("/admin/config-update", single("webhooks", {"b": {"authorization": "hunter2"}}))
    await client.get("/admin/config-version", token="hunter2")
    assert "applied: webhooks" in caplog.text
    assert "hunter2" not in caplog.text
    assert held(service.folder) != OLD


def test_the_public_surface_is_what_it_says() -> None:
    assert sorted(webhook_agent.__all__) == [
        "Announce",
        "ConfigAgent",
        "Rejected",
        "ReloadFailed",
        "__version__",
        "boot_guard",
    ]
    for name in webhook_agent.__all__:
        assert hasattr(webhook_agent, name)
    assert (Path(webhook_agent.__file__).parent / "py.typed").exists()


async def test_the_example_in_the_readme_works(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    class MyService:
        async def load_files(self) -> str:
            service.load(("webhooks", "connections"))
            return ""

    monkeypatch.chdir(service.folder)
    monkeypatch.setenv("CONFIG_ADMIN_TOKEN", TOKEN)
    readme = (Path(webhook_agent.__file__).parent.parent / "README.md").read_text()
    names: dict[str, Any] = {"my_service": MyService(), "app": nothing}
    exec(readme.split("```python\n")[1].split("```")[0], names)  # noqa: S102 - our own text
    answer = await Client(names["app"]).post("/admin/config-update", single("webhooks", NEW["webhooks"]))
    assert answer.json["outcome"] == "applied"
    assert service.loaded["webhooks"] == NEW["webhooks"]
