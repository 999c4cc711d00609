"""`manage.py up`: everything in one terminal. One parent starts, watches, restarts and stops all of it."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path
from time import monotonic, sleep
from types import FrameType

from console.bootstrap import ROOT
from console.embedded import assets, datadir, demo, postgres, redis
from console.embedded.children import Child, say
from console.embedded.datadir import Running

DEFAULT_PORT = 8000
READY_SECONDS = 60.0
ME = "console"
WORKER_OPTIONS = ["worker", "-P", "threads", "-c", "5", "-l", "WARNING", "--without-gossip", "--without-mingle"]
WORKER_ENVIRONMENT = {"CONSOLE_DB_POOL": "6"}  # a connection for each thread; a new one would know no plan and no table


class Stop:
    """Set by a signal. Not a threading.Event: a handler that runs while the main thread is inside `wait` would
    wait for the lock that this very thread holds, for ever."""

    def __init__(self) -> None:
        self.asked = False

    def on_signal(self, number: int, frame: FrameType | None) -> None:
        self.asked = True

    def wait(self, seconds: float) -> bool:
        """Whether to stop, after that long."""
        if not self.asked:
            sleep(seconds)
        return self.asked


class Stopped(Exception):
    """Ctrl-C or SIGTERM came while things were still starting."""


def main() -> int:
    data = datadir.path()
    running = Running(data)
    if not running.take():
        facts = running.facts() or {}
        where = f" at {facts['url']}" if facts.get("url") else ", still starting, or a command works there"
        print(f"Webhook Console is running on {data} already{where}. Stop it there first.", file=sys.stderr)
        return 1
    try:
        port = _port()
    except RuntimeError as error:
        print(error, file=sys.stderr)
        return 1
    try:
        assets.build()
    except subprocess.CalledProcessError:
        print("Building the assets failed (see above). Is the npm registry reachable? Then try again.", file=sys.stderr)
        return 1
    stop = Stop()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, stop.on_signal)
    children: list[Child] = []
    try:
        _start(data, port, running, children, stop)
        while not stop.wait(0.25):
            for child in children:
                child.keep_alive()
    except Stopped:
        pass
    except RuntimeError as error:
        print(f"{error} Its output is in {data / 'logs'}.", file=sys.stderr)
        return 1
    finally:
        # Last started first: nobody loses what it stands on.
        say(ME, "stopping")
        for child in reversed(children):
            child.restart = False
            child.stop()
        say(ME, "stopped")
    return 0


def _start(data: Path, port: int, running: Running, children: list[Child], stop: Stop) -> None:
    logs = data / "logs"
    logs.mkdir(exist_ok=True)
    server, cache = postgres.prepare(data / "postgres"), redis.prepare(data / "redis")

    def run(child: Child) -> Child:
        if stop.asked:
            raise Stopped
        child.log = logs / f"{child.name}.log"
        child.start()
        children.append(child)
        return child

    database = run(server.child(echo=False))
    broker = run(cache.child(echo=False))
    postgres.wait(server, database)
    redis.wait(cache, broker)
    services = datadir.environment(data, database_url=server.url(), redis_url=cache.url())
    environment = {**os.environ, **services, "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "agent")])}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    environment.setdefault("PYTHONWARNINGS", "ignore::UserWarning:celery.platforms")
    with_demo = os.environ.get("CONSOLE_DEMO", "1") not in {"0", "no", "false", "off"}
    samples = demo.plan(data) if with_demo else []
    prepared = subprocess.run(
        [sys.executable, "-m", "console.embedded.prepare", "demo" if with_demo else "empty"],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
    )
    if prepared.returncode:
        print(prepared.stdout + prepared.stderr, file=sys.stderr)
        raise RuntimeError("Preparing the database failed.")
    for child in demo.children(samples, environment):
        run(child)
    python = sys.executable
    celery = [python, "-m", "celery", "-q", "-A", "console"]
    worker = {**WORKER_ENVIRONMENT, **environment}
    run(Child("worker", [*celery, *WORKER_OPTIONS], worker, patience=20.0, cwd=ROOT))
    # Not inside the worker (-B): nobody would start one again that was killed, and it would outlive a killed worker.
    beat = ["beat", "-s", str(data / "beat-schedule"), "-l", "WARNING"]
    run(Child("beat", [*celery, *beat], environment, cwd=ROOT))
    web = run(Child("web", [python, "-m", "console.server", "--port", str(port)], environment, patience=8.0, cwd=ROOT))
    url = f"http://localhost:{port}/"
    _wait_ready(url, web, stop)
    running.say(url=url, pid=os.getpid(), environment=services)
    if prepared.stdout.strip():
        print(f"\nSign-ins, shown this once (and kept in {data / 'credentials.json'}):", flush=True)
        print(prepared.stdout.rstrip() + "\n", flush=True)
    else:
        say(ME, f"sign-ins are in {data / 'credentials.json'}")
    print(f"ready: {url}", flush=True)


def _wait_ready(url: str, web: Child, stop: Stop) -> None:
    """Until a page could be used: /healthz answers, which includes the database."""
    deadline = monotonic() + READY_SECONDS
    while not stop.wait(0.1):
        try:
            with urllib.request.urlopen(f"{url}healthz", timeout=2) as answer:  # noqa: S310 - our own http address
                if answer.status == 200:
                    return
        except (urllib.error.URLError, OSError):
            web.keep_alive()
        if monotonic() > deadline:
            raise RuntimeError(f"The web server did not answer within {READY_SECONDS:.0f} seconds.")
    raise Stopped


def _port() -> int:
    wanted = os.environ.get("CONSOLE_PORT", "")
    if wanted:
        if not wanted.isdigit() or not 0 < int(wanted) < 65536:
            raise RuntimeError(f"CONSOLE_PORT must be a port number, not {wanted!r}.")
        if not port_is_free(int(wanted)):
            raise RuntimeError(f"Port {wanted} is taken. Set CONSOLE_PORT to a free one, or leave it unset.")
        return int(wanted)
    for port in range(DEFAULT_PORT, DEFAULT_PORT + 100):
        if port_is_free(port):
            if port != DEFAULT_PORT:
                say(ME, f"port {DEFAULT_PORT} is taken; using {port}")
            return port
    raise RuntimeError(f"Ports {DEFAULT_PORT} to {DEFAULT_PORT + 99} are taken. Set CONSOLE_PORT to a free one.")


def port_is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
