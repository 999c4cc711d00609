"""Several worker processes behind one listening socket, as servers do it; one that dies is started again."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
import time
from types import FrameType


def supervise(listener: socket.socket, number: int) -> None:
    """Run `number` copies of this command on the socket until a signal comes."""
    host, port = listener.getsockname()[:2]
    listener.set_inheritable(True)
    arguments = [word for word in sys.argv[1:] if not word.startswith("--workers=")]
    if "--workers" in arguments:
        place = arguments.index("--workers")
        del arguments[place : place + 2]
    command = [sys.executable, "-m", "sample_service", *arguments, "--fd", str(listener.fileno())]
    ended = False

    def end(number: int, frame: FrameType | None) -> None:
        nonlocal ended
        ended = True

    for name in (signal.SIGTERM, signal.SIGINT):
        signal.signal(name, end)
    workers: list[subprocess.Popen[str]] = []
    try:
        for _ in range(number):
            workers.append(_start(command, listener))
        print(f"listening: http://{host}:{port}", flush=True)  # noqa: T201
        while not ended:
            for place, worker in enumerate(workers):
                if worker.poll() is not None:
                    workers[place] = _start(command, listener)
            time.sleep(0.1)
    finally:
        for worker in workers:
            worker.terminate()
        for worker in workers:
            worker.wait()


def _start(command: list[str], listener: socket.socket) -> subprocess.Popen[str]:
    """A worker that has said that it is ready."""
    worker = subprocess.Popen(command, pass_fds=[listener.fileno()], stdout=subprocess.PIPE, text=True)
    if worker.stdout is not None:
        while line := worker.stdout.readline():
            if line.startswith("listening: "):
                break
            print(line, end="", flush=True)  # noqa: T201
    return worker
