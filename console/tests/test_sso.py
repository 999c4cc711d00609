"""Single sign-on, against a provider that speaks the protocol: who gets in, with which roles, and who does not."""

from __future__ import annotations

import urllib.request
from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.test import Client
from django.urls import reverse

from console import environ, people, testing
from console.models import AuditEvent, Role, RoleBinding, User
from console.testing_oidc import CLIENT, SECRET, Provider
from instances_app import registry
from instances_app.models import Environment

pytestmark = pytest.mark.django_db
ROLES = "ops=operator@staging,leads=approver@*,leads=viewer@production,readers=auditor"
ADA = {"sub": "1001", "preferred_username": "ada", "email": "ada@example.com", "name": "Ada L", "groups": ["ops"]}


class Stay(urllib.request.HTTPRedirectHandler):
    """The redirect back is for the test's client, not for urllib."""

    def redirect_request(self, *args: Any) -> None:
        return None


@pytest.fixture
def provider(oidc_provider: Provider, settings: Any, monkeypatch: pytest.MonkeyPatch) -> Provider:
    monkeypatch.setenv("CONSOLE_OIDC_ROLES", ROLES)
    settings.OIDC_ISSUER = oidc_provider.issuer
    settings.OIDC_NAME = "Example ID"
    settings.OIDC_ROLES = environ.env_grants("CONSOLE_OIDC_ROLES", set(Role.values))
    settings.SOCIALACCOUNT_PROVIDERS = {
        "openid_connect": environ.sso_provider(oidc_provider.issuer, CLIENT, SECRET, "Example ID")
    }
    registry.add_environment("staging", protected=False, actor=None)
    registry.add_environment("production", protected=True, actor=None)
    oidc_provider.claims = dict(ADA)
    return oidc_provider


def sign_in(client: Client, query: str = "") -> Any:
    """From the button to the page that follows: over to the provider and back."""
    away = client.get(reverse("openid_connect_login", kwargs={"provider_id": "sso"}) + query)
    try:
        urllib.request.build_opener(Stay()).open(away["Location"], timeout=5)
    except urllib.error.HTTPError as error:
        back = error.headers["Location"]
    return client.get(back.removeprefix("http://testserver"))


def roles(username: str) -> list[tuple[str, str]]:
    held = RoleBinding.objects.filter(user__username=username)
    return sorted(held.values_list("environment__name", "role"))


def refusals() -> list[str]:
    return [event.data["why"] for event in AuditEvent.objects.filter(action="session.refused")]


def test_somebody_new_comes_in_with_the_roles_of_their_groups(provider: Provider) -> None:
    client = Client()
    page = client.get(reverse("login"), {"next": "/audit/"}).content.decode()
    assert "Sign in with Example ID" in page
    assert "?next=/audit/" in page
    assert sign_in(client, "?next=/audit/")["Location"] == "/audit/"
    assert client.get("/e/staging/").status_code == 200
    assert client.get("/e/production/").status_code == 404
    ada = User.objects.get(username="ada")
    assert (ada.first_name, ada.has_usable_password(), ada.is_superuser) == ("Ada", False, False)
    assert roles("ada") == [("staging", "operator")]
    event = AuditEvent.objects.get(action="roles.changed")
    assert (event.environment, event.data["before"], event.data["after"]) == ("staging", [], ["operator"])
    assert event.data["by"] == "single sign-on"
    assert AuditEvent.objects.get(action="session.started").data["how"] == "single sign-on"


def test_roles_follow_the_groups_at_each_sign_in_and_those_given_by_hand_stay(provider: Provider) -> None:
    sign_in(Client())
    ada = User.objects.get(username="ada")
    production = Environment.objects.get(name="production")
    people.set_roles(ada, production, ["viewer"], actor=testing.person("adam"))
    provider.claims["groups"] = ["leads", "readers"]
    sign_in(Client())
    ada.refresh_from_db()
    assert roles("ada") == [("production", "approver"), ("production", "viewer"), ("staging", "approver")]
    assert ada.auditor
    provider.claims["groups"] = []
    sign_in(Client())
    ada.refresh_from_db()
    assert roles("ada") == [("production", "viewer")]
    assert not ada.auditor
    assert User.objects.filter(username__startswith="ada").count() == 2  # adam, and one ada


