"""Settings are read loudly: nonsense stops the start, secrets may come from files, addresses mean what they say."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.db import connection

from console import environ


@pytest.fixture
def given(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    return lambda value: monkeypatch.setenv("CONSOLE_X", value)


@pytest.mark.parametrize(("text", "value"), [("1", True), ("Yes", True), ("on", True), ("0", False), ("", False)])
def test_a_switch_is_on_or_off(given: Callable[[str], None], text: str, value: bool) -> None:
    given(text)
    assert environ.env_bool("CONSOLE_X") is value


def test_nonsense_is_refused_by_name(given: Callable[[str], None]) -> None:
    given("maybe")
    with pytest.raises(ImproperlyConfigured, match="CONSOLE_X must be 1 or 0, not 'maybe'"):
        environ.env_bool("CONSOLE_X")
    with pytest.raises(ImproperlyConfigured, match="CONSOLE_X must be a whole number"):
        environ.env_int("CONSOLE_X", 1)
    given("0")
    with pytest.raises(ImproperlyConfigured, match="at least 1"):
        environ.env_int("CONSOLE_X", 5, minimum=1)


def test_a_list_is_divided_by_commas(given: Callable[[str], None]) -> None:
    given(" a.example, ,b.example ")
    assert environ.env_list("CONSOLE_X") == ["a.example", "b.example"]


def test_a_secret_may_come_from_a_file_but_not_from_both(
    given: Callable[[str], None], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "secret").write_text("from-a-file\n")
    monkeypatch.setenv("CONSOLE_X_FILE", str(tmp_path / "secret"))
    assert environ.env_secret("CONSOLE_X") == "from-a-file"
    given("plain")
    with pytest.raises(ImproperlyConfigured, match="not both"):
        environ.env_secret("CONSOLE_X")
    given("")
    monkeypatch.setenv("CONSOLE_X_FILE", str(tmp_path / "none"))
    with pytest.raises(ImproperlyConfigured, match="CONSOLE_X_FILE cannot be read"):
        environ.env_secret("CONSOLE_X")


def test_a_database_address_may_be_tcp_or_a_socket_and_is_postgres() -> None:
    tcp = environ.database_settings("postgresql://u%40x:p%2Fw@db.internal:5433/console")
    assert (tcp["USER"], tcp["PASSWORD"], tcp["HOST"], tcp["PORT"]) == ("u@x", "p/w", "db.internal", "5433")
    socket = environ.database_settings("postgresql://console@/console?host=/run/pg", pool=4)
    assert (socket["HOST"], socket["PORT"], socket["OPTIONS"]["pool"]["max_size"]) == ("/run/pg", "", 4)
    with pytest.raises(ImproperlyConfigured, match="Postgres is the only engine"):
        environ.database_settings("sqlite:///x")


def test_celery_is_told_the_same_redis_in_its_own_spelling() -> None:
    assert environ.celery_broker("unix:///run/redis.sock?db=2") == "redis+socket:///run/redis.sock?virtual_host=2"
    assert environ.celery_broker("redis://r:6379/0") == "redis://r:6379/0"


@pytest.mark.django_db
def test_a_process_that_hangs_in_a_transaction_does_not_hold_its_locks_for_ever() -> None:
    with connection.cursor() as cursor:
        cursor.execute("SHOW idle_in_transaction_session_timeout")
        assert cursor.fetchone() == ("5min",)
    assert "tcp_keepalives_idle=30" in str(connection.settings_dict["OPTIONS"]["options"])
