from __future__ import annotations

import json
from typing import Any

import pytest

from tests.parts import NEW, OLD, Client, Service, client_for, held, pair, single
from webhook_agent import protocol

UPDATE = "/admin/config-update"


@pytest.mark.parametrize("length", [16, 64])
async def test_a_digest_is_checked_against_the_document_that_arrived(client: Client, length: int) -> None:
    config = NEW["webhooks"]
    digest = protocol.digest(config)[:length]
    wrong = await client.post(UPDATE, single("webhooks", config, digest="0" * length, request_id="r"))
    assert wrong.status == 400
    assert wrong.json["code"] == "digest_mismatch"
    assert wrong.json["request_id"] == "r"
    assert (await client.post(UPDATE, single("webhooks", config, digest=digest))).status == 200


SHAPES: dict[str, Any] = {
    "no type": {"config": {"a": {}}},
    "an unknown type": single("secrets", {"a": {}}),
    "a type that is a list": single(["webhooks"], {"a": {}}),  # type: ignore[arg-type]
    "no config": {"type": "webhooks"},
    "a config that is a list": single("webhooks", [1]),
    "both forms": {**pair(), **single("webhooks", {"a": {}})},
    "no configs": {"configs": []},
    "configs that are no list": {"configs": {"webhooks": {}}},
    "a config that is no object": {"configs": ["webhooks"]},
    "one type twice": {"configs": [single("webhooks", {"a": {}})] * 2},
    "a sequence that is text": pair(sequence="7"),
    "a sequence that is true": pair(sequence=True),
    "a negative sequence": pair(sequence=-1),
    "a huge sequence": pair(sequence=2**63),
    "a dry_run that is text": pair(dry_run="no"),
    "a request_id that is a number": pair(request_id=1),
    "a request_id with a newline": pair(request_id="a\nb"),
    "a long request_id": pair(request_id="x" * 201),
    "a digest that is a number": single("webhooks", {"a": {}}, digest=1),
}


@pytest.mark.parametrize("body", SHAPES.values(), ids=SHAPES.keys())
async def test_it_refuses_what_is_not_a_request(client: Client, service: Service, body: Any) -> None:
    answer = await client.post(UPDATE, body)
    assert answer.status == 400
    assert (answer.json["status"], answer.json["code"]) == ("error", "shape")
    assert held(service.folder) == OLD


@pytest.mark.parametrize("body", [b"", b"[]", b"{", b'{"type": 1, "type": 2}', b"\xff", b'{"a": NaN}'])
async def test_it_refuses_what_is_not_json(client: Client, body: bytes) -> None:
    answer = await client.post(UPDATE, body)
    assert (answer.status, answer.json["code"]) == (400, "malformed")


async def test_a_document_may_nest_as_deep_as_it_may_in_a_file_and_no_deeper(client: Client) -> None:
    def nested(depth: int) -> Any:
        return json.loads('{"a":' + "[" * (depth - 1) + "]" * (depth - 1) + "}")

    deepest, deeper = nested(protocol.MAX_DEPTH), nested(protocol.MAX_DEPTH + 1)
    for body in (single("webhooks", deepest), pair({"webhooks": deepest})):
        assert (await client.post(UPDATE, body)).status == 200
    for body in (single("webhooks", deeper), pair({"webhooks": deeper})):
        answer = await client.post(UPDATE, body)
        assert (answer.status, answer.json["code"]) == (400, "malformed")


async def test_an_empty_document_needs_permission(client: Client, service: Service) -> None:
    answer = await client.post(UPDATE, single("connections", {}))
    assert (answer.status, answer.json["code"]) == (400, "empty")
    allowed = await client_for(service, allow_empty=True).post(UPDATE, single("connections", {}))
    assert allowed.json["outcome"] == "applied"
    assert held(service.folder)["connections"] == {}
