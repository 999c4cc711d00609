"""The cache: throttles of sign-ins and codes that were used. Never anything that must not be lost."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import redis
from django.core.cache.backends.redis import RedisCache

logger = logging.getLogger(__name__)


class Cache(RedisCache):
    """Redis, or as good as empty while Redis is away.

    People have to be able to sign in just then, to see what is going on. Meanwhile sign-ins are not throttled and a
    code could be used twice within its half minute; the log says so.
    """

    def get(self, key: Any, default: Any = None, version: Any = None) -> Any:
        return self._forgive(default, lambda: super(Cache, self).get(key, default, version))

    def add(self, key: Any, value: Any, timeout: Any = None, version: Any = None) -> bool:
        return bool(self._forgive(True, lambda: super(Cache, self).add(key, value, timeout, version)))

    def set(self, key: Any, value: Any, timeout: Any = None, version: Any = None) -> None:
        self._forgive(None, lambda: super(Cache, self).set(key, value, timeout, version))

    def incr(self, key: Any, delta: int = 1, version: Any = None) -> int:
        return int(self._forgive(delta, lambda: super(Cache, self).incr(key, delta, version)))

    def delete(self, key: Any, version: Any = None) -> bool:
        return bool(self._forgive(False, lambda: super(Cache, self).delete(key, version)))

    def _forgive(self, otherwise: Any, ask: Callable[[], Any]) -> Any:
        try:
            return ask()
        except redis.RedisError as error:
            logger.warning("Redis is away (%s): sign-ins are not throttled.", type(error).__name__)
            return otherwise
