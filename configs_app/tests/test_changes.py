"""The life of a change, and what it refuses."""

from __future__ import annotations

import json
import threading
from contextlib import closing

import pytest
from django.db import DatabaseError, connection, transaction
from django.db.utils import IntegrityError
from django.test import Client
from django.urls import reverse

from configs_app import approvals, changes, contents, documents
from configs_app.decision_models import Contributor, Proposal
from configs_app.merges import Choice
from configs_app.models import Approval, Bundle, Change, Revision, RevisionSource
from console import testing
from console.errors import Refused
from console.models import AuditEvent, RoleBinding, User
from console.testing import Cast

pytestmark = pytest.mark.django_db

CLOSED = {"module": "log", "authorization": "Bearer {$TOKEN}"}  # nothing in it has to be decided
NEW = testing.text({"orders": {"module": "log"}, "new": CLOSED})
NEWER = testing.text({"orders": {"module": "log"}, "newer": CLOSED})


@pytest.fixture
def staging() -> Cast:
    cast = testing.cast()
    testing.bundle(cast.environment)
    return cast


@pytest.fixture
def production() -> Cast:
    cast = testing.cast("production", protected=True)
    testing.bundle(cast.environment)
    return cast


def publish(change: Change, cast: Cast) -> Bundle:
    with transaction.atomic():
        return changes.publish(change, actor=cast.olga)


def actions() -> list[str]:
    return list(AuditEvent.objects.order_by("sequence").values_list("action", flat=True))


def approved(cast: Cast) -> Change:
    change = testing.draft(cast.environment, actor=cast.olga, webhooks=NEW)
    changes.propose(change, actor=cast.olga)
    return changes.approve(change, actor=cast.anna)


def test_a_draft_becomes_a_revision_and_the_desired_bundle(staging: Cast) -> None:
    change = testing.draft(staging.environment, actor=staging.olga, webhooks=NEW, title="Add new")
    bundle = publish(change, staging)
    revision = bundle.webhooks
    assert revision is not None
    assert (revision.number, revision.text, revision.message) == (2, NEW, "Add new")
    assert revision.parent is not None
    assert revision.parent.number == 1
    assert documents.desired(staging.environment) == bundle
    assert bundle.connections == Bundle.objects.get(number=1).connections
    assert actions()[-3:] == ["change.opened", "change.edited", "change.published"]


def test_the_text_is_kept_as_typed(staging: Cast) -> None:
    text = '{"b": {"module":"log"},\n\n\t"a" :{"module" : "log"}}\n\n'
    assert publish(testing.draft(staging.environment, actor=staging.olga, webhooks=text), staging).webhooks.text == text  # type: ignore[union-attr]


def test_both_documents_go_in_one(staging: Cast) -> None:
    connections = testing.text({"db": {"type": "mysql", "host": "db", "port": 3306}})
    change = testing.draft(staging.environment, actor=staging.olga, webhooks=NEW, connections=connections)
    assert [revision.number for revision in publish(change, staging).revisions()] == [2, 2]


def test_nothing_typed_is_lost_even_when_it_is_not_json(staging: Cast) -> None:
    change = testing.draft(staging.environment, actor=staging.olga, webhooks='{"half": ')
    assert change.documents.get().text == '{"half": '
    with pytest.raises(Refused, match="line 1"):
        publish(change, staging)


def test_publishing_nothing_is_refused(staging: Cast) -> None:
    change = changes.open_draft(staging.environment, actor=staging.olga)
    with pytest.raises(Refused, match="Nothing is changed"):
        publish(change, staging)


def test_somebody_elses_save_is_not_overwritten(staging: Cast) -> None:
    change = testing.draft(staging.environment, actor=staging.olga, webhooks=NEW)
    seen, base = changes.stamp(change), change.documents.get().base_id
    changes.save(change, {"webhooks": NEWER}, bases={"webhooks": base}, actor=staging.adam)
    with pytest.raises(Refused, match="adam saved this change"):
        changes.save(change, {"webhooks": NEW}, bases={"webhooks": base}, actor=staging.olga, seen=seen)
    assert change.documents.get().text == NEWER


def test_a_base_that_is_none_of_this_document_is_refused(staging: Cast) -> None:
    change = testing.draft(staging.environment, actor=staging.olga, webhooks=NEW)
    other = documents.current(staging.environment, "connections")
    assert other is not None
    for base in (other.pk, 999_999):
        with pytest.raises(Refused, match="not one of staging"):
            changes.save(change, {"webhooks": NEWER}, bases={"webhooks": base}, actor=staging.olga)
    assert change.documents.get().text == NEW


