"""What the editor saves by itself: under everybody's rules, without voiding, overwriting or burying anything."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

import pytest
from django.test import Client
from django.urls import reverse

from configs_app import changes, documents, sittings
from configs_app.models import Change
from console import testing
from console.errors import Refused
from console.models import AuditEvent, User
from console.testing import Cast

pytestmark = pytest.mark.django_db

CLOSED = {"module": "log", "authorization": "Bearer {$TOKEN}"}  # nothing in it has to be decided
NEW = testing.text({"orders": {"module": "log"}, "new": CLOSED})
NEWER = testing.text({"orders": {"module": "log"}, "newer": CLOSED})
SECRET = "hunter2-is-the-password"


@dataclass(frozen=True)
class Answer:
    status: int
    seen: str = ""
    refused: str = ""
    state: str = ""
    words: str = ""


@pytest.fixture
def staging() -> Cast:
    cast = testing.cast()
    testing.bundle(cast.environment)
    return cast


def autosave(change: Change, *, as_: User, seen: str | None = None, **typed: str) -> Answer:
    """What the editor posts and hears; what is not typed is as the page showed it."""
    page = Client()
    page.force_login(as_)
    change.refresh_from_db()
    values = {"title": change.title, "seen": changes.stamp(change) if seen is None else seen}
    kept = {document.kind: document for document in change.documents.all()}
    for kind in ("webhooks", "connections"):
        current = documents.current(change.environment, kind)
        base_id = kept[kind].base_id if kind in kept else current and current.pk
        values[f"{kind}_base"] = str(base_id or "")
        values[kind] = kept[kind].text if kind in kept else current.text if current else "{}"
    answer = page.post(reverse("configs:change-draft", args=[change.pk]), {**values, **typed})
    change.refresh_from_db()
    told = answer.json() if answer["Content-Type"] == "application/json" else {}
    return Answer(answer.status_code, **told)


def edits(change: Change) -> list[dict[str, str]]:
    """The digests of every recorded edit."""
    events = AuditEvent.objects.filter(action="change.edited", target_id=str(change.pk)).order_by("sequence")
    return [event.data["digests"] for event in events]


def save(change: Change, cast: Cast, text: str) -> None:
    base = documents.current(cast.environment, "webhooks")
    changes.save(change, {"webhooks": text}, bases={"webhooks": base.pk if base else None}, actor=cast.olga)


def test_an_autosave_keeps_text_and_title_as_typed_and_answers_the_next_stamp(staging: Cast) -> None:
    change = changes.open_draft(staging.environment, actor=staging.olga)
    answer = autosave(change, as_=staging.olga, webhooks='{"half": ', title="Add half")
    assert answer.status == 200
    assert change.documents.get().text == '{"half": '
    assert change.title == "Add half"
    assert (answer.seen, answer.state) == (changes.stamp(change), "draft")
    assert autosave(change, as_=staging.olga, seen=answer.seen, webhooks=NEW).status == 200
    assert change.documents.get().text == NEW


def test_an_autosave_needs_the_role_and_a_stranger_finds_nothing(staging: Cast) -> None:
    change = changes.open_draft(staging.environment, actor=staging.olga)
    assert autosave(change, as_=staging.victor, webhooks=NEW).status == 403
    assert autosave(change, as_=staging.stella, webhooks=NEW).status == 404
    assert autosave(change, as_=staging.adam, webhooks=NEW).status == 200
    assert change.last_editor == staging.adam


@pytest.mark.parametrize("state", ["proposed", "approved", "rejected"])
def test_an_autosave_never_reopens_a_change(state: str) -> None:
    cast = testing.cast("production", protected=True)
    testing.bundle(cast.environment)
    change = testing.draft(cast.environment, actor=cast.olga, webhooks=NEW)
    changes.propose(change, actor=cast.olga)
    if state == "approved":
        changes.approve(change, actor=cast.anna)
    if state == "rejected":
        changes.reject(change, actor=cast.anna, reason="no")

    answer = autosave(change, as_=cast.olga, webhooks=NEWER)

    assert answer.status == 422
    assert f"This change is {state}; saving makes it a draft again" in answer.refused
    assert change.state == state
    assert change.documents.get().text == NEW


def test_what_has_ended_takes_no_autosave(staging: Cast) -> None:
    change = changes.withdraw(changes.open_draft(staging.environment, actor=staging.olga), actor=staging.olga)
    answer = autosave(change, as_=staging.olga, webhooks=NEW)
    assert answer.status == 422
    assert "is withdrawn and can no longer be edited" in answer.refused


def test_an_autosave_over_another_save_is_refused_also_over_ones_own(staging: Cast) -> None:
    change = changes.open_draft(staging.environment, actor=staging.olga)
    opened = changes.stamp(change)
    assert autosave(change, as_=staging.olga, webhooks=NEW).status == 200

    by_adam = autosave(change, as_=staging.adam, seen=opened, webhooks=NEWER)
    second_tab = autosave(change, as_=staging.olga, seen=opened, webhooks=NEWER)

    assert (by_adam.status, second_tab.status) == (422, 422)
    assert "olga saved this change while you were typing" in by_adam.refused
    assert "saved under your name since this page last heard of it" in second_tab.refused
    assert change.documents.get().text == NEW


def test_a_title_that_is_too_long_is_refused_in_words(staging: Cast) -> None:
    change = changes.open_draft(staging.environment, actor=staging.olga)
    answer = autosave(change, as_=staging.olga, title="x" * 201)
    assert answer.status == 422
    assert "title: Ensure this value has at most 200 characters" in answer.refused


def test_the_autosaves_of_one_sitting_are_one_audit_event(staging: Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    change = changes.open_draft(staging.environment, actor=staging.olga)
    for number in range(5):
        autosave(change, as_=staging.olga, webhooks=testing.text({f"a{number}": {"module": "log"}}))
    assert len(edits(change)) == 1
    autosave(change, as_=staging.adam, webhooks=NEWER)
    assert len(edits(change)) == 2
    autosave(change, as_=staging.olga, webhooks=NEW)
    assert len(edits(change)) == 3

    monkeypatch.setattr(sittings, "LONGEST", timedelta(0))
    autosave(change, as_=staging.olga, webhooks=NEWER)
    assert len(edits(change)) == 4


def test_a_save_after_autosaves_is_recorded_with_what_was_saved(staging: Cast) -> None:
    change = changes.open_draft(staging.environment, actor=staging.olga)
    autosave(change, as_=staging.olga, webhooks=NEWER)
    autosave(change, as_=staging.olga, webhooks=NEW)  # stored, not yet recorded
    save(change, staging, NEW)
    digest = change.documents.get().digest
    assert edits(change)[-1] == {"webhooks": digest}
    save(change, staging, NEW)
    assert len(edits(change)) == 2  # nothing new to record


def test_pressing_save_on_the_page_is_no_autosave() -> None:
    cast = testing.cast("production", protected=True)
    testing.bundle(cast.environment)
    change = testing.draft(cast.environment, actor=cast.olga, webhooks=NEW)
    changes.propose(change, actor=cast.olga)
    assert autosave(change, as_=cast.olga, webhooks=NEWER, save="1").status == 200
    assert (change.state, change.documents.get().text) == ("draft", NEWER)
    assert edits(change)[-1] == {"webhooks": change.documents.get().digest}


def test_text_is_never_saved_under_another_persons_name(staging: Cast) -> None:
    change = changes.open_draft(staging.environment, actor=staging.olga)
    answer = autosave(change, as_=staging.adam, person=str(staging.olga.pk), webhooks=NEW)
    assert answer.status == 422
    assert "You are signed in as adam now; somebody else typed this" in answer.refused
    assert not change.documents.exists()


def test_what_is_proposed_is_recorded_even_when_only_autosaves_wrote_it() -> None:
    cast = testing.cast("production", protected=True)
    testing.bundle(cast.environment)
    change = changes.open_draft(cast.environment, actor=cast.olga)
    autosave(change, as_=cast.olga, webhooks=NEWER)
    autosave(change, as_=cast.olga, webhooks=NEW)
    changes.propose(change, actor=cast.olga, reason="A test")
    digests = {"webhooks": change.documents.get().digest}
    assert AuditEvent.objects.get(action="change.proposed").data["digests"] == digests
    with pytest.raises(Refused, match="had no part"):
        changes.approve(change, actor=cast.olga)


def test_editing_begins_in_ones_own_empty_draft_if_there_is_one(staging: Cast) -> None:
    page = Client()
    page.force_login(staging.olga)
    url = reverse("configs:change-new", args=["staging"])
    first = page.post(url)["Location"]
    assert page.post(url)["Location"] == first
    assert Change.objects.count() == 1

    page.force_login(staging.adam)
    assert page.post(url)["Location"] != first  # a colleague gets one of their own
    autosave(Change.objects.get(author=staging.olga), as_=staging.olga, webhooks=NEW)
    page.force_login(staging.olga)
    assert page.post(url)["Location"] != first  # something stands in it
    assert Change.objects.count() == 3


def test_the_editor_is_never_shown_from_a_cache(staging: Cast) -> None:
    page = Client()
    page.force_login(staging.olga)
    change = changes.open_draft(staging.environment, actor=staging.olga)
    assert "no-store" in page.get(reverse("configs:change-edit", args=[change.pk]))["Cache-Control"]


def opened(change: Change, who: User) -> dict[str, str]:
    """The values of the editor's fields."""
    page = Client()
    page.force_login(who)
    form = page.get(reverse("configs:change-edit", args=[change.pk])).context["form"]
    return {name: str(form[name].value() or "") for name in form.fields}


