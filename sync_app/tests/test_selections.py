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
from console.errors import Refused
from console.models import AuditEvent, User
from instances_app import moving, registry, rotation
from instances_app.models import Instance, Observation
from sync_app import deliveries, maintenance, publishing_views, rollouts
from sync_app.models import Cause, Rollout
from sync_app.tests import attempts
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


def test_maintenance_of_many_begins_and_ends_in_one_step_with_one_event() -> None:
    cast = fleet(4)
    maintenance.begin(Instance.objects.get(name="i000"), reason="an old reason", actor=cast.adam)
    gone = Instance.objects.get(name="i003")
    registry.retire(gone, actor=cast.olga)
    chosen = ",".join(str(pk(name)) for name in ("i000", "i001", "i003"))
    sent: dict[str, Any] = {"ids": chosen, "reason": "", "zone": "UTC", "until": ""}
    assert act(cast.olga, "selected/maintain/", **sent)[0] == 422
    status, body = act(
        cast.olga, "selected/maintain/", **{**sent, "reason": "moving house", "until": "2020-01-01T10:00"}
    )
    assert (status, "The end lies in the past" in body, "moving house" in body) == (422, True, True)
    status, body = act(
        cast.olga, "selected/maintain/", **{**sent, "reason": "moving house", "until": "2099-01-01T10:00"}
    )
    assert (status, "2 instances are in maintenance: i000, i001. Rollouts leave them out." in body) == (302, True)
    resting = Instance.objects.in_maintenance()
    assert set(resting.values_list("name", "maintenance_reason")) == {
        ("i000", "moving house"),
        ("i001", "moving house"),
    }
    event = AuditEvent.objects.get(action="instances.maintenance_begun")
    assert (event.data["instances"], event.data["until"]) == (["i000", "i001"], "2099-01-01T10:00+00:00")
    status, body = act(cast.olga, "selected/return/", all="yes")
    assert (status, "2 instances are out of maintenance: i000, i001. 1 instance is not in maintenance." in body) == (
        302,
        True,
    )
    assert not Instance.objects.in_maintenance().exists()
    status, body = act(cast.olga, "selected/return/", all="yes")
    assert (status, "Nothing was changed: 3 instances are not in maintenance." in body) == (422, True)


def test_what_waits_for_many_in_a_rollout_is_skipped_when_they_go_into_maintenance() -> None:
    cast = fleet(3)
    found = rollouts.start(cast.environment, actor=cast.olga, cause=Cause.SYNC)
    maintenance.begin_many(cast.environment, [pk("i000"), pk("i001")], reason="moving house", actor=cast.adam)
    assert sorted(found.deliveries.values_list("state", flat=True)) == ["pending", "skipped", "skipped"]
    assert AuditEvent.objects.get(action="instances.maintenance_begun").data["skipped_in"] == found.number
    with pytest.raises(Refused, match="Say why"):
        maintenance.begin_many(cast.environment, [pk("i002")], reason=" ", actor=cast.adam)


