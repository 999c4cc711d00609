"""A large rollout is not one worker's alone; what may have to be stopped is."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import pytest

from console import scratch_database
from console.testing_processes import until
from instances_app.plans import Plan
from sync_app import push, rollouts, tasks
from sync_app.bench import fleet, measure, stage

MANY = [list(range(1200))]


@pytest.mark.parametrize(
    ("plan", "waves", "turns"),
    [
        pytest.param(Plan(), MANY, 2, id="many"),
        pytest.param(Plan(), [list(range(100_000))], push.MOST_TURNS, id="very many"),
        pytest.param(Plan(), [list(range(499))], 1, id="few"),
        pytest.param(Plan(at_once=600), MANY, 1, id="a limit at once"),
        pytest.param(Plan(failure_limit="5"), MANY, 1, id="a failure limit"),
        pytest.param(Plan(drain=True), MANY, 1, id="draining"),
        pytest.param(Plan(waves=("1", "100%")), [[1], *MANY], 1, id="waves"),
    ],
)
def test_several_workers_begin_only_where_any_number_may_be_on_their_way(
    plan: Plan, waves: list[list[int]], turns: int
) -> None:
    assert push.turns(plan, waves) == turns


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int]]:
    """The calls for another worker that went to the broker."""
    found: list[tuple[int, int]] = []
    monkeypatch.setattr(tasks.join_push, "apply_async", lambda arguments, **_: found.append(arguments))
    return found


@pytest.mark.parametrize("passes", [1, 0])
def test_a_worker_that_is_at_it_passes_a_call_on_and_does_so_once(
    monkeypatch: pytest.MonkeyPatch, sent: list[tuple[int, int]], passes: int
) -> None:
    def in_the_middle(rollout_id: int) -> bool:
        tasks.join_push(rollout_id, passes)  # turns that end elsewhere make no difference
        return False

    monkeypatch.setattr(push, "_run", in_the_middle)

    push.run(7)

    assert sent == [(7, 0)] * passes
    assert not push.is_under_way(7)


def test_a_turn_that_breaks_is_over(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(rollout_id: int) -> bool:
        raise RuntimeError("the database is away")

    monkeypatch.setattr(push, "_run", broken)

    with pytest.raises(RuntimeError):
        push.run(7)

    assert not push.is_under_way(7)


@pytest.mark.django_db(transaction=True)
def test_a_large_rollout_is_sent_by_every_worker_process_from_the_start() -> None:
    """Nobody answers, so that each keeps the connections that it has made; one worker alone would make them all."""
    number, port = len(MANY[0]), stage.free_port()
    urls = [f"http://{fleet.address(index)}:{port}" for index in range(number)]
    with (
        tempfile.TemporaryDirectory(prefix="bench-") as folder,
        scratch_database.made(),
        stage.broker(Path(folder)),
        stage.fleet(number, port, hang=100.0),
        stage.workers(2, Path(folder)) as workers,
    ):
        environment, author = measure.prepare(urls)
        before = [sockets(worker) for worker in workers]
        rollouts.publish(measure.draft(environment, author=author, entries=measure.ENTRIES + 1), actor=author)

        def each() -> list[int]:
            return [sockets(worker) - were for worker, were in zip(workers, before, strict=True)]

        until(lambda: min(each()) >= 100, what="connections of both workers")


def sockets(pid: int) -> int:
    """How many the process has open."""
    count = 0
    for entry in Path(f"/proc/{pid}/fd").iterdir():
        try:
            count += os.readlink(entry).startswith("socket:")
        except FileNotFoundError:  # closed meanwhile
            continue
    return count
