from __future__ import annotations

import pytest

from tests.parts import OLD, TOKEN, Answer, Client, Service, agent_for, client_for, held, pair, single
from webhook_agent.limits import MAX_CLIENTS, Buckets, Tokens, client_key

ENDPOINTS = [
    ("POST", "/admin/config-update"),
    ("POST", "/admin/reload-config"),
    ("GET", "/admin/config-version"),
    ("GET", "/admin/instance-info"),
    ("GET", "/admin/config"),
]


@pytest.mark.parametrize(("method", "path"), ENDPOINTS)
@pytest.mark.parametrize("token", [None, "", "wrong", TOKEN[:-1], TOKEN + "x", TOKEN.upper(), "ü"])
async def test_every_endpoint_needs_the_token(
    client: Client, service: Service, method: str, path: str, token: str | None
) -> None:
    answer = await client.call(method, path, pair(), token=token)
    assert answer.status == 401
    assert answer.headers["www-authenticate"] == "Bearer"
    assert answer.json == {
        "status": "error",
        "error": "This needs `Authorization: Bearer <token>`.",
        "code": "unauthorised",
    }
    assert held(service.folder) == OLD


@pytest.mark.parametrize(
    "headers",
    [
        [(b"authorization", TOKEN.encode())],
        [(b"authorization", b"Basic " + TOKEN.encode())],
        [(b"authorization", b"Bearer " + TOKEN.encode())] * 2,
    ],
)
async def test_only_one_bearer_header_counts(client: Client, headers: list[tuple[bytes, bytes]]) -> None:
    assert (await client.call("GET", "/admin/config-version", token=None, headers=headers)).status == 401


async def test_any_of_several_tokens_opens(service: Service) -> None:
    client = client_for(service, tokens=["first-token", "second-token\n"])
    for token in ("first-token", "second-token"):
        assert (await client.get("/admin/config-version", token=token)).status == 200
    assert (await client.get("/admin/config-version", token="third-token")).status == 401


@pytest.mark.parametrize("tokens", ["", "  ", [], [""], ["good", ""], ["good", " "], "two words", "schlüssel"])
def test_it_is_not_constructed_without_a_usable_token(service: Service, tokens: object) -> None:
    with pytest.raises(ValueError, match="token"):
        agent_for(service, tokens=tokens)


async def test_wrong_tokens_are_limited_tightly_per_address(service: Service) -> None:
    client = client_for(service, failures_per_minute=30)
    statuses = [(await client.get("/admin/config-version", token="wrong")).status for _ in range(15)]
    assert statuses == [401] * 10 + [429] * 5
    answer = await client.get("/admin/config-version", token="wrong")
    assert answer.json["code"] == "rate_limited"
    assert 1 <= int(answer.headers["retry-after"]) <= 2
    assert (await client.get("/admin/config-version")).status == 429  # or guessing would go on at full speed
    elsewhere = Client(client.app, address="192.0.2.8")
    assert (await elsewhere.get("/admin/config-version")).status == 200


async def test_requests_with_a_token_are_limited_loosely(service: Service) -> None:
    client = client_for(service, requests_per_second=0.5)
    answers: list[Answer] = [await client.get("/admin/config-version") for _ in range(3)]
    assert [answer.status for answer in answers] == [200, 200, 429]
    assert 1 <= int(answers[-1].headers["retry-after"]) <= 2


async def test_the_default_lets_two_hundred_requests_through_at_once(client: Client) -> None:
    for _ in range(200):
        assert (await client.get("/admin/instance-info")).status == 200


async def test_a_body_over_the_limit_is_refused_by_its_announced_length(service: Service) -> None:
    client = client_for(service, max_body=1000)
    answer = await client.call("POST", "/admin/config-update", b"{}", headers=[(b"content-length", b"1001")])
    assert (answer.status, answer.json["code"]) == (413, "too_large")


async def test_a_body_over_the_limit_is_refused_while_it_streams(service: Service) -> None:
    client = client_for(service, max_body=1000)
    chunks = [b"x" * 100] * 11
    assert (await client.post("/admin/config-update", chunks)).status == 413
    assert (await client.post("/admin/reload-config", chunks)).status == 413
    endless = [b"x" * 1000] * 100  # it does not listen for ever, either
    assert (await client.post("/admin/config-update", endless)).status == 413
    assert (await client.post("/admin/config-update", single("webhooks", {"a": {}}))).status == 200


async def test_a_body_in_pieces_is_put_together(client: Client) -> None:
    whole = b'{"type": "webhooks", "config": {"a": {"module": "log"}}}'
    answer = await client.post("/admin/config-update", [whole[:10], b"", whole[10:]])
    assert answer.json["outcome"] == "applied"


def test_buckets_fill_with_time_and_are_bounded() -> None:
    now = [0.0]
    buckets = Buckets(per_second=0.5, burst=2, clock=lambda: now[0])
    assert [buckets.take("a") for _ in range(3)] == [0.0, 0.0, 2.0]
    assert buckets.take("b") == 0.0
    now[0] = 1.0
    assert buckets.take("a") == 1.0
    now[0] = 2.0
    assert [buckets.take("a"), buckets.take("a")] == [0.0, 2.0]
    for number in range(MAX_CLIENTS + 5):
        buckets.take(f"client {number}")
    assert len(buckets._levels) == MAX_CLIENTS


def test_one_network_is_one_client() -> None:
    assert client_key("192.0.2.7") == "192.0.2.7"
    assert client_key("::ffff:192.0.2.7") == "192.0.2.7"
    assert client_key("2001:db8:1:2::1") == client_key("2001:db8:1:2:ffff::9")
    assert client_key("2001:db8:1:2::1") != client_key("2001:db8:1:3::1")
    assert client_key("") == ""


def test_tokens_are_not_kept_in_clear() -> None:
    assert TOKEN not in repr(vars(Tokens(TOKEN)))
