"""The sample instances of the demo: which, where, and with what token."""

from __future__ import annotations

import json
import secrets
import socket
import sys
from collections.abc import Mapping
from pathlib import Path

from console.bootstrap import ROOT
from console.embedded.children import Child
from console.embedded.datadir import write_private

FLEET = {"staging": 3, "production": 2}
FIRST_PORT = 9101


def plan(data: Path) -> list[dict[str, str]]:
    """Name, environment, address, token and folder of each; the same as last time where its port is still free."""
    path = data / "demo.json"
    before = {item["name"]: item for item in json.loads(path.read_text())} if path.exists() else {}
    taken: set[int] = set()
    planned = []
    for environment, number in FLEET.items():
        for index in range(1, number + 1):
            name = f"{environment}-{index}"
            known = before.get(name, {})
            port = _port(int(known["base_url"].rsplit(":", 1)[1]) if known else FIRST_PORT, taken)
            taken.add(port)
            planned.append(
                {
                    "name": name,
                    "environment": environment,
                    "base_url": f"http://127.0.0.1:{port}",
                    "token": known.get("token") or secrets.token_urlsafe(32),
                    "dir": str(data / "instances" / name),
                }
            )
    write_private(path, json.dumps(planned, indent=2) + "\n")
    public = [{"base_url": item["base_url"], "environment": item["environment"]} for item in planned]
    (data / "instances.json").write_text(json.dumps(public, indent=2) + "\n")
    return planned


def children(planned: list[dict[str, str]], environment: Mapping[str, str]) -> list[Child]:
    """One process per sample instance; it knows its own token and none of the console's secrets."""
    kept = {name: environment[name] for name in ("PATH", "PYTHONPATH", "HOME", "LANG") if name in environment}
    return [
        Child(
            name=item["name"],
            command=[
                *[sys.executable, "-m", "sample_service", "--name", item["name"]],
                *["--port", item["base_url"].rsplit(":", 1)[1], "--dir", item["dir"]],
            ],
            environment={**kept, "CONFIG_ADMIN_TOKEN": item["token"]},
            cwd=ROOT,
        )
        for item in planned
    ]


def _port(first: int, taken: set[int]) -> int:
    for port in range(first, 65000):
        if port in taken:
            continue
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        return port
    raise RuntimeError("No free port for the sample instances.")
