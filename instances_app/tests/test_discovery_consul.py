"""Consul as a source: its health API as documented, from a real server."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from console import testing
from instances_app.discovery import consul, found, looking, sources, turns
from instances_app.discovery.found import Found, SourceError
from instances_app.tests.servers import Served, serving

PATH = "/v1/health/service/web%20hooks"


@pytest.fixture
def server() -> Iterator[Served]:
    with serving() as served:
        yield served


def entry(number: int, **service: object) -> dict[str, Any]:
    return {
        "Node": {"ID": "n", "Node": f"node-{number}", "Address": "10.0.0.9", "Datacenter": "dc1", "Meta": {}},
        "Service": {
            "ID": f"hooks-{number}",
            "Service": "hooks",
            "Tags": ["v1"],
            "Address": f"10.1.{number // 250}.{number % 250 + 1}",
            "Port": 8000,
            "Meta": {"region": "eu"},
            **service,
        },
        "Checks": [{"CheckID": "service:hooks", "Status": "passing"}],
    }


def ask(server: Served, told: object = None, *, secret: str = "", query: str = "", **settings: object) -> found.Told:
    if told is not None:
        content = told if isinstance(told, bytes) else json.dumps(told).encode()
        server.answers[PATH + query] = (200, content, {"X-Consul-Index": "42"})
    values = {"service": "web hooks", "tags": "", "datacentre": "", "passing": False, "scheme": "http", "path": ""}
    return consul.find(values | {"url": server.url, "authority": ""} | settings, secret=secret)


def test_services_become_instances_and_their_changes_are_seen(server: Served) -> None:
    labels = {"region": "eu", "datacenter": "dc1"}
    assert ask(server, [entry(0), entry(1, Address="")]) == [
        Found("http://10.1.0.1:8000", "hooks-0", labels),
        Found("http://10.0.0.9:8000", "hooks-1", labels),  # the node's address, where the service has none
    ]
    (changed,) = ask(server, [entry(0, Meta={"region": "us"})], scheme="https", path="/hooks")
    assert changed == Found("https://10.1.0.1:8000/hooks", "hooks-0", labels | {"region": "us"})
    assert ask(server, []) == []


def test_it_is_asked_with_token_tags_and_datacentre(server: Served) -> None:
    query = "?tag=v1&tag=blue&dc=eu+1&passing=true"
    told = ask(server, [entry(0)], query=query, secret="acl", tags="v1 blue", datacentre="eu 1", passing=True)
    assert len(told) == 1
    ((path, headers),) = server.asked
    assert (path, headers["X-Consul-Token"]) == (PATH + query, "acl")


def test_five_thousand_and_an_attack(server: Served) -> None:
    told = [entry(number) for number in range(5000)]
    told += [entry(0, ID="twice"), entry(9001, ID="a\nb", Address="169.254.169.254"), entry(9002, ID="x\r\ny<b>")]
    fit = found.clean(ask(server, told))
    assert len(fit) == 5002
    assert [one.name for one in fit if one.reason] == ["a-b"]
    assert fit[-1].name == "x-y-b"


def test_no_answer_says_what_to_do(server: Served) -> None:
    garbage: list[object] = [b"<html>", {"a": 1}, ["x"], [None], [{"Node": {}}], [{"Node": [], "Service": {}}]]
    for told in garbage:
        with pytest.raises(SourceError, match=r"no JSON|not one of Consul"):
            ask(server, told)
    with pytest.raises(SourceError, match="registered without a port"):
        ask(server, [entry(0, Port=0)])
    server.answers[PATH] = (403, b"Permission denied: token s3cret")
    with pytest.raises(SourceError, match="Consul refused our token") as refused:
        ask(server, secret="s3cret")
    assert "s3cret" not in str(refused.value)
    server.answers[PATH] = (500, b"No cluster leader")
    with pytest.raises(SourceError, match="HTTP 500"):
        ask(server)
    with pytest.raises(SourceError, match="Connection refused"):
        ask(server, url="http://127.0.0.1:1")


def test_a_blocking_query_goes_on_from_what_was_heard_and_begins_anew_where_it_went_back(server: Served) -> None:
    def heard(index: int, *, says: str, query: str) -> int:
        server.answers[PATH + query] = (200, json.dumps([entry(0)]).encode(), {"X-Consul-Index": says} if says else {})
        told = ask(server, wait=True, index=index)
        assert len(told) == 1
        return told.at

    assert heard(0, says="42", query="") == 42
    assert heard(42, says="42", query="?index=42&wait=3s") == 42  # nothing happened within three seconds
    assert heard(42, says="57", query="?index=42&wait=3s") == 57
    assert heard(57, says="3", query="?index=57&wait=3s") == 0  # Consul was restored
    assert heard(57, says="", query="?index=57&wait=3s") == 0
    assert heard(57, says="-1", query="?index=57&wait=3s") == 0
    assert server.asked[-1][0] == PATH + "?index=57&wait=3s"
    assert ask(server, [entry(0)], index=57).at == 0  # where nobody asked for it


@pytest.mark.django_db
def test_a_source_that_waits_is_due_with_the_next_beat_and_a_failing_one_is_not(server: Served) -> None:
    cast = testing.cast()
    typed = {"url": server.url, "service": "web hooks", "tags": "", "datacentre": "", "passing": False, "wait": True}
    source = sources.add(
        cast.environment,
        kind="consul",
        settings={**typed, "scheme": "http", "path": "", "authority": ""},
        name="consul",
        policy="propose",
        seconds=300,
        retire_hours=None,
        secret="",
        token="",
        actor=cast.adam,
    )
    sources.start(source, actor=cast.adam)
    content = json.dumps([entry(0)]).encode()
    server.answers[PATH] = (200, content, {"X-Consul-Index": "42"})
    server.answers[PATH + "?index=42&wait=3s"] = (200, content, {"X-Consul-Index": "43"})
    assert turns.run(source.pk)
    assert turns.run(source.pk)  # due again at once
    source.refresh_from_db()
    assert (source.index, source.error, source.found.count()) == (43, "", 1)
    assert len(looking.look(source).entries) == 1  # whoever looks at a preview waits for nothing
    assert server.asked[-1][0] == PATH
    assert turns.run(source.pk)  # 404 for index 43
    source.refresh_from_db()
    assert source.index == 0
    assert "HTTP 404" in source.error
    assert source.next_at > timezone.now() + timedelta(seconds=200)
