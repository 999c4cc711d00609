"""A search says in which revision a text came or went, within bounds, and confirms no guess of a secret."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client

from configs_app import changes, history_search
from configs_app.history_search import search
from console import testing
from console.models import User
from console.sealing import fingerprint
from console.testing import Cast

pytestmark = pytest.mark.django_db

PAGE = "/e/staging/documents/connections/search/"
DB: dict[str, Any] = {"type": "postgresql", "host": "db.example.com", "port": 5432, "password": "hunter2-hunter2"}


def page_of(user: User) -> Client:
    page = Client()
    page.force_login(user)
    return page


def publish(cast: Cast, connections: dict[str, Any]) -> None:
    draft = testing.draft(cast.environment, actor=cast.olga, connections=testing.text(connections))
    changes.publish(draft, actor=cast.olga)


@pytest.fixture
def cast() -> Cast:
    """r1: db. r2: a second one on the same host. r3: db moves to another host and password. r4: written anew."""
    made = testing.cast()
    testing.bundle(made.environment, webhooks={}, connections={"db": DB})
    publish(made, {"db": DB, "second": {**DB, "port": 5433}})
    moved = {**DB, "host": "new.example.com", "password": "another-password"}
    publish(made, {"db": moved, "second": {**DB, "port": 5433}})
    publish(made, {"second": {**DB, "port": 5433}, "db": moved})
    return made


def told(found: history_search.Search) -> list[tuple[int, str, str, str]]:
    return [
        (step.revision.number, "came" if event.came else "went", event.entry, event.line)
        for step in found.steps
        for event in step.events
    ]


def test_a_text_is_told_by_the_revisions_in_which_it_came_and_went(cast: Cast) -> None:
    line = '"host": "db.example.com",'
    found = search(cast.environment, "connections", "DB.example")
    assert told(found) == [(3, "went", "db", line), (2, "came", "second", line), (1, "came", "db", line)]
    assert (found.newest, found.oldest, found.further) == (4, 1, None)
    assert told(search(cast.environment, "connections", "new.example")) == [
        (3, "came", "db", '"host": "new.example.com",')
    ]
    assert told(search(cast.environment, "connections", "second"))[-1][:3] == (2, "came", "second")  # names as well


@pytest.mark.parametrize("guess", ["hunter2-hunter2", "hunter2", "another-password", "HUNTER2"])
def test_no_guess_of_a_secret_is_confirmed(cast: Cast, guess: str) -> None:
    assert told(search(cast.environment, "connections", guess)) == []
    assert "hunter2-hunter2" not in page_of(cast.olga).get(PAGE, {"q": "db.example"}).content.decode()


def test_the_mark_of_a_secret_can_be_searched_and_the_word_in_it_is_none(cast: Cast) -> None:
    mark = f"‹secret {fingerprint('hunter2-hunter2')}›"
    found = told(search(cast.environment, "connections", mark))
    assert [event[:3] for event in found] == [(3, "went", "db"), (2, "came", "second"), (1, "came", "db")]
    assert all(mark in event[3] for event in found)
    assert told(search(cast.environment, "connections", "secret")) == []


def test_a_search_ends_in_time_and_goes_on_where_it_stopped(cast: Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = told(search(cast.environment, "connections", "example.com"))
    monkeypatch.setattr(history_search, "SECONDS", -1)  # no time at all: one revision each
    page = page_of(cast.victor)
    pieces: list[tuple[int, str, str, str]] = []
    asked: dict[str, str | int] = {"q": "example.com"}
    for number in (4, 3, 2, 1):
        found = page.get(PAGE, asked).context["found"]
        assert (found.newest, found.oldest) == (number, number)
        pieces += told(found)
        asked = {"q": "example.com", "before": found.further or 0}
    assert found.further is None
    assert pieces == whole


def test_very_many_entries_are_counted_and_long_lines_cut(cast: Cast) -> None:
    publish(cast, {f"c{number}": DB for number in range(50)})
    (first, *_) = search(cast.environment, "connections", "db.example").steps
    assert (len(first.events), first.more) == (20, 31)  # the second of before went
    publish(cast, {"long": {"type": "x", "note": "a" * 5000 + "needle" + "b" * 5000}})
    (event,) = search(cast.environment, "connections", "needle").steps[0].events
    assert event.line == "…" + "a" * 80 + "needle" + "b" * 80 + "…"


def test_the_page_says_what_it_cannot_search(cast: Cast) -> None:
    page = page_of(cast.victor)
    assert "Give 2 to 200 characters." in page.get(PAGE, {"q": "a"}).content.decode()
    assert "none of these revisions" in page.get(PAGE, {"q": "<script>"}).content.decode()
    assert "<script>alert" not in page.get(PAGE, {"q": "<script>alert"}).content.decode()
    assert page_of(cast.stella).get(PAGE, {"q": "db"}).status_code == 404
    empty = testing.cast("empty")
    body = page_of(empty.victor).get("/e/empty/documents/webhooks/search/", {"q": "db"}).content.decode()
    assert "has no webhooks yet" in body
