"""Kubernetes as a source: EndpointSlices as the API serves them, over real TLS."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest

from console.environ import in_cluster_api
from instances_app.discovery import found, kubernetes
from instances_app.discovery.found import Found, SourceError
from instances_app.tests.servers import Served, certificate, serving

SELECTOR = "kubernetes.io/service-name=hooks"
LIST = "/apis/discovery.k8s.io/v1/namespaces/webhooks/endpointslices"


@pytest.fixture(scope="module")
def tls(tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, str]:
    return certificate(tmp_path_factory.mktemp("tls"))


@pytest.fixture
def server(tls: tuple[Any, str]) -> Iterator[Served]:
    with serving(tls[0]) as served:
        yield served


def path(page: str = "") -> str:
    return f"{LIST}?{urlencode({'labelSelector': SELECTOR, 'limit': 100, **({'continue': page} if page else {})})}"


def endpoint(address: str, pod: str = "", **conditions: object) -> dict[str, Any]:
    return {
        "addresses": [address],
        "conditions": {"ready": True, **conditions},
        "nodeName": "node-1",
        "zone": "eu-1a",
        "targetRef": {"kind": "Pod", "name": pod or f"hooks-{address}"},
    }


def slices(*endpoints: dict[str, Any], ports: object = None, page: str = "") -> bytes:
    ports = [{"name": "http", "port": 8000, "protocol": "TCP"}] if ports is None else ports
    item = {"metadata": {"name": "hooks-x1"}, "addressType": "IPv4", "endpoints": list(endpoints), "ports": ports}
    told = {"kind": "EndpointSliceList", "apiVersion": "discovery.k8s.io/v1", "metadata": {"continue": page}}
    return json.dumps(told | {"items": [item]}).encode()


def ask(server: Served, authority: str, told: bytes | None = None, **settings: object) -> list[Found]:
    if told is not None:
        server.answers[path()] = (200, told)
    values = {"namespace": "webhooks", "selector": SELECTOR, "port": "", "ready": False, "scheme": "http", "path": ""}
    return list(kubernetes.find(values | {"url": server.url, "authority": authority} | settings, secret="sa-t0ken"))


def test_pods_become_instances_with_zone_and_node(server: Served, tls: tuple[Any, str]) -> None:
    labels = {"zone": "eu-1a", "node": "node-1"}
    told = slices(
        endpoint("10.0.0.1", "hooks-a"),
        endpoint("10.0.0.2", "hooks-b", ready=False),
        endpoint("10.0.0.3", "hooks-c", terminating=True),
        endpoint("fd00::4", "hooks-d", ready=None),
    )
    assert ask(server, tls[1], told) == [
        Found("http://10.0.0.1:8000", "hooks-a", labels),
        Found("http://10.0.0.2:8000", "hooks-b", labels),
        Found("http://[fd00::4]:8000", "hooks-d", labels),
    ]
    assert len(ask(server, tls[1], ready=True)) == 2
    assert server.asked[0][1]["Authorization"] == "Bearer sa-t0ken"
    gone: dict[str, Any] = {"kind": "EndpointSliceList", "metadata": {}, "items": None}
    assert ask(server, tls[1], json.dumps(gone).encode()) == []


def test_a_certificate_that_is_not_trusted_gets_no_token(server: Served) -> None:
    with pytest.raises(SourceError, match="TLS to Kubernetes failed"):
        ask(server, "", slices())
    assert server.asked == []


def test_where_there_are_several_ports_one_is_chosen(server: Served, tls: tuple[Any, str]) -> None:
    ports = [{"name": "http", "port": 8000}, {"name": "metrics", "port": 9090}]
    told = slices(endpoint("10.0.0.1"), ports=ports)
    with pytest.raises(SourceError, match=r"has the ports http \(8000\), metrics \(9090\)"):
        ask(server, tls[1], told)
    for port in ("http", "8000"):
        assert [one.base_url for one in ask(server, tls[1], port=port)] == ["http://10.0.0.1:8000"]
    with pytest.raises(SourceError, match="has the ports none"):
        ask(server, tls[1], slices(endpoint("10.0.0.1"), ports=[]))


def test_five_thousand_come_in_pages_and_half_a_list_is_no_answer(server: Served, tls: tuple[Any, str]) -> None:
    pods = [endpoint(f"10.1.{number // 250}.{number % 250 + 1}") for number in range(5000)]
    server.answers[path("p 2")] = (200, slices(*pods[2500:]))
    attack = endpoint("169.254.169.254", "a\nb")
    fit = found.clean(ask(server, tls[1], slices(*pods[:2500], attack, page="p 2")))
    assert (len(fit), [one.name for one in fit if one.reason]) == (5001, ["a-b"])
    server.answers[path("p 2")] = (410, b"expired")
    with pytest.raises(SourceError, match="HTTP 410"):
        ask(server, tls[1])


def test_garbage_and_refusals_say_what_to_do(server: Served, tls: tuple[Any, str]) -> None:
    for told in (b"<html>", b"[]", b'{"kind": "Status"}', b'{"kind": "EndpointSliceList", "items": [1]}'):
        with pytest.raises(SourceError, match=r"no JSON|no list of EndpointSlices"):
            ask(server, tls[1], told)
    bad = json.loads(slices(endpoint("10.0.0.1")))
    bad["items"][0]["endpoints"][0]["addresses"] = []
    with pytest.raises(SourceError, match="no list of EndpointSlices"):
        ask(server, tls[1], json.dumps(bad).encode())
    server.answers[path()] = (403, b'{"kind": "Status", "message": "forbidden"}')
    with pytest.raises(SourceError, match="Kubernetes refused our token"):
        ask(server, tls[1])
    with pytest.raises(SourceError, match="Connection refused"):
        ask(server, tls[1], url="https://127.0.0.1:1")


def test_in_a_cluster_its_own_account_is_used(
    server: Served, tls: tuple[Any, str], settings: Any, tmp_path: Path
) -> None:
    with pytest.raises(SourceError, match="does not run in a cluster"):
        ask(server, "", slices(endpoint("10.0.0.1")), url="")
    settings.KUBERNETES_API, settings.SERVICE_ACCOUNT_DIR = server.url, str(tmp_path)
    with pytest.raises(SourceError, match="no service account token"):
        ask(server, "", url="")
    (tmp_path / "token").write_text("own\n")
    (tmp_path / "ca.crt").write_text(tls[1])
    assert len(ask(server, "", url="")) == 1
    assert server.asked[-1][1]["Authorization"] == "Bearer own"
    assert (in_cluster_api("10.0.0.1", "6443"), in_cluster_api("", "")) == ("https://10.0.0.1:6443", "")
    assert in_cluster_api("fd00::1", "") == "https://[fd00::1]:443"
