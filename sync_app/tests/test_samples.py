"""Real files import, publish, and read back byte for byte the same digest."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from webhook_agent import protocol

from configs_app import documents
from console import testing
from console.testing import ended
from console.testing_processes import Process, SampleInstance, until
from instances_app.models import Kind
from sync_app import rollouts
from sync_app.models import Cause, Rollout

pytestmark = pytest.mark.django_db(transaction=True)

Start = Callable[..., list[SampleInstance]]
OWN = {
    "own-empty": {"webhooks": "{}", "connections": "{ }\n"},
    "own-numbers": {
        "webhooks": '{"a": {"module": "log", "n": [1.0, 1, 1e3, -0.0, 12345678901234567890, 0.1]}}',
        "connections": '{"c":{"type":"x","port":"{$PORT:5432}"},\n\n"b":{"type":"y"}}\r\n',
    },
    "own-text": {
        "webhooks": '{"ü": {"module": "log", "t": "\\u00fc \\ud83d\\ude00 😀 \\n </script>"}}',
        "connections": '{"z": {"type": "t"}, "a": {"type": "t"}}',
    },
}


def pairs() -> dict[str, dict[str, str]]:
    """Our own, and every folder of CONSOLE_TEST_SAMPLES that holds a pair."""
    found = dict(OWN)
    folder = os.environ.get("CONSOLE_TEST_SAMPLES")
    for webhooks in sorted(Path(folder).glob("*/webhooks.json")) if folder else []:
        found[webhooks.parent.name] = {
            kind: (webhooks.parent / f"{kind}.json").read_bytes().decode() for kind in Kind.values
        }
    return found


PAIRS = pairs()


def test_every_sample_imports_publishes_and_reads_back_the_same_digest(
    worker_process: Process, sample_instances: Start
) -> None:
    started: list[Rollout] = []
    fleet = sample_instances(len(PAIRS), SAMPLE_LENIENT="1")
    for number, (name, texts) in enumerate(PAIRS.items()):
        environment = testing.cast(f"e{number}").environment
        testing.instance(environment, name, fleet[number].base_url, fleet[number].token)
        bundle = documents.import_first(environment, texts, actor=None, origin=name)
        assert {revision.document.kind: revision.text for revision in bundle.revisions()} == texts
        started.append(rollouts.start(environment, actor=None, cause=Cause.SYNC))

    for rollout in started:
        until(lambda r=rollout: ended(r), what="the rollout's end")  # type: ignore[misc]

    for number, (name, texts) in enumerate(PAIRS.items()):
        rollout = started[number]
        assert rollout.state == "succeeded", (name, rollout.deliveries.values("state", "error"))
        for kind, text in texts.items():
            on_disk = (fleet[number].folder / f"{kind}.json").read_text()
            assert protocol.digest(protocol.parse(on_disk)) == protocol.digest(protocol.parse(text)), (name, kind)
