"""Every rule of the catalogue: something it finds, and something close to it that it leaves alone."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from configs_app import validation
from configs_app.validation import Target, entries, placeholders
from configs_app.validation.catalogue import READING, RULES, About, Plan

OPEN = {"module": "log"}
CLOSED = {"module": "log", "authorization": "Bearer {$TOKEN}"}
RABBIT = {"type": "rabbitmq", "host": "rabbit", "port": 5672, "pass": "{$PASS}"}
CONNECTIONS: dict[str, dict[str, Any]] = {
    "mq": RABBIT,
    "pg": {"type": "postgresql", "host": "pg", "port": 5432},
    "k": {"type": "kafka"},
    "s": {"type": "s3"},
}


def with_(**more: Any) -> dict[str, Any]:
    return {**CLOSED, **more}


def queue(**more: Any) -> dict[str, Any]:
    return with_(**{"module": "rabbitmq", "connection": "mq", "module-config": {"queue_name": "q"}, **more})


def auth(name: str, **keys: Any) -> dict[str, Any]:
    return {"module": "log", name: keys}


def chain(*items: Any, **more: Any) -> dict[str, Any]:
    return {"chain": list(items), "authorization": "Bearer {$T}", **more}


def sqs(**config: Any) -> dict[str, Any]:
    return with_(module="aws_sqs", **{"module-config": config})


def store(**config: Any) -> dict[str, Any]:
    return with_(module="postgresql", connection="pg", **{"module-config": config})


BLANKS: list[Any] = ["", "  ", None, 5, {}]
EMPTIES: list[Any] = [{}, None]
OAUTH2 = {"introspection_endpoint": "https://auth.example.com/i"}
# rule → entries it finds, entries it does not. `w` webhooks (beside CONNECTIONS), `c` connections.
CASES: list[tuple[str, str, list[Any], list[Any]]] = [
    (
        "B17",
        "w",
        [
            sqs(queue_name="orders.fifo"),
            sqs(queue_name="or ders"),
            sqs(queue_url="https://sqs.eu-west-1.amazonaws.com/1/q.fifo"),
            sqs(queue_url="http://localhost:4566/000000000000/q"),
            sqs(queue_url="https://sqs.eu-central-1.amazonaws.com/123456789012/" + "q" * 40),
        ],
        [sqs(queue_name="orders"), sqs(queue_url="https://sqs.eu-west-1.amazonaws.com/1/q")],
    ),
    ("A1", "w", [with_(authorization=v) for v in BLANKS], [CLOSED, OPEN]),
    (
        "A2",
        "w",
        [
            *(
                with_(**{k: v})
                for k in ("basic_auth", "jwt", "hmac", "oauth2", "rate_limit", "json_schema")
                for v in EMPTIES
            ),
            with_(recaptcha={}),
            with_(ip_whitelist=[]),
            *(with_(**{k: None}) for k in ("digest_auth", "oauth1", "header_auth", "query_auth")),
        ],
        [with_(digest_auth={}), with_(rate_limit={"max_requests": 5}), CLOSED],
    ),
    ("A3", "w", [OPEN], [CLOSED, auth("hmac", secret="{$S}")]),
    ("A4", "w", [CLOSED, auth("hmac", secret="{$S}")], [with_(authorization="Bearer {$vault:a#b}")]),
    (
        "A5",
        "w",
        [with_(authorization="{$T:}"), with_(authorization="Bearer {$T: }"), auth("hmac", secret="{$S:}")],
        [CLOSED, auth("oauth1", consumer_key="{$K}", consumer_secret="{$S}", token_secret="{$T:}")],
    ),
    (
        "A6",
        "w",
        [with_(authorization="Bearer {$T:abc}"), with_(authorization="{$vault:a#b:abc}")],
        [CLOSED, with_(note="{$X:abc}")],
    ),
    ("A6", "c", [{**RABBIT, "pass": "{$P:hunter2}"}], [RABBIT, {**RABBIT, "user": "{$U:guest}"}]),
    (
        "A7",
        "w",
        [auth("oauth2", validate_token=False), auth("oauth2", **OAUTH2, validate_token=False)],
        [auth("oauth2", jwt_secret="{$S}", validate_token=False), auth("oauth2", **OAUTH2)],
    ),
    ("A8", "w", [auth("oauth2", client_id="x")], [auth("oauth2", **OAUTH2), auth("oauth2", jwt_secret="{$S}")]),
    (
        "A9",
        "w",
        [
            auth("oauth2", introspection_endpoint=u)
            for u in (
                "https://127.0.0.1/i",
                "https://localhost/i",
                "https://10.0.0.1/",
                "http://auth.example.com/i",
                "https://[::1]/",
            )
        ],
        [auth("oauth2", **OAUTH2), auth("oauth2", introspection_endpoint="{$URL}")],
    ),
    (
        "A10",
        "w",
        [
            auth("hmac", header="X"),
            auth("jwt", secret="{$S}", algorithm="none"),
            auth("basic_auth", username="u"),
            with_(header_auth="x"),
            auth("query_auth", api_key=5),
            auth("hmac", secret="{$S}", algorithm="md5"),
            auth("oauth2", **OAUTH2, required_scope="read"),
            with_(digest_auth={}),
        ],
        [
            auth("hmac", secret="{$S}", algorithm="SHA512"),
            auth("jwt", secret="{$S}", algorithm="rs256"),
            auth("oauth2", **OAUTH2, required_scope=["read"]),
        ],
    ),
    (
        "A11",
        "w",
        [
            with_(basic_auth={"username": "u", "password": "{$P}"}),
            with_(jwt={"secret": "{$S}"}),
            with_(authorization="plain", jwt={"secret": "{$S}"}),
        ],
        [with_(hmac={"secret": "{$S}"}), with_(authorization="Basic {$B}")],
    ),
    (
        "A12",
        "w",
        [with_(ip_whitelist=["10.0.0.0/8"]), with_(ip_whitelist=["host"]), with_(ip_whitelist="10.0.0.1")],
        [with_(ip_whitelist=["10.0.0.1", "2001:db8::1", "{$IP}"])],
    ),
    (
        "A13",
        "w",
        [with_(trusted_proxies="10.0.0.1"), with_(trusted_proxies=["10.0.0.0/8"])],
        [with_(trusted_proxies=["10.0.0.1"])],
    ),
    ("A14", "w", [auth("header_auth", api_key="{$K}")], [auth("header_auth", api_key="{$K}", case_sensitive=True)]),
    (
        "A15",
        "w",
        [
            auth("digest_auth", username="u", password="{$P}", algorithm="SHA-256"),
            auth("oauth1", consumer_key="k", consumer_secret="{$S}", signature_method="RSA-SHA1"),
        ],
        [
            auth("digest_auth", username="u", password="{$P}", algorithm="md5"),
            auth("oauth1", consumer_key="k", consumer_secret="{$S}", signature_method="PLAINTEXT"),
        ],
    ),
    (
        "A16",
        "w",
        [with_(credential_cleanup={"mode": "hide"}), with_(credential_cleanup={"fields": "a"})],
        [with_(credential_cleanup={"mode": "Remove", "fields": ["a"]}), CLOSED],
    ),
    (
        "A17",
        "w",
        [with_(**{"module-config": {"redact_sensitive": False}})],
        [with_(**{"module-config": {"redact_sensitive": True}})],
    ),
    (
        "A19",
        "w",
        [
            with_(authorisation="x"),
            with_(HMAC={"secret": "{$S}"}),
            with_(rate_limits={}),
            with_(**{"ip-whitelist": []}),
        ],
        [with_(description="x"), with_(colour="x")],
    ),
    (
        "A20",
        "c",
        [{"type": "mqtt", "tls_insecure": True}, {"type": "mqtt", "tls_insecure": "false"}],
        [{"type": "mqtt", "tls_insecure": False}],
    ),
    (
        "A23",
        "w",
        [with_(authorization="‹secret 3f9a2c81d04b›"), with_(note="see ‹secret 3f9a2c›"), with_(a=[{"b": "‹secret"}])],
        [with_(note="‹ a secret ›"), with_(authorization="{$SECRET}")],
    ),
    ("A23", "c", [{"type": "kafka", "password": "‹secret 3f9a2c81d04b·5d21a7›"}], [{"type": "kafka"}]),
    (
        "A22",
        "w",
        [with_(authorization="Bearer abc"), auth("hmac", secret="abc")],
        [CLOSED, with_(authorization="Bearer {$vault:a#b}")],
    ),
    (
        "A22",
        "c",
        [{**RABBIT, "pass": "x"}, {"type": "s3", "aws_secret_access_key": "x"}],
        [RABBIT, {"type": "s3", "aws_access_key_id": "x"}],
    ),
    (
        "B2",
        "w",
        [with_(module="http_webhook", **{"module-config": {"url": "https://example.com"}}), chain("websocket")],
        [CLOSED],
    ),
    (
        "B3",
        "w",
        [
            {},
            with_(module="teleport"),
            with_(module=5),
            queue(**{"module-config": {}}),
            queue(**{"module-config": {"queue_name": "a b"}}),
            with_(module="redis_publish"),
            with_(module="aws_sqs"),
            with_(module="s3", **{"module-config": {"bucket": "b", "prefix": "/x"}}),
            store(table="select"),
            with_(module="kafka", connection="k", topic="list.x"),
        ],
        [
            CLOSED,
            queue(),
            with_(module="kafka", connection="k", topic="events"),
            store(table="events"),
            with_(module="{$MODULE}"),
            with_(module=" log "),
            with_(module="redis_publish", redis={"host": "cache.example.com"}),
        ],
    ),
    (
        "B4",
        "w",
        [
            queue(connection="gone"),
            queue(connection="pg"),
            with_(module="rabbitmq", **{"module-config": {"queue_name": "q"}}),
            queue(connection=5),
            with_(module="s3", connection="mq", **{"module-config": {"bucket": "b"}}),
        ],
        [
            queue(),
            queue(connection="{$MQ}"),
            with_(module="s3", **{"module-config": {"bucket": "b"}}),
            with_(connection="gone"),
        ],
    ),
    (
        "B5",
        "w",
        [chain({"module": "rabbitmq", "module-config": {"queue_name": "q"}}, connection="mq"), chain("kafka")],
        [chain({"module": "rabbitmq", "connection": "mq", "module-config": {"queue_name": "q"}}), chain("log")],
    ),
    (
        "B6",
        "w",
        [with_(retry=None), with_(retry=3), with_(redis=None), with_(recaptcha=None)],
        [with_(retry={}), chain("log", retry=3)],
    ),
    (
        "B7",
        "w",
        [with_(credential_cleanup=None), with_(credential_cleanup=False)],
        [with_(credential_cleanup={"enabled": False})],
    ),
    (
        "B8",
        "w",
        [with_(data_type="xml"), with_(data_type=None), queue(data_type="blob")],
        [with_(data_type="blob"), with_(data_type="json")],
    ),
    (
        "B9",
        "w",
        [
            with_(rate_limit={"max_requests": "5"}),
            with_(rate_limit={"max_requests": -1}),
            with_(rate_limit={"window_seconds": 0}),
            with_(rate_limit=5),
        ],
        [with_(rate_limit={"max_requests": 5, "window_seconds": 0.5})],
    ),
    (
        "B10",
        "w",
        [
            with_(json_schema={"type": "objekt"}),
            with_(json_schema=[1]),
            with_(json_schema={"$ref": "https://example.com/s.json"}),
        ],
        [with_(json_schema={"type": "object", "$defs": {"a": {}}, "properties": {"a": {"$ref": "#/$defs/a"}}})],
    ),
    (
        "B11",
        "w",
        [
            with_(rate_limit={"max_requests": "{$N:5}"}),
            with_(**{"module-config": {"pretty_print": "{$P:false}"}}),
            with_(retry={"max_attempts": "{$N}"}),
        ],
        [with_(rate_limit={"max_requests": 5})],
    ),
    (
        "B11",
        "c",
        [
            {"type": "mqtt", "keepalive": "{$K:60}"},
            {"type": "postgresql", "host": "h", "port": 1, "ssl": "{$SSL:false}"},
        ],
        [{"type": "mqtt", "keepalive": 60}, {**RABBIT, "port": "{$PORT:5672}"}],
    ),
    (
        "B12",
        "w",
        [with_(note="{$HOST:db}:{$PORT:5432}")],
        [with_(note="{$HOST}:{$PORT}"), with_(note="x{$A:b}:{$C:d}"), with_(note="{$A:b}")],
    ),
    (
        "B12",
        "c",
        [{"type": "kafka", "bootstrap_servers": "{$H:a}:{$P:9092}"}],
        [{"type": "kafka", "bootstrap_servers": "{$H}:{$P:9092}"}],
    ),
    (
        "B13",
        "w",
        [with_(authorization=v) for v in ("{$vault:nofield}", "{$vault:a b#c}", "{$vault:../x#y}", "{$vault:a#b/c}")],
        [CLOSED],
    ),
    ("B13", "c", [{**RABBIT, "pass": "{$vault:a}"}], [RABBIT, {**RABBIT, "pass": "{$vault:a#b:c}"}]),
    ("B14", "c", [{"type": "mysql"}, {"type": "postgresql", "connection_string": "{$C}"}], [RABBIT, {"type": "kafka"}]),
    (
        "B15",
        "c",
        [{"type": "postgresql", "host": "h", "port": 1, "ssl": True, "ssl_cert": "x.pem"}],
        [
            {"type": "postgresql", "host": "h", "port": 1, "ssl": True, "ssl_cert": "{$C:}"},
            {"type": "postgresql", "host": "h", "port": 1, "ssl_cert": "x"},
        ],
    ),
    (
        "B16",
        "c",
        [{**RABBIT, "pass": "a@b"}, {"type": "postgresql", "host": "h", "port": 1, "password": "a/b"}],
        [RABBIT, {"type": "mysql", "password": "a@b"}],
    ),
    (
        "B18",
        "c",
        [{"type": "mqtt", "port": "1883"}, {"type": "activemq", "host": "mq.example.com", "port": "{$P:61613}"}],
        [{"type": "mqtt", "port": 1883}],
    ),
    (
        "B19",
        "w",
        [
            store(storage_mode="relational"),
            store(schema={"id": "VARCHAR(9)"}),
            store(schema={"fields": {"id": "text"}}),
        ],
        [store(storage_mode="relational", schema={"fields": {"id": {"type": "text"}}}), store()],
    ),
    (
        "B20",
        "c",
        [
            {**RABBIT, "host": h}
            for h in ("localhost", "127.0.0.1", "10.0.0.1", "my_redis", "169.254.169.254", "a;b", "224.0.0.1", 5)
        ]
        + [{**RABBIT, "port": p} for p in (70000, "x", -1)]
        + [{"type": "activemq"}],
        [
            RABBIT,
            {**RABBIT, "host": "8.8.8.8"},
            {**RABBIT, "host": "{$H}"},
            {**RABBIT, "port": " 5672 "},
            {"type": "mqtt", "host": "localhost"},
        ],
    ),
    (
        "B20",
        "w",
        [
            with_(module="redis_publish", redis={"host": "localhost"}),
            with_(module="redis_publish", redis={"host": "10.0.0.1"}),
        ],
        [
            with_(module="redis_publish", redis={"host": "redis"}),
            with_(module="redis_publish", redis={"host": "10.0.0.1", "allowed_hosts": ["10.0.0.1"]}),
        ],
    ),
    (
        "B22",
        "w",
        [
            chain(),
            chain(5),
            chain({"module": ""}),
            chain({"module": "log", "x": 1}),
            chain(*["log"] * 21),
            with_(chain="log"),
            chain("log", **{"chain-config": {"x": 1}}),
            chain("log", **{"chain-config": {"execution": "both"}}),
            chain({"module": "log", "retry": {"max_attempts": 0}}),
        ],
        [
            chain(
                "log",
                {"module": "save_to_disk", "retry": {"enabled": True}},
                **{"chain-config": {"execution": "parallel", "timeout": 5}},
            ),
            CLOSED,
        ],
    ),
    (
        "C1",
        "w",
        [with_(colour="x"), with_(**{"module-config": {"prety_print": True}}), with_(rate_limit={"max": 5})],
        [with_(description="why"), CLOSED],
    ),
    ("C1", "c", [{**RABBIT, "colour": 1}], [RABBIT, {"type": "unknown", "x": 1}]),
    (
        "C2",
        "w",
        [
            with_(module="save_to_disk", **{"module-config": {"filename_pattern": "x"}}),
            with_(module="redis_publish", connection="mq", redis={"host": "redis"}),
        ],
        [CLOSED],
    ),
    (
        "C2",
        "c",
        [{**RABBIT, "password": "{$P}"}, {"type": "aws_sqs", "region": "eu-west-1"}, {"type": "mqtt", "user": "u"}],
        [RABBIT, {"type": "s3", "region": "x"}],
    ),
    ("C3", "c", [{}, {"type": " "}, {"type": "postgres"}, {"type": "carrier-pigeon"}], [RABBIT, {"type": "{$TYPE}"}]),
    (
        "C4",
        "w",
        [
            chain("log", module="log"),
            chain("log", retry={}),
            with_(**{"chain-config": {"execution": "parallel"}}),
            with_(chain_config={}),
        ],
        [chain("log"), CLOSED],
    ),
    (
        "C5",
        "w",
        [chain({"module": "kafka", "connection": "k", "topic": "x"})],
        [chain({"module": "kafka", "connection": "k", "module-config": {"topic": "x1"}})],
    ),
    (
        "C6",
        "w",
        [chain("log", **{"chain-config": {"timeout": 5}})],
        [chain("log", **{"chain-config": {"execution": "parallel", "timeout": 5}})],
    ),
    ("C7", "w", [with_(rate_limit={"enabled": False, "max_requests": 5})], [with_(rate_limit={"max_requests": 5})]),
    (
        "C8",
        "w",
        [
            with_(retry={"max_attempts": 99}),
            with_(retry={"initial_delay": "soon"}),
            chain({"module": "log", "retry": {"max_delay": 900}}),
        ],
        [with_(retry={"max_attempts": 20, "initial_delay": 0})],
    ),
    (
        "C9",
        "w",
        [with_(note="{$X:david}"), with_(note="{$X:a&b}"), with_(note="{$X:/abs}")],
        [with_(note="{$X:plain}"), with_(path="{$X:/abs}")],
    ),
    ("C9", "c", [{**RABBIT, "host": "{$H:druid.example.com}"}], [{**RABBIT, "host": "{$H:rabbit.example.com}"}]),
    (
        "C10",
        "w",
        [with_(note=v) for v in ("${X}", "{{X}}", "{ $X}", "{$X-Y}")],
        [with_(note="{$X}"), with_(note="{uuid}"), with_(note="$5")],
    ),
    ("C10", "c", [{**RABBIT, "host": "${HOST}"}], [RABBIT]),
    ("C11", "w", [with_(note="{$X}")], [with_(note="{$X:y}"), CLOSED]),
    ("C11", "c", [RABBIT], [{"type": "kafka"}]),
    (
        "C12",
        "w",
        [with_(json_schema={"properties": {"author": {}}})],
        [
            with_(json_schema={"properties": {"title": {}}}),
            with_(json_schema={"properties": {"author": {}}}, credential_cleanup={"enabled": False}),
        ],
    ),
    ("C13", "c", [{"type": "clickhouse", "host": "ch", "port": 9000}], [RABBIT]),
    (
        "C14",
        "c",
        [{"type": "clickhouse", "host": "ch", "port": 8123}],
        [{"type": "clickhouse", "host": "ch", "port": 9000}],
    ),
    (
        "C15",
        "c",
        [{"type": "mysql", "host": "h", "port": 1, "ssl": True}],
        [{"type": "mysql", "host": "h", "port": 1, "ssl": False}],
    ),
    ("C16", "c", [{"type": "kafka"}], []),
    ("C17", "w", [with_(module="kafka", connection="k", topic="events"), with_(topic="x")], [CLOSED]),
    (
        "C18",
        "w",
        [with_(**{"module-config": "x"}), with_(**{"module-config": {"pretty_print": "yes"}})],
        [with_(**{"module-config": {"pretty_print": True}})],
    ),
]


def found(kind: str, entry: Any, *, name: str = "orders") -> list[validation.Finding]:
    document = {name: entry}
    if kind == "w":
        return validation.findings("webhooks", json.dumps(document), beside=json.dumps(CONNECTIONS))
    return validation.findings("connections", json.dumps(document), beside="{}")


@pytest.mark.parametrize(
    ("rule", "kind", "entry"), [(rule, kind, entry) for rule, kind, bad, _ in CASES for entry in bad], ids=str
)
def test_it_finds(rule: str, kind: str, entry: Any) -> None:
    named = {finding.rule: finding for finding in found(kind, entry)}
    assert rule in named
    assert named[rule].message.endswith((".", "?"))


@pytest.mark.parametrize(
    ("rule", "kind", "entry"), [(rule, kind, entry) for rule, kind, _, good in CASES for entry in good], ids=str
)
def test_it_leaves_alone(rule: str, kind: str, entry: Any) -> None:
    level = {item.id: item.level for item in RULES}[rule]
    assert [f for f in found(kind, entry) if f.rule == rule and f.level == level] == []


NAMES_REFUSED = ["", "-a", "a b", "a.b", "a--b", "a__b", "x" * 65, "Admin", "stats", "internal_x", "x_system", "_a"]


@pytest.mark.parametrize("name", NAMES_REFUSED)
def test_names_that_cannot_be_called_are_refused(name: str) -> None:
    assert "B1" in {finding.rule for finding in found("w", CLOSED, name=name)}


def test_names_that_can_be_called_are_not() -> None:
    for name in ("orders", "a", "Order-2_b", "x" * 64, "administrator"):
        assert "B1" not in {finding.rule for finding in found("w", CLOSED, name=name)}
    assert "A21" in {finding.rule for finding in found("w", CLOSED, name="default")}
    assert "A21" not in {finding.rule for finding in found("w", CLOSED)}


def test_every_rule_of_the_catalogue_is_there() -> None:
    catalogue = {f"{part}{number}" for part, last in (("A", 22), ("B", 21), ("C", 17)) for number in range(1, last + 1)}
    assert catalogue <= {item.id for item in (*RULES, *READING)}


def test_every_rule_has_its_cases() -> None:
    tried = {rule for rule, *_ in CASES} | {"B1", "A21"}
    assert tried == {rule.id for rule in RULES}


def test_a_rule_is_spared_only_entries_in_which_it_finds_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    cases = [(kind, entry) for _, kind, bad, good in CASES for entry in (*bad, *good)]
    planned = [found(kind, entry) for kind, entry in cases]
    monkeypatch.setattr(Plan, "rules", lambda plan, entry, *, traits, modules: plan._rules)
    entries.forget()
    assert [found(kind, entry) for kind, entry in cases] == planned
    entries.forget()


def test_what_is_remembered_of_an_entry_depends_on_all_that_rules_look_at() -> None:
    entry = json.dumps({"a": with_(module="rabbitmq", connection="mq", **{"module-config": {"queue_name": "q"}})})
    rabbit, kafka = json.dumps({"mq": RABBIT}), json.dumps({"mq": {"type": "kafka"}})

    def b4(beside: str | None) -> int:
        return sum(finding.rule == "B4" for finding in validation.findings("webhooks", entry, beside=beside))

    assert [b4(beside) for beside in (rabbit, kafka, "{}", None, rabbit)] == [0, 1, 1, 0, 0]
    connections = json.dumps(
        {"ch1": {"type": "clickhouse", "host": "10.0.0.1", "port": 9000}, "ch2": {"type": "kafka"}}
    )
    lonely = validation.findings("connections", connections, beside="{}", target=Target(private=True))
    assert {finding.rule for finding in lonely} == {"C13", "C16"}
    used = validation.findings("connections", connections, beside='{"a": {"module": "kafka", "connection": "ch2"}}')
    assert [f.rule for f in used if f.entry == "ch2"] == []
    assert [f.rule for f in used if f.entry == "ch1"] == ["C13", "C16", "B20"]


def test_rules_see_nothing_of_the_other_document_but_names_and_types() -> None:
    """What Judge remembers by: a rule that looks at more of the pair has to be known there."""
    plain = {name: {"type": entry["type"]} for name, entry in CONNECTIONS.items()}
    for _, kind, bad, good in CASES:
        for entry in (*bad, *good) if kind == "w" else ():
            text = json.dumps({"orders": entry})
            entries.forget()
            there = validation.findings("webhooks", text, beside=json.dumps(CONNECTIONS))
            entries.forget()
            assert validation.findings("webhooks", text, beside=json.dumps(plain)) == there
    entries.forget()


def test_a_connection_that_is_used_is_not_called_unused() -> None:
    text = json.dumps({"mq": RABBIT})
    beside = json.dumps({"a": chain("log", {"module": "rabbitmq", "connection": "mq"})})
    assert "C16" not in {finding.rule for finding in validation.findings("connections", text, beside=beside)}
    assert "C16" not in {finding.rule for finding in validation.findings("connections", text)}  # not known


def test_flags_of_the_target_lift_what_they_lift() -> None:
    text = json.dumps({"a": {**RABBIT, "host": "10.0.0.1"}, "b": {**RABBIT, "host": "localhost"}})

    def refused(target: Target) -> list[str]:
        return [f.path for f in validation.findings("connections", text, target=target) if f.rule == "B20"]

    assert refused(Target()) == ["a.host", "b.host"]
    assert refused(Target(private=True)) == ["b.host"]
    assert refused(Target(localhost=True)) == ["a.host"]


@pytest.mark.parametrize(
    ("value", "key", "becomes"),
    [
        ("{$A:x}", "note", "x"),
        ("{$A:david}", "note", "dav"),
        ("{$A:/etc/x}", "ssl_cert", "etc/x"),
        ("{$A:/etc/x}", "path", "/etc/x"),
        ("{$A:id}", "note", "sanitized_value"),
        ("{$HOST:db}:{$PORT:5432}", "host", "db:PORT:5432"),
        ("http://{$H:h}:{$P:80}/", "url", "http://h:80/"),
        ("{$A:{$B}}", "note", "B"),
        ("{$vault:a#b:c;d}", "note", "c;d"),
        ("{$A}", "note", None),
        ("plain", "note", "plain"),
    ],
)
def test_placeholders_become_what_the_service_makes_of_them(value: str, key: str, becomes: str | None) -> None:
    assert placeholders.resolved(value, key) == becomes


def test_the_rules_page_is_that_of_the_table() -> None:
    from configs_app.management.commands.rules_page import PAGE, page

    assert PAGE.read_text() == page()
    everything: list[About] = [*RULES, *READING]
    assert not [item.id for item in everything if not re.match(r"[ABCJ]\d+$", item.id)]


def test_a_person_is_not_drowned_in_one_rule() -> None:
    text = json.dumps({f"w{n}": OPEN for n in range(700)})
    named = [finding for finding in validation.findings("webhooks", text) if finding.rule == "A3"]
    assert len(named) == 501
    assert any("200 times more" in finding.message for finding in named)


@pytest.mark.parametrize("kind", [None, 5, [], {}, ["kafka"], ""])
def test_a_type_that_is_no_text_is_named_and_breaks_no_rule(kind: object) -> None:
    document = json.dumps({"c": {"type": kind, "port": 1883, "tls_insecure": True}})
    assert ("C3", "c.type") in [(f.rule, f.path) for f in validation.findings("connections", document)]
