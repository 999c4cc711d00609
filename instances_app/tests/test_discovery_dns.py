"""DNS as a source, asked from a real server over UDP and TCP."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from instances_app.discovery import dns, found
from instances_app.discovery.found import SourceError
from instances_app.tests.dns_server import Zone, serving

NAME = "hooks.example"
SRV = "_hooks._tcp.example"


@pytest.fixture
def zone() -> Iterator[Zone]:
    with serving() as served:
        yield served


def ask(zone: Zone, name: str = NAME, **settings: object) -> list[str]:
    values = {"record": "address", "port": 8000, "scheme": "http", "path": "", "name": name, "resolver": zone.server}
    return [one.base_url for one in dns.find(values | settings, secret="")]


def test_addresses_of_both_kinds_at_one_port(zone: Zone) -> None:
    zone.records = {(NAME, "A"): ["10.0.0.1", "10.0.0.2"], (NAME, "AAAA"): ["fd00::1"]}
    assert sorted(ask(zone)) == ["http://10.0.0.1:8000", "http://10.0.0.2:8000", "http://[fd00::1]:8000"]
    zone.records = {(NAME, "A"): ["10.0.0.2"]}  # one is gone, and IPv6 with it
    assert ask(zone, scheme="https", path="/hooks") == ["https://10.0.0.2:8000/hooks"]
    zone.records = {(NAME, "TXT"): ['"here, and without an address"']}
    assert ask(zone) == []


def test_srv_records_name_hosts_and_ports(zone: Zone) -> None:
    zone.records = {(SRV, "SRV"): ["0 5 8001 a.example.", "0 5 8002 b.example.", "0 0 0 ."]}
    assert sorted(ask(zone, SRV, record="srv", port=None)) == ["http://a.example:8001", "http://b.example:8002"]


def test_five_thousand_come_over_tcp(zone: Zone) -> None:
    zone.records = {
        (NAME, "A"): [f"10.0.{number // 250}.{number % 250 + 1}" for number in range(3500)],
        (NAME, "AAAA"): [f"fd00::{number + 1:x}" for number in range(1500)],
    }
    fit = found.clean(dns.find(settings_of(zone), secret=""))
    assert len(fit) == 5000
    assert not any(one.reason for one in fit)


def settings_of(zone: Zone, **settings: object) -> dict[str, object]:
    values = {"record": "address", "port": 8000, "scheme": "http", "path": "", "name": NAME, "resolver": zone.server}
    return values | settings


def test_an_attack_in_dns_becomes_no_instance(zone: Zone) -> None:
    zone.records = {
        (NAME, "A"): ["169.254.169.254", "10.0.0.1"],
        (SRV, "SRV"): [r"0 5 80 evil\010name.example.", "0 5 80 metadata.google.internal.", "0 5 80 ok.example."],
    }
    assert [bool(one.reason) for one in found.clean(dns.find(settings_of(zone), secret=""))].count(True) == 1
    told = found.clean(dns.find(settings_of(zone, name=SRV, record="srv"), secret=""))
    assert [one.base_url for one in told if not one.reason] == ["http://ok.example:80"]
    assert not any("\n" in one.name + one.base_url for one in told)


def test_no_answer_is_an_error_with_what_to_do(zone: Zone, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dns, "SECONDS", 0.6)
    with pytest.raises(SourceError, match=r"hooks\.example is not there"):
        ask(zone)
    with pytest.raises(SourceError, match="Is it a name"):
        ask(zone, "a..b")
    zone.records = {(NAME, "A"): ["10.0.0.1"]}
    for mode, says in [("silent", "did not answer"), ("broken", "failed, or answered"), ("garbage", "DNS server")]:
        zone.mode = mode
        with pytest.raises(SourceError, match=says):
            ask(zone)


def test_a_form_knows_ports_and_resolvers() -> None:
    typed = {"at-name": NAME, "at-record": "address", "at-scheme": "http", "at-path": "", "at-resolver": ""}
    assert "without ports" in str(dns.Settings(typed, prefix="at").errors)
    assert "Type an address" in str(dns.Settings(typed | {"at-resolver": "a name"}, prefix="at").errors)
    assert "at-path" not in str(dns.Settings(typed | {"at-port": "80", "at-path": "/x"}, prefix="at").errors)
    assert not dns.Settings(typed | {"at-port": "80", "at-path": "/x?y"}, prefix="at").is_valid()
    for text, read in [
        ("10.0.0.2", ("10.0.0.2", 53)),
        ("10.0.0.2:5353", ("10.0.0.2", 5353)),
        ("fd00::2", ("fd00::2", 53)),
        ("[fd00::2]:5353", ("fd00::2", 5353)),
    ]:
        assert dns.server(text) == read
