"""A change's page: the discussion beside the lines, the timeline, whose turn it is; nothing run, no secret shown."""

from __future__ import annotations

import json
import re

import pytest
from django.db import transaction
from django.test import Client

from configs_app import changes, comments, reviews, timelines
from configs_app.models import Change
from console import testing
from console.models import AuditEvent, User
from console.testing import Cast

pytestmark = pytest.mark.django_db

CLOSED = {"module": "log", "authorization": "Bearer {$TOKEN}"}
SECRET = {"module": "log", "authorization": "Bearer of-the-draft"}


@pytest.fixture
def production() -> Cast:
    cast = testing.cast("production", protected=True)
    testing.bundle(cast.environment)
    return cast


@pytest.fixture
def change(production: Cast) -> Change:
    webhooks = {"orders": {"module": "log"}, "new": CLOSED}
    return testing.draft(production.environment, actor=production.olga, webhooks=testing.text(webhooks), title="New")


def page_of(user: User) -> Client:
    page = Client()
    page.force_login(user)
    return page


def body_of(change: Change, user: User, query: str = "") -> str:
    return page_of(user).get(f"/changes/{change.pk}/{query}").content.decode()


@pytest.mark.parametrize("query", ["", "?view=split"])
def test_a_comment_on_an_entry_stands_below_its_lines_and_in_the_discussion(
    production: Cast, change: Change, query: str
) -> None:
    page = page_of(production.victor)
    posted = {"text": "Who asked?\n<script>", "about": json.dumps(["webhooks", "new"])}
    answer = page.post(f"/changes/{change.pk}/comments/", posted)
    comment = change.comments.get()
    assert answer["Location"] == f"/changes/{change.pk}/#comment-{comment.pk}"
    body = body_of(change, production.olga, query)
    table = re.search(r'<table class="diff.*?</table>', body, re.DOTALL)
    assert table is not None
    assert f'id="remark-{comment.pk}"' in table.group()
    assert "<script>" not in table.group()
    assert f'href="#remark-{comment.pk}">webhooks: new</a>' in body
    assert "1 comment not resolved" in body
    answer_to = re.search(r'href="(\?about=[^"]*)#say">Answer', body)
    assert answer_to is not None
    assert re.search(r'&quot;new&quot;]" selected', body_of(change, production.olga, answer_to[1]))
    gone = comments.write(change, text="Gone?", actor=production.olga, kind="webhooks", entry="orders")
    assert f'id="remark-{gone.pk}"' in body_of(change, production.olga, query)  # not in the difference: above it


def test_a_refused_comment_keeps_what_was_typed_but_not_the_secret_in_it(production: Cast) -> None:
    change = testing.draft(production.environment, actor=production.olga, webhooks=testing.text({"new": SECRET}))
    about = json.dumps(["webhooks", "new"])
    answer = page_of(production.anna).post(
        f"/changes/{change.pk}/comments/", {"text": "Is it\nBearer of-the-draft & fine?", "about": about}
    )
    body = answer.content.decode()
    assert answer.status_code == 422
    assert "of-the-draft" not in body
    assert "Is it\n‹secret› &amp; fine?</textarea>" in body
    assert re.search(r'value="[^"]*&quot;new&quot;]" selected', body)
    assert (
        page_of(production.anna).post(f"/changes/{change.pk}/comments/", {"text": "x", "about": "["}).status_code == 422
    )


def test_an_auditor_reads_the_discussion_and_has_no_button(production: Cast, change: Change) -> None:
    comments.write(change, text="Fine", actor=production.victor)
    body = body_of(change, production.ida)
    assert "Fine" in body
    assert 'id="say"' not in body
    assert "/resolve/" not in body


def test_a_withdrawn_comment_leaves_a_trace_and_no_words(production: Cast, change: Change) -> None:
    comment = comments.write(change, text="Never mind this", actor=production.victor, kind="webhooks", entry="new")
    page = page_of(production.victor)
    assert page.post(f"/comments/{comment.pk}/withdraw/").status_code == 302
    for body in (body_of(change, production.olga), page.get(f"/changes/{change.pk}/discussion/").content.decode()):
        assert "Never mind" not in body
        assert "Withdrawn by victor" in body
    assert page.post(f"/comments/{comment.pk}/burn/").status_code == 404


def test_the_timeline_is_the_audit_trail_of_the_change_in_order(production: Cast, change: Change) -> None:
    comments.write(change, text="Good", actor=production.victor)
    changes.propose(change, actor=production.olga)
    changes.reject(change, actor=production.anna, reason="Not on a Friday")
    changes.save(change, {}, bases={}, actor=production.olga, reason="It can wait until Monday")
    changes.propose(change, actor=production.olga)
    changes.approve(change, actor=production.anna)
    with transaction.atomic():
        changes.publish(change, actor=production.olga)
    moments, earlier = timelines.of_change(change)
    trail = AuditEvent.objects.filter(target_type="change", target_id=str(change.pk)).order_by("sequence")
    assert [moment.event for moment in moments] == list(trail)
    assert earlier == 0
    told = [(moment.event.actor_name, moment.words.split()[0], moment.detail) for moment in moments]
    assert told == [
        ("olga", "opened", ""),
        ("olga", "edited", ""),
        ("victor", "commented", ""),
        ("olga", "proposed", ""),
        ("anna", "rejected", "Not on a Friday"),
        ("olga", "edited", "approvals given before are void"),
        ("olga", "proposed", ""),
        ("anna", "approved", "to be rolled back to webhooks r1 + connections r1, valid"),
        ("olga", "published", ""),
    ]
    assert moments[1].documents[0].entries == ["new", "refunds"]
    body = body_of(change, production.victor)
    assert "/documents/webhooks/r/2/" in body  # the digest that was published has a revision
    assert "approved by anna" in body


def test_the_page_says_what_the_change_waits_for_and_from_whom(production: Cast, change: Change) -> None:
    assert "Waits to be proposed for approval. Can propose: adam, olga." in body_of(change, production.victor)
    change = changes.propose(change, actor=production.olga)
    assert "Waits for one approval from: adam, anna." in body_of(change, production.victor)
    for nobody in (production.olga, production.victor, production.ida, production.stella):
        assert change not in reviews.waiting_for(nobody)
    assert [reviews.waiting_for(who) for who in (production.anna, production.adam)] == [[change], [change]]
    change = changes.approve(change, actor=production.anna)
    assert reviews.waiting_for(production.adam) == []
    assert "Waits to be published. Can publish: adam, olga." in body_of(change, production.victor)
