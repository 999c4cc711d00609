"""A round of questions: it tells the pages of every environment, and one over nobody ends quietly."""

from __future__ import annotations

import json
import socket
from typing import Any

import pytest
import redis
from django.conf import settings

from console import live, testing
from sync_app import checks


@pytest.mark.django_db
def test_a_round_tells_every_environment_not_only_the_one_that_answered_last(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settings, "READ_SECONDS", 1)
    monkeypatch.setattr(settings, "OBSERVE_SECONDS", 1)
    client: Any = redis.Redis.from_url(settings.REDIS_URL)
    with socket.create_server(("127.0.0.1", 0)) as hole, client, client.pubsub() as heard:
        quick, slow = testing.cast("quick").environment, testing.cast("slow").environment
        testing.instance(quick, "refuses")
        testing.instance(slow, "never-answers", f"http://127.0.0.1:{hole.getsockname()[1]}")
        heard.subscribe(live.CHANNEL)

        assert checks.turn() >= 2

        pinged = set()
        while (message := heard.get_message(ignore_subscribe_messages=False, timeout=1)) is not None:
            if message["type"] == "message":
                pinged.add(json.loads(message["data"])[0])
    assert {quick.pk, slow.pk} <= pinged


@pytest.mark.django_db
def test_a_round_over_nobody_ends_quietly() -> None:
    assert checks.turn() == 0
