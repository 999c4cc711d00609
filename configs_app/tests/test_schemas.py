"""The schemas say what the rules say: files, tables and findings do not drift apart."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterable, Iterator
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from configs_app import validation
from configs_app.management.commands.schemas import DOCS, files
from configs_app.tests.test_sample_findings import pairs
from configs_app.validation import schemas
from configs_app.validation.model import (
    AUTHENTICATION,
    CHAIN_CONFIG,
    CLEANUP,
    CONNECTIONS,
    MODULES,
    RATE_LIMIT,
    REDIS,
    RETRY,
    STEP,
    WEBHOOK,
    Key,
)
from instances_app.models import OTHER, Kind

SCHEMAS = {kind: json.loads(schemas.text(kind)) for kind in Kind.values}
KAFKA = {"module": "kafka", "connection": "k", "module-config": {"topic": "orders"}, "authorization": "Bearer {$T}"}
CONNECTED = {"k": {"type": "kafka", "bootstrap_servers": "k:9092"}, "db": {"type": "mysql", "host": "db", "port": 3306}}


def refused(kind: str, document: dict[str, Any]) -> list[tuple[str | int, ...]]:
    """The places that the schema refuses; a key that is not allowed is its own place."""
    return sorted(set(_places(Draft202012Validator(SCHEMAS[kind]).iter_errors(document))), key=str)


def _places(errors: Iterable[Any]) -> Iterator[tuple[str | int, ...]]:
    for error in errors:
        path = tuple(error.absolute_path)
        if error.validator == "additionalProperties":
            known, notes = error.schema["properties"], ("description", "comment", "note", "notes", "_comment")
            yield from ((*path, key) for key in error.instance if key not in known and key not in notes)
        elif error.parent is None and "propertyNames" in error.absolute_schema_path:
            yield (error.instance,)
        else:
            yield path


def named(kind: str, document: dict[str, Any], beside: dict[str, Any] | None = None) -> list[tuple[str, ...]]:
    """The places of the rules' errors and warnings."""
    found = validation.findings(kind, json.dumps(document), beside=json.dumps(beside) if beside else None)
    return [tuple(finding.path.split(".")) for finding in found if finding.level != "note"]


def assert_rules_name(kind: str, document: dict[str, Any], beside: dict[str, Any] | None = None) -> None:
    """Whatever the schema refuses, a rule names: at the same place, or at what is missing inside it."""
    places = named(kind, document, beside)
    for path in refused(kind, document):
        wanted = tuple(str(part) for part in path)
        assert any(place[: len(wanted)] == wanted for place in places), (wanted, places)


def test_the_files_are_those_of_the_tables() -> None:
    for name, text in files().items():
        assert (DOCS / name).read_text() == text, f"{name}: run `python3 manage.py schemas`"


@pytest.mark.parametrize("kind", Kind.values)
def test_the_schemas_are_valid_schemas(kind: str) -> None:
    schema = json.loads(schemas.text(kind))
    Draft202012Validator.check_schema(schema)
    for reference in references(schema):
        assert reference.removeprefix("#/$defs/") in schema["$defs"], reference


def references(value: object) -> Iterator[str]:
    if isinstance(value, dict):
        yield from (value["$ref"],) if isinstance(value.get("$ref"), str) else ()
    for inner in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from references(inner)


def test_every_key_has_a_help_a_type_and_its_default() -> None:
    definitions = {kind: SCHEMAS[kind]["$defs"] for kind in Kind.values}
    tables: list[tuple[dict[str, Any], dict[str, Key]]] = [
        (definitions["webhooks"]["webhook"], WEBHOOK),
        (definitions["webhooks"]["step"], STEP),
        *((definitions["webhooks"][name], keys) for name, keys in AUTHENTICATION.items()),
        *((definitions["webhooks"][f"module-config.{name}"], dict(one.keys)) for name, one in MODULES.items()),
        *((definitions["connections"][f"connection.{name}"], dict(one.keys)) for name, one in CONNECTIONS.items()),
    ]
    for made, keys in tables:
        assert set(made["properties"]) - {"type"} == set(keys) - {"type"}
        for name, known in keys.items():
            about = made["properties"][name]
            assert about["description"], name
            assert about.get("default") == known.default, name
            assert {"type", "anyOf", "$ref"} & set(about), name


@pytest.mark.parametrize("name", pairs())
def test_what_the_schema_refuses_in_a_sample_is_named_by_a_rule(name: str) -> None:
    texts = pairs()[name]
    parsed = {kind: json.loads(text) for kind, text in texts.items()}
    for kind in Kind.values:
        assert_rules_name(kind, parsed[kind], parsed[OTHER[kind]])


