"""A pasted kubeconfig: what it leads to, what it is refused for, and that it signs in at a real server."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest

from console import testing
from console.errors import Refused
from console.models import AuditEvent
from instances_app.discovery import kubeconfig, kubernetes, sources
from instances_app.discovery_forms import SourceForm
from instances_app.tests.authorities import Authority
from instances_app.tests.servers import serving

LIST = "/apis/discovery.k8s.io/v1/namespaces/webhooks/endpointslices?"
TYPED = {
    "name": "cluster",
    "seconds": "300",
    "policy": "propose",
    "retire_hours": "",
    "at-namespace": "webhooks",
    "at-selector": "app=hooks",
    "at-scheme": "http",
}
SLICE = {
    "metadata": {"name": "hooks-x1"},
    "endpoints": [{"addresses": ["10.0.0.1"], "targetRef": {"name": "pod-1"}}],
    "ports": [{"name": "http", "port": 8000}],
}


def b64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def config(server: str, *, cluster: object = None, user: object = None) -> str:
    told: dict[str, Any] = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "one",
        "contexts": [
            {"name": "other", "context": {"cluster": "x", "user": "x"}},
            {"name": "one", "context": {"cluster": "c", "user": "u"}},
        ],
        "clusters": [{"name": "c", "cluster": {"server": server, **(cluster or {})}}],  # type: ignore[dict-item]
        "users": [{"name": "u", "user": {"token": "sa-t0ken"} if user is None else user}],
    }
    return json.dumps(told, indent=1)


@pytest.mark.django_db
def test_a_pasted_kubeconfig_becomes_address_ca_and_sealed_secret_and_signs_in(tmp_path: Path) -> None:
    cast = testing.cast()
    ca, clients = Authority("cluster"), Authority("clients")
    pair = clients.issue("console")
    users = {"token": {"token": "sa-t0ken"}, "certificate": {"client-certificate-data": b64(pair.certificate)}}
    users["certificate"]["client-key-data"] = b64(pair.key)
    answer = json.dumps({"kind": "EndpointSliceList", "metadata": {}, "items": [SLICE]}).encode()
    path = LIST + urlencode({"labelSelector": "app=hooks", "limit": 100})
    for name, user in users.items():
        tls = ca.server(tmp_path, clients=clients.pem if name == "certificate" else "")
        with serving(tls) as server:
            server.answers[path] = (200, answer)
            pasted = config(server.url, cluster={"certificate-authority-data": b64(ca.pem)}, user=user)
            form = SourceForm({**TYPED, "name": name, "at-kubeconfig": pasted}, kind=kubernetes)
            assert form.is_valid(), form.of_kind.errors
            source = sources.add(cast.environment, kind="kubernetes", actor=cast.adam, **form.values())
            source.refresh_from_db()
            assert (source.settings["url"], source.settings["authority"]) == (server.url, ca.pem)
            assert "kubeconfig" not in source.settings
            (found,) = kubernetes.find(source.settings, secret=source.secret)
            assert found.base_url == "http://10.0.0.1:8000"
            sent = server.asked[-1][1].get("Authorization")
            assert sent == ("Bearer sa-t0ken" if name == "token" else None)
    trail = str(list(AuditEvent.objects.values_list("data", flat=True)))
    assert "PRIVATE" not in trail
    assert "sa-t0ken" not in trail


@pytest.mark.parametrize(
    ("cluster", "user", "says"),
    [
        ({}, {"exec": {"command": "aws"}}, r"signs in with a program \(exec\), and the console runs none"),
        ({}, {"auth-provider": {"name": "gcp"}}, "auth-provider"),
        ({}, {"username": "admin", "password": "s3cret"}, "with a password"),
        ({}, {"token": "s3cret", "as": "root"}, "acts as somebody else"),
        ({}, {"tokenFile": "/etc/passwd"}, "its token is in a file"),
        ({}, {"client-certificate": "/a", "client-key": "/b"}, "its certificate is in a file"),
        ({}, {"client-certificate-data": "AAAA"}, "neither a token nor a client certificate"),
        ({}, {"client-certificate-data": "%%", "client-key-data": "AAAA"}, "no text in base64"),
        ({}, {}, "neither a token nor a client certificate"),
        ({"insecure-skip-tls-verify": True}, None, "does not verify its server"),
        ({"certificate-authority": "/etc/ca"}, None, "its CA is in a file"),
        ({"certificate-authority-data": b64("nonsense")}, None, "no CA certificate in PEM"),
        ({"proxy-url": "http://p"}, None, "behind a proxy"),
        ({"server": "http://10.0.0.1"}, None, "is not https"),
        ({"server": "https://169.254.169.254"}, None, "metadata"),
        ({"server": ""}, None, "must start with http"),
    ],
)
def test_what_cannot_be_taken_over_is_refused_with_its_reason(cluster: object, user: object, says: str) -> None:
    with pytest.raises(Refused, match=says) as refused:
        kubeconfig.read(config("https://10.0.0.1:6443", cluster=cluster, user=user))
    assert "s3cret" not in str(refused.value)


@pytest.mark.parametrize(
    "text", ["", "[", "just words", "a: &a [x]\nb: [*a]", "clusters: []", "current-context: one\ncontexts: {}"]
)
def test_what_is_no_kubeconfig_says_so(text: str) -> None:
    with pytest.raises(Refused, match="kubeconfig"):
        kubeconfig.read(text)


def test_a_refused_form_keeps_what_was_typed_but_the_kubeconfig() -> None:
    pasted = config("https://10.0.0.1", user={"exec": {"command": "aws"}, "token": "s3cret"})
    form = SourceForm({**TYPED, "at-kubeconfig": pasted}, kind=kubernetes)
    assert not form.is_valid()
    assert "runs none" in str(form.of_kind.errors["kubeconfig"])
    page = form.of_kind.as_p() + form.as_p()
    assert "s3cret" not in page
    assert "app=hooks" in page
