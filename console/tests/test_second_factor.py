"""Second factors: asked for, checked once, sealed, and removable only in ways that leave a trace."""

from __future__ import annotations

import io
import json
import time
import uuid
from typing import Any

import pytest
from allauth.mfa.models import Authenticator
from allauth.mfa.totp.internal.auth import format_hotp_value, hotp_value
from cryptography.fernet import Fernet
from django.core.management import CommandError, call_command
from django.db import connection
from django.test import Client
from django.urls import reverse

from console import resealing, second_factor, testing
from console.models import AuditEvent, User

pytestmark = pytest.mark.django_db


@pytest.fixture
def adam() -> User:
    """An admin of `staging` whom no earlier test has left in the throttle."""
    cast = testing.cast()
    cast.adam.username = f"adam-{uuid.uuid4().hex[:8]}"
    cast.adam.save()
    return cast.adam


def code(secret: str, *, steps: int = 0) -> str:
    """What an app shows, so many half minutes from now."""
    return str(format_hotp_value(hotp_value(secret, int(time.time()) // 30 + steps)))


def sign_in(client: Client, user: User) -> str:
    fields = {"username": user.username, "password": testing.PASSWORD}
    return str(client.post(reverse("login"), fields)["Location"])


def set_up(client: Client) -> str:
    """Set up an app as a person would; its secret. The code of a step before is used, the present one stays."""
    page = client.get(reverse("mfa_activate_totp"))
    secret = str(page.context["form"].secret)
    answer = client.post(reverse("mfa_activate_totp"), {"code": code(secret, steps=-1)})
    assert answer["Location"] == reverse("mfa_view_recovery_codes")
    return secret


def recovery_codes(client: Client) -> list[str]:
    return list(client.get(reverse("mfa_view_recovery_codes")).context["unused_codes"])


def test_with_an_app_the_password_alone_lets_nobody_in(adam: User) -> None:
    client = Client()
    sign_in(client, adam)
    secret = set_up(client)
    thief = Client()
    assert sign_in(thief, adam) == reverse("mfa_authenticate")
    assert reverse("login") in thief.get(reverse("home"))["Location"]
    wrong = thief.post(reverse("mfa_authenticate"), {"code": "000000"})
    assert wrong.status_code == 422
    assert "wrong, old or used" in wrong.content.decode()
    assert thief.post(reverse("mfa_authenticate"), {"code": code(secret)})["Location"] == "/"
    assert thief.get(reverse("home")).status_code == 200
    started = AuditEvent.objects.filter(action="session.started").order_by("sequence")
    assert [event.data["second_factor"] for event in started] == ["", "authenticator app"]
    (refused,) = AuditEvent.objects.filter(action="session.refused")
    assert (refused.data["why"], refused.data["typed"]) == ("second factor", adam.username)
    assert AuditEvent.objects.get(action="second_factor.added").data["kind"] == "authenticator app"


def test_a_code_that_somebody_saw_is_good_for_nothing(adam: User) -> None:
    client = Client()
    sign_in(client, adam)
    secret = set_up(client)
    shown = code(secret)
    for spelling, answered in ((shown, 302), (shown, 422), (f"{shown[:3]} {shown[3:]}", 422)):
        other = Client()
        sign_in(other, adam)
        assert other.post(reverse("mfa_authenticate"), {"code": spelling}).status_code == answered


def test_codes_are_throttled_in_words_and_once_in_the_trail(adam: User) -> None:
    client = Client()
    sign_in(client, adam)
    secret = set_up(client)
    guesser = Client(REMOTE_ADDR=f"10.9.{uuid.uuid4().bytes[0]}.{uuid.uuid4().bytes[0]}")
    sign_in(guesser, adam)
    tries = [guesser.post(reverse("mfa_authenticate"), {"code": f"{n:06}"}) for n in range(6)]
    tries.append(guesser.post(reverse("mfa_authenticate"), {"code": code(secret)}))
    assert [answer.status_code for answer in tries] == [422] * 5 + [429] * 2
    assert "Wait five minutes" in tries[-1].content.decode()
    assert AuditEvent.objects.filter(action="session.throttled").count() == 1


def test_recovery_codes_are_shown_once_and_each_works_once(adam: User) -> None:
    client = Client()
    sign_in(client, adam)
    set_up(client)
    codes = recovery_codes(client)
    assert len(set(codes)) == 10
    assert codes[0] not in client.get(reverse("mfa_view_recovery_codes")).content.decode()
    for answered in (302, 422):
        other = Client()
        sign_in(other, adam)
        assert other.post(reverse("mfa_authenticate"), {"code": codes[0]}).status_code == answered
    assert second_factor.recovery_codes_left(adam) == 9
    client.post(reverse("mfa_generate_recovery_codes"))
    assert not set(recovery_codes(client)) & set(codes)
    assert AuditEvent.objects.filter(action="second_factor.recovery_codes_made").count() == 1


@pytest.mark.parametrize("asked", ["admin", "everybody"])
def test_whose_role_asks_for_one_sets_it_up_before_anything_else(adam: User, settings: Any, asked: str) -> None:
    settings.SECOND_FACTOR_ROLES = frozenset({asked})
    client = Client()
    assert sign_in(client, adam) == "/"
    for name, args in (("home", []), ("audit", []), ("sync:environment", ["staging"])):
        assert client.get(reverse(name, args=args))["Location"] == reverse("account")
    assert client.post(reverse("configs:change-new", args=["staging"]))["Location"] == reverse("account")
    fragment = client.get(reverse("sync:fleet", args=["staging"]), headers={"HX-Request": "true"})
    assert (fragment.status_code, fragment["HX-Redirect"]) == (204, reverse("account"))
    assert client.get(reverse("live", args=["staging"])).status_code == 403
    assert client.get(reverse("healthz")).status_code == 200
    assert "Set up a second factor to go on" in client.get(reverse("account")).content.decode()
    set_up(client)
    assert client.get(reverse("home")).status_code == 200


def test_a_role_that_is_not_named_asks_for_nothing(adam: User, settings: Any) -> None:
    settings.SECOND_FACTOR_ROLES = frozenset({"approver", "auditor"})
    assert second_factor.asked_by(adam) == ""
    assert second_factor.asked_by(User.objects.get(username="anna")) == "approver"
    assert second_factor.asked_by(User.objects.get(username="ida")) == "auditor"


def test_changing_second_factors_asks_for_the_password_again_some_time_after_sign_in(adam: User) -> None:
    client = Client()
    client.force_login(adam)  # nothing says when
    asked = client.get(reverse("mfa_activate_totp"))
    assert asked["Location"].startswith(reverse("account_reauthenticate"))
    assert client.post(asked["Location"], {"password": "wrong-password"}).status_code == 422
    assert client.post(asked["Location"], {"password": testing.PASSWORD})["Location"] == reverse("mfa_activate_totp")
    set_up(client)


def test_an_app_is_removed_by_its_owner_and_its_recovery_codes_go_with_it(adam: User) -> None:
    client = Client()
    sign_in(client, adam)
    set_up(client)
    client.post(reverse("mfa_deactivate_totp"))
    assert not Authenticator.objects.filter(user=adam).exists()
    assert AuditEvent.objects.get(action="second_factor.removed").data["kinds"] == ["authenticator app"]
    assert sign_in(Client(), adam) == "/"


def test_a_lost_one_is_removed_by_a_command_that_ends_the_sessions(adam: User) -> None:
    client = Client()
    sign_in(client, adam)
    set_up(client)
    said = io.StringIO()
    call_command("remove_second_factor", adam.username, stdout=said)
    assert "authenticator app, recovery codes" in said.getvalue()
    assert client.get(reverse("account")).status_code == 302
    assert sign_in(Client(), adam) == "/"
    event = AuditEvent.objects.get(action="second_factor.removed")
    assert (event.actor_name, event.target_id) == ("system", str(adam.pk))
    with pytest.raises(CommandError, match="has no second factor"):
        call_command("remove_second_factor", adam.username)
    with pytest.raises(CommandError, match="nobody called"):
        call_command("remove_second_factor", "nobody")


def test_an_admin_of_the_site_removes_a_lost_one_on_the_persons_page(adam: User) -> None:
    client, root = Client(), testing.person("root")
    User.objects.filter(pk=root.pk).update(is_superuser=True)
    sign_in(client, adam)
    set_up(client)
    admin = Client()
    admin.force_login(root)
    assert "Authenticator app" in admin.get(reverse("person", args=[adam.pk])).content.decode()
    for said in ("Removed: authenticator app, recovery codes", "has no second factor"):
        answer = admin.post(reverse("person-act", args=[adam.pk, "second-factor"]), follow=True)
        assert said in answer.content.decode()
    assert client.get(reverse("account")).status_code == 302
    assert AuditEvent.objects.get(action="second_factor.removed").actor_name == "root"


def test_no_secret_of_a_second_factor_is_in_the_database_and_resealing_renews_them(adam: User, settings: Any) -> None:
    older, newer = Fernet.generate_key().decode(), Fernet.generate_key().decode()
    settings.SEAL_KEYS = [older]
    client = Client()
    sign_in(client, adam)
    unfinished = client.get(reverse("mfa_activate_totp")).context["form"].secret
    secret = set_up(client)
    codes = recovery_codes(client)
    with connection.cursor() as cursor:
        cursor.execute("SELECT string_agg(data::text, '') FROM mfa_authenticator")
        stored = str(cursor.fetchone())
        cursor.execute("SELECT string_agg(session_data, '') FROM console_session")
        stored += str(cursor.fetchone())
    assert not any(text in stored for text in (secret, unfinished, *codes))
    assert secret not in json.dumps(list(AuditEvent.objects.values_list("data", flat=True)))

    settings.SEAL_KEYS = [newer, older]
    done = {str(column): column.older for column in resealing.reseal(lambda column: None)}
    assert (done["authenticator.data.secret"], done["authenticator.data.seed"]) == (1, 1)
    assert not sum(column.older for column in resealing.count(lambda column: None))
    settings.SEAL_KEYS = [newer]
    other = Client()
    sign_in(other, adam)
    assert other.post(reverse("mfa_authenticate"), {"code": code(secret)})["Location"] == "/"
    third = Client()
    sign_in(third, adam)
    assert third.post(reverse("mfa_authenticate"), {"code": codes[3]})["Location"] == "/"


def test_who_is_switched_off_between_password_and_code_stays_out(adam: User) -> None:
    client = Client()
    sign_in(client, adam)
    secret = set_up(client)
    other = Client()
    sign_in(other, adam)
    User.objects.filter(pk=adam.pk).update(is_active=False)
    other.post(reverse("mfa_authenticate"), {"code": code(secret)})
    assert other.get(reverse("home")).status_code == 302
    assert not AuditEvent.objects.filter(action="session.started", data__second_factor="authenticator app").exists()
