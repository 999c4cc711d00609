"""Dry runs on real instances, by a real worker: the worst that can happen to one is that it takes longer."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from configs_app.models import Change
from console import testing
from console.testing import Cast
from console.testing_processes import Process, SampleInstance, until
from instances_app.client import DryPush, DryPushed, Fleet, Outcome, Target, Way, dry
from sync_app import dry_answers, dry_runs, tasks
from sync_app.dry_run_models import DryRun
from sync_app.tests.test_seed_service import TOKEN, SeedService, seed_service

pytestmark = pytest.mark.django_db(transaction=True)
__all__ = ["seed_service"]

Start = Callable[..., list[SampleInstance]]
NEW = {"new": {"module": "log", "authorization": "Bearer {$WC_DRY_TOKEN}", "note": "{$WC_DRY_NOTE:some default}"}}


def world(fleet: list[SampleInstance], webhooks: object = None) -> tuple[Cast, Change]:
    cast = testing.cast()
    testing.bundle(cast.environment)
    for number, running in enumerate(fleet):
        testing.instance(cast.environment, f"i{number}", running.base_url, running.token)
    texts = testing.text({**testing.WEBHOOKS, **NEW} if webhooks is None else webhooks)  # type: ignore[arg-type]
    return cast, testing.draft(cast.environment, actor=cast.olga, webhooks=texts)


def ended(run: DryRun) -> bool:
    run.refresh_from_db()
    return not run.is_running


def states(run: DryRun) -> dict[str, str]:
    return dict(run.answers.values_list("instance__name", "state"))


def held(instance: SampleInstance) -> list[str]:
    """What lies in its folder, and what it says to run: all that a dry run must not touch."""
    return sorted(
        f"{path.name} {path.stat().st_mtime_ns} {path.read_bytes()!r}"
        for path in instance.folder.glob("*.json*")
        if path.is_file()
    )


def test_each_instance_says_for_itself_and_nothing_changes_anywhere(
    worker_process: Process, sample_instances: Start, seed_service: SeedService
) -> None:
    fleet = [*sample_instances(3, WC_DRY_TOKEN="a-value-of-the-host"), *sample_instances(2)]
    (fleet[1].folder / "object").write_text("Not while there is no broker")
    fleet[2].kill()
    cast, change = world(fleet)
    testing.instance(cast.environment, "seed", seed_service.base_url, TOKEN)
    testing.instance(cast.environment, "locked", fleet[0].base_url.replace("127.0.0.1", "localhost"), "not-its-token")
    before = [held(instance) for instance in fleet]

    run = dry_runs.start(change, actor=cast.olga)

    until(lambda: ended(run), what="the end of the dry run")
    assert states(run) == {
        "i0": "ready",
        "i1": "refused",
        "i2": "unreachable",
        "i3": "not fit",
        "i4": "not fit",
        "seed": "cannot be asked",
        "locked": "failed",
    }
    ready, refused = run.answers.get(instance__name="i0"), run.answers.get(instance__name="i1")
    assert (ready.reached, ready.admitted, ready.validator, ready.writable, ready.room) == (True,) * 5
    assert ready.free_bytes
    assert ready.placeholders == {"default": ["WC_DRY_NOTE"]}
    assert refused.error == "Not while there is no broker"
    assert run.answers.get(instance__name="i3").error == "No value there for WC_DRY_TOKEN."
    kept = json.dumps(list(run.answers.values("code", "error", "placeholders")))
    assert "a-value-of-the-host" not in kept
    assert "some default" not in kept
    assert [held(instance) for instance in fleet] == before
    assert seed_service.pushed == []


def test_a_service_without_dry_runs_is_sent_nothing(seed_service: SeedService) -> None:
    """Whatever the console remembers of it: it is asked at the very moment."""
    body = dry.body([("webhooks", "a" * 64, "{}")], request_id="x")
    with Fleet(connect_timeout=1, read_timeout=1) as fleet:
        fleet.submit(DryPush(1, Target(seed_service.base_url, TOKEN, way=Way(plain_http=True)), body))
        (result,) = until(lambda: fleet.results(timeout=1))
    assert isinstance(result, DryPushed)
    assert (result.info.outcome, result.answer) == (Outcome.OK, None)
    assert seed_service.pushed == []


def test_what_its_own_validator_refuses_is_told_before_anybody_approves(
    worker_process: Process, sample_instances: Start
) -> None:
    cast, change = world(sample_instances(1), {"orders": {"module": "teleport"}})
    run = dry_runs.start(change, actor=cast.anna)
    until(lambda: ended(run), what="the end of the dry run")
    assert run.answers.get().error == "Unknown module 'teleport' in webhook 'orders'"


def test_a_killed_worker_only_delays_it(worker_process: Process, sample_instances: Start) -> None:
    """Killed while instances hang; beat of the next one asks again, and each has one answer."""
    fleet = sample_instances(3, WC_DRY_TOKEN="x")
    cast, change = world(fleet)
    for instance in fleet:
        (instance.folder / "hang").write_text("1.5")
    run = dry_runs.start(change, actor=cast.olga)
    until(lambda: run.answers.filter(state="asking").count() == 3, what="the claims")

    worker_process.kill()
    assert not ended(run)
    for instance in fleet:
        (instance.folder / "hang").unlink()
    worker_process.start()

    until(lambda: ended(run), seconds=30, what="the end of the dry run")
    assert states(run) == {"i0": "ready", "i1": "ready", "i2": "ready"}
    assert set(run.answers.values_list("attempts", flat=True)) == {2}


def test_two_workers_at_once_ask_everybody_once(sample_instances: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    """The task comes twice, and again after the end."""
    fleet = sample_instances(2, WC_DRY_TOKEN="x")
    cast, change = world(fleet)
    monkeypatch.setattr(tasks, "wake_dry_run", lambda run_id: None)
    run = dry_runs.start(change, actor=cast.olga)
    held_by_another = dry_answers.claim(run.pk, limit=1)
    tasks.dry_run_batch(run.pk)
    assert sorted(states(run).values()) == ["asking", "ready"]
    assert not ended(run)
    run.answers.filter(pk=held_by_another[0].id).update(state="not asked", error="a test")
    tasks.dry_run_batch(run.pk)
    tasks.dry_run_batch(run.pk)
    assert ended(run)
    assert sorted(run.answers.values_list("attempts", flat=True)) == [1, 1]
