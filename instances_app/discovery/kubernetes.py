"""The endpoints of services in Kubernetes (EndpointSlices, discovery.k8s.io/v1), by label selector."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from django import forms
from django.conf import settings as site

from console.errors import Refused
from instances_app.client.listing import SECONDS
from instances_app.discovery import asking, formats, kubeconfig
from instances_app.discovery.found import Found, SourceError
from instances_app.forms import SecretArea

TITLE = "Kubernetes"
ABOUT = "The endpoints behind services, by label selector: a pod for each instance."
SECRET = "Service account token"  # noqa: S105 - a label
SLICES = 100  # in one answer; a slice has a hundred endpoints
STRANGE = "The answer is no list of EndpointSlices. Is the address that of a Kubernetes API server, without a path?"


class Settings(forms.Form):
    url = asking.UrlField(
        required=False,
        help_text="Of the API server. Empty: that of the cluster the console runs in, with the console's own service "
        "account. It needs to list endpointslices of discovery.k8s.io in the namespace.",
    )
    namespace = forms.RegexField(r"\A[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\Z", help_text="Example: webhooks")
    selector = forms.CharField(
        max_length=500, label="Label selector", help_text="Example: kubernetes.io/service-name=hooks"
    )
    port = forms.CharField(
        required=False, max_length=63, help_text="Name or number, where there are several. Empty: the only one."
    )
    ready = forms.BooleanField(
        required=False,
        label="Only ready ones",
        help_text="Then a failed readiness probe looks like an instance that is gone. Usually off.",
    )
    scheme = forms.ChoiceField(choices=asking.SCHEMES, help_text="How the agents of instances are reached.")
    path = asking.PathField()
    authority = asking.AuthorityField()
    kubeconfig = forms.CharField(
        required=False,
        max_length=100_000,
        help_text="In place of address, CA and token: all of them are taken from its current context. Its token or key "
        "is sealed at once, and the rest of it is not kept.",
        widget=SecretArea(attrs={"rows": 4, "spellcheck": "false", "autocomplete": "off"}),
    )

    def clean(self) -> dict[str, Any]:
        """`secret` is what the kubeconfig signs in with, if there is one; it is no part of the settings."""
        data: dict[str, Any] = super().clean() or {}
        self.secret = ""
        if pasted := data.pop("kubeconfig", "").strip():
            try:
                read = kubeconfig.read(pasted)
            except Refused as refusal:
                self.add_error("kubeconfig", str(refusal))
            else:
                data["url"], data["authority"], self.secret = read.url, read.authority, read.secret
        return data


@dataclass(frozen=True, slots=True)
class Cluster:
    url: str
    token: str
    authority: str


def find(settings: dict[str, Any], *, secret: str) -> Iterable[Found]:
    """Page by page, all of them within SECONDS."""
    cluster = Cluster(settings["url"], secret, settings["authority"]) if settings["url"] else _own_cluster()
    end, page = time.monotonic() + SECONDS, ""
    headers = {"Accept": "application/json"}
    client = kubeconfig.parts(cluster.token)
    if not client[0]:
        headers["Authorization"] = f"Bearer {cluster.token}"
    while True:
        query = {"labelSelector": settings["selector"], "limit": SLICES, **({"continue": page} if page else {})}
        url = f"{cluster.url}/apis/discovery.k8s.io/v1/namespaces/{settings['namespace']}/endpointslices"
        answer = asking.get(
            f"{url}?{urlencode(query)}",
            headers,
            what="Kubernetes",
            authority=cluster.authority,
            client=client,
            seconds=max(end - time.monotonic(), 0.1),
        )
        told = formats.load(answer.content)
        if not isinstance(told, dict) or told.get("kind") != "EndpointSliceList":
            raise SourceError(STRANGE)
        try:
            for item in told.get("items") or []:
                yield from _endpoints(item, settings)
            page = (told.get("metadata") or {}).get("continue") or ""
        except (LookupError, TypeError, ValueError, AttributeError):
            raise SourceError(STRANGE) from None
        if not page:
            return


def _endpoints(item: dict[str, Any], settings: dict[str, Any]) -> Iterator[Found]:
    endpoints = item.get("endpoints") or []
    if not endpoints:
        return
    port = _port(item.get("ports") or [], settings["port"], item["metadata"]["name"])
    for endpoint in endpoints:
        state = endpoint.get("conditions") or {}
        # Unknown is ready, and the others are false unless they say so, as the API defines it.
        if state.get("terminating") or (settings["ready"] and state.get("ready") is False):
            continue
        labels = {name: endpoint[key] for name, key in (("zone", "zone"), ("node", "nodeName")) if endpoint.get(key)}
        pod = (endpoint.get("targetRef") or {}).get("name") or ""
        yield Found(asking.address(settings, endpoint["addresses"][0], port), str(pod), labels)


def _port(ports: list[dict[str, Any]], wanted: str, name: str) -> int:
    fit = [port for port in ports if not wanted or wanted in {port.get("name"), str(port.get("port"))}]
    if len(fit) != 1 or not fit[0].get("port"):
        there = ", ".join(f"{port.get('name') or 'unnamed'} ({port.get('port')})" for port in ports) or "none"
        raise SourceError(f"The slice {name} has the ports {there}. Type the one where the agents answer.")
    return int(fit[0]["port"])


def _own_cluster() -> Cluster:
    folder = Path(site.SERVICE_ACCOUNT_DIR)
    if not site.KUBERNETES_API:
        raise SourceError("The console does not run in a cluster. Type the address of the API server.")
    try:
        return Cluster(site.KUBERNETES_API, (folder / "token").read_text().strip(), (folder / "ca.crt").read_text())
    except OSError:
        raise SourceError(
            "The console's pod has no service account token. Mount one, or type address and token."
        ) from None
