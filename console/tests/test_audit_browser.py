"""What an auditor does: find an event, see what it caused, take it away, and prove it elsewhere."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from django.core.management import call_command
from django.db import transaction

from console import audit, checkpoints, testing
from console.models import AuditEvent
from console.testing_processes import Web
from sync_app import rollouts
from sync_app.tests.test_browser import sign_in

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]


def test_an_auditor_finds_an_event_exports_it_and_the_export_verifies_offline(
    open_page: Callable[..., Page], web_process: Web, tmp_path: Path
) -> None:
    cast = testing.cast()
    testing.bundle(cast.environment)
    testing.instance(cast.environment)
    webhooks = testing.text({**testing.WEBHOOKS, "payments": {"module": "log"}})
    change = testing.draft(cast.environment, actor=cast.olga, title="Accept payments", webhooks=webhooks)
    token = audit.origin.set(audit.Origin(address="10.1.2.3", request_id="publishing"))
    rollouts.publish(change, actor=cast.olga)
    audit.origin.reset(token)
    for _ in range(60):
        with transaction.atomic():
            audit.record("test.done", actor=cast.anna, target=cast.environment)
    published = AuditEvent.objects.get(action="change.published")
    folder = tmp_path / "checkpoints"
    checkpoints.write(folder)
    page = open_page()
    sign_in(page, web_process, "ida")
    page.get_by_role("link", name="Audit").click()
    page.get_by_text("test done: staging").first.wait_for()
    page.get_by_role("link", name="Older").click()
    page.get_by_role("link", name="Newer").click()
    page.get_by_role("link", name="Newest").wait_for()

    page.get_by_label("Words").fill("paym")
    page.get_by_label("What", exact=True).fill("change.*")
    page.get_by_label("Who").fill("olga")
    page.get_by_role("button", name="Filter").click()
    page.get_by_text("published “Accept payments” as webhooks r2").wait_for()
    assert page.get_by_text("test done").count() == 0
    page.get_by_role("link", name=str(published.sequence), exact=True).click()
    page.get_by_role("heading", name="olga published “Accept payments”").wait_for()
    page.get_by_text("started staging rollout 1, instances: 1").wait_for()
    page.get_by_text("10.1.2.3").wait_for()
    page.go_back()

    with page.expect_download() as downloading:
        page.get_by_role("button", name="JSON lines").click()
    file = tmp_path / "some.jsonl"
    downloading.value.save_as(file)
    said = verify(str(file), "--checkpoints", str(folder))
    assert said.startswith("3 events, each matches its hash. Not the whole chain: 1 gap")  # opened, edited, published
    page.get_by_role("link", name="Clear").click()
    with page.expect_download() as downloading:
        page.get_by_role("button", name="JSON lines").click()
    whole = tmp_path / "all.jsonl"
    downloading.value.save_as(whole)
    said = verify(str(whole), "--checkpoints", str(folder), "--public-key", checkpoints.public_keys()[0])
    assert "the chain is whole.\n1 of 1 checkpoints met" in said
    with page.expect_download() as downloading:
        page.get_by_role("button", name="CSV").click()
    downloading.value.save_as(tmp_path / "all.csv")
    assert (tmp_path / "all.csv").read_text().startswith("sequence,at,action")
    exports = AuditEvent.objects.filter(action="audit.exported").order_by("sequence")
    assert [event.data["filters"] for event in exports] == [
        {"text": "paym", "who": "olga", "action": "change.*"},
        {},
        {},
    ]


def verify(*arguments: str) -> str:
    out = io.StringIO()
    call_command("audit", "verify", *arguments, stdout=out)
    return out.getvalue()
