"""Every entry knows which revision touched it last, told by names only."""

from __future__ import annotations

from importlib import import_module
from typing import Any

import pytest
from django.apps import apps
from django.db import IntegrityError, connection, transaction
from django.test import Client
from django.test.utils import CaptureQueriesContext

from configs_app import changes, entry_history
from configs_app.models import RevisionEntry
from console import testing
from console.models import User
from console.testing import Cast

pytestmark = pytest.mark.django_db

PAGE = "/e/staging/documents/webhooks/"
LOG = {"module": "log"}


def page_of(user: User) -> Client:
    page = Client()
    page.force_login(user)
    return page


def publish(cast: Cast, webhooks: dict[str, Any], title: str = "A change") -> None:
    draft = testing.draft(cast.environment, actor=cast.olga, title=title, webhooks=testing.text(webhooks))
    changes.publish(draft, actor=cast.olga)


def rows() -> list[tuple[int, str, str]]:
    found = RevisionEntry.objects.filter(revision__document__kind="webhooks").select_related("revision")
    return [(row.revision.number, row.name, row.word) for row in found.order_by("revision__number", "pk")]


@pytest.fixture
def cast() -> Cast:
    """r1: a, b. r2: b changed, c added. r3: a removed. r4: only written anew. r5: a is back."""
    made = testing.cast()
    testing.bundle(made.environment, webhooks={"a": LOG, "b": LOG})
    publish(made, {"a": LOG, "b": {**LOG, "password": "hunter2-hunter2"}, "c": LOG}, "Guard b")
    publish(made, {"b": {**LOG, "password": "hunter2-hunter2"}, "c": LOG})
    publish(made, {"c": LOG, "b": {"password": "hunter2-hunter2", **LOG}})
    publish(made, {"c": LOG, "b": {"password": "hunter2-hunter2", **LOG}, "a": LOG})
    return made


TOUCHED = [
    (1, "a", "added"),
    (1, "b", "added"),
    (2, "b", "changed"),
    (2, "c", "added"),
    (3, "a", "removed"),
    (5, "a", "added"),
]


def test_a_revision_keeps_the_names_it_touched_and_nothing_of_their_content(cast: Cast) -> None:
    assert rows() == TOUCHED
    with connection.cursor() as cursor:
        cursor.execute("SELECT * FROM configs_app_revisionentry")
        assert [column.name for column in cursor.description or ()] == ["id", "key", "word", "revision_id"]


def test_the_last_touch_of_each_entry_is_found_at_once(cast: Cast) -> None:
    with CaptureQueriesContext(connection) as captured:
        last = entry_history.last(cast.environment, "webhooks", ["a", "b", "c", "nothing"])
        told = {name: (row.revision.number, row.word, row.revision.message) for name, row in last.items()}
    assert told == {"a": (5, "added", "A change"), "b": (2, "changed", "Guard b"), "c": (2, "added", "Guard b")}
    assert len(captured) == 1
    assert "content_sealed" not in captured[0]["sql"]


def test_revisions_from_before_are_told_from_their_texts(cast: Cast) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE; TRUNCATE configs_app_revisionentry")
    import_module("configs_app.migrations.0007_fill_revision_entries").fill(apps, None)
    assert rows() == TOUCHED


def test_what_was_touched_is_history_and_stays(cast: Cast) -> None:
    for statement in (lambda: RevisionEntry.objects.update(word="added"), lambda: RevisionEntry.objects.all().delete()):
        with pytest.raises(IntegrityError), transaction.atomic():
            statement()


@pytest.mark.parametrize("name", ["", "\x00", "\ud83d", "😀", "a" * 5000, "<b>&amp;", "a?b&c=d#e", "ü"])
def test_any_name_an_entry_can_have_is_kept(name: str) -> None:
    made = testing.cast()
    testing.bundle(made.environment, webhooks={name: LOG})
    assert rows() == [(1, name, "added")]
    body = page_of(made.victor).get(PAGE)
    assert body.status_code == 200
    if name != "\ud83d":
        assert page_of(made.victor).get(f"{PAGE}entry/", {"name": name}).status_code == 200


