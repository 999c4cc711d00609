"""Reasons and titles stand in the audit trail and in the messages of revisions: never with a secret in them.

Publishing and rollouts are looked at in sync_app."""

from __future__ import annotations

import pytest
from django.test import Client
from django.urls import reverse

from configs_app import acceptances, changes, contents, reasons
from configs_app.forms import value_of
from configs_app.models import Acceptance, Change, RevisionNote
from console import testing
from console.errors import Refused
from console.models import AuditEvent, User
from console.testing import Cast

pytestmark = pytest.mark.django_db

SECRET = "only-in-the-draft"
NEW = testing.text({**testing.WEBHOOKS, "new": {"module": "log", "authorization": f"Bearer {SECRET}"}})
HOLDS = "holds a secret of these documents"


@pytest.fixture
def production() -> Cast:
    cast = testing.cast("production", protected=True)
    testing.bundle(cast.environment)
    testing.instance(cast.environment)
    return cast


@pytest.fixture
def change(production: Cast) -> Change:
    draft = testing.draft(production.environment, actor=production.olga, webhooks=NEW)
    testing.accepted(draft, actor=production.anna)
    return draft


def kept(*secrets: str) -> list[str]:
    """What is kept for many to read, where one of these secrets stands in it."""
    told = [str(event) for event in AuditEvent.objects.values()]
    told += [str(one) for one in Change.objects.values("title", "reason", "decision_reason")]
    return [text for text in told if any(secret in text for secret in secrets)]


def post(person: User, change: Change, verb: str, **fields: str) -> tuple[int, str]:
    client = Client()
    client.force_login(person)
    answer = client.post(reverse("configs:change-act", args=[change.pk, verb]), fields)
    return answer.status_code, answer.content.decode()


@pytest.mark.parametrize("words", [f"the new token is {SECRET}", "s3cret no longer works", "db has pw-1 now"])
def test_a_change_is_not_proposed_rejected_or_named_with_a_secret(production: Cast, change: Change, words: str) -> None:
    with pytest.raises(Refused, match=f"This reason {HOLDS}"):
        changes.propose(change, actor=production.olga, reason=words)
    changes.propose(change, actor=production.olga)
    with pytest.raises(Refused, match=f"This reason {HOLDS}"):
        changes.reject(change, actor=production.anna, reason=words)
    with pytest.raises(Refused, match=f"This reason {HOLDS}"):
        changes.save(change, {}, bases={}, actor=production.olga, reason=words)
    with pytest.raises(Refused, match=f"This title {HOLDS}"):
        changes.save(change, {}, bases={}, actor=production.olga, title=words)
    assert not kept(SECRET, "s3cret", "pw-1")


def test_a_title_is_refused_together_with_the_text_that_brings_the_secret(production: Cast) -> None:
    draft = changes.open_draft(production.environment, actor=production.olga)
    with pytest.raises(Refused, match=f"This title {HOLDS}"):
        changes.save(draft, {"webhooks": NEW}, bases={}, actor=production.olga, title=f"Use {SECRET}")
    assert not kept(SECRET)


def test_a_refused_reason_is_shown_again_without_the_secret(production: Cast, change: Change) -> None:
    status, body = post(production.olga, change, "propose", reason=f"Because of {SECRET}, today")
    assert status == 422
    assert HOLDS in body
    assert "Because of ‹secret›, today" in body
    changes.propose(change, actor=production.olga)
    status, body = post(production.anna, change, "reject", reason=f"Not {SECRET} again")
    assert status == 422
    assert 'value="Not ‹secret› again"' in body
    assert SECRET not in body


def test_a_finding_is_not_accepted_with_a_secret_in_the_reason(production: Cast) -> None:
    draft = testing.draft(production.environment, actor=production.olga, webhooks=NEW)
    client = Client()
    client.force_login(production.olga)
    ticked = [value_of(finding) for finding in contents.obstacles(draft)]
    fields = {"findings": ticked, "reason": f"{SECRET} is for a test", "until": f"{acceptances.usual_end()}"}
    answer = client.post(reverse("configs:change-accept", args=[draft.pk]), fields)
    assert answer.status_code == 422
    body = answer.content.decode()
    assert HOLDS in body
    assert 'value="‹secret› is for a test"' in body
    assert "checked" in body
    assert not Acceptance.objects.exists()
    assert not kept(SECRET)


def test_a_note_on_a_revision_holds_no_secret_of_it(production: Cast) -> None:
    client = Client()
    client.force_login(production.olga)
    url = reverse("configs:revision-notes", args=["production", "webhooks", 1])
    answer = client.post(url, {"do": "note", "text": "Back then s3cret was the token"})
    assert answer.status_code == 422
    body = answer.content.decode()
    assert f"This note {HOLDS}" in body
    assert "Back then ‹secret› was the token" in body
    assert not RevisionNote.objects.exists()


def test_a_reason_is_never_cut_off_and_never_empty(production: Cast, change: Change) -> None:
    changes.propose(change, actor=production.olga)
    for words, refusal in ((" \r\n ", "Say why"), ("x" * 501, "up to 500 characters; this one has 501"), ("\0", "NUL")):
        with pytest.raises(Refused, match=refusal):
            changes.reject(change, actor=production.anna, reason=words)
    assert changes.reject(change, actor=production.anna, reason=" a\r\nb ").decision_reason == "a\nb"


def test_a_secret_of_few_letters_is_none_inside_of_a_word() -> None:
    texts = [testing.text({"orders": {"module": "log", "basic_auth": {"username": "u", "password": "four"}}})]
    assert reasons.secrets_in("it is four.", texts) == {"four"}
    assert reasons.secrets_in("fourteen of them", texts) == set()
