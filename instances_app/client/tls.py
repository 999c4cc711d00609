"""TLS to instances: whom an environment trusts, who the console says it is, and what a failure means in words."""

from __future__ import annotations

import secrets
import ssl
import tempfile
from dataclasses import dataclass
from functools import cached_property

from cryptography.hazmat.primitives import serialization

SETTING = "the environment's settings, under Transport"
# How a server says that it does not like our certificate, or that there is none. Before its first answer it has not
# read any request then.
ALERTS = (
    "CERTIFICATE_REQUIRED",
    "ALERT_BAD_CERTIFICATE",
    "ALERT_UNSUPPORTED_CERTIFICATE",
    "ALERT_CERTIFICATE_REVOKED",
    "ALERT_CERTIFICATE_EXPIRED",
    "ALERT_CERTIFICATE_UNKNOWN",
    "ALERT_UNKNOWN_CA",
    "ALERT_ACCESS_DENIED",
    "ALERT_DECRYPT_ERROR",
    "ALERT_HANDSHAKE_FAILURE",
)
VERIFY = {9: "too early", 10: "expired", 62: "other name", 64: "other name"}  # OpenSSL's X509_V_ERR_…
VERIFY |= dict.fromkeys((2, 18, 19, 20, 21), "untrusted")


class Trust:
    """Whom TLS trusts, and with which client certificate, all as PEM. One object for all instances that share it.

    `authorities` alone are trusted then; empty: those of the machine. `certificate` may be followed by the chain.
    """

    def __init__(self, *, authorities: str = "", certificate: str = "", key: str = "") -> None:
        self.authorities, self.certificate, self._key = authorities, certificate, key

    @cached_property
    def context(self) -> ssl.SSLContext:
        """Made once: a rollout shakes hands a thousand times. Raises ssl.SSLError, OSError or ValueError."""
        context = ssl.create_default_context(cadata=self.authorities or None)
        if self.certificate:
            self._present(context)
        return context

    def _present(self, context: ssl.SSLContext) -> None:
        """OpenSSL reads keys from files only; on the disk it is encrypted, with a password that nobody else has."""
        password = secrets.token_bytes(24).hex()
        key = serialization.load_pem_private_key(self._key.encode(), password=None)
        sealed = key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(password.encode()),
        )
        with tempfile.NamedTemporaryFile() as file:
            file.write(self.certificate.encode() + b"\n" + sealed)
            file.flush()
            context.load_cert_chain(file.name, password=password)


MACHINE = Trust()


@dataclass(frozen=True, slots=True)
class Way:
    """How the instances of one environment may be reached; without arguments: by TLS that the machine trusts.

    `refused`: why they cannot be reached at all now; nothing is connected to then.
    """

    plain_http: bool = False
    trust: Trust = MACHINE
    refused: str = ""

    def refusal(self, base_url: str) -> tuple[str, str] | None:
        """(code, words) where nothing may be sent to that address; whoever sends asks here first."""
        if self.refused:
            return "transport", self.refused
        if self.plain_http or base_url.startswith("https://"):
            return None
        return "plain_http", (
            "Plain http:// is not allowed in this environment: the token could be read on the way, so nothing is sent. "
            f"Give the instance an https:// address, or allow it in {SETTING}."
        )


def failure(error: Exception | None, trust: Trust) -> tuple[str, str]:
    """(code, words) for TLS that did not come about; `client_certificate` when ours was refused or is missing."""
    if refuses_us(error):
        if trust.certificate:
            text = (
                f"It refused the console's client certificate. Does it trust it, and is it still valid? See {SETTING}."
            )
        else:
            text = f"It wants a client certificate, and there is none for this environment. Store one in {SETTING}."
        return "client_certificate", text
    fault = wrong(error)
    if fault == "expired":
        text = "TLS failed: the certificate has expired. Renew it there."
    elif fault == "too early":
        text = "TLS failed: the certificate is not valid yet. Do both clocks agree?"
    elif fault == "other name":
        text = "TLS failed: the certificate is for another name than the address has. Correct one of them."
    elif fault == "untrusted":
        whom = "the CA of this environment" if trust.authorities else "the machine"
        text = f"TLS failed: the certificate is not trusted by {whom}. See {SETTING}."
    else:
        text = "TLS failed: the certificate is not trusted, expired or for another name."
    return "tls", text


def wrong(error: BaseException | None) -> str:
    """What is wrong with the certificate that was shown, a word of VERIFY; empty where it is something else."""
    return VERIFY.get(getattr(error, "verify_code", 0), "")


def refuses_us(error: BaseException | None) -> bool:
    reason = str(getattr(error, "reason", "") or "") if isinstance(error, ssl.SSLError) else ""
    return any(alert in reason for alert in ALERTS)


def cause(error: BaseException | None) -> ssl.SSLError | None:
    """The TLS error that an error of another library goes back to."""
    while error is not None and not isinstance(error, ssl.SSLError):
        error = error.__cause__ or error.__context__
    return error
