"""Two beats, two tasks, a person and self-heal at the same time: one repair, one drift, one word about it."""

from __future__ import annotations

import pytest

from console.errors import Refused
from console.models import AuditEvent
from instances_app.models import Environment
from sync_app import drift_watch, repairs, self_heal, set_aside
from sync_app.models import Drift, Repair, Rollout
from sync_app.tests import drifts
from sync_app.tests.drifts import OTHER, one
from sync_app.tests.test_self_heal import changed, fleet
from sync_app.tests.test_waves_races import together

pytestmark = pytest.mark.django_db(transaction=True)


def test_many_turns_at_once_note_a_drift_once_and_repair_it_once() -> None:
    cast = fleet(6)
    for name in ("i0", "i1", "i2"):
        drifts.change(one(cast, name))

    noted = together(*[lambda: drift_watch.note(cast.environment)] * 6)
    Drift.objects.update(tried_at="2026-01-01T00:00:00Z", read_error="cannot")
    started = together(*[lambda: self_heal.run(Environment.objects.get(pk=cast.environment.pk))] * 6)

    assert [result for result in [*noted, *started] if isinstance(result, Exception)] == []
    assert Drift.objects.count() == 1
    assert AuditEvent.objects.filter(action="drift.found").count() == 1
    assert len([rollout for rollout in started if rollout is not None]) == 1
    assert Repair.objects.count() == 3
    assert Rollout.objects.filter(cause="repair").count() == 1


def test_of_a_person_and_self_heal_one_comes_first() -> None:
    cast = fleet()
    changed(cast)
    pk = one(cast).pk

    results = together(
        lambda: self_heal.run(cast.environment),
        lambda: repairs.overwrite(cast.environment, "webhooks", OTHER[:16], instances=[pk], actor=cast.olga),
        lambda: set_aside.snooze(cast.environment, instances=[pk], hours=1, actor=cast.anna),
    )

    assert [r for r in results if isinstance(r, Exception) and not isinstance(r, Refused)] == []
    repaired = Repair.objects.values_list("rollout__author__username", flat=True)
    assert len(repaired) == 1
    assert Rollout.objects.filter(cause="repair").count() == 1
