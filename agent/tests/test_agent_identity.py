"""A place keeps its identity, whatever it is called; an update for another place does nothing."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from tests.parts import OLD, Client, Service, client_for, held, lay, single
from webhook_agent import identity, protocol

NEW = {"new": {"module": "log"}}


async def told(client: Client) -> str | None:
    """The identity that every report has alike."""
    reports = [(await client.get(f"/admin/{name}")).json["identity"] for name in ("config-version", "instance-info")]
    assert reports[0] == reports[1]
    found: str | None = reports[0]
    return found


async def test_an_identity_outlives_restarts_and_names_and_is_that_of_the_folder(tmp_path: Path) -> None:
    first, other = tmp_path / "first", tmp_path / "other"
    for folder in (first, other):
        folder.mkdir()
        lay(folder)
    before = await told(client_for(Service(first)))
    assert before is not None
    assert await told(client_for(Service(first), instance_id="another-name")) == before
    assert await told(client_for(Service(other))) != before


async def test_where_nothing_lasts_there_is_none(service: Service) -> None:
    client = client_for(service, lasting=False)
    assert await told(client) is None
    assert "identity" not in (await client.get("/admin/instance-info")).json["capabilities"]
    assert not (service.folder / identity.NAME).exists()


async def test_an_update_is_applied_only_where_it_is_meant_to_go(client: Client, service: Service) -> None:
    own = await told(client)
    stranger = await client.post(f"/admin/config-update/{'0' * 32}", single("webhooks", NEW))
    assert (stranger.status, stranger.json["code"], stranger.json["identity"]) == (409, protocol.OTHER_INSTANCE, own)
    assert held(service.folder) == OLD
    assert service.reloads == []
    meant = await client.post(f"/admin/config-update/{own}", single("webhooks", NEW))
    assert (meant.status, meant.json["identity"]) == (200, own)
    assert held(service.folder)["webhooks"] == NEW


async def test_an_agent_without_an_identity_takes_no_update_for_one(service: Service) -> None:
    client = client_for(service, lasting=False)
    answer = await client.post(f"/admin/config-update/{'0' * 32}", single("webhooks", NEW))
    assert (answer.status, answer.json["code"]) == (409, protocol.OTHER_INSTANCE)
    assert held(service.folder) == OLD


def test_processes_that_start_at_once_agree(tmp_path: Path) -> None:
    found: list[str | None] = []
    threads = [
        threading.Thread(target=lambda: found.append(identity.of(tmp_path, lasting=True, wait=10))) for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(found)) == 1
    assert len(found) == 8


@pytest.mark.skipif(os.geteuid() == 0, reason="root writes everywhere")
def test_a_folder_that_cannot_be_written_has_none(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    assert identity.of(tmp_path, lasting=True, wait=0.1) is None


@pytest.mark.parametrize(
    ("folder", "lasting"),
    [("/srv/hooks", False), ("/srv/data/hooks", True), ("/srv/data-2", False), ("/run/state", False), ("/a b/c", True)],
)
def test_a_file_system_tells_whether_a_folder_outlives_its_container(
    tmp_path: Path, folder: str, lasting: bool
) -> None:
    mounts = tmp_path / "mountinfo"
    mounts.write_text(
        "22 1 0:20 / / rw,relatime - overlay overlay rw,lowerdir=/x\n"
        "30 22 8:1 /volumes/hooks /srv/data rw,relatime shared:1 - ext4 /dev/sda1 rw\n"
        "31 22 0:25 / /run rw,nosuid - tmpfs tmpfs rw\n"
        "32 22 8:2 / /a\\040b rw - xfs /dev/sdb1 rw\n"
    )
    assert identity.lasts(Path(folder), mounts=str(mounts)) is lasting