WRONG: list[tuple[str, dict[str, Any]]] = [
    ("webhooks", {"module": "kafka", "connection": "k"}),
    ("webhooks", {**KAFKA, "module": "kafak"}),
    ("webhooks", {**KAFKA, "module": " kafka "}),
    ("webhooks", {**KAFKA, "module-config": {"topic": 5}}),
    ("webhooks", {**KAFKA, "module-config": {"topic": None}}),
    ("webhooks", {**KAFKA, "module-config": {"topic": ""}}),
    ("webhooks", {**KAFKA, "module-config": {"topic": "a1", "forward_headers": "{$X:true}"}}),
    ("webhooks", {**KAFKA, "module-config": {"topic": "a1", "partition": "1"}}),
    ("webhooks", {**KAFKA, "module-config": {"topic": "a1", "qos": 1}}),
    ("webhooks", {**KAFKA, "authorisation": "Bearer x"}),
    ("webhooks", {**KAFKA, "authorization": ""}),
    ("webhooks", {**KAFKA, "authorization": None}),
    ("webhooks", {**KAFKA, "data_type": "xml"}),
    ("webhooks", {**KAFKA, "topic": 5}),
    ("webhooks", {**KAFKA, "retry": None}),
    ("webhooks", {**KAFKA, "retry": {"max_attempts": 21, "enabled": "yes", "tries": 1}}),
    ("webhooks", {**KAFKA, "retry": {"retryable_errors": "OSError"}}),
    ("webhooks", {**KAFKA, "retry": {"retryable_errors": [1]}}),
    ("webhooks", {**KAFKA, "rate_limit": {"max_requests": "{$N:5}", "enabled": True}}),
    ("webhooks", {**KAFKA, "rate_limit": {}}),
    ("webhooks", {**KAFKA, "credential_cleanup": {"enabled": 1, "mode": "hide", "fields": "a"}}),
    ("webhooks", {**KAFKA, "ip_whitelist": []}),
    ("webhooks", {**KAFKA, "ip_whitelist": "10.0.0.1"}),
    ("webhooks", {**KAFKA, "json_schema": {}}),
    ("webhooks", {**KAFKA, "jwt": {"secret": "{$S}", "algorithm": "HS1", "verify_exp": "no"}}),
    ("webhooks", {**KAFKA, "jwt": {}}),
    ("webhooks", {**KAFKA, "jwt": {"secret": " "}}),
    ("webhooks", {**KAFKA, "hmac": {"secret": "{$S}", "algorithm": "md5"}}),
    ("webhooks", {**KAFKA, "oauth2": {"jwt_secret": "{$S}", "jwt_algorithms": ["HS1"], "required_scope": "a"}}),
    ("webhooks", {**KAFKA, "oauth2": {"jwt_secret": "{$S}", "jwt_algorithms": []}}),
    ("webhooks", {**KAFKA, "oauth2": {"client_id": "a"}}),
    ("webhooks", {**KAFKA, "oauth1": {"consumer_key": "a", "consumer_secret": "{$S}", "timestamp_window": "300"}}),
    ("webhooks", {**KAFKA, "recaptcha": {"secret_key": "{$S}", "version": "v4", "min_score": "0.5"}}),
    ("webhooks", {**KAFKA, "header_auth": {"api_key": "{$S}", "case_sensitive": "{$C:true}"}}),
    ("webhooks", {"module": "mqtt", "connection": "m", "topic": "a", "module-config": {"qos": 3}}),
    ("webhooks", {"module": "aws_sqs", "module-config": {}}),
    ("webhooks", {"module": "redis_publish", "redis": {"port": "many", "password": "x"}, "connection": "r"}),
    ("webhooks", {"module": "postgresql", "connection": "p", "module-config": {"storage_mode": "relational"}}),
    ("webhooks", {"module": "postgresql", "connection": "p", "module-config": {"schema": {"id": "int"}}}),
    ("webhooks", {"module": "log", "chain-config": {"execution": "parallel"}, "chain": []}),
    ("webhooks", {"chain": ["log", {"module": "kafka", "topic": "x"}, 5], "retry": {}}),
    ("webhooks", {"chain": [{"module": "log", "retry": {"enabled": "yes", "more": 1, "max_delay": "5"}}]}),
    ("webhooks", {"chain": ["log"], "chain-config": {"timeout": "{$T:5}", "execution": "both", "more": 1}}),
    ("webhooks", {"chain": [f"log{n}" for n in range(21)]}),
    ("connections", {"host": "a", "port": 1}),
    ("connections", {"type": "postgres", "host": "db"}),
    ("connections", {"type": "rabbitmq", "host": "", "port": 70000, "password": "x"}),
    ("connections", {"type": "rabbitmq", "host": "mq", "port": True}),
    ("connections", {"type": "redis-rq", "host": "r", "port": "six", "db": "one"}),
    ("connections", {"type": "postgresql", "port": 5432, "ssl": "true", "pool_min_size": "2"}),
    ("connections", {"type": "mqtt", "host": 5, "port": "1883", "keepalive": "{$K:60}", "tls": "{$T:}"}),
    ("connections", {"type": "gcp_pubsub"}),
    ("connections", {"type": "gcp_pubsub", "project_id": 5}),
    ("connections", {"type": "kafka", "bootstrap_servers": ["a:9092"], "sasl_mechanism": "PLAIN"}),
]


