"""JSON Schemas of both documents (draft 2020-12), made from the tables of `model`.

They are stricter than the service: a key that it ignores, or a value that it silently takes for another, is refused
here, and is a finding of the rules as well. What only the pair of documents or a function can tell (names, hosts,
dangling connections) stays with the rules.

Beside the standard's words the editor reads four annotations: `x-secret`, `x-required` (required, but maybe given
elsewhere), `x-connection` (the type of connection a module needs) and `x-ignored` (key → what to do instead).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from functools import cache
from typing import Any

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
    Module,
)
from instances_app.models import Kind

Schema = dict[str, Any]

PLACEHOLDER = {
    "title": "Placeholder",
    "description": "{$NAME}, {$NAME:default} or {$vault:path#field}. It always becomes a string.",
    "type": "string",
    "pattern": r"\{\$[^}]+\}",
}
NOTES = r"^(_comment|comment|description|note|notes)$"
# Settings that may stand in the entry itself, where they used to be.
LEGACY = {("kafka", "topic"), ("mqtt", "topic"), ("rabbitmq", "queue_name")}
_NOT_EMPTY = {"rate_limit": {"minProperties": 1}, "json_schema": {"minProperties": 1}, "ip_whitelist": {"minItems": 1}}
_HAS_CHAIN = {"properties": {"chain": {"type": "array"}}, "required": ["chain"]}


@cache
def text(kind: str) -> str:
    """The schema of one document as JSON text."""
    made = webhooks() if kind == Kind.WEBHOOKS else connections()
    return json.dumps(made, indent=1, ensure_ascii=False) + "\n"


@cache
def digest(kind: str) -> str:
    """Sixteen characters that change with the schema; addresses carry them, so that browsers may keep it."""
    return hashlib.sha256(text(kind).encode()).hexdigest()[:16]


def webhooks() -> Schema:
    blocks = {"rate_limit": RATE_LIMIT, "credential_cleanup": CLEANUP, "retry": RETRY, "redis": REDIS}
    definitions: Schema = {"placeholder": PLACEHOLDER, "webhook": _webhook(), "step": _step(), "module": _module_name()}
    for name, keys in {**AUTHENTICATION, **blocks, "chain-config": CHAIN_CONFIG}.items():
        required = [key for key, known in keys.items() if known.required and name != "redis"]
        definitions[name] = _object(keys, title=name, description=WEBHOOK[name].help, required=required)
    definitions["oauth2"]["anyOf"] = [
        {"required": ["introspection_endpoint"]},
        {"required": ["jwt_secret"]},
        {"properties": {"validate_token": {"const": False}}, "required": ["validate_token"]},
    ]
    definitions["oauth2"]["properties"]["jwt_algorithms"]["minItems"] = 1
    definitions["table-schema"] = _table_schema()
    for name, module in MODULES.items():
        definitions[f"module-config.{name}"] = _module_config(name, module)
    return {
        **_head("webhooks.json", "What to accept, how to check it, where to send it. Name of a webhook → entry."),
        "propertyNames": {"pattern": "^[A-Za-z0-9][A-Za-z0-9_-]*$", "maxLength": 64},
        "additionalProperties": {"$ref": "#/$defs/webhook"},
        "$defs": definitions,
    }


def connections() -> Schema:
    definitions: Schema = {"placeholder": PLACEHOLDER}
    choices = []
    kind = _value(Key("string", "Kind of server; decides which keys there are.", values=tuple(CONNECTIONS)))
    for name, known in CONNECTIONS.items():
        required = [key for key, about in known.keys.items() if about.required]
        made = _object(known.keys, title=name, description=known.help, required=["type", *required], notes=True)
        made["properties"] = {"type": kind, **made["properties"]}
        made["x-ignored"] = dict(known.ignored)
        definitions[f"connection.{name}"] = made
        choices.append(_when("type", name, {"$ref": f"#/$defs/connection.{name}"}))
    definitions["connection"] = {
        "title": "Connection",
        "type": "object",
        "properties": {"type": {**kind, "x-required": True}},
        "required": ["type"],
        "allOf": choices,
    }
    return {
        **_head("connections.json", "Brokers, databases and queues. Name of a connection → entry."),
        "additionalProperties": {"$ref": "#/$defs/connection"},
        "$defs": definitions,
    }


def _head(title: str, description: str) -> Schema:
    draft = "https://json-schema.org/draft/2020-12/schema"
    return {"$schema": draft, "title": title, "description": description, "type": "object"}


def _webhook() -> Schema:
    properties: Schema = {}
    for key, known in WEBHOOK.items():
        properties[key] = {**_value(known), **_NOT_EMPTY.get(key, {})}
        if key in {*AUTHENTICATION, "rate_limit", "credential_cleanup", "retry", "redis"}:
            properties[key]["$ref"] = f"#/$defs/{key}"
    properties["module"] = {"$ref": "#/$defs/module", "description": WEBHOOK["module"].help, "x-required": True}
    properties["chain"] |= {"minItems": 1, "maxItems": 20, "items": _chain_item()}
    properties["authorization"]["pattern"] = r"\S"
    return {
        "title": "Webhook",
        "type": "object",
        "properties": properties,
        "patternProperties": {NOTES: {"description": "A note; the service ignores it."}},
        "additionalProperties": False,
        "if": _HAS_CHAIN,
        "then": {
            "properties": {"module": False, "retry": False, "chain-config": {"$ref": "#/$defs/chain-config"}},
        },
        "else": {"required": ["module"]},
        "allOf": [_single(name, module) for name, module in MODULES.items()],
    }


def _chain_item() -> Schema:
    return {"if": {"type": "string"}, "then": {"$ref": "#/$defs/module"}, "else": {"$ref": "#/$defs/step"}}


def _single(name: str, module: Module) -> Schema:
    """What an entry with this module, and no chain, has to have."""
    config: Schema = {"$ref": f"#/$defs/module-config.{name}"}
    then: Schema = {"properties": {"module-config": config}}
    required = [key for key, known in module.keys.items() if known.required]
    old = [key for key in required if (name, key) in LEGACY]
    here = [key for key in required if key not in old]
    if here:
        config["required"] = here
        then["required"] = ["module-config"]
    if old:
        inside = {"properties": {"module-config": {"required": old}}, "required": ["module-config"]}
        then["anyOf"] = [inside, {"required": old}]
    if name == "aws_sqs":
        config["anyOf"] = [{"required": ["queue_url"]}, {"required": ["queue_name"]}]
        then["required"] = ["module-config"]
    if name == "redis_publish":
        host = {"anyOf": [{"required": ["host"]}, {"required": ["allowed_hosts"]}]}
        then["required"] = ["redis"]
        then["properties"] |= {"redis": host, "connection": False}
    if module.connection and not module.optional:
        then["required"] = [*then.get("required", []), "connection"]
    chosen = _when("module", name, then)
    chosen["if"]["properties"]["chain"] = {"type": "null"}
    return chosen


def _step() -> Schema:
    made = _object(STEP, title="Step of a chain", description="One module of a chain.", required=["module"])
    made["properties"]["module"]["$ref"] = "#/$defs/module"
    retry = {"if": {"type": "object"}, "then": {"$ref": "#/$defs/retry"}}
    made["properties"]["retry"] |= retry
    made["allOf"] = []
    for name, module in MODULES.items():
        inside = {"if": {"type": "object"}, "then": {"$ref": f"#/$defs/module-config.{name}"}}
        then: Schema = {"properties": {"module-config": inside}}
        if module.connection and not module.optional:
            then["required"] = ["connection"]
        made["allOf"].append(_when("module", name, then))
    return made


def _module_name() -> Schema:
    return {"title": "Module", **_value(Key("string", "Name of a module.", values=tuple(sorted(MODULES))))}


def _module_config(name: str, module: Module) -> Schema:
    made = _object(module.keys, title=name, description=module.help)
    made["x-ignored"] = dict(module.ignored)
    made["x-connection"] = module.connection
    made["x-connection-required"] = bool(module.connection) and not module.optional
    if module.broken:
        made["deprecated"] = True
        made["description"] += " It cannot be constructed in release 0.2.0 of the service."
    if "schema" in module.keys:
        made["properties"]["schema"]["$ref"] = "#/$defs/table-schema"
        made |= {
            "if": {"properties": {"storage_mode": {"const": "relational"}}, "required": ["storage_mode"]},
            "then": {"required": ["schema"], "properties": {"schema": {"required": ["fields"]}}},
        }
    return made


def _table_schema() -> Schema:
    types = "string integer float boolean datetime json text int number bool date time timestamp".split()
    column = {
        "type": "object",
        "properties": {
            "column": {"type": "string", "description": "Name of the column; the field's own by default."},
            "type": {"type": "string", "description": "Anything else is text.", "default": "string", "examples": types},
            "constraints": {"type": "array", "description": "NOT NULL, UNIQUE, PRIMARY KEY."},
            "default": {"description": "A value, or CURRENT_TIMESTAMP."},
        },
    }
    return {
        "title": "Columns of a table",
        "type": "object",
        "properties": {
            "fields": {"type": "object", "description": "Payload field → column.", "additionalProperties": column},
            "indexes": {"type": "object", "description": 'Name → {"columns": [...]}.'},
        },
        "if": {"minProperties": 1},
        "then": {"required": ["fields"]},
    }


def _when(key: str, value: str, then: Schema) -> Schema:
    return {"if": {"properties": {key: {"const": value}}, "required": [key]}, "then": then}


def _object(
    keys: Mapping[str, Key], *, title: str, description: str, required: list[str] | None = None, notes: bool = False
) -> Schema:
    made: Schema = {"title": title, "description": description, "type": "object"}
    made["properties"] = {key: _value(known) for key, known in keys.items()}
    if notes:
        made["patternProperties"] = {NOTES: {"description": "A note; the service ignores it."}}
    made["additionalProperties"] = False
    if required:
        made["required"] = required
    return made


def _value(known: Key) -> Schema:
    made: Schema = {"description": known.help}
    if known.default is not None:
        made["default"] = known.default
    if known.secret:
        made["x-secret"] = True
    if known.required:
        made["x-required"] = True
    types = [*known.types, *(["null"] if known.may_be_null and "null" not in known.types else [])]
    if "array" in types:
        plain: Schema = {"type": "string"}
        made |= {"type": types[0] if len(types) == 1 else types, "items": _chosen(known) if known.values else plain}
        return made
    if known.values and not known.others:
        return made | _chosen(known, null="null" in types)
    made["type"] = types[0] if len(types) == 1 else types
    if known.values:
        made["examples"] = list(known.values)
        made["description"] += f" Anything else counts as {known.others}."
    if known.least is not None:
        made["minimum"] = known.least
    if known.most is not None:
        made["maximum"] = known.most
    if set(types) >= {"integer", "string"}:
        made["pattern"] = r"^\s*[0-9]+\s*$|\{\$"
    elif known.required and "string" in types:
        made["pattern"] = r"\S"
    return made


def _chosen(known: Key, *, null: bool = False) -> Schema:
    """One of the values, or a placeholder; `enum` stands first, for whoever offers them."""
    ways: list[Schema] = [{"enum": [*known.values, *([None] if null else [])]}]
    if known.any_case:
        ways.append({"type": "string", "pattern": "^(" + "|".join(map(_any_case, known.values)) + ")$"})
    return {"anyOf": [*ways, {"$ref": "#/$defs/placeholder"}]}


def _any_case(word: str) -> str:
    return "".join(f"[{c.lower()}{c.upper()}]" if c.isalpha() else c for c in word)
