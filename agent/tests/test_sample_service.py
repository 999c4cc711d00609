from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from sample_service.config import MODULES
from sample_service.instance import build, tokens_from
from tests.parts import NEW, OLD, TOKEN, Client, held, lay, pair, single
from tests.processes import AGENT, Process
from webhook_agent import protocol

REASONS = [
    ({"webhooks": {"y": {"module": "x"}}}, "Unknown module 'x' in webhook 'y'"),
    ({"webhooks": {"y": {"chain": ["log", "x"]}}}, "Unknown module 'x' in webhook 'y'"),
    ({"webhooks": {"y": {"chain": [{"module": ["log"]}]}}}, "Unknown module '['log']' in webhook 'y'"),
    ({"webhooks": {"y": {}}}, "Webhook 'y' is missing 'module' or 'chain'"),
    ({"webhooks": {"y": {"chain": []}}}, "The chain of webhook 'y' must be a list of 1 to 20 steps"),
    (
        {"webhooks": {"y": {"chain": [1]}}},
        "A step in the chain of webhook 'y' is neither a name nor an object",
    ),
    ({"webhooks": {"": {"module": "log"}}}, "A webhook has an empty name"),
    ({"connections": {"_comment": "text"}}, "The connection '_comment' must be an object"),
    ({"connections": {"c": {"host": "h"}}}, "Connection 'c' is missing 'type'"),
]


@pytest.fixture
def client(tmp_path: Path) -> Client:
    return sample(tmp_path)


def sample(folder: Path, **environ: str) -> Client:
    if not (folder / "webhooks.json").exists():
        lay(folder)
    return Client(build(folder, name="s", tokens=[TOKEN], environ=environ))


async def push(client: Client, **entries: object) -> None:
    answer = await client.post("/admin/config-update", single("webhooks", entries))
    assert answer.json["outcome"] == "applied", answer.json


async def test_a_push_changes_what_it_answers(client: Client) -> None:
    answer = await client.post("/webhook/fresh", b"{}")
    assert (answer.status, answer.json) == (404, {"detail": "Webhook 'fresh' not found"})
    await push(client, fresh={"module": "log"})
    answer = await client.post("/webhook/fresh", b"{}")
    assert (answer.status, answer.json) == (200, {"message": "200 OK"})
    assert (await client.post("/webhook/old", b"{}")).status == 404


async def test_it_checks_the_authorization_of_a_webhook(client: Client) -> None:
    await push(
        client,
        locked={"module": "log", "authorization": "Bearer s3cret"},
        open={"module": "log", "authorization": ""},
        placeholder={"module": "log", "authorization": "{$NOT_RESOLVED}"},
        odd={"module": "log", "authorization": 7},
    )
    assert (await client.post("/webhook/locked", b"", token="s3cret")).status == 200
    for token in (None, "s3cre", "s3cret2", "S3CRET"):
        assert (await client.post("/webhook/locked", b"", token=token)).status == 401
    assert (await client.post("/webhook/open", b"", token=None)).status == 200
    header = [(b"authorization", b"{$NOT_RESOLVED}")]
    assert (await client.call("POST", "/webhook/placeholder", b"", token=None, headers=header)).status == 401
    assert (await client.post("/webhook/odd", b"", token="7")).status == 401


async def test_log_prints_the_id_and_the_size_and_never_the_payload(
    client: Client, capsys: pytest.CaptureFixture[str]
) -> None:
    await push(client, note={"module": "log"})
    await client.post("/webhook/note", b"hunter2")
    assert capsys.readouterr().out == "webhook note: 7 bytes\n"


async def test_save_to_disk_keeps_every_payload_inside_its_folder(client: Client, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path.parent)
    await push(
        client,
        plain={"module": "save_to_disk"},
        named={"module": "save_to_disk", "module-config": {"path": "in/side"}},
        up={"module": "save_to_disk", "module-config": {"path": "../outside"}},
        absolute={"module": "save_to_disk", "module-config": {"path": "/tmp"}},  # noqa: S108 - refused
        link={"module": "save_to_disk", "module-config": {"path": "link/outside"}},
        odd={"module": "save_to_disk", "module-config": {"path": 7}},
    )
    for _ in range(2):
        assert (await client.post("/webhook/plain", b"one")).status == 200
    assert (await client.post("/webhook/named", b"two")).status == 200
    assert [path.read_bytes() for path in (tmp_path / "received").iterdir()] == [b"one"] * 2
    assert [path.read_bytes() for path in (tmp_path / "in" / "side").iterdir()] == [b"two"]
    for name in ("up", "absolute", "link", "odd"):
        answer = await client.post(f"/webhook/{name}", b"three")
        assert answer.status == 500
        assert str(tmp_path) not in answer.body.decode()
    assert not (tmp_path.parent / "outside").exists()