def test_a_stale_base_is_refused_with_what_moved_and_can_be_rebased(staging: Cast) -> None:
    first = testing.draft(staging.environment, actor=staging.olga, webhooks=NEW)
    second = testing.draft(staging.environment, actor=staging.adam, webhooks=NEWER)
    publish(first, staging)
    with pytest.raises(Refused, match=r"webhooks has moved on .* based on r1, current is r2, olga"):
        publish(second, staging)
    changes.rebase(second, actor=staging.adam)
    assert publish(second, staging).webhooks.number == 3  # type: ignore[union-attr]


def test_restoring_makes_a_new_revision_of_the_old_content(staging: Cast) -> None:
    old = documents.desired(staging.environment).webhooks  # type: ignore[union-attr]
    assert old is not None
    with pytest.raises(Refused, match="is current"):
        changes.restore(old, actor=staging.olga)
    publish(testing.draft(staging.environment, actor=staging.olga, webhooks=NEW), staging)
    restored = publish(changes.restore(old, actor=staging.olga), staging).webhooks
    assert restored is not None
    assert (restored.number, restored.digest, restored.source, restored.restored_from) == (
        3,
        old.digest,
        "restore",
        old,
    )


def test_a_protected_environment_wants_another_persons_approval(production: Cast) -> None:
    change = testing.draft(production.environment, actor=production.olga, webhooks=NEW)
    with pytest.raises(Refused, match="protected"):
        publish(change, production)
    changes.propose(change, actor=production.olga)
    with pytest.raises(Refused, match="had no part in the change"):
        changes.approve(change, actor=production.olga)
    with pytest.raises(Refused, match="protected"):
        publish(change, production)
    changes.approve(change, actor=production.anna)
    assert publish(change, production).change == change
    assert AuditEvent.objects.get(action="change.published").data["approvers"] == ["anna"]


def test_an_approval_is_of_the_contents_that_were_seen(production: Cast) -> None:
    change = testing.draft(production.environment, actor=production.olga, webhooks=NEW)
    seen = changes.propose(change, actor=production.olga).seal
    base = change.documents.get().base_id
    changes.save(change, {"webhooks": NEWER}, bases={"webhooks": base}, actor=production.olga)
    changes.propose(change, actor=production.olga)
    page = Client()
    page.force_login(production.anna)
    url = reverse("configs:change-act", args=[change.pk, "approve"])
    answer = page.post(url, {"seal": seen}, follow=True)
    assert "The contents have changed since this page was shown" in answer.content.decode()
    assert not Approval.objects.exists()
    change.refresh_from_db()
    assert f'name="seal" value="{change.seal}"' in answer.content.decode()
    page.post(url, {"seal": change.seal})
    assert Approval.objects.get().seal == change.seal


def test_nobody_who_ever_saved_the_change_can_approve_it(production: Cast) -> None:
    change = testing.draft(production.environment, actor=production.olga, webhooks=NEW)
    base = change.documents.get().base_id
    changes.save(change, {"webhooks": NEWER}, bases={"webhooks": base}, actor=production.adam)
    changes.save(change, {"webhooks": NEW}, bases={"webhooks": base}, actor=production.olga)
    changes.propose(change, actor=production.olga)
    with pytest.raises(Refused, match="had no part"):
        changes.approve(change, actor=production.adam)
    with pytest.raises(IntegrityError, match="had a part"), transaction.atomic():
        Approval.objects.create(change=change, approver=production.adam, approver_name="adam", seal=change.seal)
    changes.approve(change, actor=production.anna)


def test_an_error_is_not_accepted_by_somebody_who_edited_in_between(production: Cast) -> None:
    broken = testing.text({"orders": {"module": "lgo"}})
    change = testing.draft(production.environment, actor=production.olga, webhooks=NEW)
    base = change.documents.get().base_id
    changes.save(change, {"webhooks": broken}, bases={"webhooks": base}, actor=production.adam)
    changes.save(change, {"webhooks": broken}, bases={"webhooks": base}, actor=production.olga)
    testing.accepted(change, actor=production.adam)
    with pytest.raises(Refused, match="lgo"):
        changes.propose(change, actor=production.olga)
    testing.accepted(change, actor=production.anna)
    changes.propose(change, actor=production.olga)


