"""Optional guards beside the token: where a request may come from, and a signature over what it carries."""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import time
from collections.abc import Callable, Sequence

WINDOW = 300  # seconds a signature's time may be away from ours
_REMEMBERED = 100_000  # signatures kept against replay; the rate limit keeps a window far below

HEADER = b"x-config-signature"


class Networks:
    """Client addresses that may call; none given means any."""

    def __init__(self, networks: Sequence[str]) -> None:
        """Raises ValueError for what is no network: `10.0.0.0/8`, `2001:db8::/32`, `192.0.2.7`."""
        self._networks = [ipaddress.ip_network(network) for network in networks]

    def allow(self, host: str) -> bool:
        if not self._networks:
            return True
        try:
            address = ipaddress.ip_address(host)
        except ValueError:
            return False  # a local socket, or nothing: not in any network
        if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped:
            address = address.ipv4_mapped
        return any(address in network for network in self._networks)


class Signatures:
    """HMAC-SHA256 over `<time>.<endpoint>.<body>`, in `X-Config-Signature: t=<unix seconds>,v1=<64 hex digits>`.

    Several keys may be valid at once, for rotation; several `v1` may be sent.
    """

    def __init__(self, keys: Sequence[str], *, clock: Callable[[], float] = time.time) -> None:
        """Raises ValueError for a key that is short enough to be guessed."""
        if any(len(key) < 16 for key in keys):
            raise ValueError("signing_keys: a key has fewer than 16 characters")
        self._keys = [key.encode() for key in keys]
        self._clock = clock
        self._seen: dict[bytes, float] = {}  # signature → when it may be forgotten; oldest first

    def refuse(self, header: bytes, endpoint: str, body: bytes) -> str:
        """Why the request is refused, or nothing. A signature is good for one request."""
        if not self._keys:
            return ""
        parts = [part.strip().partition(b"=") for part in header.split(b",")]
        times = [value for name, _, value in parts if name == b"t"]
        given = [value for name, _, value in parts if name == b"v1"]
        if len(times) != 1 or not given or not times[0].isdigit() or len(times[0]) > 12:
            return "This needs `X-Config-Signature: t=<seconds>,v1=<signature>`."
        now = self._clock()
        if abs(now - int(times[0])) > WINDOW:
            return f"The signature's time is more than {WINDOW} seconds away from this host's clock."
        found = b""
        for key in self._keys:
            wanted = sign(key, times[0], endpoint, body)
            for candidate in given:
                if hmac.compare_digest(candidate, wanted):
                    found = wanted
        if not found:
            return "The signature does not fit the request."
        while self._seen and (next(iter(self._seen.values())) < now or len(self._seen) > _REMEMBERED):
            del self._seen[next(iter(self._seen))]
        if found in self._seen:
            return "The signature was used before."
        self._seen[found] = now + 2 * WINDOW
        return ""


def sign(key: bytes, at: bytes, endpoint: str, body: bytes) -> bytes:
    """The hexadecimal signature. `at` is the time as it stands in the header, `endpoint` e.g. ``config-update``."""
    return hmac.new(key, at + b"." + endpoint.encode() + b"." + body, hashlib.sha256).hexdigest().encode()
