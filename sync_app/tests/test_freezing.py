"""In a freeze nothing starts, whatever the way; what is allowed all the same; and what the pages say."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from django.db import IntegrityError, transaction
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from configs_app import changes
from console import testing
from console.errors import Refused
from console.models import AuditEvent
from console.testing import Cast
from instances_app import freezes, late_reviews
from instances_app.freeze_models import Freeze
from instances_app.models import LateReview
from sync_app import freezing, rollbacks, rollout_control, rollouts, waves
from sync_app.models import Cause, Rollout
from sync_app.tests.attempts import begin, change, work

pytestmark = pytest.mark.django_db

HOUR = timedelta(hours=1)
REASON = "The customer's release has to be out today."


def freeze(cast: Cast, **values: Any) -> Freeze:
    """One that holds now, for an hour."""
    defaults: dict[str, Any] = {"kind": "freeze", "policy": "finish", "zone": "Europe/Berlin", "reason": "Black Friday"}
    if "start_day" not in values:
        defaults |= {"starts_at": timezone.now() - HOUR, "ends_at": timezone.now() + HOUR}
    return freezing.add(Freeze(environment=cast.environment, **{**defaults, **values}), actor=cast.adam)


def now_weekly(cast: Cast, **values: Any) -> Freeze:
    """Every week around this very hour."""
    start, end = timezone.now() - HOUR, timezone.now() + HOUR
    return freeze(
        cast,
        zone="UTC",
        start_day=start.weekday(),
        start_time=start.time().replace(second=0, microsecond=0),
        end_day=end.weekday(),
        end_time=end.time().replace(second=0, microsecond=0),
        **values,
    )


def test_no_rollout_starts_in_a_freeze_whatever_its_cause() -> None:
    cast, rollout = begin(2)
    work(rollout, lambda name: "failed" if name == "i0" else "verified")
    waves.advance(rollout.pk)
    draft = change(cast, "newer")
    freeze(cast)
    ways: list[Callable[[], object]] = [
        lambda: rollouts.publish(draft, actor=cast.olga),
        lambda: rollouts.start(cast.environment, actor=cast.olga, cause=Cause.SYNC),
        lambda: rollouts.start(cast.environment, actor=None, cause=Cause.SYNC),  # the console by itself
        lambda: rollouts.retry(rollout, actor=cast.olga),
    ]
    for way in ways:
        with pytest.raises(
            Refused, match=r"staging is frozen until .* \(Europe/Berlin\): Black Friday \(set by adam\)"
        ):
            way()
    draft.refresh_from_db()
    assert draft.is_open  # nothing of the publication stayed
    assert Rollout.objects.count() == 1


def test_a_rollback_starts_in_a_freeze_and_is_not_paused_by_it() -> None:
    cast, rollout = begin(2)
    work(rollout)
    waves.advance(rollout.pk)
    freeze(cast, policy="pause")

    back = rollbacks.roll_back(rollout, actor=cast.olga, reason="it fails")

    waves.advance(back.pk)
    back.refresh_from_db()
    assert back.state == "running"
    work(back)
    waves.advance(back.pk)
    back.refresh_from_db()
    assert back.state == "succeeded"


def test_what_runs_goes_on_to_its_end_where_the_freeze_says_so() -> None:
    cast, rollout = begin(3, waves=["1", "100%"])
    freeze(cast)
    work(rollout)
    rollout_control.pause(rollout, actor=cast.anna)
    rollout_control.resume(rollout, actor=cast.olga)
    assert waves.advance(rollout.pk).look
    rollout.refresh_from_db()
    assert rollout.state == "running"


def test_a_freeze_pauses_what_runs_and_a_person_resumes_it_afterwards() -> None:
    cast, rollout = begin(3, waves=["1", "100%"])
    held = freeze(cast, policy="pause")
    waves.advance(rollout.pk)
    rollout.refresh_from_db()
    assert (rollout.state, rollout.frozen_by, rollout.held_by) == ("paused", held, None)
    assert work(rollout) == []
    event = AuditEvent.objects.get(action="rollout.frozen")
    assert "Black Friday" in event.data["reason"]
    with pytest.raises(Refused, match="It pauses rollouts, too"):
        rollout_control.resume(rollout, actor=cast.olga)
    client = Client()
    client.force_login(cast.victor)
    page = client.get(reverse("sync:rollout", args=[rollout.pk])).content.decode()
    assert "Paused by a freeze" in page

    freezing.lift(held, reason="It is over.", actor=cast.adam)

    waves.advance(rollout.pk)
    rollout.refresh_from_db()
    assert rollout.state == "paused"  # nothing moves by itself at three in the morning
    rollout_control.resume(rollout, actor=cast.olga)
    rollout.refresh_from_db()
    assert (rollout.state, rollout.frozen_by) == ("running", None)
    assert work(rollout) == ["i0"]


def test_a_halted_rollout_does_not_continue_while_a_freeze_pauses_rollouts() -> None:
    cast, rollout = begin(3, waves=["1", "100%"])
    work(rollout, "rejected")
    waves.advance(rollout.pk)
    held = freeze(cast, policy="pause")
    with pytest.raises(Refused, match="It pauses rollouts"):
        rollout_control.continue_(rollout, actor=cast.anna, reason="It is harmless")
    freezing.lift(held, reason="over", actor=cast.adam)
    rollout_control.continue_(rollout, actor=cast.anna, reason="It is harmless")


@pytest.mark.parametrize("policy", ["finish", "pause"])
def test_cancelling_is_always_possible(policy: str) -> None:
    cast, rollout = begin(2)
    freeze(cast, policy=policy)
    waves.advance(rollout.pk)
    rollout_control.pause(rollout, actor=cast.anna)
    rollout_control.cancel(rollout, actor=cast.anna)
    rollout.refresh_from_db()
    assert rollout.state == "cancelled"


def test_lifting_takes_a_reason_and_lets_rollouts_start_at_once() -> None:
    cast, rollout = begin(1)
    work(rollout)
    waves.advance(rollout.pk)
    held = freeze(cast)
    with pytest.raises(Refused, match="Say why"):
        freezing.lift(held, reason=" ", actor=cast.adam)
    freezing.lift(held, reason="It cannot wait", actor=cast.adam)
    rollouts.start(cast.environment, actor=cast.olga, cause=Cause.SYNC)
    event = AuditEvent.objects.get(action="freeze.lifted")
    assert (event.actor_name, event.data["reason"], event.data["why"]) == ("adam", "It cannot wait", "Black Friday")
    assert not LateReview.objects.exists()
    with pytest.raises(Refused, match="lifted already"):
        freezing.lift(held, reason="again", actor=cast.adam)


def test_a_weekly_freeze_that_is_lifted_for_this_time_holds_the_next_week_again() -> None:
    cast, _ = begin(1)
    held = now_weekly(cast)
    assert freezes.frozen(cast.environment) is not None
    freezing.lift(held, reason="This time only", this_time=True, actor=cast.adam)
    assert freezes.frozen(cast.environment) is None
    assert freezes.frozen(cast.environment, at=timezone.now() + timedelta(days=7)) is not None
    with pytest.raises(Refused, match="holds right now"):
        freezing.lift(held, reason="twice", this_time=True, actor=cast.adam)


def test_where_it_is_protected_lifting_opens_a_review_that_somebody_else_closes() -> None:
    cast, _ = begin(1, protected=True)
    held = freeze(cast)
    with pytest.raises(Refused, match="at least 20 characters"):
        freezing.lift(held, reason="urgent", actor=cast.adam)
    assert freezes.frozen(cast.environment) is not None
    freezing.lift(held, reason=REASON, actor=cast.adam)
    review = LateReview.objects.get(cause="freeze")
    assert "adam lifted a freeze before its end" in review.subject
    assert not late_reviews.may_close(review, cast.adam)
    late_reviews.close(review, note="It was right", actor=cast.anna)
    assert AuditEvent.objects.filter(action="freeze.reviewed").exists()


def test_another_window_is_looser_and_is_reviewed_where_it_is_protected() -> None:
    cast, _ = begin(1, protected=True)
    now_weekly(cast, kind="window")
    assert not LateReview.objects.exists()
    with pytest.raises(Refused, match="at least 20 characters"):
        now_weekly(cast, kind="window", reason="now")
    now_weekly(cast, kind="window", reason=REASON)
    assert "added a maintenance window" in LateReview.objects.get().subject


def test_a_reason_with_a_secret_of_the_documents_is_refused() -> None:
    cast, _ = begin(1)
    with pytest.raises(Refused, match="holds a secret"):
        freeze(cast, reason="the password is s3cret")
    held = freeze(cast)
    with pytest.raises(Refused, match="holds a secret"):
        freezing.lift(held, reason="the password is s3cret", actor=cast.adam)
    assert "s3cret" not in str(list(AuditEvent.objects.values_list("data", flat=True)))


def test_a_refused_form_shows_what_was_typed_and_no_secret() -> None:
    cast, rollout = begin(1)
    client = Client()
    client.force_login(cast.adam)
    typed = {"zone": "UTC", "reason": "mind, s3cret leaked"}
    freeze_typed = {**typed, "kind": "freeze", "how": "once", "policy": "pause"}
    maintained = reverse("sync:instance-maintenance", args=[rollout.deliveries.get().instance_id])
    for address, sent in ((reverse("sync:freezes", args=["staging"]), freeze_typed), (maintained, typed)):
        answer = client.post(address, sent)
        assert answer.status_code == 422
        assert "mind, ‹secret› leaked" in answer.content.decode()
        assert "s3cret" not in answer.content.decode()


def test_breaking_the_glass_does_not_break_a_freeze_and_keeps_the_reason_on_the_page() -> None:
    cast, rollout = begin(1, protected=True)
    work(rollout)
    waves.advance(rollout.pk)
    texts = testing.text({**testing.WEBHOOKS, "newer": {"module": "log", "authorization": "Bearer {$TOKEN}"}})
    draft = changes.propose(testing.draft(cast.environment, actor=cast.olga, webhooks=texts), actor=cast.olga)
    freeze(cast)
    client = Client()
    client.force_login(cast.adam)
    answer = client.post(reverse("sync:break-glass", args=[draft.pk]), {"reason": REASON, "confirmation": "production"})
    page = answer.content.decode()
    assert answer.status_code == 422
    assert "production is frozen" in page
    assert "customer&#x27;s release has to be out today" in page


def test_the_page_before_publishing_explains_and_keeps_the_choice() -> None:
    cast, rollout = begin(3)
    work(rollout)
    waves.advance(rollout.pk)
    draft = change(cast, "newer")
    freeze(cast)
    client = Client()
    client.force_login(cast.olga)
    page = client.get(reverse("sync:publish", args=[draft.pk])).content.decode()
    assert "Black Friday" in page
    assert "(Europe/Berlin)" in page
    assert "adam can lift it" in page
    assert "Publish to" in page  # the button does not vanish
    chosen = cast.environment.instances.get(name="i1").pk
    answer = client.post(reverse("sync:publish", args=[draft.pk]), {"instance": chosen})
    assert answer.status_code == 422
    assert answer.context["ticked"] == {chosen}


def test_an_admin_sets_and_lifts_one_on_its_page_and_everybody_sees_what_comes() -> None:
    cast, _ = begin(1)
    client = Client()
    client.force_login(cast.adam)
    address = reverse("sync:freezes", args=["staging"])
    day = timezone.now() + timedelta(days=2)
    sent = {
        "kind": "freeze",
        "how": "once",
        "zone": "Asia/Tokyo",
        "starts_at": day.strftime("%Y-%m-%dT09:00"),
        "ends_at": day.strftime("%Y-%m-%dT08:00"),
        "policy": "pause",
        "reason": "Inventory",
    }
    refused = client.post(address, sent)
    assert refused.status_code == 422
    assert "It ends before it begins" in refused.content.decode()
    assert "Inventory" in refused.content.decode()
    assert client.post(address, {**sent, "ends_at": ""}).status_code == 302
    (made,) = Freeze.objects.all()
    assert made.starts_at is not None
    assert made.starts_at.hour == 0  # nine in Tokyo
    client.force_login(cast.victor)
    for name in ("sync:environment", "sync:freezes"):
        page = client.get(reverse(name, args=["staging"])).content.decode()
        assert "Inventory" in page
        assert "(Asia/Tokyo)" in page
    assert client.post(address, sent).status_code == 403
    client.force_login(cast.adam)
    lift = reverse("sync:freeze-lift", args=[made.pk])
    assert client.get(lift).status_code == 200
    assert client.post(lift, {"reason": "Moved to another day"}).status_code == 302
    assert freezes.standing(cast.environment) == []
    settings = client.get(reverse("instances:environment-settings", args=["staging"])).content.decode()
    assert "None: rollouts start at any time." in settings


def test_no_freeze_has_a_day_that_the_database_cannot_hand_back() -> None:
    cast, _ = begin(1)
    far = datetime(9999, 12, 31, 23, 59, tzinfo=ZoneInfo("America/New_York"))  # the year 10000 in UTC
    with pytest.raises(Refused, match="2000 to 2100"):
        freeze(cast, ends_at=far)
    with pytest.raises(IntegrityError, match="freeze_in_readable_years"), transaction.atomic():
        Freeze.objects.create(
            environment=cast.environment,
            kind="freeze",
            policy="finish",
            zone="UTC",
            reason="for ever",
            by=cast.adam,
            starts_at=timezone.now(),
            ends_at=far,
        )
    client = Client()
    client.force_login(cast.adam)
    typed = {"kind": "freeze", "how": "once", "zone": "America/New_York", "policy": "pause", "reason": "for ever"}
    for name, moment in (("ends_at", "9999-12-31T23:59"), ("starts_at", "0001-01-01T00:00")):
        answer = client.post(reverse("sync:freezes", args=["staging"]), {**typed, name: moment})
        assert answer.status_code == 422
        assert "from 2000 to 2100" in answer.content.decode()
    assert not Freeze.objects.exists()


def test_the_page_marks_what_holds_now() -> None:
    cast, _ = begin(1)
    freeze(cast, reason="in months", starts_at=timezone.now() + 90 * 24 * HOUR, ends_at=timezone.now() + 99 * 24 * HOUR)
    client = Client()
    client.force_login(cast.adam)
    address = reverse("sync:freezes", args=["staging"])
    assert ">in force<" not in client.get(address).content.decode()
    freeze(cast)
    now_weekly(cast, kind="window")
    body = client.get(address).content.decode()
    assert body.count(">in force<") == 1
    assert body.count('good">open now<') == 1


def test_every_week_needs_days_and_times() -> None:
    cast, _ = begin(1)
    client = Client()
    client.force_login(cast.adam)
    sent = {"kind": "window", "how": "weekly", "zone": "UTC", "policy": "finish", "reason": "Nights"}
    page = client.post(reverse("sync:freezes", args=["staging"]), sent)
    assert page.status_code == 422
    assert page.content.decode().count("Needed for every week") == 4
    sent |= {"start_day": "0", "start_time": "22:00", "end_day": "1", "end_time": "04:00"}
    assert client.post(reverse("sync:freezes", args=["staging"]), sent).status_code == 302
    assert freezes.schedule(Freeze.objects.get()) == "every week, Monday 22:00 until Tuesday 04:00 (UTC)"
