"""Real agents over HTTP by the dozen: `agents` in a thread of the test, `live_agents` in processes of their own."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from webhook_agent.http import App, Receive, Scope, Send

from console.bootstrap import ROOT
from console.testing_processes import Process, until
from sync_app.bench.agents import agent, configured, listen, names, server

Start = Callable[..., dict[str, str]]


@pytest.fixture
def live_agents(scratch: Path) -> Iterator[Start]:
    """factory: ``live_agents(200, processes=2)`` starts them; name → base URL."""
    started: list[Process] = []

    def start(number: int, *, processes: int = 1) -> dict[str, str]:
        each = -(-number // processes)
        for index in range(processes):
            command = [sys.executable, "-m", "sync_app.bench.agents", str(scratch), str(each), str(index * each)]
            paths = f"{ROOT}{os.pathsep}{ROOT / 'agent'}"
            process = Process(command, {**os.environ, "PYTHONPATH": paths}, scratch / f"agents-{index}.log")
            process.start()
            started.append(process)
        found: dict[str, str] = {}
        for index, process in enumerate(started):
            read = process.output.read_text
            until(lambda read=read: read().endswith("\n"), what="the agents")  # type: ignore[misc]
            found |= {name: f"http://127.0.0.1:{int(read())}/{name}" for name in names(each, index * each)}
        return found

    yield start
    for process in started:
        process.kill()
        sys.stdout.write(process.output.read_text(errors="replace")[-2000:])


class Agents:
    """Agents in a thread. `broken` says what becomes of a request: a status is answered in the place of the agent's
    answer, which it has given all the same; "off" lets nothing reach it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.apps: dict[str, App] = {}
        self.broken: dict[tuple[str, str], int | str] = {}  # (name, last part of the path)
        self.asked: list[tuple[str, str]] = []
        self._listener = listen()
        self.port: int = self._listener.getsockname()[1]
        self._server = server(self._app)
        self._thread = threading.Thread(target=self._server.run, args=([self._listener],), daemon=True)
        self._thread.start()

    def add(self, name: str, **options: Any) -> str:
        """Its base URL; the token in its configuration is `configured(name)`."""
        self.apps[name] = agent(self.folder / name, name, **options)
        return f"http://127.0.0.1:{self.port}/{name}"

    def end(self) -> None:
        self._server.should_exit = True
        self._thread.join()

    async def _app(self, scope: Scope, receive: Receive, send: Send) -> None:
        name, endpoint = scope["path"].split("/")[1], scope["path"].split("/")[-1]
        self.asked.append((name, endpoint))
        broken = self.broken.get((name, endpoint))

        async def quiet(message: Any) -> None: ...

        if broken != "off":
            await self.apps[name](scope, receive, send if broken is None else quiet)
        if broken is not None:
            status = broken if isinstance(broken, int) else 503
            await send({"type": "http.response.start", "status": status, "headers": []})
            await send({"type": "http.response.body", "body": b"{}"})


@pytest.fixture
def agents(tmp_path: Path) -> Iterator[Agents]:
    made = Agents(tmp_path)
    yield made
    made.end()


__all__ = ["Agents", "Start", "agents", "configured", "live_agents"]
