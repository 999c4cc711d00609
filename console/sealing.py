"""Secrets at rest: sealed with the first of CONSOLE_SEAL_KEYS, opened with any of them.

Fernet (AES-128-CBC with HMAC-SHA256, https://github.com/fernet/spec); adding a new key in front rotates.
"""

from __future__ import annotations

import hashlib
import hmac
from functools import lru_cache

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from django.conf import settings


class SealBroken(Exception):
    """Sealed with a key that is no longer in CONSOLE_SEAL_KEYS, or tampered with."""


@lru_cache(maxsize=4)
def _keys(keys: tuple[str, ...]) -> MultiFernet:
    return MultiFernet([Fernet(key) for key in keys])


def seal(plain: str) -> bytes:
    return _keys(tuple(settings.SEAL_KEYS)).encrypt(plain.encode("utf-8", "surrogatepass"))


def unseal(sealed: bytes | memoryview) -> str:
    try:
        return _keys(tuple(settings.SEAL_KEYS)).decrypt(bytes(sealed)).decode("utf-8", "surrogatepass")
    except InvalidToken:
        raise SealBroken("A sealed value cannot be opened: is its key still in CONSOLE_SEAL_KEYS?") from None


def is_current(sealed: bytes | memoryview) -> bool:
    """Whether the first key opens it: no older one is needed for it any more."""
    try:
        _keys(tuple(settings.SEAL_KEYS[:1])).decrypt(bytes(sealed))
    except InvalidToken:
        return False
    return True


def reseal(sealed: bytes | memoryview) -> bytes:
    """The same content, sealed with the first key."""
    return seal(unseal(sealed))


def fingerprint(secret: str) -> str:
    """Twelve hex digits that tell two secrets apart without telling either; keyed, so they cannot be guessed at."""
    keyed = _fingerprints(settings.SECRET_KEY).copy()
    keyed.update(secret.encode("utf-8", "surrogatepass"))
    return keyed.hexdigest()[:12]


@lru_cache(maxsize=4)
def _fingerprints(secret_key: str) -> hmac.HMAC:
    """Keyed once: a document may have thousands of secrets."""
    return hmac.new(hashlib.sha256(b"fingerprint:" + secret_key.encode()).digest(), digestmod="sha256")
