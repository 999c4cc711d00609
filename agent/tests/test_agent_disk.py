from __future__ import annotations

import errno
import os
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.parts import (
    NEW,
    OLD,
    Client,
    Service,
    agent_for,
    client_for,
    held,
    lay,
    leftovers,
    nothing,
    pair,
    single,
)
from webhook_agent import protocol
from webhook_agent.document_file import DocumentFile
from webhook_agent.journal import Journal

UPDATE = "/admin/config-update"


@contextmanager
def full_disk() -> Iterator[None]:
    """No file of this process may grow beyond 1,000 bytes: the kernel refuses as a full disk would.

    Not a fixture: pytest reports a test before its fixtures end, and its own output may be a file.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


async def test_a_disk_that_refuses_keeps_the_old_files(client: Client, service: Service) -> None:
    big = {"big": {"module": "log", "note": "x" * 2000}}
    with full_disk():
        answer = await client.post(
            UPDATE, {"configs": [single("connections", NEW["connections"]), single("webhooks", big)]}
        )
    assert answer.status == 500
    assert (answer.json["status"], answer.json["code"]) == ("error", "write_failed")
    assert answer.json["error"] == "The disk refused (File too large)."
    assert held(service.folder) == OLD
    assert leftovers(service.folder) == set()
    assert service.reloads == []
    assert (await client.post(UPDATE, pair())).json["outcome"] == "applied"


def _refusing(monkeypatch: pytest.MonkeyPatch, code: int, *, onto: str) -> None:
    """The kernel's answers that need a mount, given without one: renames onto `onto` fail."""
    real = os.replace

    def replace(source: Any, target: Any) -> None:
        if Path(target).name == onto:
            raise OSError(code, os.strerror(code))
        real(source, target)

    monkeypatch.setattr(os, "replace", replace)


async def test_where_nothing_can_be_written_it_says_read_only_and_still_reports(
    client: Client, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    _refusing(monkeypatch, errno.EROFS, onto=".webhook_agent.journal")
    answer = await client.post(UPDATE, pair(sequence=1))
    assert (answer.status, answer.json["code"]) == (409, "read_only")
    assert held(service.folder) == OLD
    assert (await client.post(UPDATE, pair(OLD, sequence=1))).json["outcome"] == "unchanged"
    assert (await client.get("/admin/instance-info")).json["health"] == "healthy"
    assert (await client.post("/admin/reload-config")).status == 200


async def test_a_file_that_is_a_mount_point_is_written_in_place(
    client: Client, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = service.folder / "webhooks.json"
    lay(service.folder, {"webhooks": {"long": {"module": "log", "note": "x" * 500}}})
    inode = path.stat().st_ino
    _refusing(monkeypatch, errno.EBUSY, onto="webhooks.json")
    assert (await client.post(UPDATE, pair())).json["outcome"] == "applied"
    assert path.read_bytes() == protocol.written(NEW["webhooks"])
    service.refuse["bad"] = "no"
    answer = await client.post(UPDATE, single("webhooks", {"bad": {}}))
    assert answer.json["outcome"] == "rolled_back"
    assert path.read_bytes() == protocol.written(NEW["webhooks"])
    assert path.stat().st_ino == inode
    assert leftovers(service.folder) == set()


async def test_files_that_cannot_be_put_back_are_settled_by_a_restart(
    client: Client, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    service.refuse["new"] = "no"
    with monkeypatch.context() as patch:

        def reload(kinds: tuple[str, ...]) -> None:
            _refusing(patch, errno.EIO, onto="webhooks.json")
            service.reload(kinds)

        stuck = Client(agent_for(service, reload=reload).wrap(nothing))
        answer = await stuck.post(UPDATE, single("webhooks", NEW["webhooks"]))
        assert (answer.status, answer.json["code"]) == (500, "write_failed")
        info = (await stuck.get("/admin/instance-info")).json
        assert info["health"] == "degraded"
        assert "restart" in info["health_reason"]
        assert info["documents"]["webhooks"]["digest"] == protocol.digest(OLD["webhooks"])
    assert held(service.folder)["webhooks"] == NEW["webhooks"]
    client_for(service)
    assert held(service.folder) == OLD


def _journal(folder: Path) -> Journal:
    return Journal(folder, {kind: DocumentFile(folder / f"{kind}.json") for kind in protocol.KINDS})


def test_settling_puts_the_pair_back_and_may_be_repeated(service: Service) -> None:
    _journal(service.folder).begin({kind: protocol.written(document) for kind, document in NEW.items()})
    assert held(service.folder) == NEW
    assert _journal(service.folder).settle() == ["webhooks", "connections"]
    assert held(service.folder) == OLD
    assert _journal(service.folder).settle() == []
    assert leftovers(service.folder) == set()


def test_settling_leaves_a_kept_pair_alone(service: Service) -> None:
    journal = _journal(service.folder)
    journal.begin({kind: protocol.written(document) for kind, document in NEW.items()})
    journal.keep(4)
    assert _journal(service.folder).settle() == []
    assert held(service.folder) == NEW
    assert _journal(service.folder).read().sequence == 4


def test_half_written_files_of_a_killed_process_are_swept_away(service: Service) -> None:
    (service.folder / ".webhooks.json.undo.new").write_bytes(b'{"ol')
    (service.folder / ".webhooks.json.new").write_bytes(b'{"ne')
    (service.folder / ".webhook_agent.journal.new").write_bytes(b'{"se')
    client_for(service, lasting=False)
    assert {path.name for path in service.folder.iterdir()} == {"webhooks.json", "connections.json"}


def test_a_journal_it_did_not_write_stops_the_start(service: Service) -> None:
    (service.folder / ".webhook_agent.journal").write_text('{"pending": {"passwd": true}}')
    with pytest.raises(ValueError, match="journal"):
        client_for(service)
