"""The drift desk: what its pages show and ask, and what people do there."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from configs_app import changes, documents
from configs_app.models import Change
from console import testing
from console.models import AuditEvent
from console.testing import Cast
from instances_app.models import Observation
from sync_app import drift, drift_watch, maintenance, rollouts
from sync_app.models import Cause, CheckRound, Drift, Repair, Rollout, SetAside
from sync_app.tests import attempts, drifts
from sync_app.tests.drifts import OTHER, THIRD, one

pytestmark = pytest.mark.django_db

SHORT = OTHER[:16]
LIVE = testing.text({**testing.WEBHOOKS, "orders": {"module": "log", "authorization": "Bearer h4nd-made"}, "tmp": {}})


def page_of(cast: Cast, name: str = "olga") -> Client:
    page = Client()
    page.force_login(getattr(cast, name))
    return page


def url(name: str, *more: object) -> str:
    return reverse(f"sync:{name}", args=["staging", *more])


def drifted(*names: str) -> Cast:
    """Four instances, of which these run what somebody wrote there; a copy of it is kept."""
    cast = drifts.fleet(4)
    for name in names or ("i0", "i1", "i2"):
        drifts.change(one(cast, name))
    drift_watch.note(cast.environment)
    drifts.copied(cast, LIVE)
    return cast


def ticked(cast: Cast, *names: str, **typed: Any) -> dict[str, Any]:
    return {"instance": [one(cast, name).pk for name in names], **typed}


def counted(cast: Cast) -> int:
    return drift.count(documents.desired(cast.environment))


def test_the_desk_groups_by_content_and_every_page_of_the_environment_counts() -> None:
    cast = drifted()
    body = page_of(cast, "victor").get(url("drift")).content.decode()
    assert "3 instances" in body
    assert "i0, i1, i2" in body
    assert "no revision of ours" in body
    assert '3<span class="visually-hidden"> drifted</span>' in body
    other = page_of(cast, "victor").get(reverse("configs:document", args=["staging", "webhooks"])).content.decode()
    assert '3<span class="visually-hidden"> drifted</span>' in other


def test_an_older_revision_is_called_by_its_name() -> None:
    cast = drifts.fleet(2)
    before = documents.desired(cast.environment)
    assert before is not None
    drifts.done(rollouts.publish(attempts.change(cast), actor=cast.olga))
    drifts.change(one(cast), before.digests()["webhooks"])
    assert "the content of" in page_of(cast).get(url("drift")).content.decode()


def test_the_desk_says_when_nothing_drifts_and_how_old_that_is() -> None:
    cast = drifts.fleet(1)
    page = page_of(cast)
    assert "Nothing drifts" in page.get(url("drift")).content.decode()
    assert "No round of checks has been completed" in page.get(url("drift")).content.decode()
    CheckRound.objects.create(
        environment=cast.environment, finished_at=timezone.now(), seconds=0.8, asked=302, answered=300
    )
    assert "300 of 302 answered, in 0.8 s" in page.get(url("drift")).content.decode()
    CheckRound.objects.update(finished_at=timezone.now() - timedelta(minutes=4))
    for address in (url("drift"), url("environment")):
        assert "The checker has not run for 4 minutes" in page.get(address).content.decode()


def test_the_desk_costs_a_fixed_number_of_queries() -> None:
    cast = drifted("i0")
    page = page_of(cast)

    def queries() -> int:
        with CaptureQueriesContext(connection) as captured:
            assert page.get(url("drift")).status_code == 200
        return len(captured)

    queries()
    few = queries()
    for name, digest in (("i1", OTHER), ("i2", THIRD), ("i3", "c" * 64)):
        drifts.change(one(cast, name), digest)
    drift_watch.note(cast.environment)
    assert queries() == few


def test_a_content_page_shows_three_states_and_no_secret() -> None:
    cast = drifted()
    body = page_of(cast, "victor").get(url("drift-content", "webhooks", SHORT)).content.decode()
    assert "h4nd-made" not in body
    assert "s3cret" not in body
    assert "changed: authorization" in body
    assert "‹secret" in body
    assert "as verified" in body
    assert "the desired one: it was there, and was changed on the host" in body
    assert 'name="instance"' in body


def test_both_sides_of_what_moved_twice_are_beside_each_other() -> None:
    cast = drifts.fleet(2)
    entry = {"orders": {"module": "log", "authorization": "Bearer {$OURS}"}}
    draft = testing.draft(cast.environment, actor=cast.olga, webhooks=testing.text({**testing.WEBHOOKS, **entry}))
    drifts.done(rollouts.publish(draft, actor=cast.olga, instances=[one(cast, "i1").pk]))
    drifts.change(one(cast))
    drift_watch.note(cast.environment)
    drifts.copied(cast, LIVE)
    body = page_of(cast).get(url("drift-content", "webhooks", SHORT)).content.decode()
    assert "was changed on both sides" in body
    assert "they had not got the desired one yet" in body
    assert "{$OURS}" in body
    assert "h4nd-made" not in body
    asked = page_of(cast).get(url("drift-overwrite", "webhooks", SHORT)).content.decode()
    assert "has not been proven to run the desired documents before" in asked


def test_what_never_drifted_is_not_found() -> None:
    cast = drifted()
    page = page_of(cast)
    for kind, short in (("webhooks", "0" * 16), ("nothing", SHORT)):
        assert page.get(url("drift-content", kind, short)).status_code == 404


def test_overwriting_is_shown_first_and_brings_back_only_the_ticked_ones() -> None:
    cast = drifted()
    page = page_of(cast)
    address = url("drift-overwrite", "webhooks", SHORT)
    shown = page.post(address, ticked(cast, "i0", "i1"))
    assert shown.status_code == 200
    assert "Overwrite what is on 2 instances?" in shown.content.decode()
    assert not Repair.objects.exists()

    answer = page.post(address, ticked(cast, "i0", "i1", "i3", sure="yes"))
    rollout = Rollout.objects.get(cause=Cause.REPAIR)
    assert answer.headers["Location"] == reverse("sync:rollout", args=[rollout.pk])
    assert set(attempts.states(rollout)) == {"i0", "i1"}  # i3 does not drift
    assert rollout.author == cast.olga
    assert set(Repair.objects.values_list("short", "by_itself")) == {(SHORT, False)}
    event = AuditEvent.objects.get(action="drift.overwritten")
    assert (event.data["names"], event.data["digest"]) == (["i0", "i1"], SHORT)
    drifts.done(rollout)
    assert counted(cast) == 1


def test_overwriting_says_of_nobody_in_maintenance_that_it_repairs_them() -> None:
    cast = drifted()
    maintenance.begin(one(cast, "i1"), reason="new disk", actor=cast.olga)
    page = page_of(cast)
    address = url("drift-overwrite", "webhooks", SHORT)
    body = page.post(address, ticked(cast, "i0", "i1")).content.decode()
    assert "Overwrite what is on 1 instance?" in body
    assert "in maintenance" in body
    assert "(new disk)" in body
    page.post(address, ticked(cast, "i0", "i1", sure="yes"))
    rollout = Rollout.objects.get(cause=Cause.REPAIR)
    assert set(attempts.states(rollout)) == {"i0"}
    assert [repair.instance.name for repair in Repair.objects.filter(rollout=rollout)] == ["i0"]
    told = AuditEvent.objects.get(action="drift.overwritten").data
    assert (told["instances"], told["names"], told["left_out"]) == (1, ["i0"], "i1")
    body = page.post(address, ticked(cast, "i1")).content.decode()
    assert "Overwrite what is on 0 instances?" in body


def test_overwriting_says_what_else_it_overwrites_and_refuses_during_a_rollout() -> None:
    cast = drifted()
    drifts.change(one(cast), THIRD, kind="connections")
    page = page_of(cast)
    address = url("drift-overwrite", "webhooks", SHORT)
    assert "A rollout brings both documents" in page.get(address).content.decode()
    rollouts.start(cast.environment, actor=cast.olga, cause=Cause.SYNC, instances=[one(cast, "i3").pk])
    answer = page.post(address, ticked(cast, "i0", sure="yes"))
    assert answer.status_code == 422
    assert "Wait for it" in answer.content.decode()


def test_adopting_opens_a_draft_with_the_very_content() -> None:
    cast = drifted()
    answer = page_of(cast).post(url("drift-adopt", "webhooks", SHORT))
    change = Change.objects.get()
    assert answer.headers["Location"] == reverse("configs:change", args=[change.pk])
    assert change.state == "draft"
    assert change.author == cast.olga
    assert [(document.kind, document.text) for document in change.documents.all()] == [("webhooks", LIVE)]
    assert change.reason.startswith("It runs on 3 instances since ")
    assert AuditEvent.objects.get(action="drift.adopted").data["digest"] == SHORT


def test_what_is_ignored_alarms_again_as_other_content_and_when_its_time_is_over() -> None:
    cast = drifted()
    page = page_of(cast, "anna")
    until = (timezone.now() + timedelta(days=3)).date()
    typed = ticked(cast, "i0", "i1", **{"ignore-until": until, "ignore-reason": "a drill"})
    assert page.post(url("drift-ignore", "webhooks", SHORT), typed).status_code == 302
    assert counted(cast) == 1
    aside = SetAside.objects.get()
    assert sorted(aside.instances) == sorted(typed["instance"])
    event = AuditEvent.objects.get(action="drift.ignored")
    assert (event.actor_name, event.data["names"], event.data["reason"]) == ("anna", ["i0", "i1"], "a drill")
    assert "a drill" in page.get(url("drift")).content.decode()

    drift_watch.note(cast.environment)
    drifts.change(one(cast), THIRD)
    drift_watch.note(cast.environment)
    assert counted(cast) == 2
    SetAside.objects.update(until=timezone.now() - timedelta(seconds=1), at=timezone.now() - timedelta(days=1))
    drift_watch.note(cast.environment)
    assert counted(cast) == 3
    told = [event.data["names"] for event in AuditEvent.objects.filter(action="drift.found").order_by("sequence")]
    assert told == [["i0", "i1", "i2"], ["i0"], ["i1"]]


def test_what_is_in_maintenance_is_called_so_and_not_snoozed() -> None:
    cast = drifted()
    maintenance.begin(one(cast), reason="new disk", actor=cast.olga)
    page = page_of(cast)
    for address in (url("drift"), url("drift-content", "webhooks", SHORT)):
        body = page.get(address).content.decode()
        assert 'ended">in maintenance</span>' in body
        assert ">snoozed</span>" not in body
        assert 'warn">drifted</span>' in body  # i1 and i2
    assert counted(cast) == 2


def test_what_is_snoozed_counts_again_once_somebody_takes_it_back() -> None:
    cast = drifted()
    page = page_of(cast)
    typed = ticked(cast, "i0", **{"snooze-hours": "4", "snooze-reason": "being repaired"})
    assert page.post(url("drift-snooze", "webhooks", SHORT), typed).status_code == 302
    drifts.change(one(cast), THIRD)
    assert counted(cast) == 2
    aside = SetAside.objects.get()
    for _ in range(2):
        page.post(reverse("sync:set-aside-end", args=[aside.pk]))
    assert counted(cast) == 3
    aside.refresh_from_db()
    assert aside.ended_by == cast.olga
    assert AuditEvent.objects.filter(action="drift.set_aside_ended").count() == 1


@pytest.mark.parametrize(
    ("typed", "words"),
    [
        ({"ignore-until": "2030-01-01", "ignore-reason": "far away"}, "At most 90 days"),
        ({"ignore-until": "2020-01-01", "ignore-reason": "long ago"}, "still to come"),
        ({"ignore-until": "2030-01-01", "ignore-reason": ""}, "This field is required"),
        ({"ignore-until": "2026-12-01", "ignore-reason": "the token h4nd-made is known"}, "holds a secret"),
    ],
)
def test_a_refused_ignore_keeps_what_was_typed_and_no_secret(typed: dict[str, str], words: str) -> None:
    cast = drifted()
    if words == "holds a secret":
        typed = {**typed, "ignore-until": str((timezone.now() + timedelta(days=2)).date())}
    answer = page_of(cast).post(url("drift-ignore", "webhooks", SHORT), ticked(cast, "i0", **typed))
    body = answer.content.decode()
    assert answer.status_code == 422
    assert words in body
    assert typed["ignore-until"] in body
    assert "h4nd-made" not in body
    assert not SetAside.objects.exists()
    assert f'value="{one(cast).pk}" data-row checked' in body
    assert f'value="{one(cast, "i1").pk}" data-row checked' not in body


def test_no_reason_of_a_snooze_holds_a_secret_of_anything_that_drifts_here() -> None:
    cast = drifted()
    drifts.change(one(cast, "i3"), THIRD, kind="connections")
    typed = ticked(cast, "i3", **{"snooze-hours": "4", "snooze-reason": "mind, h4nd-made is known"})
    answer = page_of(cast).post(url("drift-snooze", "connections", THIRD[:16]), typed)
    assert answer.status_code == 422
    assert "holds a secret" in answer.content.decode()
    assert "mind, ‹secret› is known" in answer.content.decode()
    assert "h4nd-made" not in answer.content.decode()
    assert not AuditEvent.objects.filter(action="drift.snoozed").exists()


def test_a_drift_that_is_over_stays_readable_and_may_come_again() -> None:
    cast = drifted("i0")
    drifts.back(one(cast))
    drift_watch.note(cast.environment)
    assert Drift.objects.get().ended_at is not None
    page = page_of(cast)
    body = page.get(url("drift-content", "webhooks", SHORT)).content.decode()
    assert "It is over" in body
    assert "changed: authorization" in body
    assert SHORT[:12] in page.get(url("drift")).content.decode()
    drifts.change(one(cast))
    drift_watch.note(cast.environment)
    assert Drift.objects.filter(ended_at=None).count() == 1
    assert AuditEvent.objects.filter(action="drift.found").count() == 2


def test_a_silence_ends_no_drift_and_its_end_tells_nobody_again() -> None:
    cast = drifted("i0")
    Observation.objects.filter(until=None).update(seen_at=timezone.now() - timedelta(hours=1))
    drift_watch.note(cast.environment)
    assert Drift.objects.get().ended_at is None
    assert "not heard of lately" in page_of(cast).get(url("drift")).content.decode()
    drifts.change(one(cast))
    drift_watch.note(cast.environment)
    assert AuditEvent.objects.filter(action="drift.found").count() == 1


def test_a_fleet_that_drifts_in_many_ways_at_once_is_told_in_one_event() -> None:
    cast = drifts.fleet(7)
    for number in range(7):
        drifts.change(one(cast, f"i{number}"), f"{number}" * 64)
    drift_watch.note(cast.environment)
    assert Drift.objects.filter(ended_at=None).count() == 7
    (event,) = AuditEvent.objects.filter(action__startswith="drift.")
    assert (event.action, event.data) == ("drift.found_many", {"contents": 7, "instances": 7})
    drift_watch.note(cast.environment)
    assert AuditEvent.objects.filter(action__startswith="drift.").count() == 1


def test_what_was_over_long_ago_is_forgotten_with_its_copy() -> None:
    cast = drifted("i0")
    drifts.back(one(cast))
    drift_watch.turn()
    Drift.objects.update(ended_at=timezone.now() - timedelta(days=31))
    drift_watch.turn()
    assert not Drift.objects.exists()


def test_overwriting_reaches_no_further_than_what_was_approved() -> None:
    cast = drifts.fleet(2, protected=True)
    entry = {"module": "log", "authorization": "Bearer {$TOKEN}"}
    draft = testing.draft(cast.environment, actor=cast.olga, webhooks=testing.text({**testing.WEBHOOKS, "new": entry}))
    changes.aim(draft, targets=[one(cast).pk], plan=None, actor=cast.olga)
    changes.propose(draft, actor=cast.olga)
    changes.approve(draft, actor=cast.anna)
    drifts.done(rollouts.publish(draft, actor=cast.olga))
    for name in ("i0", "i1"):
        drifts.change(one(cast, name))
    address = reverse("sync:drift-overwrite", args=["production", "webhooks", SHORT])
    page = page_of(cast)
    answer = page.post(address, ticked(cast, "i0", "i1", sure="yes"))
    assert answer.status_code == 422
    assert "was not approved for i1" in answer.content.decode()
    assert page.post(address, ticked(cast, "i0", sure="yes")).status_code == 302


def test_a_single_report_is_shown_and_tells_nobody() -> None:
    """A check that was on its way during a push may report what was there before it."""
    cast = drifts.fleet(2)
    drifts.change(one(cast), times=1)
    drift_watch.note(cast.environment)
    assert not Drift.objects.exists()
    assert counted(cast) == 0
    assert "reported only once so far" in page_of(cast).get(url("drift")).content.decode()
    drifts.change(one(cast), times=1)
    drift_watch.note(cast.environment)
    assert AuditEvent.objects.get(action="drift.found").data["names"] == ["i0"]
    assert counted(cast) == 1
