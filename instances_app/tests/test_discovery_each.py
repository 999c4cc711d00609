"""The same story for every source that asks somewhere, through a worker's turns: add, change, gone, garbage, attack.

Who does not answer, and five thousand of them, stand in files of their own.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from django.utils import timezone

from console import testing
from instances_app.discovery import sources, turns
from instances_app.models import DiscoverySource, Instance
from instances_app.tests import dns_server, test_discovery_consul, test_discovery_kubernetes
from instances_app.tests.servers import Served, certificate, serving

METADATA = "169.254.169.254"
WEB = {"scheme": "http", "path": ""}


@dataclass
class Teller:
    """What a source of this kind asks, and how it is made to tell of these addresses, or of garbage."""

    settings: dict[str, Any]
    tell: Callable[[Sequence[str]], None]
    garble: Callable[[], None]
    secret: str = ""


def listed(addresses: Sequence[str]) -> bytes:
    return json.dumps([{"url": f"http://{one}:8000", "name": f"h\n{one}"} for one in addresses]).encode()


def over_http(
    asked: dict[str, Any], path: str, told: Callable[[Sequence[str]], bytes], served: Served, *, secret: str = ""
) -> Teller:
    def put(content: bytes) -> None:
        served.answers[path] = (200, content, {"X-Consul-Index": "1"})

    return Teller(asked, lambda told_: put(told(told_)), lambda: put(b"<h1>It works!</h1>"), secret)


@pytest.fixture
def teller(request: pytest.FixtureRequest, tmp_path: Path, settings: Any) -> Iterator[Teller]:
    asked: dict[str, Any]
    with ExitStack() as stack:
        match request.param:
            case "file":
                settings.DISCOVERY_DIR = tmp_path
                file = tmp_path / "hooks.json"
                asked = {"path": file.name, "format": "json", "scheme": "http"}
                yield Teller(
                    asked, lambda told: void(file.write_bytes(listed(told))), lambda: void(file.write_text("<h1>"))
                )
            case "http":
                served = stack.enter_context(serving())
                asked = {"url": f"{served.url}/hooks", "format": "json", "scheme": "http", "authority": ""}
                yield over_http(asked, "/hooks", listed, served)
            case "consul":
                served = stack.enter_context(serving())
                asked = {"service": "web hooks", "tags": "", "datacentre": "", "passing": False, "authority": ""} | WEB

                def entries(told: Sequence[str]) -> bytes:
                    known = test_discovery_consul.entry
                    return json.dumps([known(n, Address=one, ID=f"h\n{one}") for n, one in enumerate(told)]).encode()

                yield over_http(asked | {"url": served.url}, test_discovery_consul.PATH, entries, served)
            case "kubernetes":
                tls, authority = certificate(tmp_path)
                served = stack.enter_context(serving(tls))
                asked = {"namespace": "webhooks", "selector": test_discovery_kubernetes.SELECTOR, "port": ""}
                asked |= {"ready": False, "url": served.url, "authority": authority} | WEB

                def pods(told: Sequence[str]) -> bytes:
                    known = test_discovery_kubernetes.endpoint
                    return test_discovery_kubernetes.slices(*(known(one, f"h\n{one}") for one in told))

                yield over_http(asked, test_discovery_kubernetes.path(), pods, served, secret="sa-t0ken")
            case "dns":
                zone = stack.enter_context(dns_server.serving())
                asked = {"record": "address", "port": 8000, "name": "hooks.example", "resolver": zone.server} | WEB

                def records(told: Sequence[str]) -> None:
                    zone.mode, zone.records = "", {("hooks.example", "A"): list(told)}

                yield Teller(asked, records, lambda: setattr(zone, "mode", "broken"))


def void(_: object) -> None:
    """For what returns something that nobody asks for."""


@pytest.mark.django_db
@pytest.mark.parametrize("teller", ["file", "http", "consul", "kubernetes", "dns"], indirect=True)
def test_what_comes_changes_and_goes_is_followed_and_neither_garbage_nor_an_attack_is(
    teller: Teller, request: pytest.FixtureRequest
) -> None:
    cast = testing.cast()
    elsewhere = testing.cast("other").environment
    testing.instance(elsewhere, "theirs", "http://10.1.0.9:8000")
    values: dict[str, Any] = {"name": "all", "policy": "add", "seconds": 60, "retire_hours": None}
    kind = request.node.callspec.params["teller"]
    made = sources.add(
        cast.environment,
        kind=kind,
        settings=teller.settings,
        secret=teller.secret,
        token="agents",
        actor=cast.adam,
        **values,
    )
    sources.start(made, actor=cast.adam)

    def asked(addresses: Sequence[str] | None = None) -> DiscoverySource:
        if addresses is not None:
            teller.tell(addresses)
        DiscoverySource.objects.update(next_at=timezone.now())
        assert turns.run(made.pk)
        made.refresh_from_db()
        return made

    def active() -> set[str]:
        return set(cast.environment.instances.active().values_list("base_url", flat=True))

    def states() -> dict[str, str]:
        return dict(made.found.values_list("base_url", "state"))

    first, second, third, fourth = (f"http://10.1.0.{number}:8000" for number in (1, 2, 3, 4))
    assert asked(["10.1.0.1", "10.1.0.2", "10.1.0.3"]).error == ""
    assert active() == {first, second, third}
    assert (asked(["10.1.0.1", "10.1.0.2", "10.1.0.4"]).counts["gone"], states()[third]) == (1, "gone")
    assert active() == {first, second, third, fourth}, "nothing goes without a person, or the time that was set"
    known = states()

    teller.garble()
    assert asked().error, "garbage is no answer"
    assert (states(), active()) == (known, {first, second, third, fourth})

    asked(["10.1.0.1", "10.1.0.2", "10.1.0.4", METADATA, "10.1.0.9"])
    assert active() == {first, second, third, fourth}
    assert not any("\n" in name for name in Instance.objects.values_list("name", flat=True))
