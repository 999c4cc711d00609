"""A new user adds the first instance: a real service started late, then with an agent, then with the right token."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from console import testing
from console.testing_processes import Process, Web, _plain, free_port
from instances_app.models import Instance
from sync_app.tests.test_browser import sign_in
from sync_app.tests.test_history_browser import shot

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]


def service(folder: Path, port: int, token: str, *options: str) -> Process:
    command = [sys.executable, "-m", "sample_service", "--name", "hook-1", "--port", str(port), "--dir", str(folder)]
    running = Process([*command, *options], {**_plain(), "CONFIG_ADMIN_TOKEN": token}, folder.with_suffix(".log"))
    running.start()
    return running


def test_the_first_instance_is_waited_for_explained_and_imported(
    open_page: Callable[..., Page], web_process: Web, worker_process: Process, scratch: Path
) -> None:
    testing.cast()
    folder, port = scratch / "hook-1", free_port()
    folder.mkdir()
    (folder / "webhooks.json").write_text(testing.text({"orders": {"module": "log", "authorization": "Bearer s3cret"}}))
    (folder / "connections.json").write_text("{}")
    page = open_page()
    sign_in(page, web_process, "olga")
    page.get_by_role("link", name="Add the first instance").click()
    page.get_by_role("heading", name="Add the first instance to staging").wait_for()
    page.get_by_role("button", name="Copy the variable").click()
    page.locator("[data-copy-of=token-line]", has_text=re.compile("Copied|Selected")).wait_for()
    token = page.locator("#token-line").inner_text().removeprefix("CONFIG_ADMIN_TOKEN=")
    shot(page, "onboarding-new")
    page.get_by_label("Name", exact=True).fill("hook-1")
    page.get_by_label("Base URL").fill(f"127.0.0.1:{port}")
    page.get_by_role("button", name="Add it and wait").click()
    page.get_by_text("must start with http://").wait_for()
    assert page.locator("#token-line").inner_text().endswith(token), "the one that was copied already"
    page.get_by_label("Base URL").fill(f"http://127.0.0.1:{port}")
    page.get_by_role("button", name="Add it and wait").click()

    page.get_by_text(f"Nothing listens at 127.0.0.1, port {port}").wait_for()
    page.get_by_text("Is the service running?").wait_for()
    shot(page, "onboarding-refused")
    assert token not in page.content()
    assert token not in page.url

    running = service(folder, port, token, "--no-agent")
    try:
        page.get_by_text("The service is there, without an agent").wait_for()
        page.get_by_role("button", name="Keep it as monitored only").wait_for()
        shot(page, "onboarding-plain")
        running.kill()
        running = service(folder, port, "another-token")
        page.get_by_text("The agent is there, and has another token").wait_for()
        shot(page, "onboarding-token")
        running.kill()
        running = service(folder, port, token)
        page.get_by_role("heading", name="The agent answers").wait_for()
        page.get_by_text("batch, digest").wait_for()
        shot(page, "onboarding-proven")
        page.get_by_role("button", name="Import what it runs").click()
        page.get_by_role("button", name="Start with them").click()
        page.locator("tbody .state", has_text="in sync").wait_for()
        shot(page, "onboarding-fleet")
    finally:
        running.kill()
    instance = Instance.objects.get()
    assert (instance.target.token, instance.monitored_only) == (token, False)
    assert token not in worker_process.output.read_text()
    assert token not in web_process.output.read_text()
