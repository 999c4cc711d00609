"""In a real browser: second factors are set up and used, under the strict policy of the pages."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest
from allauth.mfa.totp.internal.auth import format_hotp_value, hotp_value

from console import people, testing
from console.models import AuditEvent, User
from console.testing_oidc import CLIENT, SECRET, Provider
from console.testing_processes import Web, until

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]


@pytest.fixture
def olga() -> User:
    """Somebody of whom no earlier test has left a code or a wrong password in Redis."""
    cast = testing.cast()
    cast.olga.username = f"olga-{uuid.uuid4().hex[:8]}"
    cast.olga.save()
    return cast.olga


def start(page: Page, url: str, user: User) -> None:
    page.goto(f"{url}/login/")
    page.get_by_label("Username").fill(user.username)
    page.get_by_label("Password").fill(testing.PASSWORD)
    page.get_by_role("button", name="Sign in").click()


@pytest.mark.parametrize("scripts", [True, False], ids=["with scripts", "without scripts"])
def test_an_app_is_set_up_and_asked_for_at_the_next_sign_in(
    open_page: Callable[..., Page], web_process: Web, olga: User, *, scripts: bool
) -> None:
    page = open_page(java_script_enabled=scripts)
    start(page, web_process.url, olga)
    page.get_by_role("link", name=olga.username).click()
    page.get_by_role("link", name="Set up an authenticator app").click()
    secret = page.locator("#app-secret").inner_text()
    step = int(time.time()) // 30
    page.get_by_label("Code that the app shows").fill(format_hotp_value(hotp_value(secret, step)))
    page.get_by_role("button", name="Set it up").click()
    page.get_by_text("Write these down now").wait_for()
    assert page.locator(".codes li").count() == 10
    page.get_by_role("link", name="I have them").click()
    page.get_by_role("button", name="Sign out").click()

    start(page, web_process.url, olga)
    page.get_by_label("Code").fill("123456")
    page.get_by_role("button", name="Sign in", exact=True).click()
    page.get_by_text("wrong, old or used").wait_for()
    page.get_by_label("Code").fill(format_hotp_value(hotp_value(secret, int(time.time()) // 30)))
    page.get_by_role("button", name="Sign in", exact=True).click()
    page.wait_for_url(f"{web_process.url}/")


def test_a_security_key_is_added_and_asked_for_at_the_next_sign_in(
    open_page: Callable[..., Page], web_process: Web, olga: User
) -> None:
    page = open_page()
    url = web_process.url.replace("127.0.0.1", "localhost")  # keys belong to a name
    devices = page.context.new_cdp_session(page)
    devices.send("WebAuthn.enable")
    key = {"protocol": "ctap2", "transport": "usb", "automaticPresenceSimulation": True}
    devices.send("WebAuthn.addVirtualAuthenticator", {"options": key})
    start(page, url, olga)
    page.goto(f"{url}/account/keys/")
    page.get_by_label("Name of the key").fill("blue key")
    page.get_by_role("button", name="Add key").click()
    page.get_by_text("Write these down now").wait_for()
    page.get_by_role("link", name="I have them").click()
    page.get_by_role("button", name="Sign out").click()

    start(page, url, olga)
    page.get_by_role("button", name="Use security key").click()
    page.wait_for_url(f"{url}/")
    page.goto(f"{url}/account/")
    page.get_by_role("cell", name="blue key").wait_for()
    started = AuditEvent.objects.filter(action="session.started").order_by("-sequence")
    assert until(started.first, what="the event").data["second_factor"] == "security key"


def test_a_browser_without_the_key_says_so_on_the_page(
    open_page: Callable[..., Page], web_process: Web, olga: User
) -> None:
    page = open_page()
    start(page, web_process.url, olga)  # an address of digits: browsers offer no keys there
    page.goto(f"{web_process.url}/account/keys/")
    page.get_by_role("button", name="Add key").click()
    page.locator("[data-key-problem]").filter(has_text="key").wait_for()


@pytest.fixture
def provider(oidc_provider: Provider, monkeypatch: pytest.MonkeyPatch) -> Provider:
    """Asked for before `web_process`, which reads the variables as it starts."""
    monkeypatch.setenv("CONSOLE_OIDC_ISSUER", oidc_provider.issuer)
    monkeypatch.setenv("CONSOLE_OIDC_CLIENT_ID", CLIENT)
    monkeypatch.setenv("CONSOLE_OIDC_CLIENT_SECRET", SECRET)
    monkeypatch.setenv("CONSOLE_OIDC_NAME", "Example ID")
    monkeypatch.setenv("CONSOLE_OIDC_ROLES", "ops=operator@staging")
    oidc_provider.claims = {"sub": "1001", "preferred_username": "ada", "groups": ["ops"]}
    return oidc_provider


def test_single_sign_on_set_up_by_environment_variables_leads_to_the_page_one_wanted(
    provider: Provider, olga: User, open_page: Callable[..., Page], web_process: Web
) -> None:
    page = open_page()
    page.goto(f"{web_process.url}/e/staging/")
    page.get_by_role("link", name="Sign in with Example ID").click()
    page.wait_for_url(f"{web_process.url}/e/staging/")
    page.get_by_role("link", name="ada", exact=True).click()
    page.get_by_text("ada is operator by single sign-on").first.wait_for()


@pytest.mark.parametrize("scripts", [True, False], ids=["with scripts", "without scripts"])
def test_somebody_is_added_lets_themselves_in_and_is_given_a_role(
    open_page: Callable[..., Page], web_process: Web, olga: User, *, scripts: bool
) -> None:
    people.set_standing(olga, auditor=False, superuser=True, actor=olga)
    admin, newcomer = open_page(java_script_enabled=scripts), open_page(java_script_enabled=scripts)
    start(admin, web_process.url, olga)
    admin.get_by_role("link", name="People").click()
    admin.get_by_role("link", name="Add person").click()
    name = f"ada-{uuid.uuid4().hex[:8]}"
    admin.get_by_label("Username").fill(name)
    admin.get_by_role("button", name="Add person").click()

    newcomer.goto(admin.locator("#link").input_value())
    newcomer.get_by_label("Password").fill("seven-green-kettles")
    newcomer.get_by_label("The same once more").fill("seven-green-kettles")
    newcomer.get_by_role("button", name="Set password").click()
    newcomer.get_by_text("Your password is set").wait_for()
    newcomer.get_by_label("Username").fill(name)
    newcomer.get_by_label("Password").fill("seven-green-kettles")
    newcomer.get_by_role("button", name="Sign in").click()
    newcomer.wait_for_url(f"{web_process.url}/")
    assert newcomer.get_by_role("link", name="staging").count() == 0

    admin.goto(f"{web_process.url}/e/staging/people/")
    admin.get_by_label("Person").select_option(name)
    admin.locator("#new-viewer").check()
    admin.get_by_role("button", name="Give these roles").click()
    admin.get_by_text(f"The roles of {name} are saved").wait_for()
    newcomer.reload()
    newcomer.get_by_role("link", name="staging").first.click()
    newcomer.wait_for_url(f"{web_process.url}/e/staging/")
