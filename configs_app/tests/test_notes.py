"""Notes, tags and pins stand beside a revision and never change it; who put them there is audited."""

from __future__ import annotations

import pytest
from django.test import Client
from django.urls import reverse

from configs_app import changes, notes, revisions
from configs_app.models import Revision, RevisionNote, RevisionTag
from console import testing
from console.errors import Refused
from console.models import AuditEvent, User
from console.testing import Cast

pytestmark = pytest.mark.django_db

HISTORY = "/e/staging/documents/webhooks/"


def page_of(user: User) -> Client:
    page = Client()
    page.force_login(user)
    return page


@pytest.fixture
def cast() -> Cast:
    """staging has webhooks r1, r2 and r3."""
    made = testing.cast()
    testing.bundle(made.environment)
    for name in ("second", "third"):
        text = testing.text({name: {"module": "log"}})
        changes.publish(testing.draft(made.environment, actor=made.olga, webhooks=text), actor=made.olga)
    return made


def revision(cast: Cast, number: int) -> Revision:
    return revisions.of(cast.environment, "webhooks").get(number=number)


def audited(action: str) -> list[dict[str, object]]:
    return list(AuditEvent.objects.filter(action=action).order_by("sequence").values_list("data", flat=True))


def test_a_note_is_written_edited_and_removed_and_the_trail_keeps_no_words(cast: Cast) -> None:
    first = revision(cast, 1)
    for text in ("Ran well.", "Ran well.", "Ran well until ten.", ""):
        notes.write_note(first, text=text, actor=cast.olga)
    assert not RevisionNote.objects.exists()
    assert audited("revision.noted") == [{"characters": 9}, {"characters": 19}, {"characters": 0}]
    event = AuditEvent.objects.filter(action="revision.noted").first()
    assert event is not None
    assert (event.actor_name, event.environment, event.target_label) == ("olga", "staging", "webhooks r1")


def test_a_tag_is_unique_in_its_document_and_moves(cast: Cast) -> None:
    assert notes.tag(revision(cast, 1), name="Good-Monday", actor=cast.olga) is None
    assert notes.tag(revision(cast, 1), name="good-monday", actor=cast.adam) is None  # it is there already
    taken = notes.tag(revision(cast, 3), name="good-monday", actor=cast.adam)
    assert taken == revision(cast, 1)
    assert [tag.revision.number for tag in RevisionTag.objects.all()] == [3]
    assert revisions.find(cast.environment, "webhooks", "good-monday").number == 3
    assert audited("revision.tagged") == [
        {"tag": "good-monday", "was": ""},
        {"tag": "good-monday", "was": "webhooks r1"},
    ]

    connections = revisions.of(cast.environment, "connections").get()
    notes.tag(connections, name="good-monday", actor=cast.olga)  # another document has tags of its own
    assert RevisionTag.objects.count() == 2


@pytest.mark.parametrize("name", ["", "r17", "current", "17", "two words", "ümlaut", "<b>", "a" * 41])
def test_a_word_that_cannot_be_a_tag_is_refused_in_words(cast: Cast, name: str) -> None:
    with pytest.raises(Refused, match="cannot be a tag"):
        notes.tag(revision(cast, 1), name=name, actor=cast.olga)


def test_pinned_revisions_stand_first_in_the_history(cast: Cast) -> None:
    notes.pin(revision(cast, 1), actor=cast.olga)
    notes.pin(revision(cast, 1), actor=cast.olga)
    listed = page_of(cast.victor).get(HISTORY).context["revisions"]
    assert [row.number for row in listed] == [1, 3, 2]
    notes.unpin(revision(cast, 1), actor=cast.adam)
    listed = page_of(cast.victor).get(HISTORY).context["revisions"]
    assert [row.number for row in listed] == [3, 2, 1]
    assert len(audited("revision.pinned")) == len(audited("revision.unpinned")) == 1


def test_an_operator_writes_on_the_pages_and_a_viewer_only_reads(cast: Cast) -> None:
    page = page_of(cast.olga)
    url = reverse("configs:revision-notes", args=["staging", "webhooks", 2])
    page.post(url, {"do": "tag", "name": "good-monday"})
    page.post(url, {"do": "note", "text": "<b>Ran</b> all Monday"})
    assert page.post(url, {"do": "pin", "back": "history"})["Location"] == f"{HISTORY}#history"
    for reader in (page, page_of(cast.victor)):
        for shown in (HISTORY, f"{HISTORY}r/2/"):
            body = reader.get(shown).content.decode()
            assert "good-monday" in body
            assert "&lt;b&gt;Ran&lt;/b&gt; all Monday" in body
            assert ("revision-notes" in body or "/notes/" in body) == (reader is page)
    assert page.get(f"{HISTORY}compare/", {"from": "good-monday", "to": "current"}).status_code == 200


def test_a_refused_tag_or_note_keeps_what_was_typed(cast: Cast) -> None:
    page = page_of(cast.olga)
    url = reverse("configs:revision-notes", args=["staging", "webhooks", 2])
    refused = page.post(url, {"do": "tag", "name": "two words"})
    assert refused.status_code == 422
    assert 'value="two words"' in refused.content.decode()
    too_long = page.post(url, {"do": "note", "text": "a" * 2001})
    assert too_long.status_code == 422
    assert "a" * 2001 in too_long.content.decode()
    assert page.post(url, {"do": "dance"}).status_code == 422


def test_the_revision_itself_stays_as_it_is(cast: Cast) -> None:
    before = Revision.objects.filter(pk=revision(cast, 1).pk).values().get()
    notes.write_note(revision(cast, 1), text="x", actor=cast.olga)
    notes.tag(revision(cast, 1), name="x", actor=cast.olga)
    notes.pin(revision(cast, 1), actor=cast.olga)
    assert Revision.objects.filter(pk=revision(cast, 1).pk).values().get() == before
