"""A change has targets and a plan of its own when somebody chooses them; choosing others voids its approvals."""

from __future__ import annotations

import pytest
from django.test import Client
from django.urls import reverse

from configs_app import approvals, changes, contributors
from configs_app.models import Change
from console import testing
from console.errors import Refused
from console.models import AuditEvent
from console.testing import Cast
from instances_app.models import Instance
from instances_app.plans import Plan

pytestmark = pytest.mark.django_db

CLOSED = {"module": "log", "authorization": "Bearer {$TOKEN}"}
NEW = testing.text({**testing.WEBHOOKS, "new": CLOSED})
OWN = {"plan-waves": "1, 100%", "plan-unreachable": "block"}


@pytest.fixture
def production() -> Cast:
    cast = testing.cast("production", protected=True)
    testing.bundle(cast.environment)
    for name in ("eu-1", "eu-2", "us-1"):
        testing.instance(cast.environment, name)
    return cast


@pytest.fixture
def approved(production: Cast) -> Change:
    change = changes.propose(
        testing.draft(production.environment, actor=production.olga, webhooks=NEW), actor=production.olga
    )
    return changes.approve(change, actor=production.anna)


def page_of(cast: Cast, name: str) -> Client:
    page = Client()
    page.force_login(getattr(cast, name))
    return page


def test_the_waves_are_shown_by_name_before_anything_is_saved(production: Cast, approved: Change) -> None:
    page, url = page_of(production, "olga"), reverse("configs:change-plan", args=[approved.pk])
    ticked = list(Instance.objects.filter(name__startswith="eu").values_list("pk", flat=True))
    typed = {**OWN, "reach": "chosen", "follow": "own", "instance": ticked}
    answer = page.post(url, {**typed, "preview": "yes"})
    assert answer.status_code == 200
    assert sorted(name for wave in answer.context["waves"] for name in wave) == ["eu-1", "eu-2"]
    assert [len(wave) for wave in answer.context["waves"]] == [1, 1]
    approved.refresh_from_db()
    assert (approved.state, approved.targets, approved.plan) == ("approved", None, None)

    assert page.post(url, typed).status_code == 302
    approved.refresh_from_db()
    assert (approved.state, approved.targets) == ("draft", sorted(ticked))
    assert approvals.standing(approved).given == []
    assert changes.plan_of(approved) == Plan(waves=("1", "100%"))
    changes.propose(approved, actor=production.olga)
    body = page.get(reverse("configs:change", args=[approved.pk])).content.decode()
    assert "2 instances, chosen for this change" in body
    assert "a plan of its own" in body


def test_whoever_chooses_has_a_part_in_it_and_the_trail_says_what_was_chosen(
    production: Cast, approved: Change
) -> None:
    url = reverse("configs:change-plan", args=[approved.pk])
    page_of(production, "adam").post(url, {**OWN, "reach": "all", "follow": "own"})
    assert production.adam.pk in contributors.of(approved)
    event = AuditEvent.objects.get(action="change.aimed")
    assert event.data["before"] == {"targets": None, "plan": None}
    assert event.data["after"]["plan"]["waves"] == ["1", "100%"]
    changes.propose(approved, actor=production.olga)
    with pytest.raises(Refused, match="had no part"):
        changes.approve(approved, actor=production.adam)


def test_the_same_choice_voids_nothing(production: Cast, approved: Change) -> None:
    url = reverse("configs:change-plan", args=[approved.pk])
    page_of(production, "olga").post(url, {"reach": "all", "follow": "environment"})
    approved.refresh_from_db()
    assert approved.state == "approved"


def test_a_choice_of_nothing_and_a_wrong_plan_are_refused_with_what_was_typed(
    production: Cast, approved: Change
) -> None:
    page, url = page_of(production, "olga"), reverse("configs:change-plan", args=[approved.pk])
    answer = page.post(url, {"reach": "chosen", "follow": "environment"})
    assert answer.status_code == 422
    assert "Choose at least one instance" in answer.content.decode()
    answer = page.post(url, {"reach": "all", "follow": "own", "plan-waves": "soon", "plan-unreachable": "block"})
    assert answer.status_code == 422
    assert "is no wave" in answer.content.decode()
    assert 'value="soon"' in answer.content.decode()
