"""What the agent costs its host: `python agent/bench.py`. Prints ratios; both sides run in turns, in one run.

passed_through   requests per second of a minimal ASGI app under uvicorn, bare and wrapped; the bare is the reference
push_2mb_ms      a 2 MB document pushed over HTTP to an agent whose host loads nothing; beside it, parsing that
                 document twice and writing it twice with fsync, which no agent can do without
"""

from __future__ import annotations

import asyncio
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROUNDS, SECONDS, CONNECTIONS = 12, 1.0, 16
REQUEST = b"GET /hello HTTP/1.1\r\nHost: localhost\r\n\r\n"
TOKEN = "bench-token"  # noqa: S105 - of servers that live for one run

SERVER = """
import os, sys, tempfile, uvicorn
sys.path.insert(0, {here!r})
async def app(scope, receive, send):
    await send({{"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]}})
    await send({{"type": "http.response.body", "body": b"ok"}})
if {wrapped}:
    from webhook_agent import ConfigAgent
    folder = sys.argv[2]
    app = ConfigAgent(webhooks_path=folder + "/webhooks.json", connections_path=folder + "/connections.json",
                      tokens={token!r}, reload=lambda kinds: None).wrap(app)
uvicorn.run(app, port=int(sys.argv[1]), log_level="critical", lifespan="off", access_log=False)
"""


def start(port: int, folder: str, *, wrapped: bool) -> subprocess.Popen[bytes]:
    code = SERVER.format(here=str(HERE), wrapped=wrapped, token=TOKEN)
    server = subprocess.Popen([sys.executable, "-c", code, str(port), folder])
    while True:
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{port}/hello", timeout=1).close()
            return server
        except OSError:
            time.sleep(0.05)


async def _client(port: int, until: float) -> int:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    done = 0
    while time.perf_counter() < until:
        writer.write(REQUEST)
        await reader.readuntil(b"\r\n\r\nok")
        done += 1
    writer.close()
    return done


async def rate(port: int) -> float:
    until = time.perf_counter() + SECONDS
    done = await asyncio.gather(*(_client(port, until) for _ in range(CONNECTIONS)))
    return sum(done) / SECONDS


def passed_through(folder: str) -> dict[str, float]:
    servers = {8951: start(8951, folder, wrapped=False), 8952: start(8952, folder, wrapped=True)}
    try:
        for port in servers:
            asyncio.run(rate(port))  # warm
        pairs = []
        for number in range(ROUNDS):
            order = (8951, 8952) if number % 2 else (8952, 8951)
            found = {port: asyncio.run(rate(port)) for port in order}
            pairs.append((found[8951], found[8952]))
    finally:
        for server in servers.values():
            server.terminate()
            server.wait()
    bare, wrapped = (statistics.median(side) for side in zip(*pairs))
    lost = statistics.median(100 * (1 - after / before) for before, after in pairs)
    return {"bare_per_s": round(bare), "wrapped_per_s": round(wrapped), "lost_percent": round(lost, 2)}


def push(folder: str) -> dict[str, float]:
    server = start(8953, folder, wrapped=True)
    times, floors = [], []
    try:
        for number in range(9):
            entry = {"module": "log", "module-config": {"note": "x" * 300}}
            document = {f"webhook_{index:05}": entry for index in range(5300)}
            document["round"] = {"module": "log", "number": number}  # type: ignore[dict-item]
            body = json.dumps({"type": "webhooks", "config": document}).encode()
            request = urllib.request.Request(
                "http://127.0.0.1:8953/admin/config-update", data=body, headers={"Authorization": f"Bearer {TOKEN}"}
            )
            started = time.perf_counter()
            with urllib.request.urlopen(request) as answer:  # noqa: S310
                assert json.load(answer)["outcome"] == "applied"
            times.append(time.perf_counter() - started)
            started = time.perf_counter()
            for _ in range(2):
                text = json.dumps(json.loads(body)["config"], sort_keys=True)
                with open(os.path.join(folder, "floor"), "w") as file:
                    file.write(text)
                    file.flush()
                    os.fsync(file.fileno())
            floors.append(time.perf_counter() - started)
    finally:
        server.terminate()
        server.wait()
    return {
        "body_mb": round(len(body) / 1e6, 2),
        "push_ms": round(1000 * statistics.median(times), 1),
        "floor_ms": round(1000 * statistics.median(floors), 1),
    }


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as scratch:
        print(json.dumps({"passed_through": passed_through(scratch), "push_2mb_ms": push(scratch)}))  # noqa: T201
