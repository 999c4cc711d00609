"""Rotation: a further token beside the present ones, then only the one that the caller presents."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.parts import TOKEN, Client, Service, client_for, lay
from tests.processes import Process
from tests.test_agent_crash_points import GONE
from webhook_agent import files, tokens
from webhook_agent.tokens import NAME

NEW = "Zq3vT8sWb1LrYx5Nk0HdUe7Gj2Mf9CpA4oIiQtE6"
OTHER = "b7Rw2Kx9Tn4Ym6Vc1Qz8Pd3Lh5Jf0GsAaEeUuIiOo"
DROP = {"drop_others": True}


async def opens(client: Client, token: str) -> bool:
    status = (await client.get("/admin/config-version", token=token)).status
    assert status in (200, 401)
    return status == 200


async def test_a_further_token_opens_beside_the_present_one_until_the_others_are_dropped(service: Service) -> None:
    client = client_for(service, tokens=[TOKEN, OTHER])
    answer = await client.post("/admin/tokens", {"add": NEW})
    assert (answer.status, answer.json["tokens"]) == (200, 3)
    assert [await opens(client, one) for one in (TOKEN, OTHER, NEW)] == [True, True, True]
    again = await client.post("/admin/tokens", {"add": NEW})  # nobody knows whether the first answer was heard
    assert (again.status, again.json["tokens"]) == (200, 3)
    answer = await client.call("POST", "/admin/tokens", DROP, token=NEW)
    assert (answer.status, answer.json["tokens"]) == (200, 1)
    assert [await opens(client, one) for one in (TOKEN, OTHER, NEW)] == [False, False, True]
    assert (await client.call("POST", "/admin/tokens", DROP, token=NEW)).json["tokens"] == 1


async def test_it_outlives_a_restart_and_a_dropped_token_stays_dropped_but_another_one_may_be_configured(
    service: Service,
) -> None:
    client = client_for(service)
    await client.post("/admin/tokens", {"add": NEW})
    await client.call("POST", "/admin/tokens", DROP, token=NEW)
    restarted = client_for(service)
    assert [await opens(restarted, one) for one in (TOKEN, NEW)] == [False, True]
    changed = client_for(service, tokens=OTHER)  # nobody is locked out for ever
    assert [await opens(changed, one) for one in (TOKEN, NEW, OTHER)] == [False, True, True]
    await changed.call("POST", "/admin/tokens", DROP, token=OTHER)
    assert [await opens(changed, one) for one in (TOKEN, NEW, OTHER)] == [False, False, True]
    back = client_for(service, tokens=TOKEN)  # and what was kept opens no more once it is not configured
    assert [await opens(back, one) for one in (TOKEN, NEW, OTHER)] == [False, False, False]
    (service.folder / NAME).unlink()
    assert await opens(back, TOKEN)


async def test_only_hashes_are_kept_for_its_owner_alone(client: Client, service: Service) -> None:
    await client.post("/admin/tokens", {"add": NEW})
    kept = service.folder / NAME
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    assert NEW not in kept.read_text()
    assert TOKEN not in kept.read_text()
    assert not files.half_written(kept).exists()


@pytest.mark.parametrize(
    "body",
    [
        b"{",
        {},
        {"add": NEW, "drop_others": True},
        {"drop_others": False},
        {"add": NEW[:31]},
        {"add": "x" * 513},
        {"add": f"{NEW} {NEW}"},
        {"add": "schlüssel" * 5},
        {"add": "ab" * 20},
        {"add": 5},
        {"add": None},
    ],
)
async def test_what_is_no_good_token_is_refused_and_changes_nothing(
    client: Client, service: Service, body: Any
) -> None:
    answer = await client.post("/admin/tokens", body)
    assert (answer.status, answer.json["code"] in ("shape", "malformed")) == (400, True)
    assert not (service.folder / NAME).exists()


async def test_it_needs_a_token_that_opens_also_under_the_lock(
    client: Client, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    for body in ({"add": NEW}, DROP):
        assert (await client.call("POST", "/admin/tokens", body, token="wrong")).status == 401
    sibling = client_for(service)
    await sibling.post("/admin/tokens", {"add": NEW})
    allow = tokens.TokenFile.allow

    def dropped_meanwhile(file: tokens.TokenFile, header: bytes) -> bool:
        found = allow(file, header)
        if header == f"Bearer {TOKEN}".encode():
            tokens.TokenFile.drop_others(file, header=f"Bearer {NEW}".encode())
        return found

    monkeypatch.setattr(tokens.TokenFile, "allow", dropped_meanwhile)
    answer = await client.post("/admin/tokens", DROP)
    assert (answer.status, answer.json["code"]) == (401, "unauthorised")
    monkeypatch.undo()
    assert [await opens(client, one) for one in (TOKEN, NEW)] == [False, True]


async def test_no_more_are_added_than_somebody_looks_after(client: Client) -> None:
    for number in range(tokens.MOST_ADDED):
        assert (await client.post("/admin/tokens", {"add": f"{NEW}{number}"})).status == 200
    answer = await client.post("/admin/tokens", {"add": f"{NEW}-more"})
    assert (answer.status, answer.json["code"]) == (400, "shape")


@pytest.mark.parametrize(("code", "said"), [(errno.EROFS, (409, "read_only")), (errno.ENOSPC, (500, "write_failed"))])
async def test_where_nothing_can_be_kept_it_says_so_and_nothing_changes(
    client: Client, service: Service, monkeypatch: pytest.MonkeyPatch, code: int, said: tuple[int, str]
) -> None:
    await client.post("/admin/tokens", {"add": NEW})

    def refuse(*_: object, **__: object) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(files, "write", refuse)
    for body, token in (({"add": OTHER}, TOKEN), (DROP, NEW)):
        answer = await client.call("POST", "/admin/tokens", body, token=token)
        assert (answer.status, answer.json["code"]) == said
        assert str(service.folder) not in answer.body.decode()
    assert [await opens(client, one) for one in (TOKEN, NEW, OTHER)] == [True, True, False]


@pytest.mark.parametrize("content", [b"", b"{}", b'{"added": [1], "dropped": []}', b'{"added": [], "dropped": ["x"]}'])
async def test_a_file_that_it_did_not_write_lets_nobody_in_and_deleting_it_does(
    client: Client, service: Service, content: bytes
) -> None:
    (service.folder / NAME).write_bytes(content)
    answer = await client.get("/admin/config-version")
    assert (answer.status, answer.json["code"]) == (500, "internal")
    (service.folder / NAME).unlink()
    assert await opens(client, TOKEN)


async def test_rotation_can_be_switched_off_and_what_was_dropped_stays_so(service: Service) -> None:
    client = client_for(service)
    assert "rotate_token" in (await client.get("/admin/instance-info")).json["capabilities"]
    await client.post("/admin/tokens", {"add": NEW})
    await client.call("POST", "/admin/tokens", DROP, token=NEW)
    off = client_for(service, allow_rotation=False)
    assert [await opens(off, one) for one in (TOKEN, NEW)] == [False, True]
    info = await off.get("/admin/instance-info", token=NEW)
    assert "rotate_token" not in info.json["capabilities"]
    assert (await off.call("POST", "/admin/tokens", DROP, token=NEW)).status == 404


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def status(process: Process, token: str) -> int:
    return process.call("/admin/config-version", headers=bearer(token))[0]


def test_every_worker_process_takes_the_new_token_before_the_answer_says_so_and_none_the_old_one_after(
    tmp_path: Path,
) -> None:
    lay(tmp_path)
    with Process(tmp_path, workers=4, SAMPLE_RATE="100000") as four, ThreadPoolExecutor(8) as pool:
        for round_ in range(6):
            old, new = (TOKEN if round_ == 0 else f"{NEW}-{round_}"), f"{NEW}-{round_ + 1}"
            assert four.call("/admin/tokens", {"add": new}, headers=bearer(old))[0] == 200
            assert set(pool.map(lambda token: status(four, token), [old, new] * 12)) == {200}
            assert four.call("/admin/tokens", DROP, headers=bearer(new))[0] == 200
            assert set(pool.map(lambda token: status(four, token), [new] * 12)) == {200}
            assert status(four, old) == 401


def test_a_kill_at_any_step_leaves_the_tokens_from_before_or_those_from_after(tmp_path: Path) -> None:
    """And always one with which the caller may go on: the one that it presented."""
    steps = ("tokens-written", "tokens-placed", "tokens-kept")

    def tried(deed: str, step: str) -> tuple[str, str, bool]:
        folder = tmp_path / f"{deed}-{step}"
        folder.mkdir()
        lay(folder)
        if deed == "drop":
            with Process(folder) as process:
                process.call("/admin/tokens", {"add": NEW})
        with Process(folder, WEBHOOK_AGENT_CRASH_AT=step) as process:
            with contextlib.suppress(*GONE):
                process.call(
                    "/admin/tokens",
                    DROP if deed == "drop" else {"add": NEW},
                    headers=bearer(NEW if deed == "drop" else TOKEN),
                )
            assert process.wait() == 137
        with Process(folder) as process:
            found = (status(process, TOKEN), status(process, NEW))
            presented, done = (NEW, (401, 200)) if deed == "drop" else (TOKEN, (200, 200))
            before = (200, 200) if deed == "drop" else (200, 401)
            assert found == (before if step == "tokens-written" else done)
            again = DROP if deed == "drop" else {"add": NEW}
            assert process.call("/admin/tokens", again, headers=bearer(presented))[0] == 200
            return deed, step, (status(process, TOKEN), status(process, NEW)) == done

    points = [(deed, step) for deed in ("add", "drop") for step in steps]
    with ThreadPoolExecutor(3) as pool:
        found = list(pool.map(lambda point: tried(*point), points))
    assert found == [(*point, True) for point in points]
    print(f"{len(points)} points tried")  # noqa: T201