def test_many_are_moved_as_was_shown_or_not_at_all() -> None:
    cast = testing.cast()
    for name, url in [
        ("a", "http://a.old.internal:8000"),
        ("b", "http://b.old.internal"),
        ("c", "http://c.elsewhere"),
        ("d", "http://old.internal/old.internal"),
    ]:
        testing.instance(cast.environment, name, url)
    theirs = testing.instance(
        registry.add_environment("other", protected=False, actor=None), "z", "http://b.new.internal"
    )

    def look(**sent: Any) -> tuple[int, str]:
        return act(cast.olga, "selected/move/", **sent)

    def seen(body: str) -> str:
        return body.split('name="seen" value="')[1].split('"')[0]

    both = f"{pk('a')},{pk('b')},{pk('c')}"
    assert "Replace in the base URL" in ask(cast.olga, "selected/move/", all="yes")
    for find, put, said in [
        ("", "x", "This field is required"),
        ("ol", "new", "3 characters at least"),
        ("old", "old", "replaced with itself"),
        ("nowhere", "x", "None of their addresses has nowhere in it."),
    ]:
        status, body = look(ids=both, find=find, put=put)
        assert (status, said in body, f'value="{put}"' in body) == (422, True, True)
    status, body = look(ids=both, find=".old.", put=".new.")
    assert (status, "1 address cannot be changed like that, so none is" in body) == (200, True)
    assert "http://b.new.internal is managed already" in body
    assert seen(body) == ""
    for find, put, said in [
        ("a.old.internal:8000", "b.old.internal", "is managed already"),
        (".old.internal", "@evil", "names and passwords"),
        ("a.old.internal", "169.254.169.254", "cloud metadata address"),
        ("http://a.old.internal:8000", "ftp://a", "must start with http"),
    ]:
        assert said in look(ids=both, find=find, put=put)[1], said
    assert "stands in its address twice" in look(ids=pk("d"), find="old.internal", put="new")[1]
    registry.retire(theirs, actor=cast.adam)
    status, body = look(ids=both, find=".old.", put=".new.")
    assert (status, "http://a.new.internal:8000" in body, "http://b.new.internal" in body) == (200, True, True)
    was = seen(body)
    registry.change(Instance.objects.get(name="a"), name="a", base_url="http://a.old.internal:7", labels={}, actor=None)
    status, body = look(ids=both, find=".old.", put=".new.", seen=was)
    assert (status, "Addresses have changed since you looked at them" in body) == (422, True)
    status, body = look(ids=both, find=".old.", put=".new.", seen=seen(body))
    assert (status, "2 instances are moved: a, b; 1 had another address. Each is being asked there." in body) == (
        302,
        True,
    )
    assert dict(cast.environment.instances.values_list("name", "base_url")) == {
        "a": "http://a.new.internal:7",
        "b": "http://b.new.internal",
        "c": "http://c.elsewhere",
        "d": "http://old.internal/old.internal",
    }
    assert Instance.objects.filter(moved_at__isnull=False).count() == 2
    assert AuditEvent.objects.get(action="instances.moved").data["instances"] == {
        "a": "http://a.old.internal:7 → http://a.new.internal:7",
        "b": "http://b.old.internal → http://b.new.internal",
    }


def test_nobody_is_moved_between_two_tokens() -> None:
    cast = testing.cast()
    one = testing.instance(cast.environment, "a", "http://a.old.internal")
    rotation.start(cast.environment, [one.pk], actor=cast.olga)
    moves = moving.preview(cast.environment, [one.pk], find="old", put="new")
    with pytest.raises(Refused, match="The token of a is being rotated"):
        moving.move(cast.environment, [one.pk], find="old", put="new", seen=moving.mark(moves), actor=cast.olga)
    one.refresh_from_db()
    assert one.base_url == "http://a.old.internal"


def test_a_push_that_ends_after_a_move_proves_nothing_of_the_new_address() -> None:
    """Else its status, and a probe with secrets, would believe in a host that nobody has asked."""
    cast, rollout = attempts.begin(1)
    (claim,) = deliveries.claim(rollout.pk, limit=1)
    one = Instance.objects.get()
    registry.change(one, name=one.name, base_url="http://elsewhere", labels={}, actor=cast.olga)
    pushed = attempts.attempt(claim, rollout.bundle.digests(), "verified")
    deliveries.record(rollout, [(claim, pushed)])
    assert (rollout.deliveries.get().state, rollout.deliveries.get().code) == ("unknown", "moved")
    assert not Observation.objects.exists()
    rollout.deliveries.update(next_attempt_at=None)
    Instance.objects.update(moved_at=None)  # a test is one transaction: the next claim would be as old as the first
    attempts.work(rollout)
    assert rollout.deliveries.get().state == "verified"


def test_two_of_them_never_get_one_address() -> None:
    cast = testing.cast()
    made = [testing.instance(cast.environment, name, f"http://{name}") for name in ("xyzab", "axyzb")]
    moves = moving.preview(cast.environment, [one.pk for one in made], find="xyz", put="")
    assert {move.problem for move in moves} == {"another of them would have the same address"}
