"""A process that dies at any step of an update leaves the old pair or the new; the next start knows which."""

from __future__ import annotations

import contextlib
import http.client
import urllib.error
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.parts import NEW, OLD, held, lay, leftovers, pair
from tests.processes import PLAIN, NotStarted, Process
from webhook_agent import protocol

BEFORE = ["staged", "journalled", "swapped-1", "swapped-2", "swapped", "reloaded"]
AFTER = ["kept", "tidied"]
ROLLBACK = ["restored-1", "restored-2", "restored"]
GONE = (urllib.error.URLError, http.client.HTTPException, ConnectionError)


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    lay(tmp_path)
    yield tmp_path
    assert leftovers(tmp_path) == set()


def crash(folder: Path, step: str, **environment: str) -> None:
    """An update that ends the process at `step`."""
    with Process(folder, workers=1, mount=PLAIN, WEBHOOK_AGENT_CRASH_AT=step, **environment) as process:
        with pytest.raises(GONE):
            process.push(pair(sequence=9))
        assert process.wait() == 137


def assert_runs(folder: Path, expected: dict[str, dict[str, dict[str, str]]], sequence: int | None) -> None:
    """After a restart the files, the report and the service itself agree, and the next update works."""
    with Process(folder) as process:
        assert held(folder) == expected
        version = process.call("/admin/config-version")[1]
        assert version["webhooks_digest"] == protocol.digest(expected["webhooks"])
        assert version["connections_digest"] == protocol.digest(expected["connections"])
        assert version["differs"] == []
        assert version["sequence"] == sequence
        for name in ("old", "new"):
            assert (process.call(f"/webhook/{name}", b"")[0] == 200) is (name in expected["webhooks"])
        assert process.push(pair(sequence=10))[0] == 200
        assert held(folder) == NEW


@pytest.mark.parametrize("step", BEFORE)
def test_a_kill_before_the_update_counts_leaves_the_old_pair(folder: Path, step: str) -> None:
    crash(folder, step)
    assert_runs(folder, OLD, None)


@pytest.mark.parametrize("step", AFTER)
def test_a_kill_after_the_update_counts_leaves_the_new_pair(folder: Path, step: str) -> None:
    crash(folder, step)
    assert_runs(folder, NEW, 9)


@pytest.mark.parametrize("step", ROLLBACK)
def test_a_kill_during_a_rollback_leaves_the_old_pair(folder: Path, step: str) -> None:
    crash(folder, step, SAMPLE_REJECT="no")
    assert_runs(folder, OLD, None)


@pytest.mark.parametrize("step", ROLLBACK)
def test_a_kill_while_a_start_settles_an_earlier_kill_leaves_the_old_pair(folder: Path, step: str) -> None:
    crash(folder, "swapped")
    with pytest.raises(NotStarted):
        Process(folder, WEBHOOK_AGENT_CRASH_AT=step).close()
    assert_runs(folder, OLD, None)


def test_a_kill_between_two_first_files_leaves_neither(tmp_path: Path) -> None:
    crash(tmp_path, "swapped-1")
    with Process(tmp_path) as process:
        assert not (tmp_path / "webhooks.json").exists()
        assert not (tmp_path / "connections.json").exists()
        assert process.push(pair())[0] == 200


def test_a_kill_from_outside_while_updates_pour_in_leaves_one_pair(folder: Path) -> None:
    """The pair of a round names its number in both files: a mix of two rounds would show."""
    number = 0
    for more in (1, 2, 3, 4):
        with Process(folder) as process:
            for _ in range(more):
                number += 1
                assert process.push(_numbered(number))[1]["status"] == "success"
            number += 1
            with contextlib.suppress(TimeoutError):  # look away: the kill comes wherever it comes
                process.push(_numbered(number), timeout=0.002 * more)
            process.kill()
        with Process(folder):
            webhooks, connections = held(folder).values()
        assert set(webhooks) == set(connections)
        assert set(webhooks) <= {f"n{number - 1}", f"n{number}"}


def _numbered(number: int) -> dict[str, object]:
    entry = {f"n{number}": {"module": "log", "type": "kafka"}}
    return pair({"webhooks": entry, "connections": entry})
