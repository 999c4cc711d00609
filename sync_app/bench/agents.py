"""Many real agents in one process: `python -m sync_app.bench.agents FOLDER NUMBER [FIRST]`.

Each has documents and a state folder of its own and answers below `/<name>`; its host loads what it is given. Prints
the port when it listens.
"""

from __future__ import annotations

import json
import logging
import socket
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import uvicorn
from webhook_agent import ConfigAgent
from webhook_agent.http import App, Receive, Scope, Send


def configured(name: str) -> str:
    """The token in the configuration of that agent."""
    return f"configured-for-{name}-0123456789abcdefXYZ"


def names(number: int, first: int = 0) -> list[str]:
    return [f"a{index:03}" for index in range(first, first + number)]


def agent(folder: Path, name: str, **options: Any) -> App:
    folder.mkdir(parents=True, exist_ok=True)
    for kind in ("webhooks", "connections"):
        if not (folder / f"{kind}.json").exists():
            (folder / f"{kind}.json").write_text("{}")
    loaded: dict[str, Any] = {}

    def reload(kinds: Iterable[str]) -> None:
        loaded.update({kind: json.loads((folder / f"{kind}.json").read_bytes()) for kind in kinds})

    async def host(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 404, "headers": []})
        await send({"type": "http.response.body", "body": b"{}"})

    made = ConfigAgent(
        webhooks_path=folder / "webhooks.json",
        connections_path=folder / "connections.json",
        tokens=configured(name),
        reload=reload,
        instance_id=name,
        prefix=f"/{name}",
        **options,
    )
    return made.wrap(host)


def listen() -> socket.socket:
    """On a free port."""
    listener = socket.create_server(("127.0.0.1", 0), backlog=1024)
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listener


def server(app: App) -> uvicorn.Server:
    options: dict[str, Any] = {
        "interface": "asgi3",
        "ws": "none",
        "lifespan": "off",
        "log_level": "warning",
        "access_log": False,
    }
    return uvicorn.Server(uvicorn.Config(app, **options))


def main() -> None:
    folder, number, first = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    apps = {name: agent(folder / name, name) for name in names(number, first)}

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await apps[scope["path"].split("/")[1]](scope, receive, send)

    logging.getLogger("webhook_agent").setLevel(logging.ERROR)  # it says of each 401 that there was one
    listener = listen()
    print(listener.getsockname()[1], flush=True)  # noqa: T201
    server(app).run(sockets=[listener])


if __name__ == "__main__":
    main()
