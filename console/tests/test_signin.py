"""Signing in: who gets in, who is kept out and told why, and what the audit trail keeps of it."""

from __future__ import annotations

import uuid
from datetime import timedelta
from typing import Any

import pytest
from cryptography.fernet import Fernet
from django.core.cache import cache
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from console import sessions, testing
from console.audit_sentences import sentence
from console.models import AuditEvent, Session, User
from console.testing_processes import Process

pytestmark = pytest.mark.django_db
FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"
NEW = "seven-green-kettles"


@pytest.fixture
def olga() -> User:
    """Somebody of whom no earlier test has left a wrong password in the throttle."""
    return testing.person(f"olga-{uuid.uuid4().hex[:8]}")


@pytest.fixture
def address() -> str:
    """An address that no other test has used."""
    octets = uuid.uuid4().bytes
    return f"10.{octets[0]}.{octets[1]}.{octets[2]}"


def sign_in(client: Client, user: User, password: str = testing.PASSWORD, **extra: Any) -> Any:
    return client.post(reverse("login"), {"username": user.username, "password": password}, **extra)


def events(action: str) -> list[AuditEvent]:
    return list(AuditEvent.objects.filter(action=action).order_by("sequence"))


def test_the_page_one_wanted_follows_but_never_another_site(olga: User) -> None:
    for wanted, reached in (("/audit/", "/audit/"), ("https://evil.example/", "/"), ("//evil.example/", "/")):
        client = Client()
        assert reverse("login") in client.get("/audit/")["Location"]
        fields = {"username": olga.username, "password": testing.PASSWORD, "next": wanted}
        assert client.post(reverse("login"), fields)["Location"] == reached


def test_a_wrong_password_and_an_unknown_name_are_told_the_same(olga: User, address: str) -> None:
    answers = [
        Client().post(reverse("login"), {"username": name, "password": "wrong-password"}, REMOTE_ADDR=address)
        for name in (olga.username, f"nobody-{address}")
    ]
    assert [answer.status_code for answer in answers] == [422, 422]
    assert all("do not belong together" in answer.content.decode() for answer in answers)
    assert {event.data["why"] for event in events("session.refused")} == {"password"}


def test_after_five_wrong_passwords_even_the_right_one_waits_and_one_event_says_so(olga: User, address: str) -> None:
    for _ in range(5):
        assert sign_in(Client(), olga, "wrong-password", REMOTE_ADDR=address).status_code == 422
    for _ in range(3):
        answer = sign_in(Client(), olga, REMOTE_ADDR=address)
        assert answer.status_code == 429
        assert "Wait five minutes" in answer.content.decode()
    (event,) = events("session.throttled")
    assert (event.actor_name, event.address, event.data["typed"]) == ("nobody", address, olga.username)
    assert len(events("session.refused")) == 5


def test_a_password_typed_as_the_name_is_kept_nowhere_and_repeated_tries_are_told_apart(
    olga: User, address: str
) -> None:
    for name in (testing.PASSWORD, testing.PASSWORD, "another-unknown", olga.username.upper()):
        fields = {"username": name, "password": "wrong-password"}
        Client().post(reverse("login"), fields, REMOTE_ADDR=address)
    refused = events("session.refused")
    once, again, other, known = [event.data["typed"] for event in refused]
    assert once == again
    assert once != other
    assert known == olga.username.upper()
    assert sentence(refused[0]) == f"failed to sign in as {once}"
    assert once.startswith("an unknown name (")
    columns = [name for event in AuditEvent.objects.all().values() for name in event.values()]
    assert testing.PASSWORD not in str(columns)


def test_a_lock_out_of_a_name_that_is_nobodys_does_not_keep_it_either(address: str) -> None:
    name = f"nobody-{address}"
    for _ in range(6):
        Client().post(reverse("login"), {"username": name, "password": "wrong-password"}, REMOTE_ADDR=address)
    (event,) = events("session.throttled")
    assert event.data["typed"] == events("session.refused")[0].data["typed"]
    assert name not in str(event.data)


def test_an_address_that_tries_many_names_is_stopped_once_and_for_all_of_them(address: str) -> None:
    answers = [
        Client().post(reverse("login"), {"username": f"{n}-{address}", "password": "x"}, REMOTE_ADDR=address)
        for n in range(13)
    ]
    assert [answer.status_code for answer in answers] == [422] * 10 + [429] * 3
    assert len(events("session.throttled")) == 1


def test_too_many_requests_of_one_address_get_a_page_that_says_so(address: str) -> None:
    answers = [Client().post(reverse("login"), {"username": ""}, REMOTE_ADDR=address) for _ in range(61)]
    assert answers[59].status_code == 422
    assert answers[60].status_code == 429
    assert "Wait a minute" in answers[60].content.decode()


def test_people_sign_in_while_redis_is_away(redis_process: Process, olga: User, settings: Any) -> None:
    settings.CACHES = {"default": {**settings.CACHES["default"], "LOCATION": settings.REDIS_URL}}
    redis_process.kill()
    assert sign_in(Client(), olga, "wrong-password").status_code == 422
    cache.set("anything", "kept")
    assert cache.get("anything", "empty") == "empty"
    assert sign_in(Client(), olga)["Location"] == "/"


