"""Who may call, and how often: configured bearer tokens and a token bucket per client."""

from __future__ import annotations

import hashlib
import ipaddress
import time
from collections.abc import Callable, Sequence

MAX_CLIENTS = 10_000  # buckets kept; the one unused for longest goes first


class Tokens:
    """The bearer tokens an agent was configured with. Keeps only their hashes (SHA-256, hexadecimal)."""

    def __init__(self, tokens: str | Sequence[str]) -> None:
        """Raises ValueError for no token, a blank one, or one that cannot stand in a header."""
        given = [tokens] if isinstance(tokens, str) else list(tokens)
        if not given:
            raise ValueError("tokens: at least one is needed; the agent never runs open")
        for token in given:
            if not isinstance(token, str) or not token.strip():
                raise ValueError("tokens: a token is empty; the agent never runs open")
            if not all("!" <= character <= "~" for character in token.strip()):
                raise ValueError("tokens: a token holds a blank or a character outside ASCII")
        self.hashes = tuple(dict.fromkeys(_hashed(token.strip().encode("ascii")) for token in given))


def presented(header: bytes) -> str:
    """The hash of the bearer token in an Authorization header; one that no token has for any other header."""
    scheme, _, token = header.partition(b" ")
    return _hashed(token.strip()) if scheme.lower() == b"bearer" else ""


def _hashed(token: bytes) -> str:
    return hashlib.sha256(token).hexdigest()


class Buckets:
    """A token bucket per client: `burst` at once, `per_second` in the long run."""

    def __init__(self, *, per_second: float, burst: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._per_second = per_second
        self._burst = max(1.0, burst)
        self._clock = clock
        self._levels: dict[str, tuple[float, float]] = {}  # client -> (tokens left, when); least recent first

    def wait(self, client: str) -> float:
        """Seconds until this client has a token; 0 when it has one now. Takes nothing."""
        missing = 1.0 - self._level(client)
        return missing / self._per_second if missing > 1e-9 else 0.0

    def take(self, client: str) -> float:
        """Take a token and return 0, or return the seconds to wait for one."""
        wait = self.wait(client)
        if not wait:
            level = self._level(client) - 1.0
            self._levels.pop(client, None)
            self._levels[client] = (level, self._clock())
            if len(self._levels) > MAX_CLIENTS:
                del self._levels[next(iter(self._levels))]
        return wait

    def _level(self, client: str) -> float:
        level, at = self._levels.get(client, (self._burst, 0.0))
        return min(self._burst, level + (self._clock() - at) * self._per_second)


def client_key(host: str) -> str:
    """One bucket per IPv4 address and per IPv6 /64, which is what one customer of a network gets."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host
    if isinstance(address, ipaddress.IPv4Address):
        return host
    if address.ipv4_mapped:
        return str(address.ipv4_mapped)
    return str(ipaddress.IPv6Network((int(address) >> 64 << 64, 64)))