def test_the_document_lists_its_entries_with_who_touched_them_last(cast: Cast) -> None:
    body = page_of(cast.victor).get(PAGE)
    assert [(row.name, row.what, row.last and row.last.revision.number) for row in body.context["entry_rows"]] == [
        ("c", "log", 2),
        ("b", "log", 2),
        ("a", "log", 5),
    ]
    assert "Guard b" in body.content.decode()
    found = page_of(cast.victor).get(PAGE, {"entry": "B"}).context["entry_rows"]
    assert [row.name for row in found] == ["b"]
    assert "No entry has" in page_of(cast.victor).get(PAGE, {"entry": "zzz"}).content.decode()


def test_one_entry_shows_each_revision_that_touched_it_and_what_it_did(cast: Cast) -> None:
    page = page_of(cast.victor)
    shown = page.get(f"{PAGE}entry/", {"name": "b"})
    assert [(touch.revision.number, touch.word) for touch in shown.context["touched"]] == [(2, "changed"), (1, "added")]
    body = shown.content.decode()
    assert "hunter2" not in body
    link = f"{PAGE}compare/?from=1&amp;to=2&amp;entry=b"
    assert link in body
    compared = page.get(link.replace("&amp;", "&")).content.decode()
    assert "What differs in b" in compared
    assert "hunter2" not in compared
    assert "&quot;c&quot;" not in compared  # only the one entry
    assert page.get(f"{PAGE}entry/", {"name": "nothing"}).status_code == 404


def test_a_revision_says_what_it_did_and_shows_it(cast: Cast) -> None:
    page = page_of(cast.victor)
    shown = page.get(f"{PAGE}r/2/")
    assert shown.context["did"] == {"changed": ["b"], "added": ["c"]}
    body = shown.content.decode()
    assert f"{PAGE}entry/?name=b" in body
    assert f"{PAGE}compare/?from=1&amp;to=2" in body
    assert "no entry differs from the revision before" in page.get(f"{PAGE}r/4/").content.decode()


def test_the_list_of_entries_shows_no_login_that_stands_for_a_type() -> None:
    other = testing.cast("other")
    testing.bundle(other.environment, connections={"mine": {"type": "amqp://user:hunter2@mq"}})
    body = page_of(other.olga).get("/e/other/documents/connections/").content.decode()
    assert "mine" in body
    assert "hunter2" not in body


def test_many_entries_come_a_page_at_a_time(cast: Cast) -> None:
    publish(cast, {f"w{number:03}": LOG for number in range(250)})
    page = page_of(cast.victor)
    first = page.get(PAGE).context
    assert len(first["entry_rows"]) == 50
    last = page.get(PAGE, {"after": "200"}).context
    assert [row.name for row in last["entry_rows"]] == [f"w{number:03}" for number in range(200, 250)]
    assert (last["entries_before"], last["entries_after"]) == (150, None)


def test_a_long_text_is_sent_when_asked_for(cast: Cast) -> None:
    publish(cast, {"long": {**LOG, "note": "x" * 300_000}})
    page = page_of(cast.victor)
    assert "x" * 1000 not in page.get(PAGE).content.decode()
    assert "x" * 1000 in page.get(PAGE, {"text": "all"}).content.decode()


def test_the_history_opens_no_text_of_any_revision(cast: Cast) -> None:
    publish(cast, {"a": LOG, "b": LOG, "c": LOG})
    page = page_of(cast.victor)
    with CaptureQueriesContext(connection) as queries:
        page.get("/e/staging/documents/webhooks/")
    listed = [query["sql"] for query in queries if "restored_from_id" in query["sql"] and "revisionpin" in query["sql"]]
    assert listed
    assert not [sql for sql in listed if "content_sealed" in sql.partition(" FROM ")[0]]


@pytest.mark.parametrize("odd", ["²", "-1", "9" * 18, "9" * 5000, "1;", ""])
def test_odd_numbers_in_an_address_are_no_error(cast: Cast, odd: str) -> None:
    page = page_of(cast.victor)
    for url in ("documents/webhooks/", "documents/webhooks/search/", "rollouts/"):
        for name in ("before", "after"):
            assert page.get(f"/e/staging/{url}", {name: odd, "q": "orders"}).status_code == 200
