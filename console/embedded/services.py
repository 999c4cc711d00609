"""Postgres and Redis for a single command, a developer's shell, or a test run."""

from __future__ import annotations

import atexit
import os
from pathlib import Path

from console.embedded import datadir, postgres, redis
from console.embedded.children import Child
from console.embedded.datadir import Running

_held: list[Running] = []  # a lock is gone with its object, and the next command would stop these services


def borrow() -> None:
    """Point the environment at the services of a running `up`, or start them until this process ends."""
    data = datadir.path()
    running = Running(data)
    facts = running.facts()
    if facts is not None:
        os.environ.update(facts.get("environment") or {})
    if "DATABASE_URL" in os.environ:
        return
    if not running.take():
        raise SystemExit("An `up` that is starting, or another command, has this data folder; try again in a moment.")
    _held.append(running)
    start(data)


def start(data: Path, *, fast: bool = False) -> dict[str, str]:
    """Start both, set and return their environment, stop them when this process ends."""
    server, cache = postgres.prepare(data / "postgres", fast=fast), redis.prepare(data / "redis")
    logs = data / "logs"
    logs.mkdir(exist_ok=True)
    children: list[Child] = [
        server.child(fast=fast, log=logs / "postgres.log", echo=False),
        cache.child(keep=not fast, log=logs / "redis.log", echo=False),
    ]
    for child in children:
        child.start()
    for child in children:  # atexit calls the last registered first
        atexit.register(child.stop)
    postgres.wait(server, children[0])
    redis.wait(cache, children[1])
    environment = datadir.environment(data, database_url=server.url(), redis_url=cache.url())
    os.environ.update(environment)
    return environment


if __name__ == "__main__":
    import signal

    for name, value in start(datadir.path()).items():
        print(f"export {name}='{value}'", flush=True)
    signal.sigwait({signal.SIGINT, signal.SIGTERM})
