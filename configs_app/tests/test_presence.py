"""People who edit the same fleet's documents see each other."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest
from django.test import Client
from django.urls import reverse

from configs_app import changes, documents, presence
from configs_app.models import Change
from console import live, testing
from console.models import User
from console.testing import Cast
from console.testing_processes import Process

pytestmark = pytest.mark.django_db

NEW = testing.text({"new": {"module": "log"}})


@pytest.fixture
def staging() -> Iterator[Cast]:
    cast = testing.cast()
    testing.bundle(cast.environment)
    yield cast
    live.connection().delete(presence.KEY.format(cast.environment.pk))


def told(change: Change, who: User, **query: str) -> str:
    """What the open editor of a change is told."""
    page = Client()
    page.force_login(who)
    return page.get(reverse("configs:change-editing", args=[change.pk]), query).content.decode()


def test_two_people_in_one_change_see_each_other_until_one_is_gone(
    staging: Cast, monkeypatch: pytest.MonkeyPatch
) -> None:
    change = changes.open_draft(staging.environment, actor=staging.olga)
    assert "adam" not in told(change, staging.olga)
    assert "<strong>olga</strong> has this change open" in told(change, staging.adam)
    assert "<strong>adam</strong> has this change open" in told(change, staging.olga)

    soon = time.time() + presence.FRESH_SECONDS + 1
    monkeypatch.setattr("configs_app.presence.time.time", lambda: soon)
    assert "adam" not in told(change, staging.olga)


def test_another_persons_open_change_is_named_and_linked_and_an_empty_one_is_not(staging: Cast) -> None:
    mine = changes.open_draft(staging.environment, actor=staging.olga)
    changes.open_draft(staging.environment, actor=staging.adam)
    assert "another open change" not in told(mine, staging.olga)

    theirs = testing.draft(staging.environment, actor=staging.adam, title="<b>Refunds</b>", webhooks=NEW)
    body = told(mine, staging.olga)
    assert "adam has another open change of staging" in body
    assert f'<a href="/changes/{theirs.pk}/">&lt;b&gt;Refunds&lt;/b&gt;</a> (draft' in body
    assert "being edited now" not in body
    told(theirs, staging.adam)
    assert "(draft, being edited now)" in told(mine, staging.olga)
    changes.withdraw(theirs, actor=staging.adam)
    assert "another open change" not in told(mine, staging.olga)


def test_names_are_shown_and_never_run(staging: Cast) -> None:
    change = changes.open_draft(staging.environment, actor=staging.olga)
    staging.adam.username = "<script>alert(1)</script>"
    staging.adam.save()
    told(change, staging.adam)
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in told(change, staging.olga)


def test_an_open_editor_hears_that_somebody_else_saved(staging: Cast) -> None:
    change = changes.open_draft(staging.environment, actor=staging.olga)
    seen = changes.stamp(change)
    assert "saved this change" not in told(change, staging.olga, seen=seen)
    base = documents.current(staging.environment, "webhooks")
    changes.save(change, {"webhooks": NEW}, bases={"webhooks": base.pk if base else None}, actor=staging.adam)
    assert "<strong>adam saved this change</strong>" in told(change, staging.olga, seen=seen)
    assert "saved this change" not in told(change, staging.adam, seen=seen)
    changes.withdraw(change, actor=staging.adam)
    assert "<strong>This change is withdrawn</strong>" in told(change, staging.olga, seen=seen)


@pytest.mark.django_db(transaction=True)
def test_without_redis_the_editor_works_and_nobody_is_named(redis_process: Process, staging: Cast) -> None:
    change = changes.open_draft(staging.environment, actor=staging.olga)
    told(change, staging.adam)
    redis_process.kill()
    try:
        assert "has this change open" not in told(change, staging.olga)
    finally:
        redis_process.start()