@pytest.mark.parametrize(("kind", "entry"), WRONG, ids=str)
def test_both_refuse_what_is_wrong(kind: str, entry: dict[str, Any]) -> None:
    assert refused(kind, {"e": entry})
    beside = CONNECTED if kind == Kind.WEBHOOKS else {}
    assert_rules_name(kind, {"e": entry}, beside)


RIGHT: list[tuple[str, dict[str, Any]]] = [
    ("webhooks", KAFKA),
    ("webhooks", {**KAFKA, "description": "orders of the shop", "chain": None}),
    ("webhooks", {**KAFKA, "module-config": {"topic": "{$TOPIC:orders}", "key": None, "partition": 2}}),
    ("webhooks", {**KAFKA, "hmac": {"secret": "{$vault:a#b}", "algorithm": "SHA256"}}),
    ("webhooks", {**KAFKA, "data_type": "{$TYPE:json}"}),
    ("webhooks", {"module": "redis_publish", "redis": {"host": "r", "port": "{$P:6379}"}, "ip_whitelist": ["9.9.9.9"]}),
    ("webhooks", {"chain": ["log", {"module": "kafka", "connection": "k", "module-config": {"topic": "a1"}}]}),
    ("connections", {"type": "redis-rq", "host": "r.example.com", "port": "{$P:6379}", "db": "1"}),
    ("connections", {"type": "rabbitmq", "host": "{$H}", "port": "5672", "pass": "{$W}", "note": "the old one"}),
    ("connections", {"type": "mqtt", "host": "m", "port": 1883, "tls": True, "mqtt_version": "5"}),
]


@pytest.mark.parametrize(("kind", "entry"), RIGHT, ids=str)
def test_neither_refuses_what_is_right(kind: str, entry: dict[str, Any]) -> None:
    checked = {"authorization": "Bearer {$T}", **entry} if kind == Kind.WEBHOOKS else entry
    assert refused(kind, {"e": checked}) == []
    assert named(kind, {"e": checked}, CONNECTED if kind == Kind.WEBHOOKS else None) == []


VALUES: list[Any] = [None, True, 5, 1.5, -1, "", "x", "{$X}", "{$X:5}", [], [5], ["x"], {}, {"x": 1}]


def _places_of_keys() -> Iterator[tuple[str, dict[str, Any], tuple[str | int, ...]]]:
    """(document, an entry without a defect, the place of a key in it), for every key of every table."""
    secured = {"authorization": "Bearer {$T}"}
    for name, module in MODULES.items():
        entry = {"module": name, **secured, "module-config": {}}
        yield from (("webhooks", entry, ("module-config", key)) for key in module.keys)
        chain = {"chain": [{"module": name, "module-config": {}}], **secured}
        yield from (("webhooks", chain, ("chain", 0, "module-config", key)) for key in module.keys)
    yield from (("webhooks", {"module": "log", **secured}, (key,)) for key in WEBHOOK)
    yield from (("webhooks", {"chain": [{"module": "log", "retry": {}}], **secured}, ("chain", 0, key)) for key in STEP)
    blocks = {**AUTHENTICATION, "rate_limit": RATE_LIMIT, "credential_cleanup": CLEANUP, "retry": RETRY, "redis": REDIS}
    for name, keys in blocks.items():
        yield from (("webhooks", {"module": "log", name: {}}, (name, key)) for key in keys)
    chained = {"chain": [{"module": "log", "retry": {}}], "chain-config": {}, **secured}
    yield from (("webhooks", chained, ("chain-config", key)) for key in CHAIN_CONFIG)
    yield from (("webhooks", chained, ("chain", 0, "retry", key)) for key in RETRY)
    for name, connection in CONNECTIONS.items():
        yield from (("connections", {"type": name}, (key,)) for key in ("type", *connection.keys))


def test_no_kind_of_value_at_any_key_is_refused_by_the_schema_alone() -> None:
    for kind, entry, path in _places_of_keys():
        for value in VALUES:
            changed = copy.deepcopy(entry)
            at: Any = changed
            for step in path[:-1]:
                at = at[step]
            at[path[-1]] = value
            beside = CONNECTED if kind == Kind.WEBHOOKS else None
            assert_rules_name(kind, {"e": changed}, beside)