@pytest.mark.parametrize("claim", ["ops", ["other", "ops"]])
def test_groups_may_come_in_the_userinfo_as_a_list_or_one_text(provider: Provider, claim: object) -> None:
    provider.claims.pop("groups")
    provider.userinfo = {**ADA, "groups": claim}
    sign_in(Client())
    assert roles("ada") == [("staging", "operator")]


def test_who_has_no_group_with_a_role_is_turned_away_in_words(provider: Provider) -> None:
    provider.claims["groups"] = ["strangers"]
    client = Client()
    assert sign_in(client)["Location"] == reverse("login")
    assert "no group of theirs has a role here" in client.get(reverse("login")).content.decode()
    assert not User.objects.filter(username="ada").exists()
    (event,) = AuditEvent.objects.filter(action="session.refused")
    assert event.data["typed"] == "ada"


def test_nobody_is_taken_for_somebody_else_because_of_a_name_or_an_address(provider: Provider) -> None:
    local = testing.person("ada")
    local.email = "ada@example.com"
    local.is_superuser = True
    local.save()
    sign_in(Client())
    newcomer = RoleBinding.objects.get().user
    assert newcomer != local
    assert not newcomer.is_superuser


@pytest.mark.parametrize(
    "wrong",
    [
        {"signed_by_another_key": True},
        {"audience": "another-client"},
        {"refuses": True},
        {"userinfo": {**ADA, "sub": "1002"}},
    ],
    ids=["signature", "audience", "refusal", "two people"],
)
def test_an_answer_that_proves_nothing_lets_nobody_in(provider: Provider, wrong: dict[str, Any]) -> None:
    for name, value in wrong.items():
        setattr(provider, name, value)
    client = Client()
    assert sign_in(client)["Location"] == reverse("login")
    assert client.get(reverse("home")).status_code == 302
    assert not User.objects.exists()
    assert len(refusals()) == 1


def test_an_answer_that_nobody_asked_for_is_refused(provider: Provider) -> None:
    callback = reverse("openid_connect_callback", kwargs={"provider_id": "sso"})
    assert Client().get(callback, {"code": "stolen", "state": "made-up"})["Location"] == reverse("login")
    assert len(refusals()) == 1


def test_a_provider_that_is_away_is_said_on_the_sign_in_page(provider: Provider, settings: Any) -> None:
    settings.SOCIALACCOUNT_PROVIDERS = {
        "openid_connect": environ.sso_provider("http://127.0.0.1:1", CLIENT, SECRET, "Example ID")
    }
    client = Client()
    start = client.get(reverse("openid_connect_login", kwargs={"provider_id": "sso"}))
    assert start["Location"] == reverse("login")
    assert "did not answer as it should" in client.get(reverse("login")).content.decode()


def test_who_is_switched_off_here_stays_out(provider: Provider) -> None:
    sign_in(Client())
    User.objects.filter(username="ada").update(is_active=False)
    client = Client()
    assert sign_in(client)["Location"] == reverse("login")
    assert client.get(reverse("home")).status_code == 302
    assert refusals() == ["switched off"]


def test_a_role_that_needs_a_second_factor_needs_it_here_as_well(provider: Provider, settings: Any) -> None:
    settings.SECOND_FACTOR_ROLES = frozenset({"operator"})
    client = Client()
    sign_in(client)
    assert client.get("/e/staging/")["Location"] == reverse("account")
    assert client.get(reverse("mfa_activate_totp")).status_code == 200  # nothing to confirm with: no password


def test_without_an_issuer_there_is_no_button(settings: Any) -> None:
    settings.OIDC_ISSUER = ""
    page = Client().get(reverse("login")).content.decode()
    assert reverse("openid_connect_login", kwargs={"provider_id": "sso"}) not in page


@pytest.mark.parametrize(
    ("issuer", "client", "roles"),
    [
        ("http://id.example.com", "c", "a=viewer@x"),
        ("https://id.example.com", "", "a=viewer@x"),
        ("https://id.example.com", "c", "a=boss@x"),
        ("https://id.example.com", "c", "a=viewer"),
        ("https://id.example.com", "c", "auditor"),
    ],
)
def test_nonsense_in_the_settings_is_loud(
    issuer: str, client: str, roles: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CONSOLE_OIDC_ROLES", roles)

    def load() -> None:
        environ.sso_provider(issuer, client, "s", "ID")
        environ.env_grants("CONSOLE_OIDC_ROLES", set(Role.values))

    with pytest.raises(ImproperlyConfigured, match="CONSOLE_OIDC_"):
        load()
