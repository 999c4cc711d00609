"""Celery carries wake-ups, nothing else: whatever has to be done stands in Postgres."""

from __future__ import annotations

import gc
import os
from typing import Any

import kombu.pools
from celery import Celery
from celery.signals import worker_ready

from console.environ import celery_broker

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "console.settings")

# Objects made before garbage is looked for: a thousand exchanges under way are a hundred objects each, all alive.
YOUNG = 20_000

app = Celery("console")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()


def use_broker(redis_url: str) -> None:
    """Send this process's wake-ups to another Redis. Connections are kept in three places; all forget the old one."""
    kombu.pools.reset()
    celery: Any = app
    celery._pool = celery.amqp._producer_pool = None
    celery.conf.broker_url = celery_broker(redis_url)


@worker_ready.connect
def _settle(**_: object) -> None:
    """What a worker has loaded stays as long as it lives. Looking through it for garbage took a tenth of a rollout."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG)
