"""The healthy or all instances of a service in Consul's catalogue (HTTP API, /v1/health/service)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from urllib.parse import quote, urlencode

from django import forms

from console.http import whole
from instances_app.discovery import asking, formats
from instances_app.discovery.found import Found, SourceError, Told

TITLE = "Consul"
ABOUT = "The instances of a service in a Consul catalogue, by tags and datacentre."
SECRET = "ACL token"  # noqa: S105 - a label
WAIT_SECONDS = 3  # that a question stays open there; Consul adds up to a sixteenth
STRANGE = "The answer is not one of Consul's health API. Is the address that of a Consul agent, without a path?"


class Settings(forms.Form):
    url = asking.UrlField(help_text="Of a Consul agent. Example: https://consul.example:8501")
    service = forms.CharField(max_length=200, help_text="As it is registered there. Example: webhooks")
    tags = forms.CharField(
        required=False, max_length=300, help_text="Separated by spaces; an instance needs all of them."
    )
    datacentre = forms.CharField(required=False, max_length=100, help_text="Empty: the agent's own.")
    passing = forms.BooleanField(
        required=False,
        label="Only those whose checks pass",
        help_text="Then a failed check looks like an instance that is gone. Usually off: the console asks for health.",
    )
    wait = forms.BooleanField(
        required=False,
        label="Hear of changes within seconds",
        help_text=f"It is asked every ten seconds or so, and each question stays open for {WAIT_SECONDS} until "
        "something changes (a blocking query). For a few sources; each takes a worker's thread meanwhile.",
    )
    scheme = forms.ChoiceField(choices=asking.SCHEMES, help_text="How the agents of instances are reached.")
    path = asking.PathField()
    authority = asking.AuthorityField()


def find(settings: dict[str, Any], *, secret: str) -> Told:
    """A blocking query where `index` says what was heard before."""
    index = settings.get("index", 0) if settings.get("wait") else 0
    query = [("tag", tag) for tag in settings["tags"].split()]
    query += [("dc", settings["datacentre"])] if settings["datacentre"] else []
    query += [("passing", "true")] if settings["passing"] else []
    query += [("index", str(index)), ("wait", f"{WAIT_SECONDS}s")] if index > 0 else []
    url = f"{settings['url']}/v1/health/service/{quote(settings['service'], safe='')}?{urlencode(query)}"
    headers = {"X-Consul-Token": secret} if secret else {}
    answer = asking.get(url.rstrip("?"), headers, what="Consul", authority=settings["authority"])
    told = Told(_instances(formats.load(answer.content), settings))
    if settings.get("wait"):
        now = whole(answer.headers.get("X-Consul-Index", "")) or 0
        told.at = now if now >= index else 0  # it went back (a restore, a restart): begin anew
    return told


def _instances(told: Any, settings: dict[str, Any]) -> Iterator[Found]:
    if not isinstance(told, list):
        raise SourceError(STRANGE)
    for item in told:
        try:
            node, service = item["Node"], item["Service"]
            host, port = service["Address"] or node["Address"], service["Port"]
            labels = {**(service.get("Meta") or {}), "datacenter": node.get("Datacenter", "")}
            name = service["ID"]
        except (LookupError, TypeError, ValueError, AttributeError):
            raise SourceError(STRANGE) from None
        if not port:
            raise SourceError(f"{settings['service']} is registered without a port. Register it with one.")
        yield Found(asking.address(settings, host, port), str(name), labels)
