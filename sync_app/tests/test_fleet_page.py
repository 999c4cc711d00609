"""The fleet page: counters that are filters, pages by name, and live answers that bring only what has changed."""

from __future__ import annotations

import html
import json
import re
from datetime import timedelta

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from console import testing
from console.models import AuditEvent, User
from console.testing import Cast
from instances_app.models import Instance, Observation
from sync_app import fleet_page
from sync_app.models import SavedView

pytestmark = pytest.mark.django_db

URL = "/e/staging/"


def fleet(number: int) -> Cast:
    """Instances i000, i001, …; each runs what it should, and says that it is well."""
    cast = testing.cast()
    bundle = testing.bundle(cast.environment)
    now = timezone.now()
    made = Instance.objects.bulk_create(
        Instance(
            environment=cast.environment,
            name=f"i{index:03}",
            base_url=f"http://i{index:03}",
            token_sealed=b"",
            labels={"region": "eu" if index % 2 else "eu-west"},
            health="healthy",
            health_at=now,
        )
        for index in range(number)
    )
    Observation.objects.bulk_create(
        Observation(instance=one, kind=kind, digest=digest, since=now, seen_at=now)
        for one in made
        for kind, digest in bundle.digests().items()
    )
    return cast


def page(user: User, query: str = "") -> str:
    client = Client()
    client.force_login(user)
    answer = client.get(query if query.startswith("/") else URL + query)
    assert answer.status_code == 200
    return html.unescape(answer.content.decode())


def names(body: str) -> list[str]:
    return re.findall(r'<a id="go-\d+" href="[^"]*">([^<]*)</a>', body)


def keys(body: str) -> list[str]:
    return re.findall(r'<tr id="(instance-\d+)"', body)


def live_address(body: str) -> str:
    """What the page asks for at the next ping."""
    (address,) = re.findall(r'id="live" [^>]*hx-get="([^"]*)"', body)
    return after(address, body)


def after(address: str, answer: str) -> str:
    """The same question, once the page has that answer."""
    (seen,) = re.findall(r'id="seen" name="seen" value="([^"]*)"', answer)
    return f"{address.partition('&seen=')[0]}&seen={seen}"


def link(body: str, rel: str) -> str:
    (found,) = re.findall(rf'rel="{rel}" href="([^"]*)"', body)
    return str(found)


def counter(body: str, element: str) -> int:
    found = re.search(
        rf'id="{element}"[^>]*>(?:<strong>(\d+)</strong>|<span class="state[^>]*>[^<]*</span> (\d+))', body
    )
    assert found, element
    return int(found[1] or found[2])


def test_pages_by_name_lead_there_and_back() -> None:
    cast = fleet(230)
    first = page(cast.victor)
    assert names(first) == [f"i{index:03}" for index in range(100)]
    assert "i000 to i099, 100 of 230 instances" in first
    assert 'rel="prev"' not in first
    second = page(cast.victor, link(first, "next"))
    last = page(cast.victor, link(second, "next"))
    assert names(last) == [f"i{index:03}" for index in range(200, 230)]
    assert 'rel="next"' not in last
    assert names(page(cast.victor, link(last, "prev"))) == names(second)
    assert names(page(cast.victor, link(second, "prev"))) == names(first)
    assert names(page(cast.victor, "?after=zzz")) == []


def test_the_counters_count_what_their_filters_show() -> None:
    cast = fleet(12)
    now = timezone.now()
    quiet, ill, other = Instance.objects.order_by("name")[:3]
    Observation.objects.filter(instance=quiet).update(seen_at=now - timedelta(hours=1))
    Instance.objects.filter(pk=ill.pk).update(health="down", health_called="down", health_detail="No answer.")
    Instance.objects.filter(pk=other.pk).update(health_at=now - timedelta(hours=1))
    Observation.objects.filter(instance=other, kind="webhooks").update(digest="e" * 64)
    body = page(cast.victor)
    expected = {"config-all": 12, "config-in-sync": 10, "config-unknown": 1, "config-out-of-sync": 1}
    expected |= {"config-drifted": 0, "health-healthy": 10, "health-down": 1, "health-unknown": 1, "health-degraded": 0}
    assert {element: counter(body, element) for element in expected} == expected
    for query, shown in {
        "?config=unknown": ["i000"],
        "?config=out of sync": ["i002"],
        "?health=down": ["i001"],
        "?health=unknown": ["i002"],
        "?config=unknown&health=down": [],
        "?config=drifted": [],
    }.items():
        assert names(page(cast.victor, query)) == shown, query
    both = page(cast.victor, "?health=down")
    expected = {"config-all": 1, "config-in-sync": 1, "config-unknown": 0}
    assert {element: counter(both, element) for element in expected} == expected