def test_any_edit_voids_the_approval(production: Cast) -> None:
    change = approved(production)
    base = change.documents.get().base_id
    changes.save(change, {"webhooks": NEWER}, bases={"webhooks": base}, actor=production.olga)
    change.refresh_from_db()
    assert (change.state, approvals.standing(change).given) == ("draft", [])
    changes.propose(change, actor=production.olga)
    with pytest.raises(Refused, match="protected"):
        publish(change, production)


def test_an_approver_who_lost_the_role_no_longer_counts(production: Cast) -> None:
    change = approved(production)
    RoleBinding.objects.filter(user=production.anna).delete()
    with pytest.raises(Refused, match=r"0 of 1 approval; still needed: 1 more\. An approver may have lost"):
        publish(change, production)


def test_a_rejection_needs_a_reason_and_an_edit_reopens(production: Cast) -> None:
    change = testing.draft(production.environment, actor=production.olga, webhooks=NEW)
    changes.propose(change, actor=production.olga)
    with pytest.raises(Refused, match="Say why"):
        changes.reject(change, actor=production.anna, reason="  ")
    change = changes.reject(change, actor=production.anna, reason="Not on a Friday")
    assert (change.state, change.decision_reason) == ("rejected", "Not on a Friday")
    base = change.documents.get().base_id
    assert changes.save(change, {"webhooks": NEWER}, bases={"webhooks": base}, actor=production.olga).state == "draft"


@pytest.mark.parametrize("verb", ["rebase", "merge", "save of the same"])
def test_a_rejection_is_answered_by_an_edit_and_by_nothing_else(production: Cast, verb: str) -> None:
    change = testing.draft(production.environment, actor=production.olga, webhooks=NEW)
    changes.propose(change, actor=production.olga)
    changes.reject(change, actor=production.anna, reason="Not on a Friday")
    meanwhile(production)
    base = change.documents.get().base_id
    match verb:
        case "rebase":
            change = changes.rebase(change, actor=production.adam)
        case "merge":
            change = changes.merge(change, actor=production.adam, choices={})
        case _:
            texts = {document.kind: document.text for document in change.documents.all()}
            change = changes.save(
                change, texts, bases={"webhooks": base}, actor=production.adam, title="Again", reason=change.reason
            )
    assert (change.state, change.decision_reason) == ("rejected", "Not on a Friday")
    with pytest.raises(Refused, match="is rejected, not a draft"):
        changes.propose(change, actor=production.adam)
    with pytest.raises(Refused, match="A reviewer has rejected it"), transaction.atomic():
        changes.publish(change, actor=production.adam, glass_reason="Nobody else is awake to approve it")
    change = changes.save(change, {}, bases={}, actor=production.olga, reason="It is Monday now")
    assert (change.state, change.decision_reason) == ("draft", "")


def test_what_is_withdrawn_stays_withdrawn(staging: Cast) -> None:
    change = testing.draft(staging.environment, actor=staging.olga, webhooks=NEW)
    changes.withdraw(change, actor=staging.olga)
    for verb in (changes.propose, changes.withdraw):
        with pytest.raises(Refused):
            verb(change, actor=staging.olga)
    with pytest.raises(Refused):
        publish(change, staging)


def test_the_database_refuses_the_authors_own_approval(production: Cast) -> None:
    change = testing.draft(production.environment, actor=production.olga, webhooks=NEW)
    with pytest.raises(IntegrityError, match="had a part"), transaction.atomic():
        Approval.objects.create(change=change, approver=production.olga, approver_name="olga", seal="x")


def test_the_database_refuses_to_publish_unapproved_in_a_protected_environment(production: Cast) -> None:
    change = testing.draft(production.environment, actor=production.olga, webhooks=NEW)
    bundle = documents.desired(production.environment)
    with pytest.raises(IntegrityError, match="needs an approval"), transaction.atomic():
        Change.objects.filter(pk=change.pk).update(state="published", bundle=bundle)


@pytest.mark.parametrize("model", [Revision, Bundle, Approval, Contributor, Proposal])
def test_the_database_refuses_to_change_history(
    production: Cast, model: type[Revision | Bundle | Approval | Contributor | Proposal]
) -> None:
    publish(approved(production), production)
    row = model.objects.order_by("pk").last()
    assert row is not None
    for statement in ("UPDATE {} SET id = id WHERE id = %s", "DELETE FROM {} WHERE id = %s"):
        with pytest.raises(DatabaseError, match="append-only"), transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(statement.format(model._meta.db_table), [row.pk])


