"""What a rollout is measured against, in the same run: the seed's coordinator and curl. Both only POST.

The seed is the pattern of the first proposal: a new client per request, all gathered at once, no read-back. This
is the one place outside instances_app.client that may import httpx: it is the reference, not a way to push.
"""

from __future__ import annotations

import asyncio
import resource
import shutil
import subprocess
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import httpx

CURL_PARALLEL = 100


def seed(urls: Sequence[str], body: bytes, token: str) -> dict[str, Any]:
    """{"wall_s", "cpu_s", "ok"}: one new httpx.AsyncClient per request, all started at once."""
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}

    async def one(url: str) -> bool:
        try:
            async with httpx.AsyncClient(timeout=60.0, trust_env=False) as client:
                answer = await client.post(f"{url}/admin/config-update", content=body, headers=headers)
                answer.raise_for_status()
                return bool(answer.json().get("status") == "success")
        except httpx.HTTPError:
            return False

    async def everybody() -> list[bool]:
        return await asyncio.gather(*(one(url) for url in urls))

    cpu, wall = time.process_time(), time.perf_counter()
    done = asyncio.run(everybody())
    return {
        "wall_s": round(time.perf_counter() - wall, 3),
        "cpu_s": round(time.process_time() - cpu, 3),
        "ok": sum(done),
    }


def curl(urls: Sequence[str], body: bytes, token: str) -> dict[str, Any] | None:
    """The same for `curl --parallel`, or None where there is no curl."""
    executable = shutil.which("curl")
    if executable is None:
        return None
    with tempfile.TemporaryDirectory() as folder:
        payload, config = Path(folder) / "body.json", Path(folder) / "curl.conf"
        payload.write_bytes(body)
        common = [f'header = "Authorization: Bearer {token}"', 'header = "Content-Type: application/json"']
        common += ['header = "Expect:"', f'data-binary = "@{payload}"', 'output = "/dev/null"', "silent"]
        common += ['write-out = "%{http_code}\\n"', "max-time = 60"]
        blocks = ["\n".join([f'url = "{url}/admin/config-update"', *common]) for url in urls]
        config.write_text("\nnext\n".join(blocks) + "\n")
        command = [executable, "--parallel", "--parallel-immediate", "--parallel-max", str(CURL_PARALLEL)]
        before, wall = _children_cpu(), time.perf_counter()
        done = subprocess.run([*command, "--config", str(config)], capture_output=True, text=True)
        elapsed = time.perf_counter() - wall
    return {
        "wall_s": round(elapsed, 3),
        "cpu_s": round(_children_cpu() - before, 3),
        "ok": done.stdout.split().count("200"),
    }


def _children_cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime
