"""A freeze as people meet it: set with the fields of a browser, in the way of a publish, lifted."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from django.utils import timezone

from console import testing
from console.testing_processes import Web
from instances_app.freeze_models import Freeze
from sync_app.models import Rollout
from sync_app.tests.test_browser import sign_in

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]


def test_an_admin_freezes_a_publish_is_refused_with_its_choice_kept_and_goes_through_once_it_is_lifted(
    open_page: Callable[..., Page], web_process: Web
) -> None:
    cast = testing.cast()
    testing.bundle(cast.environment)
    for name in ("one", "two"):
        testing.instance(cast.environment, name)
    texts = testing.text({**testing.WEBHOOKS, "new": {"module": "log"}})
    change = testing.draft(cast.environment, actor=cast.olga, webhooks=texts)
    page = open_page()
    sign_in(page, web_process, "adam")
    page.goto(f"{web_process.url}/e/staging/settings/")
    page.get_by_role("link", name="Set and lift…").click()
    page.get_by_label("Time zone").select_option("Pacific/Auckland")
    page.get_by_label("Once: until").fill((timezone.now() + timedelta(days=3)).strftime("%Y-%m-%dT16:00"))
    page.get_by_label("A rollout that runs already").select_option("pause")
    page.get_by_label("Reason").fill("Stocktaking")
    page.get_by_role("button", name="Set it").click()
    page.get_by_role("region", name="Frozen").get_by_text("16:00 (Pacific/Auckland)").wait_for()

    page.goto(f"{web_process.url}/changes/{change.pk}/publish/")
    page.get_by_text("Stocktaking").wait_for()
    page.get_by_role("checkbox", name="two").uncheck()
    page.get_by_role("button", name="Publish to").click()
    page.get_by_text("No rollout starts meanwhile").first.wait_for()
    assert not page.get_by_role("checkbox", name="two").is_checked()
    assert not Rollout.objects.exists()

    page.get_by_role("link", name="Lift it…").click()
    page.get_by_role("link", name="Lift…").click()
    page.get_by_label("Why can it not wait?").fill("It was counted faster")
    page.get_by_role("button", name="Lift it").click()
    page.get_by_text("The freeze is lifted").wait_for()
    assert Freeze.objects.get().lift_reason == "It was counted faster"
    page.goto(f"{web_process.url}/changes/{change.pk}/publish/")
    page.get_by_role("button", name="Publish to").click()
    page.get_by_role("heading", name="Rollout 1").wait_for()