def test_nobody_writes_more_into_the_audit_trail_than_a_filter_takes() -> None:
    cast = fleet(1)
    client = Client()
    client.force_login(cast.victor)
    labels = [f"{index:03}={'x' * 5000}" for index in range(300)]
    asked = {"q": "y" * 100_000, "config": "z" * 100_000, "health": "z" * 100_000, "label": labels}
    assert client.post(reverse("sync:fleet-export", args=["staging"]), asked).status_code == 200
    kept = AuditEvent.objects.get(action="fleet.exported").data
    assert set(kept["filter"]) == {"text", "labels"}
    assert len(json.dumps(kept)) < 4000


def test_text_and_labels_narrow_the_list_and_its_counters_and_stay_in_every_address() -> None:
    cast = fleet(12)
    body = page(cast.victor, "?q=I00&label=region%3Deu")
    assert names(body) == ["i001", "i003", "i005", "i007", "i009"]  # not region=eu-west
    assert counter(body, "config-in-sync") == 5
    assert "q=I00&label=region%3Deu&config=drifted" in body
    assert "q=I00&label=region%3Deu" in live_address(body)
    assert 'name="label" value="region=eu"' in body  # typing another word keeps it
    assert names(page(cast.victor, "?q=%25")) == []  # a per cent sign is one
    assert names(page(cast.victor, "?q=_")) == []
    assert names(page(cast.victor, "?q=a%00&after=%00&label=%00")) == []
    assert "No instance matches" in page(cast.victor, "?q=nobody")


def test_a_live_answer_brings_the_numbers_and_only_the_rows_that_changed() -> None:
    cast = fleet(8)
    asked = live_address(page(cast.victor))
    quiet = page(cast.victor, asked)
    assert (keys(quiet), counter(quiet, "config-in-sync")) == ([], 8)

    one = Instance.objects.get(name="i003")
    Instance.objects.filter(pk=one.pk).update(health="degraded", health_detail="no broker")
    Observation.objects.filter(instance__name="i005").update(digest="e" * 64)
    answer = page(cast.victor, asked)
    assert names(answer) == ["i003", "i005"]
    assert answer.count('hx-swap-oob="true"') == 3  # the pager's numbers, too
    assert "no broker" in answer
    assert keys(page(cast.victor, after(asked, answer))) == []


def test_a_live_answer_brings_all_rows_when_they_are_other_ones() -> None:
    cast = fleet(8)
    asked = live_address(page(cast.victor, "?config=in sync"))
    Observation.objects.filter(instance__name="i005").update(digest="e" * 64)
    answer = page(cast.victor, asked)
    assert 'id="fleet-rows" hx-swap-oob="true"' in answer
    assert len(keys(answer)) == 7
    for nonsense in ("", "x", "0" * 64, "é" * 72):
        assert len(keys(page(cast.victor, reverse("sync:fleet", args=["staging"]) + f"?seen={nonsense}"))) == 8


def test_retired_instances_are_neither_listed_nor_counted() -> None:
    cast = fleet(3)
    Instance.objects.filter(name="i001").update(retired_at=timezone.now())
    body = page(cast.victor)
    assert (names(body), counter(body, "config-all")) == (["i000", "i002"], 2)
    retired = Instance.objects.get(name="i001")
    assert "retired" in page(cast.victor, reverse("sync:instance", args=[retired.pk]))


def test_a_page_is_never_longer_than_it_says() -> None:
    cast = fleet(fleet_page.SHOWN + 1)
    assert len(names(page(cast.victor))) == fleet_page.SHOWN


def test_a_view_is_kept_under_a_name_for_oneself_and_is_this_filter_again() -> None:
    cast = fleet(4)
    client = Client()
    client.force_login(cast.victor)
    save = reverse("sync:view-save", args=["staging"])
    answer = client.post(save, {"name": "  Europe, ill ", "label": "region=eu", "health": "down", "after": "x"})
    assert answer["Location"] == "/e/staging/?health=down&label=region%3Deu"
    body = page(cast.victor)
    assert '<a href="?health=down&label=region%3Deu" >Europe, ill</a>' in body
    assert "Europe, ill" not in page(cast.olga)  # nobody else's

    client.post(save, {"name": "Europe, ill", "label": "region=eu"})  # the same name means the new one
    client.post(save, {"name": "Nothing"})
    client.post(save, {"name": "", "q": "i"})
    assert list(SavedView.objects.values_list("name", "query")) == [("Europe, ill", "label=region%3Deu")]
    body = page(cast.victor, "?label=region%3Deu")
    assert "Remove the view Europe, ill" in body
    other = Client()
    other.force_login(cast.olga)
    remove = reverse("sync:view-remove", args=[SavedView.objects.get().pk])
    assert other.post(remove).status_code == 404
    assert client.post(remove).status_code == 302
    assert not SavedView.objects.exists()