def test_a_secret_that_only_the_draft_has_outlives_an_autosave_without_its_mark(staging: Cast) -> None:
    secret = testing.text({"db": {"type": "postgresql", "password": SECRET}})
    change = testing.draft(staging.environment, actor=staging.olga, connections=secret)
    shown = opened(change, staging.olga)
    assert SECRET not in str(shown)
    assert "‹secret " in shown["connections"]

    cut = autosave(change, as_=staging.olga, connections="{}", carried=shown["carried"])
    assert (cut.status, change.documents.get().text) == (200, "{}")
    pasted = autosave(change, as_=staging.olga, connections=shown["connections"], carried=shown["carried"])
    assert (pasted.status, change.documents.get().text) == (200, secret)


def test_what_a_page_carries_is_of_no_use_in_another_change(staging: Cast) -> None:
    secret = testing.text({"db": {"type": "postgresql", "password": SECRET}})
    first = testing.draft(staging.environment, actor=staging.olga, connections=secret)
    second = testing.draft(staging.environment, actor=staging.olga, webhooks=NEW)
    shown = opened(first, staging.olga)
    for carried in (shown["carried"], "nonsense", ""):
        answer = autosave(second, as_=staging.olga, connections=shown["connections"], carried=carried)
        assert answer.status == 422
        assert "This mark stands for no secret known here" in answer.refused


def test_a_page_carries_nothing_that_its_revisions_have(staging: Cast) -> None:
    change = testing.draft(staging.environment, actor=staging.olga, webhooks=NEW)
    assert opened(change, staging.olga)["carried"] == ""
