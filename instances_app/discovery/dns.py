"""Names in DNS: A and AAAA records at one port, or SRV records with their own."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Iterator
from typing import Any

import dns.exception
import dns.name
import dns.resolver
from django import forms

from instances_app.discovery import asking
from instances_app.discovery.found import Found, SourceError

TITLE = "DNS"
ABOUT = "A name with an address for each instance (A, AAAA), or its SRV records, which name hosts and ports."
SECRET = ""
SECONDS = 8.0  # for one kind of record, all servers and retries included
RECORDS = (("address", "A and AAAA: addresses"), ("srv", "SRV: hosts and ports"))


class Settings(forms.Form):
    name = forms.CharField(
        max_length=255, help_text="Example: hooks.service.example, or _hooks._tcp.example", label="Name in DNS"
    )
    record = forms.ChoiceField(choices=RECORDS, label="Records")
    port = forms.IntegerField(
        required=False, min_value=1, max_value=65535, help_text="Where the agents answer; SRV records have their own."
    )
    scheme = forms.ChoiceField(choices=asking.SCHEMES)
    path = asking.PathField()
    resolver = forms.CharField(
        required=False,
        max_length=60,
        help_text="Address of the DNS server, perhaps with a port: 10.0.0.2, or [fd00::2]:5353. Empty: the machine's.",
    )

    def clean_resolver(self) -> str:
        text: str = self.cleaned_data["resolver"]
        if text:
            server(text)
        return text

    def clean(self) -> dict[str, Any]:
        data: dict[str, Any] = super().clean() or {}
        if data.get("record") == "address" and not data.get("port") and "port" not in self.errors:
            self.add_error("port", "Addresses come without ports: type the one where the agents answer.")
        return data


def find(settings: dict[str, Any], *, secret: str) -> Iterable[Found]:
    try:
        resolver = dns.resolver.Resolver(configure=not settings["resolver"])
    except dns.resolver.NoResolverConfiguration:
        raise SourceError("The machine has no DNS server configured. Type the address of one.") from None
    if settings["resolver"]:
        host, resolver.port = server(settings["resolver"])
        resolver.nameservers = [host]
    for host, port in _hosts(resolver, settings):
        yield Found(f"{settings['scheme']}://{host}:{port}{settings['path']}")


def server(text: str) -> tuple[str, int]:
    """Address and port of ``10.0.0.2``, ``10.0.0.2:5353``, ``fd00::2`` or ``[fd00::2]:5353``."""
    host, colon, port = text.rpartition(":")
    if not colon or (":" in host and not host.startswith("[")):
        host, port = text, "53"
    try:
        return str(ipaddress.ip_address(host.strip("[]"))), min(int(port), 65535)
    except ValueError:
        raise forms.ValidationError("Type an address: 10.0.0.2, 10.0.0.2:5353 or [fd00::2]:5353.") from None


def _hosts(resolver: dns.resolver.Resolver, settings: dict[str, Any]) -> Iterator[tuple[str, int]]:
    if settings["record"] == "srv":
        for record in _ask(resolver, settings["name"], "SRV"):
            if record.target != dns.name.root and record.port:  # a dot says: not offered here (RFC 2782)
                yield record.target.to_text(omit_final_dot=True), record.port
        return
    for record in _ask(resolver, settings["name"], "A"):
        yield record.address, settings["port"]
    for record in _ask(resolver, settings["name"], "AAAA"):
        yield f"[{record.address}]", settings["port"]


def _ask(resolver: dns.resolver.Resolver, name: str, kind: str) -> Iterable[Any]:
    """No records of a kind at a name that is there is an answer; everything else that brings none is not."""
    servers = ", ".join(map(str, resolver.nameservers))
    try:
        return resolver.resolve(name, kind, lifetime=SECONDS, search=False, raise_on_no_answer=False).rrset or ()
    except dns.resolver.NXDOMAIN:
        raise SourceError(f"{name} is not there, says the DNS server ({servers}). Is it spelled right?") from None
    except dns.exception.Timeout:
        raise SourceError(f"The DNS server ({servers}) did not answer. Is its address right, and is it up?") from None
    except dns.resolver.NoNameservers:
        text = f"The DNS server ({servers}) failed, or answered unreadably. Ask it with dig: {name} {kind}"
        raise SourceError(text) from None
    except (dns.exception.DNSException, UnicodeError):
        raise SourceError(f"{name} cannot be asked for {kind} records. Is it a name?") from None
