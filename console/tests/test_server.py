"""The web server stops when it is told to, however it is told."""

from __future__ import annotations

import os
import signal
import socket
import sys
import time
from pathlib import Path

from console.testing_processes import Process, free_port, until


def test_two_signals_at_once_stop_a_server_that_nobody_has_asked_yet(scratch: Path) -> None:
    """As when `up` is killed while a person presses Ctrl-C: a server that outlives it keeps the port for ever."""
    port = free_port()
    server = Process(
        [sys.executable, "-m", "console.server", "--port", str(port)],
        dict(os.environ),
        scratch / "web.log",
    )
    server.start()
    try:
        until(lambda: listens(port), what="the server")
        assert server.process is not None
        server.process.send_signal(signal.SIGTERM)
        time.sleep(0.02)  # the first handler is at work
        server.process.send_signal(signal.SIGTERM)
        assert server.process.wait(20) == -signal.SIGTERM
    finally:
        server.kill()
    assert "Traceback" not in server.output.read_text()


def listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