def headings(body: str) -> list[str]:
    return re.findall(r"<th>([^<]*)</th>", body)


def test_maintenance_is_a_counter_that_is_a_filter_beside_the_others() -> None:
    cast = fleet(6)
    since = {"maintenance_since": timezone.now(), "maintenance_by": cast.olga, "maintenance_reason": "a new disk"}
    Instance.objects.filter(name__in=["i001", "i002"]).update(**since)
    Instance.objects.filter(name="i003").update(
        **since, maintenance_until=timezone.now() - timedelta(minutes=1)
    )  # over
    Instance.objects.filter(name="i002").update(health="down", health_called="down")
    body = page(cast.victor)
    assert counter(body, "maintenance-yes") == 2
    assert 'href="?maintenance=yes"' in body
    body = page(cast.victor, "?maintenance=yes")
    assert names(body) == ["i001", "i002"]
    expected = {"config-all": 2, "health-down": 1, "health-healthy": 1, "maintenance-yes": 2}
    assert {element: counter(body, element) for element in expected} == expected
    assert 'name="maintenance" value="yes"' in body  # what is typed, exported or done to all keeps it
    assert names(page(cast.victor, "?maintenance=yes&health=down")) == ["i002"]
    assert counter(page(cast.victor, "?health=down"), "maintenance-yes") == 1
    assert names(page(cast.victor, "?maintenance=no&q=i00")) == [f"i00{index}" for index in range(6)]
    assert "maintenance=yes" in live_address(page(cast.victor, "?maintenance=yes"))


def test_columns_are_chosen_in_the_address_and_kept_in_views_pages_and_live_answers() -> None:
    cast = fleet(3)
    info = {"agent_version": "1.2.3", "capabilities": ["batch", "read_only", 7], "secret": "x"}
    Instance.objects.update(info=info, latency_ms=1234)
    usual = page(cast.victor)
    assert headings(usual) == ["Config", "Health", "Last delivery"]
    query = "?column=latency&column=agent&column=abilities&column=nonsense"
    query += "&label_column=region&label_column=&label_column=%00"
    body = page(cast.victor, query)
    assert headings(body) == ["Agent", "Can", "Answers in", "region"]
    for shown in ("1.2.3", ">read only</span> batch", "1,234 ms", 'instances with this label">eu-west</a>'):
        assert shown in body, shown
    assert "region=eu-west</a>" not in body  # it has a column of its own
    asked = live_address(body)
    Instance.objects.filter(name="i001").update(latency_ms=99)
    answer = page(cast.victor, asked)
    assert names(answer) == ["i001"]
    assert "99 ms" in answer
    assert names(page(cast.victor, live_address(usual))) == []  # nobody who does not see it is sent it

    client = Client()
    client.force_login(cast.victor)
    chosen = {"name": "Agents", "column": ["agent", "config"], "label_column": "region", "maintenance": "yes"}
    saved = client.post(reverse("sync:view-save", args=["staging"]), chosen)
    assert saved["Location"] == "/e/staging/?maintenance=yes&column=config&column=agent&label_column=region"
    assert "Remove the view Agents" in page(cast.victor, saved["Location"])
    rows = client.post(
        reverse("sync:fleet-export", args=["staging"]), {"column": ["agent", "latency"], "label_column": "region"}
    )
    head, first, *_ = rows.content.decode().splitlines()
    assert head.endswith("agent,latency_ms,label region")
    assert first.endswith("1.2.3,1234,eu-west")


def test_whatever_an_instance_says_of_itself_a_column_is_drawn() -> None:
    cast = fleet(5)
    odd = [
        {"agent_version": {"a": 1}, "capabilities": "read"},
        {"agent_version": "<b>" + "9" * 500},
        [],
        "x",
        {"capabilities": [[], None]},
    ]
    for number, info in enumerate(odd):
        Instance.objects.filter(name=f"i00{number}").update(info=info)
    client = Client()
    client.force_login(cast.victor)
    raw = client.get("/e/staging/?column=agent&column=abilities").content.decode()
    assert "<b>9" not in raw
    assert "9" * 41 not in raw
