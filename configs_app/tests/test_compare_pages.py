"""Comparing on a page: any two revisions the person may see, in one column or two, never more lines than asked for."""

from __future__ import annotations

import re

import pytest
from django.test import Client
from django.urls import reverse

from configs_app import changes, diffs
from console import testing
from console.models import Role, RoleBinding, User
from console.testing import Cast
from instances_app.models import Environment

pytestmark = pytest.mark.django_db

URL = "/e/staging/documents/webhooks/compare/"


def page_of(user: User) -> Client:
    page = Client()
    page.force_login(user)
    return page


def published(environment: Environment, cast: Cast, webhooks: dict[str, object]) -> None:
    changes.publish(testing.draft(environment, actor=cast.olga, webhooks=testing.text(webhooks)), actor=cast.olga)


@pytest.fixture
def cast() -> Cast:
    """staging has r1 and r2."""
    made = testing.cast()
    testing.bundle(made.environment)
    published(made.environment, made, {"orders": {"module": "log", "note": "x"}, "new": {"module": "log"}})
    return made


def test_two_revisions_are_named_entry_by_entry_and_each_entry_leads_to_its_lines(cast: Cast) -> None:
    body = page_of(cast.victor).get(URL, {"from": "r1", "to": "current"}).content.decode()
    assert "r1</a> → " in body
    links = re.findall(r'href="#(webhooks-(?:old|new)-\d+)">(\w+)<', body)
    assert {name for _, name in links} == {"orders", "new", "refunds"}
    for anchor, _ in links:
        assert body.count(f'id="{anchor}"') == 1


@pytest.mark.parametrize("view", ["unified", "split"])
def test_the_view_stands_in_the_address_and_is_remembered(cast: Cast, view: str) -> None:
    page = page_of(cast.victor)
    first = page.get(URL, {"from": "1", "to": "2", "view": view}).content.decode()
    again = page.get(URL, {"from": "1", "to": "2"}).content.decode()
    for body in (first, again):
        assert ('class="diff split"' in body) == (view == "split")
        for anchor in re.findall(r'href="#(webhooks-[\w-]+)"', body):
            assert body.count(f'id="{anchor}"') == 1


def test_without_two_revisions_the_page_asks_for_them_and_keeps_what_was_typed(cast: Cast) -> None:
    page = page_of(cast.victor)
    asked = page.get(URL, {"from": "1"})
    assert asked.status_code == 200
    assert "Choose two revisions" in asked.content.decode()
    wrong = page.get(URL, {"from": "1", "to": "r99"})
    assert wrong.status_code == 404
    assert "staging has no webhooks revision &#x27;r99&#x27;" in wrong.content.decode()
    assert 'value="r99"' in wrong.content.decode()


def test_revisions_of_two_environments_are_compared_by_those_who_see_both(cast: Cast) -> None:
    other = testing.cast("production", protected=True)
    testing.bundle(other.environment, webhooks={"orders": {"module": "log", "authorization": "Bearer hunter2-hunter2"}})
    asked = {"from": "2", "to": "1", "to_environment": "production"}
    body = page_of(other.victor).get(URL, asked).content.decode()
    assert "staging r2" in body
    assert "production r1" in body
    assert "hunter2" not in body

    RoleBinding.objects.filter(user=other.victor, environment=other.environment).delete()
    assert page_of(other.victor).get(URL, asked).status_code == 404  # sees one of them only
    turned = {"from": "1", "from_environment": "production", "to": "1", "to_environment": "staging"}
    assert page_of(other.victor).get(URL, turned).status_code == 404
    assert page_of(other.victor).get(URL, {**asked, "to_environment": "nowhere"}).status_code == 404
    assert "production" not in page_of(other.victor).get(URL).content.decode()  # nor is it offered
    assert page_of(cast.stella).get(URL, asked).status_code == 404
    RoleBinding.objects.create(user=cast.stella, environment=other.environment, role=Role.ADMIN)
    assert page_of(cast.stella).get(URL, asked).status_code == 404


def test_a_page_sends_a_part_of_a_huge_difference_until_asked_for_all(cast: Cast) -> None:
    published(cast.environment, cast, {f"w{n}": {"module": "log", "n": n} for n in range(700)})
    page = page_of(cast.victor)
    body = page.get(URL, {"from": "1", "to": "3"}).content.decode()
    assert body.count("<tr") <= diffs.MOST_LINES
    assert "not shown: too many to send unasked" in body
    everything = page.get(URL, {"from": "1", "to": "3", "rows": "all"}).content.decode()
    far = re.findall(r'href="(\?[^"#]*rows=all)#([\w-]+)">w\d+<', body)  # entries of the summary that are left out here
    assert all(everything.count(f'id="{anchor}"') == 1 for _, anchor in far)
    assert everything.count('<tr class="added"') > diffs.MOST_LINES
    assert "too many" not in everything


def test_what_is_the_same_can_be_unfolded(cast: Cast) -> None:
    published(cast.environment, cast, {f"w{n}": {"module": "log"} for n in range(40)})
    published(cast.environment, cast, {f"w{n}": {"module": "log"} for n in range(41)})
    page = page_of(cast.victor)
    assert "unchanged line" in page.get(URL, {"from": "3", "to": "4"}).content.decode()
    assert "unchanged line" not in page.get(URL, {"from": "3", "to": "4", "context": "all"}).content.decode()


def test_a_change_is_reviewed_with_the_same_difference(cast: Cast) -> None:
    change = testing.draft(cast.environment, actor=cast.olga, webhooks=testing.text({"renamed": {"module": "log"}}))
    body = page_of(cast.anna).get(reverse("configs:change", args=[change.pk]), {"view": "split"}).content.decode()
    assert "Renamed" in body
    assert "the same content" in body
    assert 'class="diff split"' in body


def test_a_nul_in_a_query_or_a_typed_text_is_refused_in_words() -> None:
    cast = testing.cast()
    testing.bundle(cast.environment)
    page = Client()
    page.force_login(cast.olga)
    compare = reverse("configs:compare", args=["staging", "webhooks"])
    for query in ("from=%00&to=1", "from=1&to=1&to_environment=%00", "from=1&to=1&entry=%00"):
        assert page.get(f"{compare}?{query}").status_code in {200, 404}, query
    notes = reverse("configs:revision-notes", args=["staging", "webhooks", 1])
    for posted in ({"do": "note", "text": "a\0b"}, {"do": "tag", "name": "a\0b"}, {"do": "untag", "name": "a\0b"}):
        assert page.post(notes, posted).status_code == 422, posted
    for name, key in (("search", "q"), ("entry", "name"), ("document", "entry")):
        assert page.get(reverse(f"configs:{name}", args=["staging", "webhooks"]), {key: "a\0b"}).status_code in {
            200,
            404,
        }
