"""Lists of changes: what each tab holds, what the address narrows, and pages that neither skip nor repeat."""

from __future__ import annotations

import re

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from configs_app import change_lists, changes, comments
from configs_app.models import Change
from console import testing
from console.models import Role, RoleBinding, User
from console.testing import Cast

pytestmark = pytest.mark.django_db

CLOSED = {"module": "log", "authorization": "Bearer {$TOKEN}"}


@pytest.fixture
def production() -> Cast:
    cast = testing.cast("production", protected=True)
    testing.bundle(cast.environment)
    return cast


def made(cast: Cast, title: str, *, actor: User, propose: bool = False) -> Change:
    change = testing.draft(cast.environment, actor=actor, webhooks=testing.text({title: CLOSED}), title=title)
    return changes.propose(change, actor=actor) if propose else change


def body_of(user: User, address: str) -> str:
    page = Client()
    page.force_login(user)
    return page.get(address).content.decode()


def shown(user: User, address: str) -> list[str]:
    return re.findall(r'<td><a href="/changes/\d+/">(.*?)</a>', body_of(user, address))


def counts(user: User, address: str) -> list[int]:
    return [int(number) for number in re.findall(r'<span class="soft">(\d+)</span></a>', body_of(user, address))]


def test_each_tab_holds_what_it_says_and_counts_it(production: Cast) -> None:
    made(production, "draft", actor=production.olga)
    made(production, "proposed", actor=production.olga, propose=True)
    made(production, "of-adam", actor=production.adam, propose=True)
    changes.withdraw(made(production, "gone", actor=production.olga), actor=production.olga)
    assert shown(production.olga, "/changes/") == ["of-adam", "proposed", "draft"]
    assert shown(production.olga, "/changes/?show=mine") == ["proposed", "draft"]
    assert shown(production.olga, "/changes/?show=review") == []
    assert shown(production.olga, "/changes/?show=all") == ["gone", "of-adam", "proposed", "draft"]
    assert counts(production.olga, "/changes/") == [3, 2, 0, 4]
    assert shown(production.anna, "/changes/?show=review") == ["of-adam", "proposed"]
    assert shown(production.adam, "/e/production/changes/?show=review") == ["proposed"]  # not one's own
    assert counts(production.anna, "/e/production/changes/") == [3, 0, 2, 4]
    changes.approve(Change.objects.get(title="proposed"), actor=production.anna)
    assert shown(production.anna, "/changes/?show=review") == ["of-adam"]
    assert "of-adam" in body_of(production.anna, "/")  # the home page asks the same function


def test_ones_own_changes_are_those_that_one_had_a_part_in_on_the_home_page_too(production: Cast) -> None:
    change = made(production, "edited-by-three", actor=production.olga)
    base = change.documents.get().base_id
    for actor, key in ((production.adam, "second"), (production.olga, "third")):
        changes.save(change, {"webhooks": testing.text({key: CLOSED})}, bases={"webhooks": base}, actor=actor)
    for person in (production.olga, production.adam):
        assert shown(person, "/changes/?show=mine") == ["edited-by-three"]
        assert "edited-by-three" in body_of(person, "/")
    assert shown(production.victor, "/changes/?show=mine") == []
    assert "edited-by-three" not in body_of(production.victor, "/")


def test_the_address_narrows(production: Cast) -> None:
    made(production, "apples", actor=production.olga)
    made(production, "pears", actor=production.adam, propose=True)
    assert shown(production.victor, "/changes/?text=APPL") == ["apples"]
    assert shown(production.victor, "/changes/?author=Adam") == ["pears"]
    assert shown(production.victor, "/changes/?state=draft") == ["apples"]
    assert shown(production.victor, "/changes/?environment=production&text=pears") == ["pears"]
    assert shown(production.victor, "/changes/?environment=elsewhere") == []
    assert "No change matches this filter" in body_of(production.victor, "/changes/?text=plums")
    assert counts(production.victor, "/changes/?text=apples") == [1, 0, 0, 1]


@pytest.mark.parametrize(
    "query", ["state=odd", "show=odd", "before=odd", "before=2026-11-25T99:00:00%2B00:00_4", "text=%00"]
)
def test_a_wrong_address_is_refused_in_words(production: Cast, query: str) -> None:
    page = Client()
    page.force_login(production.victor)
    assert page.get(f"/changes/?{query}").status_code == 422


def test_nobody_sees_changes_of_an_environment_where_they_have_no_role(production: Cast) -> None:
    made(production, "secret-plan", actor=production.olga, propose=True)
    RoleBinding.objects.create(user=production.stella, environment=testing.cast("staging").environment, role=Role.ADMIN)
    for tab in change_lists.TABS:
        assert shown(production.stella, f"/changes/?show={tab}") == []
    assert counts(production.stella, "/changes/?environment=production") == [0, 0, 0, 0]


def test_pages_neither_skip_nor_repeat_and_ask_a_fixed_number_of_queries(
    production: Cast, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(5):
        made(production, f"c{number}", actor=production.olga)
    same = Change.objects.first()
    assert same is not None
    Change.objects.update(updated_at=same.updated_at)  # all in one moment
    monkeypatch.setattr(change_lists, "PAGE", 2)
    address, found = "/changes/", []
    while address:
        found += shown(production.victor, address)
        older = re.search(r'<a href="(\?[^"]*before=[^"]*)">Older', body_of(production.victor, address))
        address = f"/changes/{older[1].replace('&amp;', '&')}" if older else ""
    assert found == ["c4", "c3", "c2", "c1", "c0"]
    monkeypatch.setattr(change_lists, "PAGE", 50)
    with CaptureQueriesContext(connection) as few:
        body_of(production.victor, "/changes/?text=c0")
    with CaptureQueriesContext(connection) as many:
        body_of(production.victor, "/changes/")
    assert len(few) == len(many)


def test_a_list_says_how_many_comments_are_not_resolved(production: Cast) -> None:
    change = made(production, "talked-about", actor=production.olga)
    said = [comments.write(change, text=f"{n}", actor=production.victor) for n in range(3)]
    comments.resolve(said[0], actor=production.olga)
    comments.withdraw(said[1], actor=production.victor)
    assert "1 comment not resolved" in body_of(production.olga, "/changes/")
