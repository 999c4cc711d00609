"""The page of a rollout: at three in the morning it says what happened, who decides, and where everything is."""

from __future__ import annotations

import html
import re

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from console import testing
from console.models import User
from sync_app import rollbacks, rollout_control, waves
from sync_app.models import Blocked, Rollout
from sync_app.tests.attempts import begin, change, look, states, work
from sync_app.tests.test_fleet_page import after, live_address

pytestmark = pytest.mark.django_db


def page(user: User, name: str, *args: object, **data: str) -> str:
    client = Client()
    client.force_login(user)
    return html.unescape(client.get(reverse(f"sync:{name}", args=args), data).content.decode())


def post(user: User, name: str, pk: int, **data: str) -> tuple[int, str]:
    client = Client()
    client.force_login(user)
    answer = client.post(reverse(f"sync:{name}", args=[pk]), data)
    return answer.status_code, html.unescape(answer.content.decode())


def rows(body: str) -> list[str]:
    return re.findall(r'<tr id="delivery-(\d+)"', body)


def halt(rollout: Rollout) -> None:
    work(rollout, "rejected")
    waves.advance(rollout.pk)


def test_it_shows_each_wave_and_what_its_gate_waits_for() -> None:
    cast, rollout = begin(5, waves=["1", "50%", "100%"], soak_seconds=120)
    work(rollout)
    waves.advance(rollout.pk)
    body = page(cast.victor, "rollout", rollout.pk)
    assert "wave 1 of 3" in body
    assert "waves of 1, 50%, 100%; 120 s of soak between them" in body
    assert "none of the first wave rejects it" in body
    assert "120 s of soak after the last one was verified: over <time" in body
    assert "at its gate" in body
    assert body.count("not open") == 2
    assert "Pause" not in body  # a viewer decides nothing


def test_a_halted_rollout_says_why_who_may_decide_and_what_can_be_done() -> None:
    cast, rollout = begin(5, protected=True, waves=["1", "100%"])
    halt(rollout)
    body = page(cast.olga, "rollout", rollout.pk)
    assert "Wave 1: rejected by i0;" in body
    assert "Continuing is for adam, anna." in body
    for button in ("Roll back touched…", "Continue…", "Stop for good…", "Retry 1 failed and the rest"):
        assert button in body
    assert "Roll back touched" not in page(cast.anna, "rollout", rollout.pk)
    assert "is halted. Wave 1: rejected by i0;" in page(cast.victor, "environment", cast.environment.name)


def test_continuing_asks_for_a_reason_names_what_comes_next_and_keeps_what_was_typed() -> None:
    cast, rollout = begin(3, protected=True, waves=["1", "100%"])
    halt(rollout)
    body = page(cast.anna, "rollout-continue", rollout.pk)
    assert "wave 2 of 2 is sent (2 instances)" in body
    assert "i1, i2" in body
    status, body = post(cast.olga, "rollout-continue", rollout.pk, reason="It is a test host")
    assert status == 422
    assert 'value="It is a test host"' in body
    assert "somebody other than olga" in body
    status, _ = post(cast.anna, "rollout-continue", rollout.pk, reason="It is a test host")
    assert status == 302
    rollout.refresh_from_db()
    assert (rollout.state, rollout.wave) == ("running", 2)


def test_pause_and_resume_are_one_click_and_say_by_whom() -> None:
    cast, rollout = begin(3)
    assert post(cast.anna, "rollout-pause", rollout.pk)[0] == 302
    assert "Paused by anna" in page(cast.victor, "rollout", rollout.pk)
    assert post(cast.olga, "rollout-resume", rollout.pk)[0] == 302
    rollout.refresh_from_db()
    assert rollout.state == "running"


def test_rolling_back_shows_where_it_leads_and_to_whom_and_blocks_what_was_bad() -> None:
    cast, rollout = begin(4, waves=["2", "100%"])
    work(rollout)
    assert "ready: webhooks r1 + connections r1, valid" in page(cast.victor, "rollout", rollout.pk)
    body = page(cast.olga, "rollout-roll-back", rollout.pk)
    assert "2 instances, all at once" in body
    assert "rollout 1, running" in body
    status, body = post(cast.olga, "rollout-roll-back", rollout.pk, reason=" ")
    assert (status, "Say why it is rolled back" in body) == (422, True)
    assert post(cast.olga, "rollout-roll-back", rollout.pk, reason="Orders stopped")[0] == 302

    body = page(cast.anna, "rollout", rollout.pk)
    assert "This content is blocked" in body
    assert "Orders stopped" in body
    assert "webhooks r2 + connections r1 is blocked" in page(cast.anna, "rollouts", "staging")
    blocked = Blocked.objects.get()
    assert post(cast.anna, "blocked-lift", blocked.pk, reason="")[0] == 422
    assert post(cast.anna, "blocked-lift", blocked.pk, reason="The broker is back")[0] == 302
    assert "was lifted" in page(cast.anna, "blocked-lift", blocked.pk)
    assert "is blocked" not in page(cast.anna, "rollouts", "staging")


def test_publishing_what_is_blocked_is_refused_in_words_on_the_page() -> None:
    cast, rollout = begin(2)
    work(rollout)
    rollout_control.cancel(rollbacks.roll_back(rollout, actor=cast.olga, reason="Orders stopped"), actor=cast.olga)
    again = change(cast)
    status, body = post(cast.olga, "publish", again.pk, instance=str(cast.environment.instances.get(name="i0").pk))
    assert status == 422
    assert "was rolled back: Orders stopped (olga)" in body


