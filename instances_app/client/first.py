"""What answers at an address, for somebody who waits for the first answer: an agent, the service alone, or why not.

The question is the one of every check, asked the same way. Only where no agent answers is more asked, without the
agent's token: whether the service is there, what is wrong with the certificate, whether http and https are mixed up.
"""

from __future__ import annotations

import socket
import ssl
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from urllib.parse import urlsplit

from cryptography import x509

from instances_app.addresses import is_forbidden
from instances_app.client import tls
from instances_app.client.fleet import Fleet, Look, Looked
from instances_app.client.replies import Outcome, Reply, Target

SECONDS = 25.0  # for each of the two questions; an answer may drip for longer than one step's timeout
MOST_NAMES = 5
TLS_CODES = {"tls"}
ODD_CODES = {"disconnected", "malformed_answer", "wrong_answer", "rejected"}  # what http gets from a TLS port


@dataclass(frozen=True, slots=True)
class Certificate:
    """Why TLS failed, and what the certificate there says of itself: untrusted words of the other side."""

    wrong: str  # untrusted, expired, too early, other name, no tls, other
    names: tuple[str, ...] = ()
    until: datetime | None = None


@dataclass(frozen=True, slots=True)
class First:
    """`service`: the answer of the service itself, where no agent answered. `certificate`: there when TLS failed."""

    looked: Looked
    service: Looked | None = None
    certificate: Certificate | None = None
    speaks_tls: bool = False  # asked with http, and the other side wants https

    @property
    def is_agent(self) -> bool:
        """Proven: both reports of an agent, with our token."""
        return self.names_documents and self.looked.info.outcome == Outcome.OK

    @property
    def names_documents(self) -> bool:
        """Whether the first report is an agent's; a document it does not run is named with null."""
        versions = self.looked.versions
        return versions.outcome == Outcome.OK and bool({"webhooks_version", "webhooks_digest"} & versions.body.keys())


def ask_first(key: int, target: Target, *, connect_timeout: float, read_timeout: float) -> First:
    """Blocks, for SECONDS twice and a few handshakes at most. Raises nothing for whatever happens out there."""
    with Fleet(connect_timeout=connect_timeout, read_timeout=read_timeout) as fleet:
        found = First(_one(fleet, Look(key, target)))
        reply = found.looked.versions
        if found.is_agent:
            return found
        if reply.code in TLS_CODES:
            return First(found.looked, certificate=_certificate(target, timeout=connect_timeout))
        if target.base_url.startswith("http:") and reply.code in ODD_CODES and _speaks_tls(target, connect_timeout):
            return First(found.looked, speaks_tls=True)
        if reply.status is None or reply.code == "redirect":
            return found
        return First(found.looked, service=_one(fleet, Look(key, target, service=True, thorough=True)))


def _one(fleet: Fleet, look: Look) -> Looked:
    fleet.submit(look)
    for result in fleet.results(timeout=SECONDS):
        if isinstance(result, Looked):
            return result
    late = Reply(Outcome.UNKNOWN, error=f"No complete answer within {SECONDS:.0f} seconds.", code="read_timeout")
    return Looked(look.key, late, late)


def _certificate(target: Target, *, timeout: float) -> Certificate:
    """Connects once more as every check does, then without belief in anything, to read what the certificate says."""
    try:
        _handshake(target, target.way.trust.context, timeout=timeout)
        wrong = "other"  # it works now
    except ssl.SSLCertVerificationError as error:
        wrong = tls.wrong(error) or "other"
    except ssl.SSLError as error:
        plain = error.reason in {"WRONG_VERSION_NUMBER", "HTTP_REQUEST", "UNKNOWN_PROTOCOL", "RECORD_LAYER_FAILURE"}
        return Certificate("no tls" if plain else "other")
    except (OSError, ValueError):
        return Certificate("other")
    with suppress(OSError, ValueError):
        shown = x509.load_der_x509_certificate(_handshake(target, _unbelieving(), timeout=timeout))
        names: list[str] = []
        with suppress(x509.ExtensionNotFound):
            named = shown.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
            names = [*named.get_values_for_type(x509.DNSName), *map(str, named.get_values_for_type(x509.IPAddress))]
        return Certificate(wrong, tuple(names[:MOST_NAMES]), shown.not_valid_after_utc)
    return Certificate(wrong)


def _speaks_tls(target: Target, timeout: float) -> bool:
    try:
        _handshake(target, _unbelieving(), timeout=timeout)
    except (OSError, ValueError):
        return False
    return True


def _unbelieving() -> ssl.SSLContext:
    """For a handshake after which nothing is sent and nothing believed."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def _handshake(target: Target, context: ssl.SSLContext, *, timeout: float) -> bytes:
    """The certificate shown, in DER; nothing is sent. Raises OSError (ssl.SSLError is one) or ValueError."""
    parts = urlsplit(target.base_url)
    host = parts.hostname or ""
    address = (host, parts.port or (443 if parts.scheme == "https" else 80))
    with socket.create_connection(address, timeout=timeout) as plain:
        if is_forbidden(str(plain.getpeername()[0])):
            raise ConnectionRefusedError
        with context.wrap_socket(plain, server_hostname=host) as secure:
            return secure.getpeercert(binary_form=True) or b""
