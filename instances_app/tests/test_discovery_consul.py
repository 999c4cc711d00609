"""Consul as a source: its health API as documented, from a real server."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from instances_app.discovery import consul, found
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


def ask(server: Served, told: object = None, *, secret: str = "", query: str = "", **settings: object) -> list[Found]:
    if told is not None:
        content = told if isinstance(told, bytes) else json.dumps(told).encode()
        server.answers[PATH + query] = (200, content, {"X-Consul-Index": "42"})
    values = {"service": "web hooks", "tags": "", "datacentre": "", "passing": False, "scheme": "http", "path": ""}
    return list(consul.find(values | {"url": server.url, "authority": ""} | settings, secret=secret))


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
