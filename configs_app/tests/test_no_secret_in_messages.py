"""No finding, consequence or refusal names a secret, whatever it complains about."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from configs_app import consequences, secrets, validation
from configs_app.validation.catalogue import RULES
from configs_app.validation.model import AUTHENTICATION, CONNECTIONS, MODULES, WEBHOOK
from instances_app.models import Kind

SECRET = "hunter2hunter"
HOLDERS: list[Any] = [
    f"amqp://user:{SECRET}@localhost_x/../vhost",
    f"{{$NAME:amqp://user:{SECRET};@host}}",
    f"{{$A:amqp://user:{SECRET}@host}} and {{$B:x}}",
    f"Bearer ${{NAME}} amqp://user:{SECRET}@host",
    {"password": SECRET, "headers": {"x": SECRET}},
    [f"amqp://user:{SECRET}@host", {"api_key": SECRET}],
]
BLOCKS = ["rate_limit", "credential_cleanup", "retry", "redis", "module-config", "chain-config", "json_schema"]


def webhooks(value: Any) -> Iterator[dict[str, Any]]:
    """Entries that have the value under every key there is."""
    everywhere = dict.fromkeys(WEBHOOK, value)
    yield everywhere
    blocks = {name: dict.fromkeys(keys, value) for name, keys in AUTHENTICATION.items()}
    blocks |= {
        name: {"type": value, "mode": value, "host": value, "fields": value, "enabled": value} for name in BLOCKS
    }
    yield blocks
    yield {"module": "log", "json_schema": {"type": value, "properties": {"a": {"default": value, "enum": value}}}}
    for name, module in MODULES.items():
        config = {**dict.fromkeys(module.keys, value), **dict.fromkeys(module.ignored, value)}
        step = {"module": name, "connection": value, "module-config": config, "retry": {"max_attempts": value}}
        yield {**step, "data_type": "blob", "redis": {"host": value}}
        yield {"chain": [step, value, {"module": value}], "chain-config": {"execution": value, "timeout": value}}


def connections(value: Any) -> Iterator[dict[str, Any]]:
    yield {"type": value}
    for name, known in CONNECTIONS.items():
        yield {**dict.fromkeys((*known.keys, *known.ignored, "tls_insecure", "typo"), value), "type": name}


@pytest.mark.parametrize("value", HOLDERS, ids=lambda value: json.dumps(value)[:30])
def test_no_message_of_any_rule_names_a_secret(value: Any) -> None:
    texts = {
        Kind.WEBHOOKS: json.dumps({f"w{n}": entry for n, entry in enumerate(webhooks(value))}),
        Kind.CONNECTIONS: json.dumps({f"c{n}": entry for n, entry in enumerate(connections(value))}),
    }
    assert SECRET not in "".join(map(secrets.masked, texts.values()))
    found = [
        finding
        for kind, other in ((Kind.WEBHOOKS, Kind.CONNECTIONS), (Kind.CONNECTIONS, Kind.WEBHOOKS))
        for finding in validation.findings(kind, texts[kind], beside=texts[other])
    ]
    assert len({finding.rule for finding in found}) > 15
    for finding in found:
        assert SECRET not in json.dumps(finding.as_json()), finding


def test_the_documents_above_and_broken_ones_make_most_rules_speak() -> None:
    spoken = set()
    for value in HOLDERS:
        text = json.dumps({f"w{n}": entry for n, entry in enumerate(webhooks(value))})
        other = json.dumps({f"c{n}": entry for n, entry in enumerate(connections(value))})
        spoken |= {finding.rule for finding in validation.findings("webhooks", text, beside=other)}
        spoken |= {finding.rule for finding in validation.findings("connections", other, beside=text)}
    assert len(spoken) >= len({rule.id for rule in RULES}) * 0.6
    for broken in (f'{{"a": {{"password": "{SECRET}}}', f'{{"a": {{"password": {SECRET}}}}}', f'["{SECRET}"]'):
        for finding in validation.findings("webhooks", broken):
            assert SECRET not in finding.message


def test_a_consequence_names_no_login_of_a_host() -> None:
    old = {"db": {"type": "mysql", "host": f"a://u:{SECRET}@h"}}
    new = {"db": {"type": "mysql", "host": f"b://u:{SECRET}@h"}}
    summary = consequences.of_texts({"connections": (json.dumps(old), json.dumps(new))})
    assert summary.consequences
    assert SECRET not in str(summary)


@pytest.mark.parametrize("value", HOLDERS, ids=lambda value: json.dumps(value)[:30])
def test_no_consequence_names_a_secret(value: Any) -> None:
    entries = {f"w{n}": entry for n, entry in enumerate(webhooks(value))}
    hosts = {f"c{n}": entry for n, entry in enumerate(connections(value))}
    plain = {name: {"module": "log", "authorization": "x"} for name in entries}
    for kind, old, new in (
        (Kind.WEBHOOKS, plain, entries),
        (Kind.WEBHOOKS, entries, plain),
        (Kind.CONNECTIONS, {name: {"type": "kafka", "host": "a"} for name in hosts}, hosts),
        (Kind.CONNECTIONS, hosts, {name: {"type": "kafka", "host": "a"} for name in hosts}),
    ):
        texts: dict[str, tuple[str | None, str]] = {kind: (json.dumps(old), json.dumps(new))}
        summary = consequences.of_texts(texts, webhooks=json.dumps(entries))
        assert summary.consequences
        for consequence in summary.consequences:
            assert SECRET not in consequence.text, consequence
