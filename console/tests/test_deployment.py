"""docker-compose.yml does what it says: its very commands, run as separate processes on Postgres and Redis over TCP.

No container engine is needed: what differs from a container is only where things are (ports, folders, host names),
and that is replaced here, word by word, in `Place`.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from http.cookiejar import CookieJar
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import psycopg
import pytest
import yaml

from console import secret_files
from console.bootstrap import ROOT
from console.embedded import postgres, redis
from console.testing_processes import Process, free_port, until

COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
IMAGE = (ROOT / "Dockerfile").read_text().rsplit("\nFROM ", 1)[1]
INSTANCES = [name for name in SERVICES if name.startswith("instance-")]


@dataclass
class Place:
    """Where things are here instead of in containers."""

    folder: Path
    ports: dict[str, int]  # service → port

    def words(self, service: str, text: str) -> str:
        """One word of the file as it is meant here: Compose's own variables, then paths and ports."""
        text = re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", text).replace("$$", "$")
        here = {
            "/run/secrets": str(self.folder / "secrets"),
            "/tmp": str(self.folder),  # noqa: S108 - the word in the file, not a folder of ours
            "/data": str(self.folder / service),
            "/app": str(ROOT),
            "0.0.0.0": "127.0.0.1",  # noqa: S104 - the word in the file
            "8000": str(self.ports.get(service, 8000)),
            "redis-cli": f"redis-cli -p {self.ports['redis']}",
        }
        found = "|".join(re.escape(word) for word in here)
        return re.sub(rf"(?<![\w.-])(?:{found})(?![\w.-])", lambda match: here[match[0]], text)

    def command(self, service: str) -> list[str]:
        return [self.words(service, str(word)) for word in SERVICES[service]["command"]]

    def environment(self, service: str) -> dict[str, str]:
        """The image's ENV, then the service's own; nothing of this process but a PATH with the same programs."""
        image = {
            name: self.words(service, value) for name, value in re.findall(r"^ENV (\w+)=(.*)$", IMAGE, re.MULTILINE)
        }
        image["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), str(self.folder / "bin"), "/usr/bin:/bin"])
        own = SERVICES[service].get("environment") or {}
        return {**image, **{name: self.words(service, str(value)) for name, value in own.items()}}

    def run(self, service: str, words: list[str]) -> str:
        done = subprocess.run(
            words, cwd=ROOT, env=self.environment(service), capture_output=True, text=True, timeout=120
        )
        assert done.returncode == 0, f"{words}: {done.stdout}{done.stderr}"
        return done.stdout

    def is_healthy(self, service: str) -> bool:
        kind, *words = SERVICES[service]["healthcheck"]["test"]
        words = [self.words(service, word) for word in words]
        words = ["sh", "-c", words[0]] if kind == "CMD-SHELL" else words
        done = subprocess.run(words, cwd=ROOT, env=self.environment(service), capture_output=True, timeout=60)
        return done.returncode == 0


@pytest.fixture
def place(scratch: Path) -> Iterator[Place]:
    """Postgres over TCP with the account that the image would make; folders, secrets and ports for all."""
    place = Place(scratch, {name: free_port() for name in ("postgres", "redis", "web", *INSTANCES)})
    secrets = {name: f"127.0.0.1:{place.ports[name]}" for name in ("postgres", "redis")}
    secret_files.make(scratch / "secrets", **secrets)
    for name in SERVICES:
        (scratch / name).mkdir()
    (scratch / "bin").mkdir()
    binary = redis.prepare(scratch / "none").binary
    for program in ("redis-server", "redis-cli"):
        (scratch / "bin" / program).symlink_to(binary.with_name(program) if program != "redis-server" else binary)
    server = postgres.prepare(scratch / "pg", fast=True)
    child = server.child(fast=True, log=scratch / "postgres.log", echo=False)
    child.command = [*child.command, "-c", "listen_addresses=127.0.0.1", "-c", f"port={place.ports['postgres']}"]
    child.start()
    try:
        socket = f"host={server.sockets} port={place.ports['postgres']} user=postgres dbname=postgres"
        connection = until(lambda: _connected(socket), what="Postgres")
        password = (scratch / "secrets" / "postgres_password").read_text().strip()
        with connection:
            connection.execute(
                psycopg.sql.SQL("CREATE ROLE console LOGIN PASSWORD {}").format(psycopg.sql.Literal(password))
            )
            connection.execute("CREATE DATABASE console OWNER console")
        yield place
    finally:
        child.stop()


def _connected(address: str) -> psycopg.Connection[Any] | None:
    try:
        return psycopg.connect(address, autocommit=True)
    except psycopg.OperationalError:
        return None


def test_every_command_of_the_compose_file_runs_and_together_they_deliver(place: Place) -> None:
    running: dict[str, Process] = {}

    def start(*services: str) -> None:
        for service in services:
            output = place.folder / f"{service}.log"
            command = place.command(service)
            if service == "redis":
                command[-1] += f" --port {place.ports['redis']} --dir {place.folder / 'redis'} --bind 127.0.0.1"
            running[service] = Process(command, place.environment(service), output)
            running[service].start()

    try:
        start("redis")
        until(lambda: place.is_healthy("redis"), what="a healthy Redis")
        place.run("migrate", place.command("migrate"))
        start("web", "worker", "beat", *INSTANCES)
        until(lambda: place.is_healthy("web"), what="a healthy web server")
        until(lambda: place.is_healthy("worker"), seconds=60, what="a healthy worker")
        printed = place.run("web", ["python", "manage.py", "create_admin"])
        password = printed.split("/")[-1].strip()
        assert set(SERVICES) == {*running, "migrate", "postgres"}

        browser = Browser(f"http://127.0.0.1:{place.ports['web']}")
        browser.post("/login/", username="admin", password=password)
        browser.post("/environments/new/", name="staging", protected="")
        token = (place.folder / "secrets" / "instance_token").read_text().strip()
        for name in INSTANCES:
            url = f"http://127.0.0.1:{place.ports[name]}"
            page = browser.post("/e/staging/instances/new/", name=name, base_url=url, token=token, labels="")
            waits = re.search(r"/instances/\d+/onboarding/now/", page)
            assert waits is not None
            until(lambda: "The agent answers" in browser.get(waits[0]), what="its first answer")  # noqa: B023 - used at once
        editor = browser.post("/e/staging/changes/new/")
        change = re.search(r"/changes/(\d+)/", editor)
        assert change is not None
        texts = {"webhooks": '{"orders": {"module": "log"}}', "connections": "{}"}
        browser.post(f"/changes/{change[1]}/edit/", title="First", **texts, save="1")
        ticked = re.findall(r'name="instance" value="(\d+)"', browser.get(f"/changes/{change[1]}/publish/"))
        browser.post(f"/changes/{change[1]}/publish/", instance=ticked)
        until(lambda: "3 of 3</strong> verified" in browser.get("/rollouts/1/"), seconds=30, what="three verified")
        for name in INSTANCES:
            assert _post(f"http://127.0.0.1:{place.ports[name]}/webhook/orders") == 200
        assert "8 of 8" in until(lambda: _doctor(place), seconds=30, what="a doctor without complaints")
    finally:
        for process in reversed(running.values()):
            process.stop()
            sys.stdout.write(f"--- {process.output.name}\n{process.output.read_text(errors='replace')[-3000:]}\n")


def _doctor(place: Place) -> str:
    done = subprocess.run(
        ["python", "manage.py", "doctor"], cwd=ROOT, env=place.environment("web"), capture_output=True, text=True
    )
    return f"{done.stdout.count('ok ')} of 8" if done.returncode == 0 else ""


def _post(url: str) -> int:
    request = urllib.request.Request(url, data=b"{}", method="POST")  # noqa: S310 - our own http address
    with urllib.request.urlopen(request, timeout=5) as answer:  # noqa: S310
        return int(answer.status)


class Browser:
    """Just enough of one: cookies, and forms with their token."""

    def __init__(self, base: str) -> None:
        self.base = base
        self.cookies = CookieJar()
        self.opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(self.cookies))

    def get(self, path: str) -> str:
        with self.opener.open(self.base + path, timeout=20) as answer:
            return str(answer.read().decode())

    def post(self, path: str, **fields: Any) -> str:
        if not any(cookie.name == "csrftoken" for cookie in self.cookies):
            self.get("/login/")
        token = next(cookie.value for cookie in self.cookies if cookie.name == "csrftoken")
        body = urlencode({**fields, "csrfmiddlewaretoken": token}, doseq=True).encode()
        with self.opener.open(self.base + path, data=body, timeout=20) as answer:
            return str(answer.read().decode())


