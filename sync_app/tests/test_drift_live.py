"""Drift on real parts: a file is changed on a host, read from its agent, adopted, overwritten, healed."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from django.test import Client
from django.urls import reverse

from configs_app import documents
from configs_app.models import Change
from console import testing
from console.errors import Refused
from console.testing import Cast, ended
from console.testing_processes import Process, SampleInstance, until
from instances_app import healing, registry
from instances_app.healing import SelfHeal
from instances_app.models import Instance
from sync_app import checks, drift, drift_content, drift_watch, repairs, rollouts
from sync_app.models import Cause, CheckRound, Drift, LiveCopy, Rollout
from sync_app.tests.attempts import states

pytestmark = pytest.mark.django_db(transaction=True)

Start = Callable[..., list[SampleInstance]]
BY_HAND = {"orders": {"module": "log", "authorization": "Bearer h4nd-made"}}


def begin(fleet: list[SampleInstance]) -> Cast:
    """Agents that a rollout has brought the first bundle."""
    cast = testing.cast()
    testing.bundle(cast.environment)
    for number, running in enumerate(fleet):
        made = testing.instance(cast.environment, f"i{number}", running.base_url, running.token)
        registry.check(made, actor=cast.olga)
    rollout = rollouts.start(cast.environment, actor=cast.olga, cause=Cause.SYNC)
    until(lambda: ended(rollout), what="the first rollout's end")
    assert rollout.state == "succeeded"
    return cast


def by_hand(cast: Cast, running: SampleInstance, document: dict[str, object] | None = None) -> None:
    """Somebody edits the file on the host and reloads; two rounds of checks see it."""
    (running.folder / "webhooks.json").write_text(json.dumps(document or BY_HAND))
    running.kill()
    running.start()
    until(lambda: _short(cast), what="the drift to be seen")
    checks.run(cast.environment.pk)


def _short(cast: Cast) -> str:
    checks.run(cast.environment.pk)
    found = drift.groups(documents.desired(cast.environment))
    return found[0].short if found and found[0].open else ""


def file(running: SampleInstance) -> object:
    return json.loads((running.folder / "webhooks.json").read_text())


def test_a_file_changed_on_a_host_is_read_adopted_and_overwritten(
    worker_process: Process, sample_instances: Start
) -> None:
    fleet = sample_instances(2)
    cast = begin(fleet)
    by_hand(cast, fleet[0])
    short = _short(cast)
    page = Client()
    page.force_login(cast.olga)
    address = ["staging", "webhooks", short]

    page.post(reverse("sync:drift-read", args=address))
    assert json.loads(LiveCopy.objects.get().text) == BY_HAND
    body = page.get(reverse("sync:drift-content", args=address)).content.decode()
    assert "changed: authorization" in body
    assert "h4nd-made" not in body

    page.post(reverse("sync:drift-adopt", args=address))
    assert json.loads(Change.objects.get().documents.get().text) == BY_HAND

    page.post(
        reverse("sync:drift-overwrite", args=address), {"instance": Instance.objects.get(name="i0").pk, "sure": 1}
    )
    rollout = Rollout.objects.get(cause=Cause.REPAIR)
    until(lambda: ended(rollout), what="the repair's end")
    assert states(rollout) == {"i0": "verified"}
    assert file(fleet[0]) == testing.WEBHOOKS
    assert drift.count(documents.desired(cast.environment)) == 0
    assert CheckRound.objects.get().answered == 2


def test_a_file_that_is_not_loaded_yet_is_no_copy_of_what_runs(
    worker_process: Process, sample_instances: Start
) -> None:
    fleet = sample_instances(1)
    cast = begin(fleet)
    by_hand(cast, fleet[0])
    (fleet[0].folder / "webhooks.json").write_text(json.dumps({"another": {"module": "log"}}))
    drift_watch.note(cast.environment)
    found = until(lambda: Drift.objects.filter(ended_at=None, kind="webhooks").first(), what="the drift")
    LiveCopy.objects.all().delete()

    with pytest.raises(Refused, match="is not loaded yet"):
        drift_content.read(found, Instance.objects.all())

    assert not LiveCopy.objects.exists()
    found.refresh_from_db()
    assert "is not loaded yet" in found.read_error


def test_beat_heals_by_itself_and_keeps_what_was_there(worker_process: Process, sample_instances: Start) -> None:
    fleet = sample_instances(2)
    cast = begin(fleet)
    healing.change(cast.environment, SelfHeal(True, 3, 10), actor=cast.adam)
    by_hand(cast, fleet[0])

    rollout = until(lambda: Rollout.objects.filter(cause=Cause.REPAIR).first(), what="a repair")
    until(lambda: ended(rollout), what="the repair's end")

    assert (rollout.author, states(rollout)) == (None, {"i0": "verified"})
    assert file(fleet[0]) == testing.WEBHOOKS
    assert json.loads(LiveCopy.objects.get().text) == BY_HAND
    assert repairs.copy_of(cast.environment, "webhooks", rollout.repairs.get().short) is not None
    until(lambda: not Drift.objects.filter(ended_at=None).exists(), what="the end of the drift")