def test_secrets_are_sealed_at_rest(staging: Cast) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT string_agg(encode(content_sealed, 'escape'), '') FROM configs_app_revision")
        (stored,) = cursor.fetchone() or ("",)
    assert stored
    assert "s3cret" not in stored
    assert "orders" not in stored


@pytest.mark.django_db(transaction=True)
def test_of_two_publishes_at_once_one_wins_and_the_other_is_told() -> None:
    cast = testing.cast()
    testing.bundle(cast.environment)
    drafts = [testing.draft(cast.environment, actor=cast.olga, webhooks=text) for text in (NEW, NEWER)]
    told: list[str] = []
    together = threading.Barrier(2)

    def go(change: Change) -> None:
        with closing(connection):
            together.wait()
            try:
                publish(change, cast)
            except Refused as refusal:
                told.append(str(refusal))

    threads = [threading.Thread(target=go, args=[change]) for change in drafts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(told) == 1
    assert "has moved on" in told[0]
    assert Revision.objects.filter(document__kind="webhooks").count() == 2


def test_the_empty_text_of_a_document_nobody_wrote_is_no_change() -> None:
    cast = testing.cast()
    change = testing.draft(cast.environment, actor=cast.olga, webhooks=NEWER, connections="{}\n")
    assert [document.kind for document in contents.changed_documents(change)] == ["webhooks"]


KEEP = json.dumps(CLOSED)
TWO = f'{{"one": {KEEP}, "two": {KEEP}}}'


def stale(cast: Cast, mine: str, theirs: str) -> Change:
    """Adam's change, after olga published hers on the same base."""
    change = testing.draft(cast.environment, actor=cast.adam, webhooks=mine)
    publish(testing.draft(cast.environment, actor=cast.olga, webhooks=theirs), cast)
    return change


def test_a_merge_takes_both_edits_onto_todays_base(staging: Cast) -> None:
    publish(testing.draft(staging.environment, actor=staging.olga, webhooks=TWO), staging)
    change = stale(staging, TWO.replace('"two":', '"three":'), TWO.replace('"one": {', '"one": {"retries": 3, '))
    changes.merge(change, actor=staging.adam, choices={})
    document = change.documents.get()
    assert document.text == TWO.replace('"two":', '"three":').replace('"one": {', '"one": {"retries": 3, ')
    assert document.base == documents.current(staging.environment, "webhooks")
    told = AuditEvent.objects.get(action="change.merged").data["merged"]
    assert told == {"webhooks": {"onto": 3, "theirs": ["one"], "ours": ["three", "two"], "choices": {}}}
    assert publish(change, staging).webhooks.number == 4  # type: ignore[union-attr]


def test_a_conflict_is_never_decided_silently(staging: Cast) -> None:
    publish(testing.draft(staging.environment, actor=staging.olga, webhooks=TWO), staging)
    mine, theirs = (TWO.replace('"one": {', f'"one": {{"retries": {n}, ') for n in (1, 2))
    change = stale(staging, mine, theirs)
    with pytest.raises(Refused, match=r"webhooks: both sides changed one\.retries\. Choose one side"):
        changes.merge(change, actor=staging.adam, choices={})
    path = ("one", "retries")
    with pytest.raises(Refused, match=r"webhooks, one\.retries: .*double quotes"):
        changes.merge(change, actor=staging.adam, choices={"webhooks": {path: Choice("edit", "many")}})
    assert change.documents.get().text == mine
    changes.merge(change, actor=staging.adam, choices={"webhooks": {path: Choice("edit", " 7 ")}})
    assert change.documents.get().text == mine.replace('"retries": 1', '"retries": 7')
    told = AuditEvent.objects.get(action="change.merged").data["merged"]["webhooks"]
    assert told["choices"] == {"one.retries": "edit"}


def meanwhile(cast: Cast) -> None:
    """Somebody else's revision becomes current."""
    with transaction.atomic():
        revision = documents.add_revision(
            documents.lock(cast.environment),
            "webhooks",
            text=testing.text({**testing.WEBHOOKS, "meanwhile": CLOSED}),
            source=RevisionSource.EDIT,
            author=cast.adam,
            message="Meanwhile",
        )
        documents.add_bundle(cast.environment, {"webhooks": revision}, author=cast.adam)


def test_a_merge_voids_the_approvals(production: Cast) -> None:
    change = approved(production)
    meanwhile(production)
    changes.merge(change, actor=production.olga, choices={})
    change.refresh_from_db()
    assert (change.state, change.seal, approvals.standing(change).given) == ("draft", "", [])
    assert "meanwhile" in change.documents.get().text


def test_a_merge_is_of_the_sides_that_were_seen(staging: Cast) -> None:
    change = stale(staging, NEWER, NEW)
    seen = changes.merge_stamp(change)
    publish(testing.draft(staging.environment, actor=staging.olga, webhooks=testing.text({"x": CLOSED})), staging)
    with pytest.raises(Refused, match="Look at both sides again"):
        changes.merge(change, actor=staging.adam, choices={}, seen=seen)


def test_what_is_no_document_or_not_stale_is_not_merged(staging: Cast) -> None:
    change = testing.draft(staging.environment, actor=staging.adam, webhooks='{"half": ')
    with pytest.raises(Refused, match="nothing to merge"):
        changes.merge(change, actor=staging.adam, choices={})
    publish(testing.draft(staging.environment, actor=staging.olga, webhooks=NEW), staging)
    with pytest.raises(Refused, match="webhooks is not valid JSON"):
        changes.merge(change, actor=staging.adam, choices={})
    assert change.documents.get().text == '{"half": '


def test_a_protected_environment_wants_a_reason_before_anybody_approves(production: Cast) -> None:
    change = testing.draft(production.environment, actor=production.olga, webhooks=NEW)
    changes.save(change, {}, bases={}, actor=production.olga, reason=" ")
    with pytest.raises(Refused, match="Say why this change is needed"):
        changes.propose(change, actor=production.olga)
    with pytest.raises(Refused, match="up to 2,000 characters; this one has 2,001"):
        changes.propose(change, actor=production.olga, reason="x" * 2001)
    assert changes.propose(change, actor=production.olga, reason="Because\r\nso").reason == "Because\nso"


def test_a_reason_goes_into_the_revisions_message(staging: Cast) -> None:
    change = testing.draft(staging.environment, actor=staging.olga, webhooks=NEW, title="Add new")
    changes.save(change, {}, bases={}, actor=staging.olga, reason="The partner\n\nasked for it.")
    assert publish(change, staging).webhooks.message == "Add new: The partner asked for it."  # type: ignore[union-attr]
    untitled = testing.draft(staging.environment, actor=staging.olga, webhooks=NEWER, title="")
    changes.save(untitled, {}, bases={}, actor=staging.olga, reason="x " * 400)
    message = publish(untitled, staging).webhooks.message  # type: ignore[union-attr]
    assert (len(message), message[-1]) == (500, "…")


def test_the_trail_names_the_entries_of_an_edit_and_of_a_proposal(production: Cast) -> None:
    webhooks = {**testing.WEBHOOKS, "\ud800\0": CLOSED}
    del webhooks["refunds"]
    change = testing.draft(production.environment, actor=production.olga, webhooks=testing.text(webhooks))
    assert AuditEvent.objects.get(action="change.edited").data["entries"] == {"webhooks": ["?\ufffd", "refunds"]}
    changes.save(change, {"webhooks": NEW}, bases={"webhooks": change.documents.get().base_id}, actor=production.olga)
    changes.propose(change, actor=production.olga)
    assert AuditEvent.objects.get(action="change.proposed").data["entries"] == {"webhooks": ["new", "refunds"]}


@pytest.mark.django_db(transaction=True)
def test_of_two_merges_at_once_one_is_told_to_look_again() -> None:
    cast = testing.cast()
    testing.bundle(cast.environment)
    change = stale(cast, NEWER, NEW)
    seen = changes.merge_stamp(change)
    told: list[str] = []
    together = threading.Barrier(2)

    def go(actor: User) -> None:
        with closing(connection):
            together.wait()
            try:
                changes.merge(change, actor=actor, choices={}, seen=seen)
            except Refused as refusal:
                told.append(str(refusal))

    threads = [threading.Thread(target=go, args=[actor]) for actor in (cast.olga, cast.adam)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(told) == 1
    assert "Look at both sides again" in told[0]
    assert AuditEvent.objects.filter(action="change.merged").count() == 1
