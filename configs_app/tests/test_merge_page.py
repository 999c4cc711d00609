"""The page that merges: it names what merges by itself, shows conflicts masked, and keeps what was chosen."""

from __future__ import annotations

import pytest
from django.db import transaction
from django.test import Client
from django.urls import reverse

from configs_app import changes, secrets
from configs_app.models import Change
from console import testing
from console.models import User
from console.testing import Cast

pytestmark = pytest.mark.django_db

BASE = {
    "orders": {"module": "log", "authorization": "Bearer of-the-base"},
    "refunds": {"module": "log"},
    "old": {"module": "log"},
}
MINE = {**BASE, "orders": {"module": "log", "authorization": "Bearer of-mine"}, "mine": {"module": "log"}}
THEIRS = {
    "orders": {"module": "log", "authorization": "Bearer of-theirs"},
    "refunds": {"module": "log", "<b>": 1},
}


@pytest.fixture
def staging() -> Cast:
    cast = testing.cast()
    testing.bundle(cast.environment, webhooks=BASE)
    return cast


@pytest.fixture
def change(staging: Cast) -> Change:
    found = testing.draft(staging.environment, actor=staging.olga, webhooks=testing.text(MINE), title="Mine")
    theirs = testing.draft(staging.environment, actor=staging.adam, webhooks=testing.text(THEIRS), title="Theirs")
    with transaction.atomic():
        changes.publish(theirs, actor=staging.adam)
    return found


def page_of(user: User) -> Client:
    page = Client()
    page.force_login(user)
    return page


def test_it_names_what_merges_and_shows_no_secret(staging: Cast, change: Change) -> None:
    page = page_of(staging.olga)
    assert reverse("configs:change-merge", args=[change.pk]) in page.get(f"/changes/{change.pk}/").content.decode()
    body = page.get(f"/changes/{change.pk}/merge/").content.decode()
    for words in ("now <a", "by adam: Theirs", "old <span", "mine <span", "refunds <span", "orders › authorization"):
        assert words in body, words
    assert "‹secret " in body
    for secret in ("of-the-base", "of-mine", "of-theirs"):
        assert secret not in body


def test_a_decision_that_is_missing_or_wrong_keeps_the_others(staging: Cast, change: Change) -> None:
    page = page_of(staging.olga)
    seen = changes.merge_stamp(change)
    answer = page.post(f"/changes/{change.pk}/merge/", {"seen": seen})
    assert answer.status_code == 422
    assert "both sides changed orders.authorization" in answer.content.decode()
    typed = {"seen": seen, "webhooks-0": "edit", "webhooks-0-text": "Bearer <typed>"}
    answer = page.post(f"/changes/{change.pk}/merge/", typed)
    assert answer.status_code == 422
    assert "Bearer &lt;typed&gt;</textarea>" in answer.content.decode()
    assert change.documents.get().text == testing.text(MINE)


def test_a_mark_that_is_typed_becomes_its_secret_again(staging: Cast, change: Change) -> None:
    mark = next(found.mark for found in secrets.hidden(testing.text(THEIRS)))
    posted = {"seen": changes.merge_stamp(change), "webhooks-0": "edit", "webhooks-0-text": mark}
    assert page_of(staging.olga).post(f"/changes/{change.pk}/merge/", posted).status_code == 302
    text = change.documents.get().text
    assert "Bearer of-theirs" in text
    assert "‹secret" not in text
    assert '"mine"' in text
    assert '"old"' not in text


def test_a_text_that_is_not_json_offers_the_other_ways_out(staging: Cast, change: Change) -> None:
    changes.save(
        change, {"webhooks": '{"half": '}, bases={"webhooks": change.documents.get().base_id}, actor=staging.olga
    )
    answer = page_of(staging.olga).get(f"/changes/{change.pk}/merge/")
    assert answer.status_code == 422
    assert "not valid JSON" in answer.content.decode()
    assert f"/changes/{change.pk}/rebase/" in answer.content.decode()
