"""The embedded Postgres starts whatever an earlier one has left behind."""

from __future__ import annotations

import os
import signal
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest

from console.embedded import postgres
from console.embedded.children import Child


@pytest.fixture
def start() -> Iterator[Callable[[], tuple[postgres.Postgres, Child]]]:
    """Starts a server, each time on the same folder."""
    children: list[Child] = []
    with tempfile.TemporaryDirectory(prefix="wc-pg-") as name:
        Path(name).chmod(0o711)  # it may run as another account

        def started() -> tuple[postgres.Postgres, Child]:
            server = postgres.prepare(Path(name) / "postgres", fast=True)
            children.append(server.child(fast=True, echo=False))
            children[-1].start()
            postgres.wait(server, children[-1])
            return server, children[-1]

        yield started
        for child in children:
            child.patience = 0.0
            child.stop()


@pytest.mark.parametrize("postmaster_lives", [True, False])
def test_a_backend_that_hangs_does_not_keep_the_next_server_away(
    start: Callable[[], tuple[postgres.Postgres, Child]], monkeypatch: pytest.MonkeyPatch, postmaster_lives: bool
) -> None:
    monkeypatch.setattr(postgres, "PATIENCE", 1.0)
    server, first = start()
    with psycopg.connect(server.url()) as connection:
        os.kill(connection.info.backend_pid, signal.SIGSTOP)
        assert first.process is not None
        if not postmaster_lives:
            first.process.kill()
            first.process.wait()

        server, _ = start()

    with psycopg.connect(server.url()) as connection:
        assert connection.execute("SELECT 6 * 7").fetchone() == (42,)
