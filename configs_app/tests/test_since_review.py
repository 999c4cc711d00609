"""Whoever has looked at a proposal sees what differs from it, and may still ask for the whole."""

from __future__ import annotations

import pytest
from django.test import Client
from django.urls import reverse

from configs_app import changes, since_review
from configs_app.models import Change
from console import testing
from console.models import User
from console.testing import Cast
from instances_app.models import Instance

pytestmark = pytest.mark.django_db

SECRET = "hunter2-is-the-password"
CLOSED = {"module": "log", "authorization": "Bearer {$TOKEN}"}
ONE = testing.text({**testing.WEBHOOKS, "seen-before": CLOSED})
TWO = testing.text({**testing.WEBHOOKS, "seen-before": CLOSED, "brand-new": CLOSED | {"authorization": SECRET}})


@pytest.fixture
def production() -> Cast:
    cast = testing.cast("production", protected=True)
    testing.bundle(cast.environment)
    testing.instance(cast.environment, "eu-1")
    return cast


@pytest.fixture
def again(production: Cast) -> Change:
    """Anna approved the first proposal; olga edited and proposed once more."""
    change = testing.draft(production.environment, actor=production.olga, webhooks=ONE)
    changes.propose(change, actor=production.olga)
    changes.approve(change, actor=production.anna)
    edit(change, production, TWO)
    testing.accepted(change, actor=production.olga)  # the secret stands in the file on purpose
    return changes.propose(change, actor=production.olga)


def edit(change: Change, cast: Cast, webhooks: str, **others: str) -> None:
    base = change.documents.get(kind="webhooks").base_id
    changes.save(change, {"webhooks": webhooks, **others}, bases={"webhooks": base}, actor=cast.olga)


def page(change: Change, user: User, query: str = "") -> str:
    client = Client()
    client.force_login(user)
    return client.get(reverse("configs:change", args=[change.pk]) + query).content.decode()


def test_a_reviewer_sees_only_the_delta_and_the_whole_on_demand(production: Cast, again: Change) -> None:
    body = page(again, production.anna)
    assert "Since your review of proposal 1" in body
    assert "1 added" in body or "brand-new" in body
    assert "on r1" not in body  # the whole is compared with its base, r1
    assert SECRET not in body
    whole = page(again, production.anna, "?whole=yes")
    assert "Since your review of proposal 1" in whole
    assert "on r1" in whole


def test_others_see_the_whole(production: Cast, again: Change) -> None:
    for person in (production.adam, production.olga, production.victor):
        body = page(again, person)
        assert "Since your review" not in body
        assert "on r1" in body


def test_it_is_against_the_proposal_they_looked_at_last(production: Cast, again: Change) -> None:
    changes.reject(again, actor=production.anna, reason="brand-new needs another name")
    assert since_review.of(again, production.anna) is None  # it stands as she saw it
    edit(again, production, ONE)
    again = changes.propose(again, actor=production.olga)
    since = since_review.of(again, production.anna)
    assert since is not None
    assert since.proposal.number == 2
    assert since.texts == {"webhooks": (TWO, ONE)}


def test_it_says_which_instances_and_which_plan_are_new(production: Cast, again: Change) -> None:
    changes.approve(again, actor=production.anna)
    testing.instance(production.environment, "eu-2")
    production.environment.plan = {"waves": ["1", "100%"]}
    production.environment.save()
    again = changes.propose(again, actor=production.olga)
    since = since_review.of(again, production.anna)
    assert since is not None
    assert (since.texts, since.arrived, since.gone) == ({}, ["eu-2"], [])
    assert since.plans == ("all at once", "waves of 1, 100%")
    assert "The texts are those that you have seen." in page(again, production.anna)
    assert Instance.objects.count() == 2


def test_a_document_that_only_one_proposal_touches_is_compared_with_what_it_stands_on(
    production: Cast, again: Change
) -> None:
    connections = testing.text({**testing.CONNECTIONS, "cache": {"type": "redis", "host": "c", "port": 6379}})
    edit(again, production, testing.text(testing.WEBHOOKS), connections=connections)
    again.refresh_from_db()
    since = since_review.of(again, production.anna)
    assert since is not None
    assert since.texts["webhooks"] == (ONE, testing.text(testing.WEBHOOKS))
    assert since.texts["connections"][1] == connections
