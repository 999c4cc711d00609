"""What is done to many instances at once is done to those that were named, and said exactly."""

from __future__ import annotations

import html
import re
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from console import testing
from console.models import AuditEvent, User
from instances_app import registry
from instances_app.models import Instance
from sync_app import publishing_views
from sync_app.models import Rollout
from sync_app.tests.test_fleet_page import fleet

pytestmark = pytest.mark.django_db


def ask(user: User, path: str, **data: Any) -> str:
    client = Client()
    client.force_login(user)
    return html.unescape(client.get(f"/e/staging/{path}", data).content.decode())


def act(user: User, path: str, **data: Any) -> tuple[int, str]:
    """Status of the answer, and the page that somebody sees then."""
    client = Client()
    client.force_login(user)
    answer = client.post(f"/e/staging/{path}", data)
    shown = client.get(answer["Location"]) if answer.status_code == 302 else answer
    return answer.status_code, html.unescape(shown.content.decode())


def ids(body: str) -> str:
    (found,) = re.findall(r'name="ids" value="([\d,]*)"', body)
    return str(found)


def pk(name: str) -> int:
    return Instance.objects.get(name=name).pk


def test_retiring_names_them_asks_for_a_word_and_says_what_happened() -> None:
    cast = fleet(5)
    body = ask(cast.olga, "selected/retire/", instance=[pk("i001"), pk("i003")])
    assert "Retire 2 instances of staging?" in body
    assert "i001, i003" in body
    status, body = act(cast.olga, "selected/retire/", ids=ids(body))
    assert (status, "Type staging to confirm" in body) == (422, True)
    assert ids(body) == f"{pk('i001')},{pk('i003')}"
    status, body = act(cast.olga, "selected/retire/", ids=ids(body), confirmation="staging")
    assert status == 302
    assert "2 instances are retired: i001, i003. Nothing is sent there any more." in body
    assert Instance.objects.active().count() == 3
    event = AuditEvent.objects.get(action="instances.retired")
    assert (event.actor_name, event.data["instances"]) == ("olga", ["i001", "i003"])


def test_the_deed_is_done_to_those_that_were_named_whatever_matches_by_then() -> None:
    cast = fleet(6)
    body = ask(cast.olga, "selected/label/", all="yes", label="region=eu")
    assert "Label 3 instances of staging" in body
    Instance.objects.filter(name="i000").update(labels={"region": "eu"})  # now it would match, too
    registry.retire(Instance.objects.get(name="i001"), actor=cast.olga)
    status, body = act(cast.olga, "selected/label/", ids=ids(body), put="ring=first", remove="region")
    assert status == 302
    assert "2 instances are labelled anew: i003, i005." in body
    labels = dict(Instance.objects.values_list("name", "labels"))
    assert labels["i003"] == labels["i005"] == {"ring": "first"}
    assert labels["i000"] == labels["i001"] == {"region": "eu"}


def test_labels_that_are_none_are_refused_and_stay_typed() -> None:
    cast = fleet(2)
    status, body = act(cast.olga, "selected/label/", instance=pk("i000"), put="no label", remove="region")
    assert (status, "is not key=value" in body, "no label</textarea>" in body) == (422, True, True)
    status, body = act(cast.olga, "selected/label/", instance=pk("i000"), put="")
    assert (status, "Say which labels" in body) == (422, True)
    status, body = act(cast.olga, "selected/label/", instance=pk("i000"), put="a=b", remove="a")
    assert (status, "put on and taken off at once" in body) == (422, True)
    status, body = act(cast.olga, "selected/label/", instance=[pk("i000"), pk("i001")], put="region=eu")
    assert "1 instance is labelled anew: i000; 1 had it so already." in body


def test_nothing_chosen_is_said_and_other_environments_are_out_of_reach() -> None:
    cast = fleet(2)
    elsewhere = testing.instance(
        registry.add_environment("production", protected=True, plain_http=True, actor=None), "theirs"
    )
    for deed in ("retire", "label", "check"):
        assert "No instance is chosen" in ask(cast.olga, f"selected/{deed}/", instance=elsewhere.pk)
        sent: dict[str, Any] = {"instance": elsewhere.pk, "confirmation": "staging", "put": "a=b"}
        status, body = act(cast.olga, f"selected/{deed}/", **sent)
        assert (status, "No instance is chosen" in body) == (422, True)
    assert Client().get("/e/staging/selected/explode/").status_code == 302  # to the sign-in page
    assert "theirs" not in ask(cast.olga, "selected/retire/", all="yes")
    elsewhere.refresh_from_db()
    assert elsewhere.retired_at is None


def test_checking_those_that_match_is_audited_with_their_number() -> None:
    cast = fleet(4)
    status, body = act(cast.anna, "selected/check/", all="yes", q="i00", label="region=eu")
    assert status == 302
    assert "2 instances are asked what they run." in body
    assert AuditEvent.objects.get(action="instances.check_requested").data["number"] == 2


def test_a_large_fleet_is_synced_by_its_filter_without_a_list_of_boxes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(publishing_views, "LISTED", 3)
    cast = fleet(8)
    body = ask(cast.olga, "sync/", all="yes", label="region=eu")
    assert "4 of 8 instances" in body
    assert "data-row" not in body
    status, _ = act(cast.olga, "sync/", ids=ids(body))
    assert status == 302
    names = Rollout.objects.get().deliveries.values_list("instance__name", flat=True)
    assert sorted(names) == ["i001", "i003", "i005", "i007"]
    everybody = ask(cast.olga, "sync/")
    assert "All of them." in everybody
    assert len(ids(everybody).split(",")) == 8


def test_a_choice_that_matches_nobody_any_more_is_never_everybody() -> None:
    cast = fleet(3)
    gone = pk("i001")
    registry.retire(Instance.objects.get(pk=gone), actor=cast.olga)
    for choice in ({"all": "yes", "config": "drifted"}, {"instance": gone}, {"all": "yes", "q": "nobody"}):
        body = ask(cast.olga, "sync/", **choice)
        assert "None is chosen." in body
        assert "checked" not in body
    assert ask(cast.olga, "sync/").count(" checked") == 2  # no choice at all: everybody, as a proposal


def test_the_page_before_a_sync_costs_a_fixed_number_of_queries() -> None:
    cast = fleet(3)
    client = Client()
    client.force_login(cast.olga)

    def queries() -> int:
        with CaptureQueriesContext(connection) as captured:
            assert client.get("/e/staging/sync/").status_code == 200
        return len(captured)

    queries()
    few = queries()
    for index in range(20):
        testing.instance(cast.environment, f"n{index}")
    assert queries() == few
