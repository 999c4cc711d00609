"""Supervised processes: what an ended one leaves behind does not go on by itself."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from console.embedded.children import Child
from console.testing_processes import until

# Starts a process of its own, as a service with several workers does, and says which.
PARENT = """
import subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
print(child.pid, flush=True)
time.sleep(60)
"""


@pytest.fixture
def child(tmp_path: Path) -> Iterator[Child]:
    made = Child("parent", [sys.executable, "-c", PARENT], dict(os.environ), log=tmp_path / "log", echo=False)
    made.start()
    yield made
    made.restart = False
    made.stop()


def grandchild(child: Child) -> int:
    assert child.log is not None
    log = child.log
    until(lambda: log.exists() and log.read_text().endswith("\n"), what="the grandchild")
    return int(log.read_text().split()[-1])


def lives(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_what_a_killed_one_has_started_ends_before_another_takes_its_place(child: Child) -> None:
    left = grandchild(child)
    assert child.process is not None
    child.process.send_signal(signal.SIGKILL)
    child.process.wait()
    assert lives(left)

    child.keep_alive()

    until(lambda: not lives(left), what="the end of what it had started")


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_stopping_one_that_was_killed_ends_what_it_has_started(child: Child) -> None:
    left = grandchild(child)
    assert child.process is not None
    child.process.send_signal(signal.SIGKILL)
    child.process.wait()

    child.stop()

    until(lambda: not lives(left), what="the end of what it had started")
