"""Self-heal is switched on by a decision; where it is protected, by one that others look at."""

from __future__ import annotations

import pytest
from django.db import DatabaseError, transaction
from django.test import Client
from django.urls import reverse

from console import testing
from console.errors import Refused
from console.models import AuditEvent
from instances_app import healing, rules
from instances_app.healing import SelfHeal
from instances_app.models import Environment, LateReview
from instances_app.rules import Rules

pytestmark = pytest.mark.django_db

REASON = "Nobody edits files on these hosts any more"
ON = SelfHeal(on=True, per_instance=3, per_hour=10)


def test_it_is_off_in_every_new_environment() -> None:
    assert not testing.cast().environment.self_heal
    assert not testing.cast("production", protected=True).environment.self_heal


def test_switching_it_on_is_recorded_and_opens_no_review_where_nothing_is_protected() -> None:
    cast = testing.cast()
    environment = healing.change(cast.environment, ON, actor=cast.adam)
    assert environment.self_heal
    assert AuditEvent.objects.get(action="environment.self_heal_changed").data["after"] == ON.data
    assert not LateReview.objects.exists()
    with pytest.raises(Refused, match="already"):
        healing.change(cast.environment, ON, actor=cast.adam)


def test_in_a_protected_environment_more_of_it_takes_a_reason_and_opens_a_review() -> None:
    cast = testing.cast("production", protected=True)
    with pytest.raises(Refused, match="at least 20 characters"):
        healing.change(cast.environment, ON, actor=cast.adam)
    healing.change(cast.environment, ON, reason=REASON, actor=cast.adam)
    assert "Drift is repaired without a person." in LateReview.objects.get().subject
    with pytest.raises(Refused, match="at least 20 characters"):
        healing.change(cast.environment, SelfHeal(True, 4, 10), actor=cast.adam)
    less = healing.change(cast.environment, SelfHeal(True, 1, 10), actor=cast.adam)
    off = healing.change(less, SelfHeal(False, 1, 10), actor=cast.adam)
    assert not off.self_heal
    assert LateReview.objects.count() == 1
    assert AuditEvent.objects.filter(action="environment.loosened").count() == 1


def test_the_database_refuses_it_without_a_review() -> None:
    cast = testing.cast("production", protected=True)
    with pytest.raises(DatabaseError, match="only beside an open late review"), transaction.atomic():
        Environment.objects.update(self_heal=True)
    plain = testing.cast("staging").environment
    Environment.objects.filter(pk=plain.pk).update(self_heal=True)
    with pytest.raises(DatabaseError, match="only beside an open late review"), transaction.atomic():
        Environment.objects.filter(pk=plain.pk).update(protected=True)
    assert cast.environment.protected


def test_an_environment_that_becomes_protected_loses_it() -> None:
    cast = testing.cast()
    healing.change(cast.environment, ON, actor=cast.adam)
    assert not rules.change(cast.environment, Rules(protected=True), actor=cast.adam).self_heal


def test_the_page_keeps_what_was_typed_and_says_what_is_missing() -> None:
    testing.cast("production", protected=True)
    page = Client()
    page.force_login(testing.person("adam"))
    url = reverse("instances:environment-settings", args=["production"])
    typed = {"heal": "yes", "heal-on": "on", "heal-per_instance": "2", "heal-per_hour": "7"}
    answer = page.post(url, typed)
    assert answer.status_code == 422
    assert "at least 20 characters" in answer.content.decode()
    assert 'value="7"' in answer.content.decode()
    assert page.post(url, typed | {"heal-reason": REASON}).status_code == 302
    environment = Environment.objects.get(name="production")
    assert (environment.self_heal, environment.heals_per_instance, environment.heals_per_hour) == (True, 2, 7)
