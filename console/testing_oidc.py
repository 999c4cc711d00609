"""A small OpenID Connect provider on the loopback, for tests: discovery, authorize, token with PKCE, userinfo, keys."""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

CLIENT, SECRET = "webhook-console", "client-secret-of-the-test"


@dataclass
class Provider:
    """Who signs in next, and what is wrong with the answer, if anything."""

    issuer: str = ""
    claims: dict[str, Any] = field(default_factory=dict)
    userinfo: dict[str, Any] | None = None  # None: the claims
    signed_by_another_key: bool = False
    audience: str = CLIENT
    refuses: bool = False
    codes: dict[str, dict[str, str]] = field(default_factory=dict)
    key: rsa.RSAPrivateKey = field(default_factory=lambda: rsa.generate_private_key(65537, 2048))

    def id_token(self) -> str:
        key = rsa.generate_private_key(65537, 2048) if self.signed_by_another_key else self.key
        now = int(time.time())
        body = {**self.claims, "iss": self.issuer, "aud": self.audience, "iat": now, "exp": now + 60}
        return jwt.encode(body, key, algorithm="RS256", headers={"kid": "1"})


class Handler(BaseHTTPRequestHandler):
    provider: Provider

    def do_GET(self) -> None:
        provider, address = self.provider, urlsplit(self.path)
        asked = {name: values[0] for name, values in parse_qs(address.query).items()}
        if address.path == "/.well-known/openid-configuration":
            places = {
                f"{name}_endpoint": f"{provider.issuer}/{name}" for name in ("authorization", "token", "userinfo")
            }
            self.answer({"issuer": provider.issuer, "jwks_uri": f"{provider.issuer}/keys", **places})
        elif address.path == "/keys":
            key = json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(provider.key.public_key()))
            self.answer({"keys": [{**key, "kid": "1", "alg": "RS256", "use": "sig"}]})
        elif address.path == "/authorization":
            code = secrets.token_urlsafe(8)
            provider.codes[code] = asked
            result = {"error": "access_denied"} if provider.refuses else {"code": code}
            self.send_response(302)
            self.send_header("Location", f"{asked['redirect_uri']}?{urlencode({**result, 'state': asked['state']})}")
            self.end_headers()
        elif address.path == "/userinfo":
            self.answer(provider.claims if provider.userinfo is None else provider.userinfo)

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        sent = {name: values[0] for name, values in parse_qs(body).items()}
        asked = self.provider.codes.pop(sent.get("code", ""), {})
        digest = hashlib.sha256(sent.get("code_verifier", "").encode()).digest()
        proof = base64.urlsafe_b64encode(digest).decode().rstrip("=")
        known = (sent.get("client_id"), sent.get("client_secret")) == (CLIENT, SECRET)
        if not known or asked.get("code_challenge") != proof or asked.get("redirect_uri") != sent.get("redirect_uri"):
            self.answer({"error": "invalid_grant"}, status=400)
            return
        self.answer({"access_token": "t", "token_type": "Bearer", "id_token": self.provider.id_token()})

    def answer(self, value: object, *, status: int = 200) -> None:
        body = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: Any) -> None:
        """Not onto the tests' output."""


@pytest.fixture
def oidc_provider() -> Iterator[Provider]:
    provider = Provider()
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Bound", (Handler,), {"provider": provider}))
    provider.issuer = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield provider
    server.shutdown()
    server.server_close()
    thread.join()
