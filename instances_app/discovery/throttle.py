"""Wrong join tokens from one address, a few in a minute: then it waits, before anything is looked up for it.

A token cannot be guessed; this is for the load, and for the log of whoever has an old one in a loop.
"""

from __future__ import annotations

import logging
import time

from django.core.cache import cache

MOST = 20  # wrong tokens
SECONDS = 60  # in which they count

logger = logging.getLogger(__name__)


def wait(address: str) -> int:
    """Seconds until this address may try again; 0: now."""
    counted: int | None = cache.get(_key(address))
    return SECONDS - int(time.time()) % SECONDS if counted is not None and counted >= MOST else 0


def note_failure(address: str) -> None:
    key = _key(address)
    cache.add(key, 0, SECONDS * 2)
    if cache.incr(key) == MOST:
        logger.warning("Wrong join tokens from %s: it waits until the next minute", address)


def _key(address: str) -> str:
    return f"join-failed:{address}:{int(time.time()) // SECONDS}"
