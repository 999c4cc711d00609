"""A kubeconfig as people paste it: the server, whom to trust, and a token or a client certificate. Nothing is run."""

from __future__ import annotations

import base64
from dataclasses import dataclass, field
from typing import Any

from console.errors import Refused
from instances_app import certificates, registry
from instances_app.discovery import formats
from instances_app.discovery.found import SourceError

FLATTEN = "Paste what `kubectl config view --raw --flatten --minify` prints."
# What of a user cannot be taken over, and why.
REFUSED_USER = {
    "exec": "its user signs in with a program (exec), and the console runs none",
    "auth-provider": "its user signs in with a plug-in (auth-provider), and the console has none",
    "username": "its user signs in with a password, which API servers do not take any more",
    "password": "its user signs in with a password, which API servers do not take any more",
    "as": "its user acts as somebody else (as)",
    "tokenFile": f"its token is in a file. {FLATTEN}",
    "client-certificate": f"its certificate is in a file. {FLATTEN}",
    "client-key": f"its key is in a file. {FLATTEN}",
}
REFUSED_CLUSTER = {
    "certificate-authority": f"its CA is in a file. {FLATTEN}",
    "proxy-url": "its server is behind a proxy (proxy-url), and the console uses none",
    "tls-server-name": "its server's certificate is for another name (tls-server-name)",
}
ACCOUNT = "Make a service account that may list endpointslices, and use its token."


@dataclass(frozen=True, slots=True)
class Read:
    """`secret`: a token, or a client certificate and its key as one PEM."""

    url: str
    authority: str
    secret: str = field(repr=False)


def read(text: str) -> Read:
    """What its current context leads to. Refused says what stands in the way; never with a secret in it."""
    try:
        told = formats.load_yaml(text.encode())
    except SourceError as error:
        raise Refused(f"The kubeconfig cannot be read. {error}") from None
    context = _named(told, "contexts", "context", _text(told, "current-context"))
    cluster = _named(told, "clusters", "cluster", _text(context, "cluster"))
    user = _named(told, "users", "user", _text(context, "user"))
    for part, refused in ((cluster, REFUSED_CLUSTER), (user, REFUSED_USER)):
        for name, why in refused.items():
            if part.get(name):
                more = "" if FLATTEN in why else f". {ACCOUNT}"
                raise Refused(f"The kubeconfig cannot be used: {why}{more}")
    if _text(cluster, "insecure-skip-tls-verify").lower() == "true":
        raise Refused("The kubeconfig does not verify its server (insecure-skip-tls-verify). Give it the CA instead.")
    url = registry.clean_base_url(_text(cluster, "server"))
    if not url.startswith("https://"):
        raise Refused("The server of the kubeconfig is not https://. A token is not sent there in the clear.")
    authority = _decoded(cluster, "certificate-authority-data")
    return Read(url, certificates.authorities(authority) if authority else "", _secret(user))


def parts(secret: str) -> tuple[str, str]:
    """(certificate, key) of a secret that is a client certificate; else both empty."""
    if not secret.startswith("-----BEGIN CERTIFICATE"):
        return "", ""
    end = secret.rindex("-----BEGIN ")
    return secret[:end], secret[end:]


def _secret(user: dict[str, Any]) -> str:
    if token := _text(user, "token").strip():
        return token
    certificate, key = _decoded(user, "client-certificate-data"), _decoded(user, "client-key-data")
    if not certificate or not key:
        raise Refused(
            f"The user of the kubeconfig has neither a token nor a client certificate with its key. {ACCOUNT}"
        )
    return "".join(certificates.client_pair(certificate, key))


def _named(told: Any, many: str, one: str, name: str) -> dict[str, Any]:
    """The entry of that name in one of its three lists."""
    listed = told.get(many) if isinstance(told, dict) else None
    for entry in listed if isinstance(listed, list) else ():
        if isinstance(entry, dict) and entry.get("name") == name and name and isinstance(entry.get(one), dict):
            found: dict[str, Any] = entry[one]
            return found
    raise Refused(f"This is no kubeconfig, or its current context leads nowhere ({many}). {FLATTEN}")


def _text(part: Any, name: str) -> str:
    value = part.get(name) if isinstance(part, dict) else None
    return value if isinstance(value, str) else ""


def _decoded(part: dict[str, Any], name: str) -> str:
    try:
        return base64.b64decode(_text(part, name), validate=True).decode()
    except ValueError:
        raise Refused(f"{name} of the kubeconfig is no text in base64. {FLATTEN}") from None
