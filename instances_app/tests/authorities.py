"""Certificates for the tests: CAs and what they sign, made in a moment."""

from __future__ import annotations

import datetime
import ipaddress
import ssl
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

DAY = datetime.timedelta(days=1)


@dataclass(frozen=True)
class Pair:
    """A certificate and its key, as PEM."""

    certificate: str
    key: str

    def encrypted_key(self) -> str:
        form = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8)
        kept = serialization.load_pem_private_key(self.key.encode(), password=None)
        return kept.private_bytes(*form, serialization.BestAvailableEncryption(b"open sesame")).decode()


class Authority:
    def __init__(self, name: str = "Test CA", *, days: float = 30) -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        self.pem = self._sign(self._name, self._key, days=days, ca=True).certificate

    def issue(self, name: str = "console", *, days: float = 30, server: bool = False) -> Pair:
        """For a client; or for a server at 127.0.0.1 and localhost."""
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        return self._sign(subject, ec.generate_private_key(ec.SECP256R1()), days=days, server=server)

    def server(self, folder: Path, *, days: float = 30, clients: str = "") -> ssl.SSLContext:
        """What a server needs; with `clients` it wants a certificate that one of these CAs (PEM) signed."""
        pair = self.issue("127.0.0.1", days=days, server=True)
        (folder / "server.pem").write_text(pair.certificate + pair.key)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(folder / "server.pem")
        if clients:
            context.load_verify_locations(cadata=clients)
            context.verify_mode = ssl.CERT_REQUIRED
        return context

    def _sign(
        self,
        subject: x509.Name,
        key: ec.EllipticCurvePrivateKey,
        *,
        days: float,
        ca: bool = False,
        server: bool = False,
    ) -> Pair:
        end = datetime.datetime.now(datetime.UTC) + days * DAY
        made = x509.CertificateBuilder(
            self._name, subject, key.public_key(), x509.random_serial_number(), end - 60 * DAY, end
        ).add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
        if not ca:
            use = ExtendedKeyUsageOID.SERVER_AUTH if server else ExtendedKeyUsageOID.CLIENT_AUTH
            made = made.add_extension(x509.ExtendedKeyUsage([use]), critical=False)
        if server:
            names = [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
            made = made.add_extension(x509.SubjectAlternativeName(names), critical=False)
        form = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        pem = made.sign(self._key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
        return Pair(pem.decode(), key.private_bytes(*form).decode())
