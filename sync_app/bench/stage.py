"""The processes of a benchmark: a Redis of its own, a simulated fleet, real Celery workers; and what they use."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from django.conf import settings

from console import live
from console.bootstrap import ROOT
from console.celery import use_broker
from console.embedded import redis, up
from console.embedded.children import Child, die_with_parent
from sync_app import tasks


@contextmanager
def broker(folder: Path) -> Iterator[None]:
    server = redis.prepare(folder / "redis")
    child = server.child(log=folder / "redis.log", echo=False)
    child.start()
    redis.wait(server, child)
    before = settings.REDIS_URL
    try:
        _use_redis(server.url())
        yield
    finally:
        _use_redis(before)
        child.stop()


def _use_redis(url: str) -> None:
    os.environ["REDIS_URL"] = settings.REDIS_URL = url
    use_broker(url)
    live.forget()


@contextmanager
def fleet(
    instances: int, port: int, *, hang: float = 0.0, reject: float = 0.0, hang_checks: float = 0.0
) -> Iterator[None]:
    command = [sys.executable, "-m", "sync_app.bench.fleet", "--instances", str(instances), "--port", str(port)]
    command += ["--hang", str(hang), "--reject", str(reject), "--hang-checks", str(hang_checks)]
    process = subprocess.Popen(
        command,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "agent")])},
        stdout=subprocess.PIPE,
        preexec_fn=die_with_parent(signal.SIGKILL),
    )
    with process:
        try:
            if process.stdout is None or not process.stdout.readline():
                raise RuntimeError("The simulated fleet did not start.")
            yield
        finally:
            process.kill()


@contextmanager
def workers(number: int, folder: Path, **more: str) -> Iterator[list[int]]:
    """The process ids of workers that have reported ready; `more` goes into their environment."""
    paths = os.pathsep.join([str(ROOT), str(ROOT / "agent")])
    environment = {
        **up.WORKER_ENVIRONMENT,
        **os.environ,
        "PYTHONPATH": paths,
        "CONSOLE_OBSERVE_SECONDS": "3600",
        **more,
    }
    children = []
    for index in range(number):
        beat = ["-B", "-s", str(folder / "beat")] if index == 0 else []
        command = [sys.executable, "-m", "celery", "-q", "-A", "console", "worker", "-P", "threads", "-c", "5", *beat]
        command += ["--without-gossip", "--without-mingle", "-l", "INFO", "-n", f"bench{index}@%h"]
        log = folder / f"worker-{index}.log"
        children.append(Child(f"worker-{index}", command, environment, cwd=ROOT, log=log, echo=False))
    try:
        for child in children:
            child.start()
        deadline = time.monotonic() + 60
        while not all(child.log and child.log.exists() and b" ready." in child.log.read_bytes() for child in children):
            if time.monotonic() > deadline:
                raise RuntimeError("The workers did not start.")
            time.sleep(0.05)
        _warm_up()
        yield [child.process.pid for child in children if child.process is not None]
    finally:
        for child in children:
            if child.process is not None:
                child.process.kill()  # its work is thrown away; an orderly end waits for whoever hangs
            child.stop()


def _warm_up() -> None:
    """One tick, there and back: a console that runs has its ways to the broker and the database open."""
    live.connection().delete(live.HEARTBEAT_KEY)
    tasks.tick.delay()
    deadline = time.monotonic() + 60
    while live.heartbeat() is None:
        if time.monotonic() > deadline:
            raise RuntimeError("No worker carried out a task.")
        time.sleep(0.05)


def cpu_seconds(pid: int) -> float:
    """Seconds of CPU used so far by the process (proc(5), fields utime and stime)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def peak_mb(pid: int) -> float:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 1024
    return 0.0


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.1.0.1", 0))
        return int(probe.getsockname()[1])
