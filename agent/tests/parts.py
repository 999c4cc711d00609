"""A host with an agent in this process, and a client that calls ASGI apps directly."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from webhook_agent import ConfigAgent, ReloadFailed
from webhook_agent.http import App, Message

TOKEN = "correct-horse-battery-staple"
OLD = {"webhooks": {"old": {"module": "log"}}, "connections": {"db": {"type": "postgresql"}}}
NEW = {"webhooks": {"new": {"module": "log"}}, "connections": {"mq": {"type": "rabbitmq"}}}


@dataclass
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Client:
    """Calls an ASGI app. `body` may be a list of chunks; `token=None` sends no Authorization."""

    def __init__(self, app: App, *, address: str = "192.0.2.7") -> None:
        self.app = app
        self.address = address

    async def get(self, path: str, *, token: str | None = TOKEN) -> Answer:
        return await self.call("GET", path, token=token)

    async def post(self, path: str, body: Any = None, *, token: str | None = TOKEN) -> Answer:
        return await self.call("POST", path, body, token=token)

    async def call(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        token: str | None = TOKEN,
        headers: Iterable[tuple[bytes, bytes]] = (),
        root_path: str = "",
    ) -> Answer:
        path, _, query = path.partition("?")
        chunks = body if isinstance(body, list) else [_encoded(body)]
        sent = [(b"authorization", f"Bearer {token}".encode())] if token is not None else []
        scope = {
            "type": "http",
            "method": method,
            "path": path,
            "root_path": root_path,
            "query_string": query.encode(),
            "headers": [*sent, *headers],
            "client": (self.address, 4711),
        }
        messages: list[Message] = [
            {"type": "http.request", "body": chunk, "more_body": number < len(chunks)}
            for number, chunk in enumerate(chunks, start=1)
        ]
        received: list[Message] = []

        async def receive() -> Message:
            return messages.pop(0) if messages else {"type": "http.disconnect"}

        async def send(message: Message) -> None:
            received.append(message)

        await self.app(scope, receive, send)
        start = received[0]
        return Answer(
            start["status"],
            {name.decode(): value.decode() for name, value in start["headers"]},
            b"".join(message.get("body", b"") for message in received[1:]),
        )


class Service:
    """A host that loads its two files, remembers what it loaded, and refuses what it is told to."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.loaded: dict[str, Any] = {}
        self.reloads: list[tuple[str, ...]] = []
        self.refuse: dict[str, str] = {}  # entry name -> reason
        self.load(("webhooks", "connections"))

    def reload(self, kinds: tuple[str, ...]) -> None:
        self.reloads.append(kinds)
        self.load(kinds)

    def load(self, kinds: Iterable[str]) -> None:
        fresh = {}
        for kind in kinds:
            path = self.folder / f"{kind}.json"
            fresh[kind] = json.loads(path.read_text()) if path.exists() else {}
            for name in fresh[kind]:
                if name in self.refuse:
                    raise ReloadFailed(self.refuse[name])
        self.loaded.update(fresh)


def lay(folder: Path, documents: Mapping[str, Any] = OLD) -> None:
    for kind, document in documents.items():
        (folder / f"{kind}.json").write_text(json.dumps(document))


def held(folder: Path) -> dict[str, Any]:
    return {kind: json.loads((folder / f"{kind}.json").read_text()) for kind in ("webhooks", "connections")}


def leftovers(folder: Path) -> set[str]:
    """Files an update should not leave."""
    return {path.name for path in folder.iterdir() if path.name.endswith((".new", ".undo"))}


def agent_for(service: Service, **options: Any) -> ConfigAgent:
    settings: dict[str, Any] = {
        "webhooks_path": service.folder / "webhooks.json",
        "connections_path": service.folder / "connections.json",
        "tokens": TOKEN,
        "reload": service.reload,
        "instance_id": "one",
        "lasting": True,
        **options,
    }
    return ConfigAgent(**settings)


async def nothing(scope: Any, receive: Any, send: Any) -> None:
    """A host app without a page."""
    await send({"type": "http.response.start", "status": 404, "headers": []})
    await send({"type": "http.response.body", "body": b"the host"})


def client_for(service: Service, **options: Any) -> Client:
    return Client(agent_for(service, **options).wrap(nothing))


def single(kind: str, config: Any, **more: Any) -> dict[str, Any]:
    return {"type": kind, "config": config, "version": "v1", "source": "test", **more}


def pair(documents: Mapping[str, Any] = NEW, **more: Any) -> dict[str, Any]:
    return {"configs": [{"type": kind, "config": config} for kind, config in documents.items()], **more}


def _encoded(body: Any) -> bytes:
    if body is None:
        return b""
    return body if isinstance(body, bytes) else json.dumps(body).encode()
