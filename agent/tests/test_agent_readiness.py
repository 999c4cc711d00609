"""What a dry run tells of the host: names and yes or no, of the documents that were sent and of nothing else."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.parts import OLD, Service, client_for, held, leftovers, pair, single
from webhook_agent import Rejected, files, host, placeholders
from webhook_agent.readiness import WORDS

UPDATE = "/admin/config-update"
VECTORS = json.loads((Path(__file__).parents[2] / "docs" / "agent-digest-vectors.json").read_text())
SECRET = "hunter2-the-value"
REFERENCES = {
    "orders": {"module": "log", "authorization": "Bearer {$WA_TOKEN}", "note": "{$WA_NOTE:a default of its own}"},
    "twice": {"module": "log", "a": "{$WA_TWICE:one}", "b": "x {$WA_TWICE} y"},
    "vault": {"module": "log", "hmac": {"secret": "{$vault:kv/orders#key}", "other": "{$vault:kv/orders#two:dflt}"}},
}


async def ready(service: Service, document: Any = REFERENCES, **options: Any) -> dict[str, Any]:
    answer = await client_for(service, **options).post(UPDATE, single("webhooks", document, dry_run=True))
    found: dict[str, Any] = answer.json["readiness"]
    return found


@pytest.fixture(autouse=True)
def variables(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WA_TOKEN", SECRET)
    for name in ("WA_NOTE", "WA_TWICE"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize("vector", VECTORS["placeholders"], ids=lambda vector: vector["text"][:40])
def test_names_are_those_of_the_vectors(vector: dict[str, Any]) -> None:
    assert placeholders.names({"a": vector["text"]})[0] == vector["names"]


async def test_each_placeholder_is_told_of_by_name_and_no_value_is_among_it(service: Service) -> None:
    found = await ready(service)
    assert found["placeholders"] == {
        "WA_TOKEN": "yes",
        "WA_NOTE": "default",
        "WA_TWICE": "no",  # one of its places has no default
        "vault:kv/orders#key": "unknown",
        "vault:kv/orders#two": "unknown",
    }
    assert set(found["placeholders"].values()) <= set(WORDS)
    for value in (SECRET, "a default", "dflt"):
        assert value not in json.dumps(found)
    assert held(service.folder) == OLD
    assert leftovers(service.folder) == set()


async def test_the_host_says_what_it_can_resolve(service: Service) -> None:
    def can_resolve(names: Sequence[str]) -> dict[str, Any]:
        return {"vault:kv/orders#key": True, "vault:kv/orders#two": False, "WA_TOKEN": False, "WA_NOTE": "?", "X": True}

    found = (await ready(service, can_resolve=can_resolve))["placeholders"]
    assert found["vault:kv/orders#key"] == "yes"
    assert found["vault:kv/orders#two"] == "default"
    assert found["WA_TOKEN"] == "no"  # the host knows better than the environment
    assert found["WA_NOTE"] == "default"  # what is no yes or no is no answer
    assert "X" not in found


@pytest.mark.parametrize("how", ["breaks", "hangs", "says nothing"])
async def test_a_host_that_cannot_say_makes_everything_unknown_or_ours(
    service: Service, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    monkeypatch.setattr(host, "RESOLVE_SECONDS", 0.05)

    async def can_resolve(names: Sequence[str]) -> None:
        if how == "breaks":
            raise RuntimeError(SECRET)
        if how == "hangs":
            await asyncio.Event().wait()

    found = (await ready(service, can_resolve=can_resolve))["placeholders"]
    assert found["WA_TOKEN"] == ("yes" if how == "says nothing" else "unknown")


async def test_only_dry_runs_of_known_callers_are_told(service: Service) -> None:
    client = client_for(service)
    assert "readiness" not in (await client.post(UPDATE, single("webhooks", REFERENCES))).json
    refused = await client.post(UPDATE, single("webhooks", REFERENCES, dry_run=True), token="wrong")
    assert (refused.status, "WA_TOKEN" in refused.body.decode()) == (401, False)


async def test_it_can_be_switched_off(service: Service) -> None:
    client = client_for(service, allow_readiness=False)
    assert "readiness" not in (await client.get("/admin/instance-info")).json["capabilities"]
    answer = await client.post(UPDATE, single("webhooks", REFERENCES, dry_run=True))
    assert (answer.json["outcome"], "readiness" in answer.json) == ("validated", False)


async def test_a_refusal_tells_it_too(service: Service) -> None:
    def validate(kind: str, document: dict[str, Any]) -> None:
        raise Rejected("no such module")

    answer = await client_for(service, validate=validate).post(UPDATE, pair(dry_run=True))
    assert (answer.status, answer.json["outcome"]) == (422, "rejected")
    assert answer.json["readiness"]["validator"] is True
    assert (await ready(service))["validator"] is False


async def test_a_validators_words_are_not_told_when_they_quote_what_a_variable_stands_for(service: Service) -> None:
    """Else whoever may send a document could read any variable of the host, and without sending anything for real."""

    def validate(kind: str, document: dict[str, Any]) -> None:
        raise Rejected(f"Unknown module '{os.environ['WA_TOKEN']}' in orders")

    answer = await client_for(service, validate=validate).post(
        UPDATE, single("webhooks", {"orders": {"module": "{$WA_TOKEN}"}}, dry_run=True)
    )
    assert answer.json["error"] == host.QUOTES


async def test_guesses_beside_a_placeholder_do_not_learn_which_of_them_is_right(
    service: Service, caplog: pytest.LogCaptureFixture
) -> None:
    def validate(kind: str, document: dict[str, Any]) -> None:
        raise Rejected(f"These entries are wrong: {', '.join(document)}")

    guesses = {f"n1o2p3-{os.environ['WA_TOKEN']}": {}, "another-guess": {}, "x": {"module": "{$WA_TOKEN}"}}
    answer = await client_for(service, validate=validate).post(UPDATE, single("webhooks", guesses, dry_run=True))
    assert answer.json["error"] == host.QUOTES
    assert "another-guess" in caplog.text
    assert os.environ["WA_TOKEN"] not in caplog.text


async def test_the_number_of_names_is_bounded(service: Service) -> None:
    many = {f"e{number}": {"module": f"{{$WA_{number}}}"} for number in range(placeholders.MOST_NAMES + 7)}
    many["long"] = {"module": f"{{${'A' * (placeholders.LONGEST_NAME + 1)}}}"}
    many["ö"] = {"module": "{$ÖL}"}
    found = await ready(service, many)
    assert len(found["placeholders"]) == placeholders.MOST_NAMES
    assert found["placeholders_left_out"] == 9


async def test_the_disk_has_room_for_the_document_and_its_copies(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = await ready(service)
    assert (found["writable"], found["room"]) == (True, True)
    assert found["free_bytes"] >= found["needed_bytes"] > 2 * len(json.dumps(REFERENCES))
    monkeypatch.setattr(files, "free", lambda folder: 10)
    found = await ready(service)
    assert (found["writable"], found["room"], found["free_bytes"]) == (True, False, 10)


async def test_a_disk_that_does_not_say_is_unknown(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    def free(folder: Path) -> int:
        raise OSError("no such call here")

    monkeypatch.setattr(files, "free", free)
    found = await ready(service)
    assert (found["writable"], found["room"], found["free_bytes"], found["needed_bytes"]) == (True, None, None, None)


async def test_where_nothing_can_be_written_it_says_so(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "access", lambda path, mode: False)  # tests may run as root, who may write anywhere
    answer = await client_for(service).post(UPDATE, pair(dry_run=True))
    assert (answer.json["outcome"], answer.json["readiness"]["writable"]) == ("validated", False)


texts = st.text(alphabet=st.sampled_from(list("{}$:#/vault AB_é\n1")), max_size=40)


@given(documents=st.recursive(texts, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=20))
def test_only_names_that_stand_in_the_document_are_names_and_no_default_is(documents: Any) -> None:
    found, left_out = placeholders.names(documents)
    everything = "\n".join(placeholders._strings(documents))
    assert left_out >= 0
    for name in found:
        bare = name.rpartition("vault:")[2]
        assert all(part in everything for part in bare.split("#"))
        assert ":" not in bare  # what comes behind a colon is a default
