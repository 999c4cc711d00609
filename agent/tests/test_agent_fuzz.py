"""Whatever arrives: a documented answer, nothing touched beside the two documents, and the host goes on.

WEBHOOK_AGENT_FUZZ is the number of inputs for each of the four attacks (500; the full run takes 5000).
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.parts import OLD, TOKEN, Client, Service, agent_for, lay, nothing
from webhook_agent import protocol

EXAMPLES = int(os.environ.get("WEBHOOK_AGENT_FUZZ", "500"))
DOCUMENTED = {200, 400, 401, 403, 404, 405, 409, 413, 422, 429, 503}
OURS = {
    "webhooks.json",
    "connections.json",
    ".webhook_agent.journal",
    ".webhook_agent.workers",
    ".webhook_agent.drained",
    ".webhook_agent.identity",
}
OURS |= {f"{kind}.json.previous" for kind in protocol.KINDS} | {f".{kind}.json.good" for kind in protocol.KINDS}

attack = settings(
    max_examples=EXAMPLES, deadline=None, database=None, suppress_health_check=list(HealthCheck), print_blob=False
)


class Target:
    """One agent for many inputs; what lies round its folder must not change."""

    def __init__(self, base: Path) -> None:
        self.base = base
        self.folder = base / "service"
        self.folder.mkdir()
        (base / "secret.json").write_text('{"outside": true}')
        lay(self.folder)
        self.loop = asyncio.new_event_loop()
        limits = dict.fromkeys(("requests_per_second", "requests_per_second_in_all", "failures_per_minute"), 1e9)
        self.client = Client(agent_for(Service(self.folder), max_body=20_000, **limits).wrap(nothing))
        self.statuses: Counter[int] = Counter()

    def send(self, method: str, path: str, body: Any, **options: Any) -> None:
        answer = self.loop.run_until_complete(self.client.call(method, path, body, **options))
        self.statuses[answer.status] += 1
        assert answer.status in DOCUMENTED, (answer.status, answer.body)
        if answer.body != b"the host":
            said = json.loads(answer.body)
            if answer.status != 200 and said.get("status") != "draining":
                assert said["status"] == "error"
                assert said["code"] in protocol.CODES
                assert str(self.base) not in said["error"]
                assert TOKEN not in said["error"]
        assert {path.name for path in self.base.iterdir()} == {"service", "secret.json"}
        assert (self.base / "secret.json").read_text() == '{"outside": true}'
        assert {path.name for path in self.folder.iterdir()} <= OURS

    def close(self) -> None:
        """Both documents are whole, and the agent still takes one."""
        for kind in protocol.KINDS:
            protocol.parse((self.folder / f"{kind}.json").read_bytes())
        update = {"configs": [{"type": kind, "config": config} for kind, config in OLD.items()]}
        assert self.loop.run_until_complete(self.client.post("/admin/config-update", update)).status == 200
        for task in asyncio.all_tasks(self.loop):
            task.cancel()
        self.loop.run_until_complete(asyncio.sleep(0))
        self.loop.close()
        print(f"{self.statuses.total()} inputs, answers {dict(sorted(self.statuses.items()))}")  # noqa: T201


@pytest.fixture(scope="module")
def target() -> Iterator[Target]:
    base = Path(tempfile.mkdtemp(prefix="fuzz-"))
    made = Target(base)
    yield made
    made.close()
    shutil.rmtree(base)


scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20)
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
names = st.sampled_from(["../../etc/passwd", "webhooks", "connections", "WEBHOOKS", "", "\x00", "journal"]) | st.text(
    max_size=8
)
entries = st.dictionaries(
    st.text(max_size=8), st.dictionaries(st.text(max_size=8), values, max_size=3) | values, max_size=3
)
updates = st.fixed_dictionaries(
    {},
    optional={
        "type": st.sampled_from(list(protocol.KINDS)) | names | values,
        "config": entries | values,
        "configs": st.lists(
            st.fixed_dictionaries({}, optional={"type": names, "config": entries | values, "digest": values}),
            max_size=3,
        )
        | values,
        "digest": values,
        "sequence": st.integers() | values,
        "dry_run": st.booleans() | values,
        "version": values,
        "request_id": values,
        "source": values,
    },
)
endpoints = st.sampled_from(
    ["config-update", "reload-config", "config-version", "instance-info", "config", "drain", "undrain", "health"]
)
header_bytes = st.binary(max_size=60)


@attack
@given(update=updates)
def test_requests_of_nearly_the_right_shape(target: Target, update: dict[str, Any]) -> None:
    target.send("POST", "/admin/config-update", json.dumps(update).encode())


@attack
@given(
    endpoint=endpoints,
    body=st.binary(max_size=300) | st.text(max_size=200).map(lambda text: text.encode("utf-8", "replace")),
)
def test_bodies_that_are_anything(target: Target, endpoint: str, body: bytes) -> None:
    target.send("POST", f"/admin/{endpoint}", body)


@attack
@given(
    method=st.sampled_from(["GET", "POST", "PUT", "DELETE", "OPTIONS", "HEAD", "x"]),
    path=st.lists(
        st.sampled_from(["admin", "config", "..", "%2e%2e", "", ".", "config-update", "\x00", "config?type=../x"]),
        max_size=6,
    ).map(lambda parts: "/" + "/".join(parts))
    | st.text(max_size=40).map(lambda text: f"/admin/{text}"),
)
def test_paths_and_methods_that_are_anything(target: Target, method: str, path: str) -> None:
    target.send(method, path, b"")


@attack
@given(
    endpoint=endpoints,
    token=st.none() | st.text(alphabet=st.characters(max_codepoint=255), max_size=40),
    headers=st.lists(
        st.tuples(
            st.sampled_from([b"authorization", b"content-length", b"content-type", b"x-config-signature", b"host", b""])
            | header_bytes,
            header_bytes | st.sampled_from([b"99999999999999999999", b"-1", b"Bearer " + TOKEN.encode(), b"\r\nx: y"]),
        ),
        max_size=4,
    ),
    chunks=st.lists(st.binary(max_size=9000), min_size=1, max_size=4),
)
def test_headers_and_chunks_that_are_anything(
    target: Target, endpoint: str, token: str | None, headers: list[tuple[bytes, bytes]], chunks: list[bytes]
) -> None:
    sent = token.encode("latin-1").decode("latin-1") if token is not None else None
    target.send("POST", f"/admin/{endpoint}", chunks, token=sent, headers=headers)
