"""Comments on a change: kept as they were written, by those who hold a role there, and never with a secret in them."""

from __future__ import annotations

import pytest
from django.db import DatabaseError, transaction

from configs_app import comments, reasons
from configs_app.discussion_models import Comment
from configs_app.models import Change
from console import testing
from console.errors import Refused
from console.models import AuditEvent
from console.testing import Cast

pytestmark = pytest.mark.django_db

WEBHOOKS = {
    "orders": {"module": "log", "authorization": "Bearer abcdefgh-0123"},
    "refunds": {"module": "log", "basic_auth": {"username": "u", "password": "four"}},
    "mail": {"module": "log", "token": "{$MAIL:default-secret}"},
}
CONNECTIONS = {"mq": {"type": "rabbitmq", "url": "amqp://user:in-the-address@host/vhost", "password": "ab"}}


@pytest.fixture
def staging() -> Cast:
    cast = testing.cast()
    testing.bundle(cast.environment, webhooks=WEBHOOKS, connections=CONNECTIONS)
    return cast


@pytest.fixture
def change(staging: Cast) -> Change:
    webhooks = {**WEBHOOKS, "new": {"module": "log", "authorization": "Bearer only-in-the-draft"}}
    del webhooks["mail"]
    return testing.draft(staging.environment, actor=staging.olga, webhooks=testing.text(webhooks))


def test_a_comment_is_kept_as_typed_and_the_trail_has_everything_but_the_words(staging: Cast, change: Change) -> None:
    comment = comments.write(change, text=" Why\r\n<b>now</b>? ", actor=staging.victor, kind="webhooks", entry="new")
    assert (comment.text, comment.entry, comment.is_open) == ("Why\n<b>now</b>?", "new", True)
    event = AuditEvent.objects.get(action="change.commented")
    assert (event.actor_name, event.target_id) == ("victor", str(change.pk))
    assert event.data == {"comment": comment.pk, "document": "webhooks", "entry": "new"}


@pytest.mark.parametrize(
    "text",
    [
        "it is Bearer abcdefgh-0123 now",
        "use abcdefgh-0123!",
        "xabcdefgh-0123x",
        "the password is four.",
        "only-in-the-draft",
        "default-secret",
        "amqp://user:in-the-address@host/vhost",
        "in-the-address",
    ],
)
def test_a_secret_of_the_documents_is_refused_and_the_attempt_recorded(
    staging: Cast, change: Change, text: str
) -> None:
    with pytest.raises(Refused, match="holds a secret of these documents"):
        comments.write(change, text=text, actor=staging.olga)
    assert not Comment.objects.exists()
    event = AuditEvent.objects.get(action="change.comment_refused")
    assert event.data == {"reason": "it holds a secret"}
    shown = reasons.without_secrets(text, reasons.beside_change(change))
    assert "‹secret›" in shown
    assert not reasons.secrets_in(shown, reasons.beside_change(change))


@pytest.mark.parametrize("text", ["fourteen of them", "a b ab", "{$MAIL} is fine", "‹secret 3f9a2c81d04b›", "Bearer"])
def test_words_that_only_look_alike_are_no_secret(staging: Cast, change: Change, text: str) -> None:
    assert comments.write(change, text=text, actor=staging.olga).text == text


def test_what_cannot_be_a_comment_is_refused_in_words(staging: Cast, change: Change) -> None:
    refusals = {
        "Type the comment": {"text": " \n "},
        "up to 4,000 characters; this one has 4,001": {"text": "x" * 4001},
        "NUL": {"text": "a\0b"},
        "has no entry 'nothing'": {"text": "x", "kind": "webhooks", "entry": "nothing"},
        "Choose what": {"text": "x", "kind": "rollouts", "entry": "new"},
    }
    for message, arguments in refusals.items():
        with pytest.raises(Refused, match=message):
            comments.write(change, actor=staging.olga, **arguments)
    removed = comments.write(change, text="why?", actor=staging.olga, kind="webhooks", entry="mail")
    assert removed.entry == "mail"  # only in the base


def test_only_its_author_withdraws_a_comment_and_a_trace_stays(staging: Cast, change: Change) -> None:
    comment = comments.write(change, text="Oops", actor=staging.victor)
    with pytest.raises(Refused, match="Only victor"):
        comments.withdraw(comment, actor=staging.adam)
    withdrawn = comments.withdraw(comment, actor=staging.victor)
    assert (withdrawn.text, withdrawn.is_open, Comment.objects.count()) == ("", False, 1)
    for deed in (comments.withdraw, comments.resolve):
        with pytest.raises(Refused, match="is withdrawn"):
            deed(comment, actor=staging.victor)


def test_resolved_is_said_by_who_wrote_the_change_or_the_comment(staging: Cast, change: Change) -> None:
    comment = comments.write(change, text="Why?", actor=staging.anna)
    with pytest.raises(Refused, match="Only anna and olga"):
        comments.resolve(comment, actor=staging.adam)
    assert not comments.resolve(comment, actor=staging.olga).is_open
    comments.resolve(comment, actor=staging.olga)
    assert comments.reopen(comment, actor=staging.anna).is_open
    told = AuditEvent.objects.filter(action__startswith="change.comment_").values_list("action", flat=True)
    assert sorted(told) == ["change.comment_reopened", "change.comment_resolved"]


@pytest.mark.parametrize(
    "edit",
    [
        {"text": "other words"},
        {"text": ""},
        {"kind": "", "key": ""},
        {"withdrawn_at": "2026-01-01T00:00Z"},
        {"created_at": "2026-01-01T00:00Z"},
        {"resolved_at": "2026-01-01T00:00Z"},
    ],
)
def test_the_database_keeps_a_comment_as_it_was_written(staging: Cast, change: Change, edit: dict[str, str]) -> None:
    comment = comments.write(change, text="As it was", actor=staging.olga, kind="webhooks", entry="new")
    with pytest.raises(DatabaseError), transaction.atomic():
        Comment.objects.filter(pk=comment.pk).update(**edit)
    with pytest.raises(DatabaseError), transaction.atomic():
        Comment.objects.filter(pk=comment.pk).delete()


def test_what_was_withdrawn_does_not_come_back(staging: Cast, change: Change) -> None:
    comment = comments.withdraw(comments.write(change, text="x", actor=staging.olga), actor=staging.olga)
    with pytest.raises(DatabaseError), transaction.atomic():
        Comment.objects.filter(pk=comment.pk).update(text="y", withdrawn_at=None)
