"""The first admin is made by a command, never with a password that anybody could know beforehand."""

from __future__ import annotations

import getpass
import io
import json
import sys
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from console.models import AuditEvent, User

pytestmark = pytest.mark.django_db


def create(**options: Any) -> str:
    said = io.StringIO()
    call_command("create_admin", stdout=said, **options)
    return said.getvalue()


def at_a_terminal(monkeypatch: pytest.MonkeyPatch, *typed: str) -> None:
    answers = iter(typed)
    monkeypatch.setattr(sys, "stdin", io.StringIO())
    monkeypatch.setattr(sys.stdin, "isatty", lambda: True, raising=False)
    monkeypatch.setattr(getpass, "getpass", lambda prompt: next(answers))


def test_without_a_terminal_the_password_is_generated_and_printed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO())
    password = create(username="root").split("/")[-1].strip()
    admin = User.objects.get()
    assert (admin.username, admin.is_superuser, admin.check_password(password)) == ("root", True, True)
    assert len(password) == 24
    event = AuditEvent.objects.get(action="person.added")
    assert event.data == {"superuser": True}
    assert create(username="second", generate=True) != password


def test_at_a_terminal_it_asks_and_keeps_the_password_to_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    at_a_terminal(monkeypatch, "seven-green-kettles", "seven-green-kettles")
    assert "kettles" not in create(username="root")
    assert User.objects.get().check_password("seven-green-kettles")


@pytest.mark.parametrize("typed", [("short", "short"), ("password1234", "password1234"), ("seven-green-kettles", "x")])
def test_a_weak_or_mistyped_password_makes_nobody(monkeypatch: pytest.MonkeyPatch, typed: tuple[str, str]) -> None:
    at_a_terminal(monkeypatch, *typed)
    with pytest.raises(CommandError):
        create()
    assert not User.objects.exists()


def test_the_first_start_makes_one_and_later_ones_nothing(settings: Any, tmp_path: Path) -> None:
    settings.DATA_DIR = tmp_path
    said = create(first=True)
    kept = json.loads((tmp_path / "credentials.json").read_text())
    assert kept["admin"]["password"] in said
    assert create(first=True) == ""
    assert User.objects.count() == 1


def test_a_name_that_is_taken_is_refused() -> None:
    create(username="root", generate=True)
    with pytest.raises(CommandError, match="already"):
        create(username="ROOT", generate=True)