def test_afterwards_the_lists_are_exact() -> None:
    cast, rollout = begin(6, waves=["3", "100%"])
    (verified,), (silent,), (rejecting,) = (work(rollout, end, limit=1) for end in ("verified", "timeout", "rejected"))
    rollout_control.cancel(rollout, actor=cast.olga)
    body = page(cast.victor, "rollout", rollout.pk)
    for words in ("failed 1", "unknown 1", "untouched 3", "verified 1"):
        assert f">{words}</a>" in body
    for group, names in (("failed", {rejecting}), ("unknown", {silent}), ("verified", {verified})):
        body = page(cast.victor, "rollout", rollout.pk, state=group)
        assert {name for name in states(rollout) if f">{name}</a>" in body} == names
    body = page(cast.victor, "rollout", rollout.pk, state="untouched", wave="2")
    assert {name for name in states(rollout) if f">{name}</a>" in body} == set(states(rollout)) - {
        verified,
        silent,
        rejecting,
    }


def test_the_page_stays_small_whatever_the_number_of_deliveries() -> None:
    cast, rollout = begin(250, waves=["10%", "100%"])
    bad = rollout.deliveries.filter(wave=1).order_by("-pk")[0]
    work(rollout, lambda name: "rejected" if name == bad.instance.name else "verified")
    client = Client()
    client.force_login(cast.victor)
    url = reverse("sync:rollout-progress", args=[rollout.pk])
    client.get(url)
    with CaptureQueriesContext(connection) as captured:
        body = client.get(url).content.decode()
    assert len(captured) < 25
    assert len(rows(body)) == 100
    assert "100 of 250 deliveries" in body
    assert rows(body)[0] == str(bad.pk)  # what needs attention comes first


def test_pages_of_deliveries_follow_each_other_and_lead_back() -> None:
    cast, rollout = begin(250, waves=["10%", "100%"])
    work(rollout, lambda name: "rejected" if name == "i7" else "verified")
    client = Client()
    client.force_login(cast.victor)
    url = reverse("sync:rollout", args=[rollout.pk])

    def walk(start: str, rel: str) -> list[list[str]]:
        found, at = [], start
        while True:
            body = html.unescape(client.get(url + at).content.decode())
            found.append(rows(body))
            following = re.search(rf'rel="{rel}" href="([^"]*)"', body)
            if following is None:
                return found
            at = following[1]

    there = walk("", "next")
    assert [len(page) for page in there] == [100, 100, 50]
    assert len({row for page in there for row in page}) == 250
    last = rollout.deliveries.order_by("-pk").values_list("pk", flat=True)[0]
    back = walk(f"?before=1-{last + 1}", "prev")
    assert [row for page in reversed(back) for row in page] == [row for page in there for row in page]
    for nonsense in ("?after=9-1", "?after=1-²", "?before=x", "?after=1-99999999999999999999"):
        assert len(rows(client.get(url + nonsense).content.decode())) == 100


def test_a_live_answer_brings_the_rows_that_changed_and_keeps_the_readers_place() -> None:
    cast, rollout = begin(120)
    client = Client()
    client.force_login(cast.victor)
    url = reverse("sync:rollout", args=[rollout.pk])
    body = html.unescape(client.get(url, {"state": "untouched"}).content.decode())
    asked = live_address(body)
    assert "state=untouched" in asked
    assert rows(html.unescape(client.get(asked).content.decode())) == []  # nothing has changed

    rollout.deliveries.filter(pk=rows(body)[3]).update(error="Waits for its turn")
    answer = html.unescape(client.get(asked).content.decode())
    assert rows(answer) == [rows(body)[3]]
    assert "Waits for its turn" in answer
    assert rows(html.unescape(client.get(after(asked, answer)).content.decode())) == []

    work(rollout, limit=5)  # five leave the list: then all of it is sent
    answer = html.unescape(client.get(asked).content.decode())
    assert len(rows(answer)) == 100
    assert 'id="delivery-rows" hx-swap-oob="true"' in answer
    assert ">verified 5</a>" in answer


def test_before_publishing_the_waves_are_named() -> None:
    cast, rollout = begin(5, waves=["1", "100%"])
    rollout_control.cancel(rollout, actor=cast.olga)
    body = page(cast.olga, "publish", change(cast, "newer").pk)
    assert "Wave 1</strong>" in body
    assert "waves of 1, 100%" in body
    ids = {one.name: str(one.pk) for one in cast.environment.instances.all()}
    client = Client()
    client.force_login(cast.olga)
    answer = client.post(reverse("sync:waves", args=["staging"]), {"instance": [ids["i0"], ids["i3"]]})
    assert ">i0</p>" in answer.content.decode()
    assert ">i3</p>" in answer.content.decode()
    assert "i4" not in answer.content.decode()


def test_after_the_end_failed_ones_are_retried_alone_or_with_those_not_started() -> None:
    cast, rollout = begin(4, waves=["1", "100%"])
    halt(rollout)
    rollout_control.cancel(rollout, actor=cast.olga)
    body = page(cast.olga, "rollout", rollout.pk)
    assert "Retry 1 failed" in body
    assert "Retry all 4 not verified" in body
    assert post(cast.olga, "rollout-retry", rollout.pk)[0] == 302
    assert list(states(Rollout.objects.get(number=2))) == ["i0"]
    look(rollout)
    assert testing.ended(rollout)
