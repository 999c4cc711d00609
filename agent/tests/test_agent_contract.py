"""The contract in docs/ is the agent's: digests, endpoints, codes, and every answer of a running instance."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.parts import TOKEN, Service, agent_for, lay
from tests.processes import AGENT, Process
from webhook_agent import protocol

DOCS = AGENT.parent / "docs"
VECTORS = json.loads((DOCS / "agent-digest-vectors.json").read_text())
OPENAPI = json.loads((DOCS / "agent-openapi.json").read_text())


@pytest.mark.parametrize("vector", VECTORS["digests"], ids=lambda vector: vector["name"])
def test_digests_are_those_of_the_vectors(vector: dict[str, str]) -> None:
    document = protocol.parse(vector["text"])
    assert json.dumps(document, sort_keys=True) == vector["canonical"]
    assert protocol.digest(document) == vector["digest"]
    assert protocol.short(vector["digest"]) == vector["version"]


@pytest.mark.parametrize("vector", VECTORS["refused"], ids=lambda vector: vector["name"])
def test_what_is_no_document_is_refused(vector: dict[str, str]) -> None:
    with pytest.raises(protocol.ProtocolError):
        protocol.parse(vector["text"])


def test_the_vectors_say_what_counts_and_what_does_not() -> None:
    digest = {vector["name"]: vector["digest"] for vector in VECTORS["digests"]}
    assert digest["key order does not count"] == digest["the same in another order"]
    assert digest["key order does not count"] == digest["formatting does not count"]
    assert digest["order in arrays counts"] != digest["the same array turned round"]
    assert digest["one and one point nought differ"] != digest["the float"]


def test_the_document_names_every_endpoint_method_code_and_capability(service: Service) -> None:
    endpoints = agent_for(service)._endpoints
    known = {f"/admin/{name}": method.lower() for name, (method, _) in endpoints._routes.items()}
    assert {path: next(iter(methods)) for path, methods in OPENAPI["paths"].items()} == known
    assert set(OPENAPI["components"]["schemas"]["Error"]["properties"]["code"]["enum"]) == protocol.CODES
    listed = OPENAPI["components"]["schemas"]["Info"]["properties"]["capabilities"]["items"]["enum"]
    assert {*endpoints._capabilities(), "read_only"} == set(listed)


def test_the_protocol_page_explains_every_code_and_outcome() -> None:
    page = (DOCS / "agent-protocol.md").read_text()
    for word in {*protocol.CODES, *protocol.OUTCOMES}:
        assert re.search(rf"`{word}`", page), word


def test_every_answer_of_a_running_instance_is_one_the_document_describes(tmp_path: Path) -> None:
    """schemathesis makes requests, valid and not, from the document, and holds each answer against it.

    One of its checks is left out: that a request which fits the schema is accepted. No schema can say that a digest
    is the document's, or what the host's validator thinks of an entry.
    """
    lay(tmp_path)
    command = [sys.executable, "-m", "schemathesis.cli", "run", str(DOCS / "agent-openapi.json")]
    command += ["--header", f"Authorization: Bearer {TOKEN}", "--phases", "examples,coverage,fuzzing"]
    command += ["--max-examples", "100", "--seed", "1", "--continue-on-failure", "--no-color"]
    command += ["--exclude-checks", "positive_data_acceptance"]
    with Process(tmp_path, SAMPLE_RATE="100000") as process:
        done = subprocess.run(
            [*command, "--url", process.url], cwd=tmp_path, capture_output=True, text=True, timeout=300
        )
        assert process.process.poll() is None
    print(done.stdout[-600:])  # noqa: T201
    assert done.returncode == 0, done.stdout
    found = re.search(r"(\d+) generated", done.stdout)
    assert found is not None
    assert int(found[1]) > 300