def test_every_secret_is_a_file_that_one_command_makes(tmp_path: Path) -> None:
    made = secret_files.make(tmp_path / "s")
    assert sorted(made) == sorted(COMPOSE["secrets"])
    assert (tmp_path / "s").stat().st_mode & 0o777 == 0o700
    before = {path.name: path.read_text() for path in (tmp_path / "s").iterdir()}
    (tmp_path / "s" / "secret_key").unlink()
    assert secret_files.make(tmp_path / "s") == ["secret_key"]
    assert (tmp_path / "s" / "seal_keys").read_text() == before["seal_keys"]
    for service in SERVICES.values():
        assert set(service.get("secrets", [])) <= set(COMPOSE["secrets"])
        for name, value in (service.get("environment") or {}).items():
            secret = re.search(r"PASSWORD|TOKEN|KEY|SECRET|_URL$", name)
            assert not secret or name.endswith("_FILE") or name == "CONSOLE_PUBLIC_URL", (name, value)


def test_the_image_copies_what_is_there_and_keeps_secrets_and_data_out() -> None:
    ignored = (ROOT / ".dockerignore").read_text().split()
    assert {".git", ".data", ".secrets", ".env", ".venv"} <= set(ignored)
    assert "USER console" in IMAGE
    for service in SERVICES.values():
        if service.get("image") == "webhook-console":
            assert service["read_only"] is True
            assert service["cap_drop"] == ["ALL"]
