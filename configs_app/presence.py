"""Who has which change open in the editor: short-lived marks in Redis, never a lock, never a row.

Each open editor says so every ten seconds. While Redis is away nobody is told anything, and everything still holds:
a save over somebody else's is refused by the change's stamp.
"""

from __future__ import annotations

import logging
import time
from collections import defaultdict

import redis

from configs_app.models import Change
from console import live
from console.models import User

logger = logging.getLogger(__name__)

FRESH_SECONDS = 30.0
KEY = "console:editing:{}"  # of an environment: a sorted set of "change:person", scored by when they last said so


def arrive(change: Change, *, person: User) -> dict[int, set[int]]:
    """Say that this person has the change open; change id → ids of everybody who has one of its environment open."""
    key, now = KEY.format(change.environment_id), time.time()
    try:
        with live.connection().pipeline() as commands:
            commands.zadd(key, {f"{change.pk}:{person.pk}": now})
            commands.zremrangebyscore(key, "-inf", now - FRESH_SECONDS)
            commands.expire(key, int(FRESH_SECONDS))
            commands.zrange(key, 0, -1)
            members = commands.execute()[-1]
    except redis.RedisError as error:
        logger.warning("Nobody is told who is editing (%s).", type(error).__name__)
        return {}
    editors: dict[int, set[int]] = defaultdict(set)
    for member in members:
        change_id, person_id = str(member, "ascii").split(":")
        editors[int(change_id)].add(int(person_id))
    return dict(editors)
