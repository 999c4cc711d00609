"""Breaking the glass skips the wait for people and nothing else, and nobody overlooks it afterwards."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.db import DatabaseError, IntegrityError, connection, transaction
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from configs_app import changes, documents
from configs_app.decision_models import BrokenGlass
from configs_app.models import Change
from console import testing
from console.errors import Refused
from console.models import AuditEvent, Role, RoleBinding
from console.testing import Cast
from instances_app import late_reviews
from instances_app.models import LateReview
from sync_app import rollouts
from sync_app.models import Rollout

pytestmark = pytest.mark.django_db

REASON = "Payments fail since 02:40 and nobody else answers"
CLOSED = {"module": "log", "authorization": "Bearer {$TOKEN}"}
NEW = testing.text({**testing.WEBHOOKS, "new": CLOSED})


@pytest.fixture
def production() -> Cast:
    cast = testing.cast("production", protected=True)
    testing.bundle(cast.environment)
    testing.instance(cast.environment, "eu-1")
    return cast


def draft(cast: Cast, text: str = NEW) -> Change:
    return testing.draft(cast.environment, actor=cast.olga, webhooks=text)


def page_of(cast: Cast, name: str) -> Client:
    page = Client()
    page.force_login(getattr(cast, name))
    return page


def broken(cast: Cast) -> Change:
    change = draft(cast)
    rollouts.publish(change, actor=cast.adam, glass_reason=REASON)
    return change


def test_an_admin_publishes_alone_with_a_reason_and_the_typed_name(production: Cast) -> None:
    change, page = draft(production), page_of(production, "adam")
    url = reverse("sync:break-glass", args=[change.pk])
    assert url in page.get(reverse("configs:change", args=[change.pk])).content.decode()
    body = page.get(url).content.decode()
    assert "0 of 1 approval" in body
    assert "Not skipped:" in body
    for typed, words in (
        ({"reason": REASON, "confirmation": ""}, "Type production to confirm"),
        ({"reason": "Because", "confirmation": "production"}, "at least 20 characters"),
    ):
        answer = page.post(url, typed)
        assert answer.status_code == 422
        assert words in answer.content.decode()
        assert typed["reason"] in answer.content.decode()
    assert not BrokenGlass.objects.exists()
    assert not Rollout.objects.exists()
    answer = page.post(url, {"reason": REASON, "confirmation": "production"})
    rollout = Rollout.objects.get()
    assert answer["Location"] == reverse("sync:rollout", args=[rollout.pk])
    change.refresh_from_db()
    assert (change.state, rollout.change, change.proposals.get().texts) == ("published", change, {"webhooks": NEW})
    assert rollout.deliveries.get().instance.name == "eu-1"
    assert (
        "Published without waiting for approvals"
        in page.get(reverse("configs:change", args=[change.pk])).content.decode()
    )


def test_it_is_loud_in_the_trail_the_log_and_on_everybodys_pages(
    production: Cast, caplog: pytest.LogCaptureFixture, django_capture_on_commit_callbacks: Any
) -> None:
    with django_capture_on_commit_callbacks(execute=False) as callbacks:
        change = broken(production)
    for callback in callbacks:
        if "open_for" in callback.__qualname__:
            callback()
    event = AuditEvent.objects.get(action="glass.broken")
    assert (event.actor_name, event.data["reason"], event.target_id) == ("adam", REASON, str(change.pk))
    assert AuditEvent.objects.get(action="change.published").data["glass_broken"]
    assert "adam broke the glass" in caplog.text
    assert REASON not in caplog.text
    review = LateReview.objects.get()
    assert timedelta(days=2.9) < review.due_at - timezone.now() < timedelta(days=3.1)
    for name in ("victor", "olga", "anna", "adam", "ida"):
        for url in (reverse("home"), reverse("configs:changes", args=["production"])):
            assert "adam broke the glass" in page_of(production, name).get(url).content.decode(), name
    page = page_of(production, "victor").get(reverse("configs:late-review", args=[review.pk])).content.decode()
    assert REASON in page
    assert reverse("configs:change", args=[change.pk]) in page
    assert "These people can close it: anna." in page


def test_its_review_is_closed_by_somebody_who_had_no_part(production: Cast) -> None:
    broken(production)
    review = LateReview.objects.get()
    RoleBinding.objects.create(user=production.olga, environment=production.environment, role=Role.APPROVER)
    for had_part in (production.adam, production.olga):
        with pytest.raises(Refused, match="had no part"):
            late_reviews.close(review, note="It was right", actor=had_part)
    answer = page_of(production, "anna").post(
        reverse("configs:late-review", args=[review.pk]), {"note": "It was right"}
    )
    assert answer.status_code == 302
    assert AuditEvent.objects.get(action="glass.reviewed").actor_name == "anna"
    assert "broke the glass" not in page_of(production, "victor").get(reverse("home")).content.decode()


def test_nothing_but_the_wait_is_skipped(production: Cast) -> None:
    invalid = draft(production, testing.text({"orders": {"module": "lgo"}}))
    with pytest.raises(Refused, match="lgo"):
        rollouts.publish(invalid, actor=production.adam, glass_reason=REASON)
    rejected = changes.propose(draft(production), actor=production.olga)
    changes.reject(rejected, actor=production.anna, reason="Never like this")
    with pytest.raises(Refused, match="rejected"):
        rollouts.publish(rejected, actor=production.adam, glass_reason=REASON)
    with pytest.raises(Refused, match="Only an admin"):
        rollouts.publish(draft(production), actor=production.olga, glass_reason=REASON)
    stale = draft(production)
    broken(production)
    with pytest.raises(Refused, match="has moved on"):
        rollouts.publish(stale, actor=production.adam, glass_reason=REASON)


def test_there_is_no_glass_to_break_where_nobody_waits(production: Cast) -> None:
    approved = changes.propose(draft(production), actor=production.olga)
    changes.approve(approved, actor=production.anna)
    with pytest.raises(Refused, match="publish it the ordinary way"):
        rollouts.publish(approved, actor=production.adam, glass_reason=REASON)
    staging = testing.cast("staging")
    testing.bundle(staging.environment)
    with pytest.raises(Refused, match="is not protected"):
        rollouts.publish(draft(staging), actor=staging.adam, glass_reason=REASON)


def test_what_was_proposed_stays_the_proposal_that_is_published(production: Cast) -> None:
    change = changes.propose(draft(production), actor=production.olga)
    testing.instance(production.environment, "eu-2")
    rollout = rollouts.publish(change, actor=production.adam, glass_reason=REASON)
    assert [proposal.number for proposal in change.proposals.all()] == [1]
    assert rollout.deliveries.get().instance.name == "eu-1"


def test_the_database_lets_only_that_proposal_pass_and_keeps_the_row(production: Cast) -> None:
    change = changes.propose(draft(production), actor=production.olga)
    bundle = documents.desired(production.environment)
    with pytest.raises(IntegrityError, match="needs an approval"), transaction.atomic():
        Change.objects.filter(pk=change.pk).update(state="published", bundle=bundle)
    broken(production)
    with pytest.raises(IntegrityError, match="needs an approval"), transaction.atomic():
        Change.objects.filter(pk=change.pk).update(state="published", bundle=bundle)
    for statement in ("UPDATE configs_app_brokenglass SET reason = 'x'", "DELETE FROM configs_app_brokenglass"):
        with pytest.raises(DatabaseError, match="append-only"), transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(statement)
