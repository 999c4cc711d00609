"""A real agent announces itself to a real console over HTTP, and waits there for a person."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from console import testing
from console.testing_processes import Process, Web, _plain, free_port, until
from instances_app.discovery import joining, sources, turns
from instances_app.models import DiscoverySource, Instance, Joined
from instances_app.tests.test_discovery_joining import VALUES

pytestmark = pytest.mark.django_db(transaction=True)


def test_an_instance_that_starts_late_appears_as_waiting_for_acceptance(web_process: Web, scratch: Path) -> None:
    cast = testing.cast()
    source = sources.add(
        cast.environment, kind="joining", settings={"hours": 24}, secret="", token="", actor=cast.adam, **VALUES
    )
    sources.start(source, actor=cast.adam)
    token = joining.make_token(source, actor=cast.adam)
    port = free_port()
    command = [sys.executable, "-m", "sample_service", "--name", "hook-1", "--port", str(port), "--announce"]
    environment = {
        **_plain(),
        "CONFIG_ADMIN_TOKEN": "t0ken-of-the-agent",
        "WEBHOOK_CONSOLE_URL": web_process.url,
        "WEBHOOK_CONSOLE_JOIN_TOKEN": token,
        "WEBHOOK_CONSOLE_LABELS": "region=eu",
    }
    running = Process([*command, "--dir", str(scratch / "hook-1")], environment, scratch / "hook-1.log")
    running.start()
    try:
        until(Joined.objects.exists, what="the announcement")
    finally:
        running.kill()
    heard = Joined.objects.get()
    assert (heard.name, heard.base_url, heard.labels) == ("hook-1", f"http://127.0.0.1:{port}", {"region": "eu"})
    DiscoverySource.objects.update(next_at=timezone.now())
    assert turns.run(source.pk)
    page = Client()
    page.force_login(cast.olga)
    body = page.get(reverse("instances:source", args=[source.pk])).content.decode()
    assert "Waiting for a person" in body
    assert f"127.0.0.1:{port}" in body
    assert not Instance.objects.exists()
    assert token not in (scratch / "hook-1.log").read_text()
