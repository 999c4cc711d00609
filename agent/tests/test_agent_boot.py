"""A bad file never stops a restart: the last good one is back before the service reads anything."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.parts import NEW, OLD, Service, client_for, held, lay, pair
from tests.processes import Process
from webhook_agent import boot_guard
from webhook_agent.document_file import DocumentFile


def guard(folder: Path) -> list[str]:
    return boot_guard(webhooks_path=folder / "webhooks.json", connections_path=folder / "connections.json")


async def pushed(service: Service) -> None:
    answer = await client_for(service).post("/admin/config-update", pair())
    assert answer.json["outcome"] == "applied"


async def test_a_file_that_does_not_parse_is_replaced_by_the_last_good_one_and_kept_aside(service: Service) -> None:
    await pushed(service)
    (service.folder / "webhooks.json").write_text('{"new": {"module": "lo')
    (said,) = guard(service.folder)
    assert said.startswith("webhooks: the file does not parse: ")
    assert "The last good document is back" in said
    assert held(service.folder) == NEW
    assert (service.folder / "webhooks.json.refused").read_text() == '{"new": {"module": "lo'
    assert guard(service.folder) == []


async def test_a_file_the_host_refused_is_not_what_it_starts_with(service: Service) -> None:
    await pushed(service)
    service.refuse["bad"] = "no"
    lay(service.folder, {"webhooks": {"bad": {}}})
    assert (await client_for(service).post("/admin/reload-config")).status == 422
    (said,) = guard(service.folder)
    assert "the service refused this file before" in said
    assert held(service.folder) == NEW


async def test_a_file_edited_after_it_was_refused_gets_its_chance(service: Service) -> None:
    await pushed(service)
    service.refuse["bad"] = "no"
    lay(service.folder, {"webhooks": {"bad": {}}})
    await client_for(service).post("/admin/reload-config")
    lay(service.folder, {"webhooks": {"corrected": {}}})
    assert guard(service.folder) == []
    assert held(service.folder)["webhooks"] == {"corrected": {}}


async def test_a_file_that_was_loaded_after_all_is_no_longer_refused(service: Service) -> None:
    await pushed(service)
    service.refuse["bad"] = "no"
    lay(service.folder, {"webhooks": {"bad": {}}})
    client = client_for(service)
    assert (await client.post("/admin/reload-config")).status == 422
    service.refuse.clear()
    assert (await client.post("/admin/reload-config")).status == 200
    assert guard(service.folder) == []


def test_without_a_good_document_it_says_so_and_leaves_the_file(tmp_path: Path) -> None:
    (tmp_path / "webhooks.json").write_text("{")
    (said,) = guard(tmp_path)
    assert "There is no earlier good document" in said
    assert (tmp_path / "webhooks.json").read_text() == "{"


def test_nothing_to_do_says_nothing(tmp_path: Path) -> None:
    assert guard(tmp_path) == []
    lay(tmp_path)
    assert guard(tmp_path) == []


def test_it_settles_an_update_that_was_cut_short(tmp_path: Path) -> None:
    lay(tmp_path)
    with Process(tmp_path, WEBHOOK_AGENT_CRASH_AT="swapped") as process:
        with pytest.raises(Exception, match=r"."):
            process.push(pair())
        process.wait()
    assert len(guard(tmp_path)) == 2
    assert held(tmp_path) == OLD


def test_it_never_raises_for_what_it_finds(tmp_path: Path) -> None:
    lay(tmp_path)
    (tmp_path / ".webhook_agent.journal").write_text("not a journal")
    (said,) = guard(tmp_path)
    assert "could not be looked after" in said
    (said,) = boot_guard(webhooks_path=tmp_path / "none" / "w.json", connections_path=tmp_path / "c.json")
    assert "could not be looked after" in said


def test_a_service_starts_with_its_last_good_file_after_somebody_broke_it(tmp_path: Path) -> None:
    lay(tmp_path)
    with Process(tmp_path) as process:
        assert process.push(pair())[1]["outcome"] == "applied"
    (tmp_path / "webhooks.json").write_bytes(b"\xff\xfe{}")
    with Process(tmp_path) as process:
        assert process.call("/webhook/new", b"{}")[0] == 200
        assert process.call("/admin/config-version")[1]["differs"] == []


@pytest.mark.parametrize("inside", [True, False])
def test_a_link_is_followed_inside_its_folder_and_never_out_of_it(tmp_path: Path, inside: bool) -> None:
    home = tmp_path / "home"
    real = (home / "..data") if inside else (tmp_path / "elsewhere")
    real.mkdir(parents=True)
    home.mkdir(exist_ok=True)
    (real / "w.json").write_text(json.dumps(OLD["webhooks"]))
    (home / "w.json").symlink_to(real / "w.json")
    if inside:
        assert DocumentFile(home / "w.json").target == real / "w.json"
    else:
        with pytest.raises(ValueError, match="link that leads out of its folder"):
            DocumentFile(home / "w.json")


def test_a_link_that_is_turned_outwards_later_is_not_followed(tmp_path: Path) -> None:
    outside = tmp_path / "outside.json"
    outside.write_text("{}")
    home = tmp_path / "home"
    home.mkdir()
    lay(home)
    document = DocumentFile(home / "webhooks.json")
    (home / "webhooks.json").unlink()
    (home / "webhooks.json").symlink_to(outside)
    with pytest.raises(PermissionError):
        document.stage(b'{"a": {}}')
    assert outside.read_text() == "{}"
