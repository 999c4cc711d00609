"""An environment's rules: what is loosened is loud, and nobody closes the review of what they did themselves."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import Group
from django.db import DatabaseError, connection, transaction
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from console import testing
from console.errors import Refused
from console.models import AuditEvent
from console.testing import Cast
from instances_app import late_reviews, rules
from instances_app.models import Environment, LateReview
from instances_app.rules import Rules

pytestmark = pytest.mark.django_db

REASON = "The approvers are on leave until Monday"


@pytest.fixture
def production() -> Cast:
    return testing.cast("production", protected=True)


def page_of(cast: Cast, name: str) -> Client:
    page = Client()
    page.force_login(getattr(cast, name))
    return page


def loosened(cast: Cast) -> LateReview:
    rules.change(cast.environment, Rules(protected=False), reason=REASON, actor=cast.adam)
    return LateReview.objects.get()


def test_stricter_rules_hold_at_once_and_say_what_they_were(production: Cast) -> None:
    group = Group.objects.create(name="payments-leads")
    rules.change(production.environment, Rules(True, 2, 3, group), actor=production.adam)
    production.environment.refresh_from_db()
    assert Rules.of(production.environment) == Rules(True, 2, 3, group)
    event = AuditEvent.objects.get(action="environment.changed")
    assert event.data["before"]["approvals"] == 1
    assert event.data["after"] == {
        "protected": True,
        "approvals": 2,
        "approvals_high": 3,
        "group": "payments-leads",
    }
    assert not LateReview.objects.exists()


@pytest.mark.parametrize(
    "looser", [Rules(False, 2, 3), Rules(True, 1, 3), Rules(True, 2, 2), Rules(True, 2, 3)], ids=lambda rule: str(rule)
)
def test_looser_rules_need_a_reason_and_open_a_review(production: Cast, looser: Rules) -> None:
    group = Group.objects.create(name="payments-leads")
    rules.change(production.environment, Rules(True, 2, 3, group), actor=production.adam)
    with pytest.raises(Refused, match="at least 20 characters"):
        rules.change(production.environment, looser, reason="  because I say so ", actor=production.adam)
    rules.change(production.environment, looser, reason=REASON, actor=production.adam)
    review = LateReview.objects.get()
    assert (review.by, review.excluded, review.reason) == (production.adam, [production.adam.pk], REASON)
    event = AuditEvent.objects.get(action="environment.loosened")
    assert event.data["looser"]
    assert event.data["review"] == review.pk


def test_an_admin_who_switches_protection_off_and_on_again_leaves_a_review_behind(production: Cast) -> None:
    loosened(production)
    rules.change(production.environment, Rules(protected=True), actor=production.adam)
    for name in ("olga", "victor", "adam", "ida"):
        page = page_of(production, name)
        assert "adam loosened the rules" in page.get(reverse("home")).content.decode()
        assert "adam loosened the rules" in page.get(reverse("sync:environment", args=["production"])).content.decode()
        assert "adam loosened the rules" not in page.get(reverse("audit")).content.decode().partition("<table")[0]
    assert "loosened" not in page_of(production, "stella").get(reverse("home")).content.decode()


def test_a_review_is_closed_by_somebody_else_with_a_note_once(production: Cast) -> None:
    review = loosened(production)
    for person, note, words in (
        (production.adam, "It was fine", "had no part in this"),
        (production.olga, "It was fine", "who may approve"),
        (production.anna, " ", "Say what you found"),
    ):
        with pytest.raises(Refused, match=words):
            late_reviews.close(review, note=note, actor=person)
    late_reviews.close(review, note="Nothing was published", actor=production.anna)
    with pytest.raises(Refused, match="anna has closed"):
        late_reviews.close(review, note="Me too", actor=production.anna)
    assert AuditEvent.objects.get(action="rules.reviewed").data["note"] == "Nothing was published"
    page = page_of(production, "olga")
    assert "loosened the rules" not in page.get(reverse("home")).content.decode()
    assert "Nothing was published" in page.get(reverse("configs:late-review", args=[review.pk])).content.decode()


def test_an_overdue_review_is_louder(production: Cast) -> None:
    late_reviews.open_for(
        production.environment, cause=LateReview.Cause.GLASS, subject="Something", reason=REASON, actor=production.adam
    )
    page = page_of(production, "victor")
    assert "Overdue" not in page.get(reverse("home")).content.decode()
    old = LateReview(
        environment=production.environment,
        cause="glass",
        subject="Something older",
        reason=REASON,
        by=production.adam,
        excluded=[],
        due_at=timezone.now() - timedelta(minutes=1),
    )
    old.save()
    assert "Overdue review" in page.get(reverse("home")).content.decode()


def test_a_loosening_is_logged_without_its_reason(
    production: Cast, caplog: pytest.LogCaptureFixture, django_capture_on_commit_callbacks: Any
) -> None:
    with django_capture_on_commit_callbacks(execute=True):
        loosened(production)
    assert "adam loosened the rules" in caplog.text
    assert REASON not in caplog.text


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE instances_app_environment SET protected = false",
        "UPDATE instances_app_environment SET approvals = 1",
        "UPDATE instances_app_environment SET approvals = 0",
        "UPDATE instances_app_environment SET approvals_high = 6",
    ],
)
def test_the_database_refuses_to_loosen_quietly(production: Cast, statement: str) -> None:
    rules.change(production.environment, Rules(True, 2, 2), actor=production.adam)
    with (
        pytest.raises(DatabaseError, match=r"beside an open late review|environment_approvals_known"),
        transaction.atomic(),
        connection.cursor() as cursor,
    ):
        cursor.execute(statement)


@pytest.mark.parametrize(
    "statement",
    [
        "DELETE FROM instances_app_latereview",
        "UPDATE instances_app_latereview SET due_at = due_at + interval '1 year'",
        "UPDATE instances_app_latereview SET closed_at = now(), closed_by_id = by_id, note = 'fine'",
        "UPDATE instances_app_latereview SET closed_at = now()",
    ],
)
def test_the_database_keeps_reviews(production: Cast, statement: str) -> None:
    loosened(production)
    with (
        pytest.raises(DatabaseError, match=r"append-only|closed once|cannot close|closed_by_somebody"),
        transaction.atomic(),
        connection.cursor() as cursor,
    ):
        cursor.execute(statement)


def test_the_settings_page_says_at_the_field_what_is_wrong(production: Cast) -> None:
    page = page_of(production, "adam")
    url = reverse("instances:environment-settings", args=["production"])
    answer = page.post(url, {"rules": "yes", "approvals": "1", "approvals_high": "1"})
    assert answer.status_code == 422
    assert answer.context["rules_form"].errors["reason"]
    answer = page.post(url, {"rules": "yes", "protected": "on", "approvals": "3", "approvals_high": "2"})
    assert answer.context["rules_form"].errors["approvals_high"]
    answer = page.post(url, {"rules": "yes", "protected": "on", "approvals": "2", "approvals_high": "3"})
    assert answer.status_code == 302
    assert Environment.objects.get().approvals_high == 3


def test_the_plan_is_previewed_by_name_before_it_is_saved(production: Cast) -> None:
    names = [f"eu-{number}" for number in range(4)]
    instances = {name: testing.instance(production.environment, name) for name in names}
    page = page_of(production, "adam")
    url = reverse("instances:environment-settings", args=["production"])
    typed = {"plan-waves": "1, 100%", "plan-unreachable": "block", "plan-canaries": [instances["eu-3"].pk]}
    answer = page.post(url, {**typed, "preview": "yes"})
    assert answer.status_code == 200
    assert answer.context["waves"][0] == ["eu-3"]
    assert sorted(answer.context["waves"][1]) == ["eu-0", "eu-1", "eu-2"]
    assert Environment.objects.get().plan == {}
    assert page.post(url, typed).status_code == 302
    assert Environment.objects.get().plan["waves"] == ["1", "100%"]
    assert AuditEvent.objects.get(action="environment.plan_changed").data["before"]["waves"] == ["100%"]
    wrong = {
        "plan-waves": "1, many",
        "plan-failure_limit": "few",
        "plan-unreachable": "block",
        "plan-soak_seconds": "x",
    }
    errors = page.post(url, wrong).context["plan_form"].errors
    assert set(errors) == {"waves", "failure_limit", "soak_seconds"}