def test_who_is_switched_off_is_told_so_only_with_the_right_password(olga: User, address: str) -> None:
    User.objects.filter(pk=olga.pk).update(is_active=False)
    assert "switched off" not in sign_in(Client(), olga, "wrong", REMOTE_ADDR=address).content.decode()
    client = Client()
    assert sign_in(client, olga, REMOTE_ADDR=address)["Location"] == reverse("login")
    assert "switched off" in client.get(reverse("login")).content.decode()
    assert [event.data["why"] for event in events("session.refused")] == ["password", "switched off"]
    assert not events("session.started")


def test_a_new_password_ends_every_other_sign_in_and_keeps_this_one(olga: User) -> None:
    here, there = Client(), Client()
    sign_in(here, olga)
    sign_in(there, olga)
    fields = {"oldpassword": testing.PASSWORD, "password1": NEW, "password2": NEW}
    assert here.post(reverse("account_change_password"), fields)["Location"] == reverse("account")
    assert here.get(reverse("account")).status_code == 200
    assert there.get(reverse("account")).status_code == 302
    assert sign_in(Client(), olga, NEW)["Location"] == "/"
    (event,) = events("password.changed")
    assert (event.actor_name, event.target_id) == (olga.username, str(olga.pk))
    assert NEW not in str(AuditEvent.objects.values_list("data", flat=True))


@pytest.mark.parametrize("password", ["short", "password1234", "olga-olga-olga"])
def test_a_weak_password_is_refused_with_the_rule_it_breaks(password: str) -> None:
    olga = testing.person("olga-olga-olga")
    client = Client()
    client.force_login(olga)
    fields = {"oldpassword": testing.PASSWORD, "password1": password, "password2": password}
    answer = client.post(reverse("account_change_password"), fields)
    assert answer.status_code == 422
    assert answer.context["form"].errors["password1"]
    assert "At least 12 characters" in answer.content.decode()


def test_ones_sign_ins_are_listed_and_any_of_them_ended(olga: User, address: str) -> None:
    here, phone, other = Client(), Client(), Client()
    sign_in(here, olga)
    sign_in(phone, olga, HTTP_USER_AGENT=FIREFOX, REMOTE_ADDR=address)
    sign_in(other, olga)
    page = here.get(reverse("account"))
    assert "Firefox on Linux" in page.content.decode()
    assert address in page.content.decode()
    rows = page.context["sessions"]
    assert [row["here"] for row in rows].count(True) == 1
    assert not any(row["session"].session_key in page.content.decode() for row in rows)
    (phones,) = [row for row in rows if row["session"].address == address]

    here.post(reverse("session-end"), {"session": phones["mark"]})
    assert phone.get(reverse("account")).status_code == 302
    (event,) = events("session.revoked")
    assert (event.data["address_there"], event.data["browser"]) == (address, "Firefox on Linux")

    here.post(reverse("session-end"), {"others": "1"})
    assert other.get(reverse("account")).status_code == 302
    assert here.get(reverse("account")).status_code == 200
    assert sessions.of(olga).count() == 1


def test_nobody_ends_the_sign_in_of_another_person(olga: User) -> None:
    other = testing.person("somebody-else")
    theirs, mine = Client(), Client()
    sign_in(theirs, other)
    sign_in(mine, olga)
    mine.post(reverse("session-end"), {"session": sessions.mark(sessions.of(other).get())})
    assert theirs.get(reverse("account")).status_code == 200


def test_what_a_session_holds_is_sealed_and_its_key_never_shown(olga: User) -> None:
    client = Client()
    sign_in(client, olga)
    session = Session.objects.get(user=olga)
    assert session.session_data.startswith("gAAAA")  # Fernet
    assert sessions.SessionStore(session.session_key).load()[sessions.FACTS]["how"] == "password"


def test_a_session_under_a_lost_key_asks_to_sign_in_again(olga: User, settings: Any) -> None:
    client = Client()
    sign_in(client, olga)
    settings.SEAL_KEYS = [Fernet.generate_key().decode()]
    assert client.get(reverse("account"))["Location"].startswith(reverse("login"))


def test_a_session_keeps_when_it_was_last_used_and_that_changes_once_a_minute(olga: User) -> None:
    client = Client()
    sign_in(client, olga)
    for age, moved in ((30, False), (90, True)):
        seen = timezone.now() - timedelta(seconds=age)
        Session.objects.filter(user=olga).update(seen_at=seen)
        client.get(reverse("home"))
        assert (Session.objects.get(user=olga).seen_at > seen) is moved


def test_expired_sessions_are_swept_when_somebody_signs_in(olga: User) -> None:
    gone = Session.objects.create(session_key="gone", session_data="", expire_date="2020-01-01T00:00:00Z")
    sign_in(Client(), olga)
    assert not Session.objects.filter(pk=gone.pk).exists()


def test_the_throttle_of_a_name_is_one_for_all_hosts_and_ports(olga: User, settings: Any) -> None:
    settings.ALLOWED_HOSTS = ["localhost"]
    for number in range(5):
        sign_in(Client(), olga, "wrong-password", REMOTE_ADDR=f"192.0.2.{number}", HTTP_HOST="localhost:1")
    answer = sign_in(Client(), olga, REMOTE_ADDR="192.0.2.78", HTTP_HOST="localhost:2")
    assert answer.status_code == 429