async def test_a_chain_runs_every_step(client: Client, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    step = {"module": "save_to_disk", "module-config": {"path": "chained"}}
    await push(client, both={"chain": ["log", step]})
    assert (await client.post("/webhook/both", b"x")).status == 200
    assert len(list((tmp_path / "chained").iterdir())) == 1
    assert capsys.readouterr().out == "webhook both: 1 bytes\n"


@pytest.mark.parametrize("module", sorted(MODULES - {"log", "save_to_disk"}))
async def test_a_known_module_it_lacks_loads_and_says_so_when_called(client: Client, module: str) -> None:
    await push(client, far={"module": module})
    answer = await client.post("/webhook/far", b"{}")
    assert answer.status == 501
    assert answer.json == {"detail": f"The sample service has no module '{module}'"}


@pytest.mark.parametrize(("documents", "reason"), REASONS)
async def test_it_refuses_what_the_real_service_refuses(
    client: Client, tmp_path: Path, documents: dict[str, object], reason: str
) -> None:
    answer = await client.post("/admin/config-update", pair(documents))
    assert answer.json["outcome"] == "rejected"
    assert answer.json["error"] == reason
    assert held(tmp_path) == OLD
    assert (await client.post("/webhook/old", b"")).status == 200


async def test_a_start_with_bad_files_serves_nothing_and_is_degraded(tmp_path: Path) -> None:
    lay(tmp_path, {**OLD, "webhooks": {"y": {"module": "x"}}})
    client = sample(tmp_path)
    info = (await client.get("/admin/instance-info")).json
    assert (info["health"], info["health_reason"]) == ("degraded", "Unknown module 'x' in webhook 'y'")
    assert info["documents"]["connections"]["reload_status"] == "loaded"
    await push(client, fine={"module": "log"})
    assert (await client.get("/admin/instance-info")).json["health"] == "healthy"


async def test_the_drills_do_what_they_say(tmp_path: Path) -> None:
    comment = {"_comment": "text", **NEW["connections"]}
    strict = sample(tmp_path)
    assert (await strict.post("/admin/config-update", single("connections", comment))).status == 422
    assert (await strict.post("/admin/config-update", single("connections", {}))).status == 400
    loose = sample(tmp_path, SAMPLE_LENIENT="1", SAMPLE_ALLOW_EMPTY="1")
    assert (await loose.post("/admin/config-update", single("connections", comment))).status == 200
    assert (await loose.post("/admin/config-update", single("connections", {}))).status == 200

    refusing = sample(tmp_path, SAMPLE_REJECT="not today")
    answer = await refusing.post("/admin/config-update", pair())
    assert (answer.json["outcome"], answer.json["error"]) == ("rolled_back", "not today")
    assert "after_rollback" not in answer.json["details"]
    (tmp_path / "object").write_text("not like that\n")
    answer = await strict.post("/admin/config-update", pair())
    assert (answer.json["outcome"], answer.json["error"]) == ("rejected", "not like that")
    (tmp_path / "object").unlink()
    (tmp_path / "reject").write_text("not here\n")
    assert (await strict.post("/admin/config-update", pair())).json["error"] == "not here"
    (tmp_path / "reject").unlink()
    assert (await strict.post("/admin/config-update", pair())).json["outcome"] == "applied"


def test_tokens_come_from_the_environment_or_from_a_file(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("from-file\nand-another\n")
    assert tokens_from({"CONFIG_ADMIN_TOKEN": " one "}) == ["one"]
    file = {"CONFIG_ADMIN_TOKEN": "one", "CONFIG_ADMIN_TOKEN_FILE": str(tmp_path / "token")}
    assert tokens_from(file) == ["from-file", "and-another"]
    assert tokens_from({}) == []


# From here on with real processes over HTTP.


@pytest.fixture
def process(tmp_path: Path) -> Iterator[Process]:
    lay(tmp_path)
    with Process(tmp_path) as started:
        yield started


def test_over_http_it_is_quick_small_and_does_its_work(process: Process) -> None:
    assert process.started_in < 5  # alone it takes a fraction of a second; tests share the machine
    assert process.memory_mb() < 64
    assert process.call("/health") == (200, {"status": "healthy", "service": "webhook-service"})
    assert process.call("/webhook/new", b"{}")[0] == 404
    status, answer = process.push(pair(sequence=1))
    assert (status, answer["outcome"], answer["instance_id"]) == (200, "applied", "proc")
    assert process.call("/webhook/new", b"{}") == (200, {"message": "200 OK"})
    assert process.line() == "webhook new: 2 bytes\n"
    assert process.call("/admin/config?type=webhooks") == (200, NEW["webhooks"])
    version = process.call("/admin/config-version")[1]
    assert version["webhooks_digest"] == protocol.digest(NEW["webhooks"])


def test_over_http_a_body_over_the_limit_gets_its_413(process: Process) -> None:
    big = {"big": {"module": "log", "note": "x" * (protocol.MAX_BODY + 1)}}
    status, answer = process.push(single("webhooks", big))
    assert (status, answer["code"]) == (413, "too_large")


def test_a_hang_is_after_the_fact(process: Process) -> None:
    (process.folder / "hang").write_text("30")
    with pytest.raises(TimeoutError):
        process.push(pair(), timeout=0.5)
    (process.folder / "hang").unlink()
    assert process.call("/admin/config-version")[1]["webhooks_digest"] == protocol.digest(NEW["webhooks"])
    process.kill()  # it would be polite to the one that waits


def test_it_stops_soon_when_asked(process: Process) -> None:
    (process.folder / "hang").write_text("30")
    with pytest.raises(TimeoutError):
        process.push(pair(), timeout=0.3)
    began = time.monotonic()
    process.process.send_signal(signal.SIGTERM)
    process.wait()
    assert time.monotonic() - began < 8


@pytest.mark.parametrize("tokens", [{}, {"CONFIG_ADMIN_TOKEN": " "}, {"CONFIG_ADMIN_TOKEN_FILE": "/nowhere"}])
def test_it_does_not_start_without_a_token(tmp_path: Path, tokens: dict[str, str]) -> None:
    command = [sys.executable, "-m", "sample_service", "--port", "0", "--dir", str(tmp_path), "--name", "x"]
    ended = subprocess.run(
        command,
        cwd=AGENT,
        env={"PATH": os.environ["PATH"], **tokens},
        capture_output=True,
        text=True,
        timeout=15,
    )
    assert ended.returncode == 1
    assert ended.stderr.startswith("sample_service: ")
    assert "Traceback" not in ended.stderr


def test_a_taken_port_is_a_clear_error(process: Process, tmp_path: Path) -> None:
    port = process.url.rsplit(":", 1)[1]
    ended = subprocess.run(
        [sys.executable, "-m", "sample_service", "--port", port, "--dir", str(tmp_path), "--name", "x"],
        cwd=AGENT,
        env={"PATH": os.environ["PATH"], "CONFIG_ADMIN_TOKEN": TOKEN},
        capture_output=True,
        text=True,
        timeout=15,
    )
    assert ended.returncode == 1
    assert "in use" in ended.stderr


def test_the_files_it_wrote_are_loaded_after_a_restart(process: Process) -> None:
    process.push(pair(sequence=5))
    process.kill()
    with Process(process.folder) as again:
        assert again.call("/webhook/new", b"{}")[0] == 200
        assert again.call("/admin/config-version")[1]["sequence"] == 5
        assert json.loads((process.folder / "webhooks.json.previous").read_text()) == OLD["webhooks"]


async def test_stats_count_what_each_webhook_accepted_and_a_file_makes_it_ill(client: Client, tmp_path: Path) -> None:
    assert (await client.get("/stats", token=None)).json == {}
    await push(client, counted={"module": "log"}, locked={"module": "log", "authorization": "Bearer s3cret"})
    for _ in range(3):
        await client.post("/webhook/counted", b"{}")
    assert (await client.post("/webhook/locked", b"", token=None)).status == 401
    assert (await client.get("/stats", token=None)).json == {"counted": {"total": 3}}
    assert (await client.get("/health", token=None)).json == {"status": "healthy", "service": "webhook-service"}
    (tmp_path / "ill").touch()
    assert (await client.get("/health", token=None)).status == 503
