"""Certificates as people paste them: read, judged, and told apart. Nothing here is secret but the key."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Self

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from cryptography.x509.oid import ExtendedKeyUsageOID
from django.conf import settings
from django.utils import timezone

from console.errors import Refused
from instances_app.client import Trust

MOST = 20  # certificates in one paste
LONGEST = 100_000  # characters
CLIENTS = {ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE}


@dataclass(frozen=True, slots=True)
class Certificate:
    """What pages and the audit trail say of one."""

    subject: str
    until: datetime
    fingerprint: str  # SHA-256, 64 hex digits

    @classmethod
    def of(cls, one: x509.Certificate) -> Self:
        subject = one.subject.rfc4514_string() or "without a subject"
        return cls(subject[:200], one.not_valid_after_utc, one.fingerprint(hashes.SHA256()).hex())

    @property
    def word(self) -> str:
        """In one word of a badge; nothing while all is well."""
        if not ending(self.until, "It"):
            return ""
        return "has ended" if self.until < timezone.now() else "ends soon"

    @property
    def data(self) -> dict[str, str]:
        return {"subject": self.subject, "until": self.until.isoformat(), "sha256": self.fingerprint}


def ending(until: datetime | None, what: str) -> str:
    """That `what` ("Its certificate") ends soon, or has ended; else nothing."""
    if until is None:
        return ""
    days = (until - timezone.now()) / timedelta(days=1)
    if days > settings.CERTIFICATE_DAYS:
        return ""
    on = f"{until:%Y-%m-%d %H:%M} UTC"
    if days < 0:
        return f"{what} ended {on}."
    left = f"in {days:.0f} days" if days >= 2 else f"in {days * 24:.0f} hours"
    return f"{what} ends {left}, {on}."


def read(pem: str) -> list[Certificate]:
    """Of a text that was judged before."""
    return [Certificate.of(one) for one in x509.load_pem_x509_certificates(pem.encode())] if pem else []


def authorities(text: str) -> str:
    """CA certificates as they are kept, in PEM. Refused says what is wrong with which."""
    found = _certificates(text, what="CA certificate")
    for one in found:
        named = Certificate.of(one)
        try:
            is_ca = one.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
        except (x509.ExtensionNotFound, ValueError):
            is_ca = False
        if not is_ca:
            raise Refused(f"{named.subject} is no CA: it may not sign certificates. Paste the CA that signed it.")
        _refuse_out_of_time(one)
    text = _written(found)
    _try_out(Trust(authorities=text))
    return text


def client_pair(text: str, key: str) -> tuple[str, str]:
    """A client certificate with what it is signed by, and its key, both in PEM. Refused says what is wrong.

    The key is in no message.
    """
    found = _certificates(text, what="client certificate")
    own = found[0]
    private = _key(key)
    if _public(private) != _public(own):
        others = [Certificate.of(one).subject for one in found[1:] if _public(one) == _public(private)]
        more = f" It belongs to {others[0]}: put that certificate first." if others else ""
        raise Refused(f"The key does not belong to {Certificate.of(own).subject}.{more} Nothing was stored.")
    for one in found:
        _refuse_out_of_time(one)
    try:
        uses = own.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    except (x509.ExtensionNotFound, ValueError):
        uses = None
    if uses is not None and not CLIENTS & set(uses):
        raise Refused(f"{Certificate.of(own).subject} is not made for clients (extended key usage clientAuth).")
    form = (serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    certificate, kept = _written(found), private.private_bytes(serialization.Encoding.PEM, *form).decode()
    _try_out(Trust(certificate=certificate, key=kept))
    return certificate, kept


def _certificates(text: str, *, what: str) -> list[x509.Certificate]:
    if len(text) > LONGEST:
        raise Refused(f"More than {LONGEST:,} characters are no {what}.")
    if "PRIVATE KEY-----" in text:
        raise Refused(f"There is a private key in the {what}. Leave it out; nothing was stored.")
    try:
        found = x509.load_pem_x509_certificates(text.encode())
    except ValueError:
        raise Refused(f"This is no {what} in PEM, with its BEGIN and END lines.") from None
    if len(found) > MOST:
        raise Refused(f"More than {MOST} certificates. Leave out those that are not needed.")
    return found


def _refuse_out_of_time(one: x509.Certificate) -> None:
    named, now = Certificate.of(one), timezone.now()
    if named.until <= now:
        raise Refused(f"{named.subject} has expired, {named.until:%Y-%m-%d %H:%M} UTC. Paste one that is valid.")
    if one.not_valid_before_utc > now:
        raise Refused(f"{named.subject} is not valid before {one.not_valid_before_utc:%Y-%m-%d %H:%M} UTC.")


def _key(text: str) -> PrivateKeyTypes:
    if len(text) > LONGEST:
        raise Refused(f"More than {LONGEST:,} characters are no private key.")
    try:
        return serialization.load_pem_private_key(text.strip().encode(), password=None)
    except TypeError:
        raise Refused(
            "The private key is encrypted, and the console must be able to use it without a person. Take the password "
            "off (openssl pkey -in key.pem -out plain.pem) and paste the result; it is sealed here at once."
        ) from None
    except Exception:  # the library has many of its own, and some quote what they read
        raise Refused("This is no private key in PEM, with its BEGIN and END lines.") from None


def _public(of: PrivateKeyTypes | x509.Certificate) -> bytes:
    form = (serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    return of.public_key().public_bytes(*form)


def _written(found: Sequence[x509.Certificate]) -> str:
    return "".join(one.public_bytes(serialization.Encoding.PEM).decode() for one in found)


def _try_out(trust: Trust) -> None:
    """What TLS cannot use is better known now than at three in the morning."""
    try:
        trust.context  # noqa: B018
    except (OSError, ValueError):  # ssl.SSLError is an OSError
        raise Refused(
            "TLS cannot use this: its algorithm or its key is too weak or not known. Nothing was stored."
        ) from None
