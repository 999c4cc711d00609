"""Self-registration: a join token proposes an instance of one environment, and does nothing else."""

from __future__ import annotations

import uuid
from datetime import timedelta
from typing import Any

import pytest
from django.db import DatabaseError, transaction
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from console import testing
from console.errors import Refused
from console.models import AuditEvent
from instances_app.discovery import deciding, found, joining, sources, throttle, turns
from instances_app.models import DiscoverySource, Instance, Joined

pytestmark = pytest.mark.django_db

URL = "/api/agents/register"
ONE = {"base_url": "http://hook-1:8000", "name": "hook-1", "labels": {"region": "eu"}}
VALUES: dict[str, Any] = {"name": "themselves", "policy": "propose", "seconds": 30, "retire_hours": None}


@pytest.fixture
def cast() -> testing.Cast:
    return testing.cast()


@pytest.fixture
def source(cast: testing.Cast) -> DiscoverySource:
    made = sources.add(
        cast.environment, kind="joining", settings={"hours": 24}, secret="", token="", actor=cast.adam, **VALUES
    )
    sources.start(made, actor=cast.adam)
    return made


def post(token: str, body: object = ONE) -> Any:
    content: Any = body if isinstance(body, bytes) else dict(ONE if body is ONE else body)  # type: ignore[call-overload]
    headers = {"Authorization": f"Bearer {token}"}
    return Client(enforce_csrf_checks=True).post(URL, content, content_type="application/json", headers=headers)


def asked(source: DiscoverySource) -> DiscoverySource:
    DiscoverySource.objects.update(next_at=timezone.now())
    assert turns.run(source.pk)
    source.refresh_from_db()
    return source


def test_an_instance_registers_waits_and_is_added_by_a_person(cast: testing.Cast, source: DiscoverySource) -> None:
    token = joining.make_token(source, actor=cast.adam)
    answer = post(token)
    assert (answer.status_code, answer.json()) == (202, {"state": "waiting"})
    asked(source)
    assert post(token).json() == {"state": "proposed"}
    assert not Instance.objects.exists()
    deciding.accept(source, [source.found.get().pk], token="agents", actor=cast.olga)
    assert post(token, ONE | {"labels": {"region": "us"}}).json() == {"state": "added"}
    asked(source)
    assert source.found.get().is_changed
    assert Instance.objects.get().labels == {"region": "eu"}


def test_a_silence_marks_gone_and_one_alone_is_held(cast: testing.Cast, source: DiscoverySource) -> None:
    token = joining.make_token(source, actor=cast.adam)
    for number in range(3):
        post(token, {"base_url": f"http://hook-{number}:8000"})
    asked(source)
    deciding.accept(source, list(source.found.values_list("pk", flat=True)), token="agents", actor=cast.olga)
    late = timezone.now() - timedelta(hours=25)
    Joined.objects.filter(base_url="http://hook-0:8000").update(heard_at=late)
    assert asked(source).counts["gone"] == 1
    Joined.objects.update(heard_at=late)
    assert "told of 2 instances before and of 0 now" in asked(source).held
    assert Instance.objects.active().count() == 3


def test_only_the_token_of_today_opens_it(cast: testing.Cast, source: DiscoverySource) -> None:
    old = joining.make_token(source, actor=cast.adam)
    token = joining.make_token(source, actor=cast.adam)
    number = source.pk
    for wrong in (
        "",
        old,
        token[:-1],
        f"join-{number}-",
        f"join-{number + 1}-x",
        "join-x-y",
        f"join-{'9' * 40}-x",
        "ü",
    ):
        assert joining.source_of(wrong) is None
    assert post(old).status_code == 401
    assert Client().post(URL, ONE, content_type="application/json").status_code == 401
    sources.pause(source, actor=cast.adam)
    assert post(token).status_code == 401
    assert not Joined.objects.exists()
    assert token not in str(list(AuditEvent.objects.values_list("data", flat=True)))


def test_an_address_with_many_wrong_tokens_waits_and_no_other_one(
    cast: testing.Cast, source: DiscoverySource, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(throttle, "SECONDS", 10**9)  # no minute ends in the middle of the test
    token = joining.make_token(source, actor=cast.adam)

    def status(token: str, address: str) -> Any:
        headers = {"Authorization": f"Bearer {token}"}
        return Client(REMOTE_ADDR=address).post(URL, ONE, content_type="application/json", headers=headers)

    address = f"bad-{uuid.uuid4()}"
    assert [status("join-1-x", address).status_code for _ in range(throttle.MOST)] == [401] * throttle.MOST
    answer = status(token, address)
    assert (answer.status_code, int(answer["Retry-After"]) > 0) == (429, True)
    assert not Joined.objects.exists()
    assert status(token, f"good-{uuid.uuid4()}").status_code == 202


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"<html>", 422),
        (b"[]", 422),
        (b"{}", 422),
        ({"base_url": 5}, 422),
        ({"base_url": "http://169.254.169.254/"}, 422),
        ({"base_url": "http://u:p@h/"}, 422),
        ({"base_url": "http://h", "labels": []}, 202),
        ({"base_url": "http://h", "labels": [1]}, 422),
        (b"[" * 10_000, 422),
        (b" " * (joining.LARGEST + 1), 413),
    ],
)
def test_what_is_no_registration_is_refused(
    cast: testing.Cast, source: DiscoverySource, body: object, status: int
) -> None:
    assert post(joining.make_token(source, actor=cast.adam), body).status_code == status


def test_names_are_made_safe_and_there_is_a_limit(
    cast: testing.Cast, source: DiscoverySource, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = joining.make_token(source, actor=cast.adam)
    post(token, ONE | {"name": "a\nb\u202e<c>", "labels": {"x y": "1", "n": "a\nb"}})
    assert (Joined.objects.get().name, Joined.objects.get().labels) == ("a-b-c", {"n": "a-b"})
    monkeypatch.setattr(found, "MOST", 1)
    assert "No more are taken" in post(token, {"base_url": "http://hook-2:8000"}).json()["error"]
    assert post(token).status_code == 202


def test_five_thousand_are_proposed(source: DiscoverySource) -> None:
    rows = [
        Joined(source=source, base_url=f"http://h-{n}:80", name=f"h-{n}", heard_at=timezone.now()) for n in range(5000)
    ]
    Joined.objects.bulk_create(rows)
    assert asked(source).counts["new"] == 5000


def test_it_never_adds_by_itself(cast: testing.Cast, source: DiscoverySource) -> None:
    with pytest.raises(Refused, match="waits for a person"):
        sources.change(
            source, settings={"hours": 1}, secret="", token="agents", actor=cast.adam, **(VALUES | {"policy": "add"})
        )
    with pytest.raises(DatabaseError, match="source_joining_waits"), transaction.atomic():
        DiscoverySource.objects.update(policy="add", token_sealed=b"x")


def test_the_token_is_shown_once_to_an_admin(cast: testing.Cast, source: DiscoverySource) -> None:
    page = Client()
    page.force_login(cast.adam)
    shown = page.post(reverse("instances:source-join-token", args=[source.pk]))
    assert shown["Cache-Control"] == "no-store"
    token = shown.context["token"]
    assert token in shown.content.decode()
    assert joining.source_of(token) == source
    assert token not in page.get(reverse("instances:source", args=[source.pk])).content.decode()
    page.force_login(cast.olga)
    assert page.post(reverse("instances:source-join-token", args=[source.pk])).status_code == 403
