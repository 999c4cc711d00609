"""The wheel builds, installs into an empty environment of the oldest Python there is, and works there."""

from __future__ import annotations

import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.processes import AGENT

SMOKE = """
import asyncio, json, sys
from pathlib import Path
import webhook_agent
from webhook_agent import ConfigAgent, boot_guard, protocol
from webhook_agent.adapters import webhook_service

folder = Path(sys.argv[1])
loaded = []
assert boot_guard(webhooks_path=folder / "webhooks.json", connections_path=folder / "connections.json") == []
agent = ConfigAgent(
    webhooks_path=folder / "webhooks.json",
    connections_path=folder / "connections.json",
    tokens="t",
    reload=loaded.append,
)

async def host(scope, receive, send):
    raise AssertionError("not for the host")

async def call(method, path, body=b""):
    sent = []
    async def receive():
        return {"type": "http.request", "body": body, "more_body": False}
    async def send(message):
        sent.append(message)
    headers = [(b"authorization", b"Bearer t")]
    scope = {"type": "http", "method": method, "path": path, "headers": headers, "query_string": b"", "client": None}
    await agent.wrap(host)(scope, receive, send)
    return sent[0]["status"], json.loads(sent[1]["body"])

async def main():
    document = {"orders": {"module": "log"}}
    update = {"type": "webhooks", "config": document}
    status, answer = await call("POST", "/admin/config-update", json.dumps(update).encode())
    assert (status, answer["outcome"]) == (200, "applied"), answer
    status, version = await call("GET", "/admin/config-version")
    assert version["webhooks_digest"] == protocol.digest(document)
    assert version["workers"] == {"alive": 1, "loaded": 1}
    await agent.stop()

asyncio.run(main())
assert loaded == [("webhooks",)]
print(webhook_agent.__version__, sys.version.split()[0])
"""


def uv(*words: str) -> str:
    program = Path(sys.executable).with_name("uv")
    done = subprocess.run([str(program), "--quiet", *words], capture_output=True, text=True, cwd=AGENT, timeout=300)
    assert done.returncode == 0, done.stderr
    return done.stdout


def oldest_python() -> str:
    """3.9 if the machine has one, on PATH or in pyenv; else the next."""
    pyenv = Path.home() / ".pyenv" / "versions"
    for minor in range(9, sys.version_info[1]):
        found = shutil.which(f"python3.{minor}")
        installed = sorted(pyenv.glob(f"3.{minor}.*/bin/python3.{minor}"))
        if found and subprocess.run([found, "-c", ""], capture_output=True).returncode == 0:
            return found
        if installed:
            return str(installed[-1])
    return sys.executable


def test_the_wheel_works_in_an_empty_environment_of_the_oldest_python(tmp_path: Path) -> None:
    uv("build", "--wheel", "--system-certs", "--out-dir", str(tmp_path), ".")
    (wheel,) = tmp_path.glob("*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    assert "webhook_agent/py.typed" in names
    assert "webhook_agent/adapters/webhook_service.py" in names
    assert not [name for name in names if name.startswith(("sample_service", "tests"))]
    metadata = zipfile.ZipFile(wheel).read(next(name for name in names if name.endswith("METADATA"))).decode()
    assert "Requires-Dist" not in metadata

    environment = tmp_path / "environment"
    uv("venv", "--python", oldest_python(), str(environment))
    python = environment / "bin" / "python"
    uv("pip", "install", "--offline", "--no-deps", "--python", str(python), str(wheel))
    folder = tmp_path / "service"
    folder.mkdir()
    done = subprocess.run(
        [str(python), "-c", SMOKE, str(folder)], capture_output=True, text=True, cwd=tmp_path, timeout=60
    )
    assert done.returncode == 0, done.stderr
    print(done.stdout)  # noqa: T201


@pytest.mark.parametrize("module", sorted(path.stem for path in (AGENT / "webhook_agent").glob("*.py")))
def test_every_module_needs_the_standard_library_only(module: str) -> None:
    code = f"import sys; before = set(sys.modules); import webhook_agent.{module}; "
    code += "names = {n.partition('.')[0] for n in set(sys.modules) - before} - {'webhook_agent'}; "
    code += "print(sorted(n for n in names if n not in sys.stdlib_module_names))"
    done = subprocess.run([sys.executable, "-S", "-c", code], capture_output=True, text=True, cwd=AGENT)
    assert done.stdout.strip() == "[]", done.stdout + done.stderr
