"""B rules: what the service refuses at reload, at every request, or loses after answering 200."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import jsonschema

from configs_app.json_text import Path, leaves
from configs_app.validation import hosts, names, placeholders
from configs_app.validation.catalogue import BOTH, Level, Pair, Trouble, rule
from configs_app.validation.model import CHAIN_CONFIG, CHAIN_ITEM, CONNECTIONS, MODULES, REDIS, Key
from configs_app.validation.reading import (
    as_object,
    fits,
    has_reference,
    key_of,
    nearest,
    quoted,
    text,
    type_name,
)

ERROR, WARNING, NOTE = Level.ERROR, Level.WARNING, Level.NOTE
Entry = dict[str, Any]

# Settings that may also stand in the entry itself.
_LEGACY = frozenset({("kafka", "topic"), ("mqtt", "topic"), ("rabbitmq", "queue_name")})
_RELATIONAL = ("postgresql", "postgres", "mysql", "mariadb")


@rule(
    "B1",
    ERROR,
    "webhooks",
    "A name that cannot be called",
    "Reload accepts it, every request to it is refused.",
    "Letters, digits, _ and -, at most 64, none of the service's own names.",
)
def bad_id(name: str, entry: Entry, pair: Pair) -> Iterator[Trouble]:
    if not name.strip():
        yield Trouble((), "A webhook needs a name: it is the end of its address.")
    elif problem := names.webhook_id(name):
        yield Trouble((), f"The name {name!r} {problem}: every request to it is refused.")


@rule(
    "B2",
    ERROR,
    "webhooks",
    "A module that cannot work in 0.2.0",
    "It cannot be constructed: every request fails, or in a chain the payload is lost.",
    "Use another module until the service has mended it.",
    modules=[name for name, module in MODULES.items() if module.broken],
)
def broken_module(name: str, entry: Entry, pair: Pair) -> Iterator[Trouble]:
    for step in pair.steps:
        if step.module is not None and step.module.broken:
            message = f"{step.name} cannot be constructed in release 0.2.0 of the service."
            yield Trouble((*step.path, "module"), message)


@rule(
    "B3",
    ERROR,
    "webhooks",
    "Something the module needs",
    "Without a module the file is refused; without its settings every payload is lost.",
    "Fill it in as the module's table says.",
)
def module_needs(name: str, entry: Entry, pair: Pair) -> Iterator[Trouble]:
    module, chain = entry.get("module"), entry.get("chain")
    if not module and not chain:
        message = f"{name!r} has neither a module nor a chain, so the service refuses the whole file. Add one."
        yield Trouble((), message)
        return
    if chain is None and module is not None and not isinstance(module, str):
        yield Trouble(("module",), "A module is a name in double quotes.")
        return
    for step in pair.steps:
        if step.module is None:
            if step.name and not has_reference(step.name):
                meant = nearest(step.name, MODULES)
                hint = f" Did you mean {meant!r}?" if meant else ""
                place = (*step.path, "module")
                yield Trouble(place, f"{quoted(step.name, place)} is no module the service has.{hint}")
            continue
        for key, known in step.module.demanding.items():
            place = (*step.path, "module-config", key)
            value = step.config.get(key)
            if value is None and key not in step.config and (step.name, key) in _LEGACY:
                value = entry.get(key)
            if known.required and value in (None, ""):
                at = place if key in step.config else place[:-1]
                yield Trouble(at, f"{step.name} needs {key}; without it every payload is lost.")
            elif step.name != "aws_sqs":  # its names are B17's
                yield from _string_problems(place, key, known, value)
        if step.name == "aws_sqs" and not step.config.get("queue_url") and not step.config.get("queue_name"):
            yield Trouble((*step.path, "module-config"), "aws_sqs needs queue_url or queue_name.")
        if step.name == "redis_publish":
            yield from _redis(entry)
        path = text(step.config.get("path"), "path") if step.name == "save_to_disk" else None
        if path and path.startswith("/") and not path.startswith(str(step.config.get("base_dir") or "\0")):
            outside = "An absolute path works only inside base_dir, which is the working directory unless it is given."
            yield Trouble((*step.path, "module-config", "path"), outside, WARNING)


@rule(
    "B3",
    ERROR,
    "connections",
    "Something the type needs",
    "The service looks only when a payload is sent: every one is lost.",
    "Fill it in as the type's table says.",
)
def connection_needs(name: str, entry: Entry, pair: Pair) -> Iterator[Trouble]:
    known = CONNECTIONS.get(str(entry.get("type")))
    for key, about in known.keys.items() if known else ():
        if about.required and not (known and known.checked) and entry.get(key) in (None, ""):
            at = (key,) if key in entry else ()
            yield Trouble(at, f"{entry['type']} needs {key}; without it every payload is lost.")
        elif about.name:
            yield from _string_problems((key,), key, about, entry.get(key))


def _redis(entry: Entry) -> Iterator[Trouble]:
    block = as_object(entry.get("redis"))
    if not block.get("host") and not block.get("allowed_hosts"):
        place = ("redis", "host") if "host" in block else ("redis",)
        yield Trouble(place, "redis_publish needs redis.host; its default, localhost, is always refused.")
    for key, known in REDIS.items():
        yield from _string_problems(("redis", key), key, known, block.get(key))


def _string_problems(path: tuple[str | int, ...], key: str, known: Key, value: object) -> Iterator[Trouble]:
    found = text(value, key)
    if found is None or (found == "" and not known.required):
        return
    if known.name and (problem := names.RULES[known.name](found)):
        becomes = "" if found == value else f" (becomes {quoted(found, path, written=value)})"
        yield Trouble(path, f"{key} {quoted(value, path)}{becomes} {problem}.")
    if known.type == "string" and not known.takes(found):
        yield Trouble(path, f"{key} is {' or '.join(known.values)}, not {quoted(found, path, written=value)}.")


@rule(
    "B4",
    ERROR,
    "webhooks",
    "A connection that is not there",
    "The service never checks it: payloads are lost, or go to localhost.",
    "Name a connection of the right type.",
    modules=[name for name, module in MODULES.items() if module.connection],
)
def no_connection(name: str, entry: Entry, pair: Pair) -> Iterator[Trouble]:
    if pair.connections is None:
        return
    for step in pair.steps:
        if step.module is None or not step.module.connection:
            continue
        wanted = step.module.connection
        place = (*step.path, "connection")
        if not step.connection:
            if not step.in_chain and not step.module.optional:
                yield Trouble((), f"{step.name} needs a connection of type {wanted}.")
            continue
        if not isinstance(step.connection, str):
            yield Trouble(place, "connection must be the name of a connection.")
            continue
        if has_reference(step.connection):
            continue
        found = pair.connections.get(step.connection)
        if found is None:
            meant = nearest(step.connection, pair.connections)
            hint = f" Did you mean {meant!r}?" if meant else ""
            yield Trouble(place, f"There is no connection {quoted(step.connection, place)}.{hint}")
        elif isinstance(found, dict) and isinstance(found.get("type"), str) and found["type"] != wanted:
            kind = quoted(found["type"], ("type",))
            yield Trouble(place, f"{step.connection!r} is of type {kind}; {step.name} needs {wanted}.")


@rule(
    "B5",
    ERROR,
    "webhooks",
    "A step without its connection",
    "Steps of a chain do not get the webhook's connection: the payload is lost.",
    "Name the connection in the step.",
    when=("chain",),
)
def step_without_connection(name: str, entry: Entry, pair: Pair) -> Iterator[Trouble]:
    for step in pair.steps:
        if (
            step.in_chain
            and step.module
            and step.module.connection
            and not step.module.optional
            and not step.connection
        ):
            message = f"{step.name} needs a connection of its own; the webhook's is not passed on to steps."
            yield Trouble(step.path, message)


@rule(
    "B6",
    ERROR,
    "webhooks",
    "A block that breaks every request",
    "retry, recaptcha and redis must be objects.",
    "Remove the key, or make it an object.",
    when=("retry", "recaptcha", "redis"),
)
def no_object(name: str, entry: Entry, pair: Pair) -> Iterator[Trouble]:
    for key in ("retry", "recaptcha", "redis"):
        if key in entry and not isinstance(entry[key], dict) and (key == "recaptcha" or not entry.get("chain")):
            if key == "recaptcha" and entry[key] is not None:
                continue  # A10 says it
            yield Trouble((key,), f"{key} must be an object, not {type_name(entry[key])}: every request fails.")


@rule(
    "B7",
    ERROR,
    "webhooks",
    "A clean-up that loses payloads",
    "credential_cleanup must be an object.",
    "Remove the key to have the clean-up with its defaults.",
    when=("credential_cleanup",),
)
def cleanup_no_object(name: str, entry: Entry, pair: Pair) -> Iterator[Trouble]:
    if "credential_cleanup" in entry and not isinstance(entry["credential_cleanup"], dict):
        yield Trouble(("credential_cleanup",), "credential_cleanup must be an object; every payload is lost.")


@rule(
    "B8",
    ERROR,
    "webhooks",
    "A data type that does not work",
    "Only json and blob are known, and many modules cannot send blobs.",
    "Use json, or a module that takes bytes.",
    when=("data_type",),
)
def data_type(name: str, entry: Entry, pair: Pair) -> Iterator[Trouble]:
    if "data_type" not in entry:
        return
    value = entry["data_type"]
    found = text(value, "data_type")
    if not isinstance(value, str) or (found is not None and found not in {"json", "blob"}):
        shown = quoted(value, ("data_type",))
        yield Trouble(("data_type",), f"data_type is json or blob, not {shown}: every request is refused.")
    elif found == "blob":
        for step in pair.steps:
            if step.module is not None and not step.module.takes_blob:
                yield Trouble(("data_type",), f"{step.name} cannot send blobs; the payload is lost.")


@rule(
    "B9",
    ERROR,
    "webhooks",
    "A rate limit that refuses everybody",
    "Its numbers must be numbers.",
    "Use whole numbers above zero.",
    when=("rate_limit",),
)
def rate_limit(name: str, entry: Entry, pair: Pair) -> Iterator[Trouble]:
    block = entry.get("rate_limit")
    if block in (None, {}, []):
        return
    if not isinstance(block, dict):
        yield Trouble(("rate_limit",), f"rate_limit must be an object, not {type_name(block)}.")
        return
    for key in ("max_requests", "window_seconds"):
        value = block.get(key, 1)
        if has_reference(value):
            continue  # B11
        if not fits(value, "number") or value < 0:
            yield Trouble(("rate_limit", key), f"{key} must be a number from 0 up: every request is refused.")
        elif value == 0:
            yield Trouble(("rate_limit", key), f"{key} 0 blocks every request.", WARNING)


@rule(
    "B10",
    ERROR,
    "webhooks",
    "A schema that is none",
    "Every request is refused.",
    "Correct the schema; put what a remote $ref names into it.",
    when=("json_schema",),
)
def json_schema(name: str, entry: Entry, pair: Pair) -> Iterator[Trouble]:
    schema = entry.get("json_schema")
    if not schema:
        return
    if not isinstance(schema, dict):
        yield Trouble(("json_schema",), f"json_schema must be an object, not {type_name(schema)}.")
        return
    try:
        jsonschema.validators.validator_for(schema).check_schema(schema)
    except jsonschema.SchemaError as error:
        place = ("json_schema", *error.absolute_path)
        shown = quoted(error.instance, place)
        yield Trouble(place, f"This is no JSON Schema: {shown} does not hold to {error.validator!r} here.")
        return
    except Exception as error:
        yield Trouble(("json_schema",), f"This is no JSON Schema ({type(error).__name__}).")
        return
    for path, value in leaves(schema, ("json_schema",)):
        if path[-1] == "$ref" and not value.startswith("#"):
            yield Trouble(path, "A remote $ref is not followed: every request is refused.")


# Typed fields in which a placeholder's text does not work (reference, 2.5): what happens then.
_TYPED: dict[Path, str] = {
    ("rate_limit", "max_requests"): "every request is refused",
    ("rate_limit", "window_seconds"): "every request is refused",
    ("recaptcha", "min_score"): "every request is refused",
    ("oauth1", "timestamp_window"): "every request is refused",
    ("retry", "max_attempts"): "the default is used",
    ("retry", "initial_delay"): "the default is used",
    ("retry", "max_delay"): "the default is used",
    ("retry", "backoff_multiplier"): "the default is used",
    ("chain-config", "timeout"): "the file is refused",
    ("chain-config", "continue_on_error"): "the file is refused",
}


@rule(
    "B11",
    ERROR,
    "webhooks",
    "A placeholder where a number stands",
    "Placeholders always give text.",
    "Write the number itself.",
    needs="placeholder",
)
def typed_placeholder(name: str, entry: Entry, pair: Pair) -> Iterator[Trouble]:
    for path, value in pair.references:
        if path in _TYPED and has_reference(value):
            yield Trouble(path, f"A placeholder gives text, and {path[-1]} must be a number: {_TYPED[path]}.")
    held = {str(path[-1]) for path, _ in pair.references}
    for step in pair.steps:
        keys = step.module.keys if step.module else {}
        for key, value in step.config.items():
            known = keys.get(key) if key in held else None
            if known is None or not has_reference(value):
                continue
            place = (*step.path, "module-config", key)
            if known.type == "boolean":
                yield Trouble(place, f'A placeholder gives text, and every text is true, also "false": {key} is on.')
            elif not known.text_works and known.type != "string":
                yield Trouble(place, f"A placeholder gives text, and {key} must be a number: payloads are lost.")


@rule(
    "B11",
    ERROR,
    "connections",
    "A placeholder where a number stands",
    "Placeholders always give text.",
    "Write the number itself.",
    needs="placeholder",
)
def typed_placeholder_of_connection(name: str, entry: Entry, pair: Pair) -> Iterator[Trouble]:
    known = CONNECTIONS.get(str(entry.get("type")))
    for key, value in entry.items():
        found = known.keys.get(key) if known else None
        if found is not None and not found.text_works and has_reference(value) and key != "port":
            effect = 'every text is true, also "false"' if found.type == "boolean" else "it must be a number"
            yield Trouble((key,), f"A placeholder gives text in {key}: {effect}.")


@rule(
    "B12",
    ERROR,
    BOTH,
    "Two placeholders taken for one",
    "A text that begins with {$A: and ends with } is one placeholder, whatever stands between.",
    "Put the text before the first, or leave out the first one's default.",
    needs="several",
)
def two_placeholders(name: str, entry: Entry, pair: Pair) -> Iterator[Trouble]:
    for path, value in pair.references:
        if placeholders.is_trap(value):
            becomes = quoted(placeholders.resolved(value, key_of(path)), path, written=value)
            yield Trouble(path, f"This is taken for one placeholder; without its variable it becomes {becomes}.")


@rule(
    "B13",
    ERROR,
    BOTH,
    "A Vault reference",
    "A malformed one, or one without default where Vault is off, makes the whole file fail to load.",
    "{$vault:path#field}; see that every instance has Vault.",
    needs="vault",
)
def vault_reference(name: str, entry: Entry, pair: Pair) -> Iterator[Trouble]:
    for path, value in pair.references:
        if "{$vault:" not in value:
            continue
        for body in placeholders.VAULT.findall(value):
            if problem := placeholders.vault_problem(body):
                yield Trouble(path, f"The Vault reference {problem}: the whole file fails to load.")
        for reference in placeholders.references(value):
            if reference.vault and reference.default is None:
                yield Trouble(
                    path, f"{reference.name} needs Vault on every instance; without it the file fails to load.", NOTE
                )


@rule(
    "B14",
    ERROR,
    "connections",
    "Host or port missing",
    "The service requires both at reload, also beside a connection_string.",
    "Give host and port.",
)
def host_and_port(name: str, entry: Entry, pair: Pair) -> Iterator[Trouble]:
    known = CONNECTIONS.get(str(entry.get("type")))
    if known is None or not known.checked:
        return
    for key in ("host", "port"):
        if entry.get(key) in (None, ""):
            beside = " also beside connection_string" if entry.get("connection_string") else ""
            at = (key,) if key in entry else ()
            yield Trouble(at, f"{name!r} needs {key}{beside}; the service refuses the whole file.")


@rule(
    "B15",
    ERROR,
    "connections",
    "Certificates that break the connection",
    "With ssl on, any certificate path makes the driver fail.",
    "Remove ssl_ca_cert, ssl_cert and ssl_key.",
    when=("ssl",),
)
def certificate_paths(name: str, entry: Entry, pair: Pair) -> Iterator[Trouble]:
    if entry.get("type") == "postgresql" and entry.get("ssl"):
        for key in ("ssl_ca_cert", "ssl_cert", "ssl_key"):
            if text(entry.get(key), key):
                yield Trouble((key,), f"With ssl on, {key} makes the driver fail: payloads are lost.")


@rule(
    "B16",
    WARNING,
    "connections",
    "A password that breaks the address",
    "It is put into an address as it is; @ : / # ? divide one.",
    "Choose another password.",
)
def reserved_characters(name: str, entry: Entry, pair: Pair) -> Iterator[Trouble]:
    keys = {"rabbitmq": ("user", "pass"), "postgresql": ("user", "password")}.get(str(entry.get("type")), ())
    for key in keys:
        found = text(entry.get(key), key)
        if found and re.search(r"[@:/#?]", found):
            yield Trouble((key,), f"{key} holds one of @ : / # ?, which divide the address it is put into.")


@rule(
    "B17",
    ERROR,
    "webhooks",
    "An SQS queue that cannot be reached",
    "FIFO queues, other services (LocalStack) and addresses over 80 characters are refused at every request.",
    "Name a standard queue by queue_name.",
    when=("module-config", "chain"),
    modules=("aws_sqs",),
)
def unreachable_queue(name: str, entry: Entry, pair: Pair) -> Iterator[Trouble]:
    for step in pair.steps:
        if step.name == "aws_sqs" and step.module is not None:
            for key, known in step.module.keys.items():
                yield from _string_problems((*step.path, "module-config", key), key, known, step.config.get(key))


@rule(
    "B18",
    ERROR,
    "connections",
    "A port that is no whole number",
    "This type takes a number only: payloads are lost.",
    "Write the number itself.",
    when=("port",),
)
def port_as_text(name: str, entry: Entry, pair: Pair) -> Iterator[Trouble]:
    if entry.get("type") in ("mqtt", "activemq") and "port" in entry and type_name(entry["port"]) != "integer":
        yield Trouble(("port",), f"port of {entry['type']} must be a whole number, not {type_name(entry['port'])}.")


@rule(
    "B19",
    ERROR,
    "webhooks",
    "A table without columns",
    "Relational storage needs schema.fields; the flat form does not work.",
    'fields: {"id": {"column": "id", "type": "integer"}}.',
    when=("module-config", "chain"),
    modules=_RELATIONAL,
)
def no_columns(name: str, entry: Entry, pair: Pair) -> Iterator[Trouble]:
    for step in pair.steps:
        if step.name not in _RELATIONAL:
            continue
        place = (*step.path, "module-config", "schema")
        schema = as_object(step.config.get("schema"))
        fields = schema.get("fields")
        if step.config.get("storage_mode") == "relational" and not fields:
            yield Trouble(place, "storage_mode relational needs schema.fields; without it every payload is lost.")
        if schema and "fields" not in schema:
            yield Trouble(place, "schema needs `fields`; the flat form, field and type, does not work.")
        for field, column in fields.items() if isinstance(fields, dict) else ():
            if not isinstance(column, dict):
                yield Trouble((*place, "fields", field), 'A field is an object, as {"type": "integer"}.')


@rule(
    "B20",
    ERROR,
    "connections",
    "A host that instances refuse",
    "Reload refuses the whole file, or the module refuses to send.",
    "Use a host name without underscores, or set the instance's flag.",
)
def refused_host(name: str, entry: Entry, pair: Pair) -> Iterator[Trouble]:
    known = CONNECTIONS.get(str(entry.get("type")))
    host = text(entry.get("host"), "host") if "host" in entry else None
    if known is not None and known.checked:
        if host and (problem := hosts.host_problem(host, pair.target)):
            yield Trouble(("host",), f"{quoted(host, ('host',), written=entry['host'])} {problem}.")
        elif "host" in entry and entry["host"] and not isinstance(entry["host"], str):
            yield Trouble(("host",), f"host must be a text, not {type_name(entry['host'])}.")
        written = entry.get("port")
        port = text(written, "port") if isinstance(written, str) else written
        if port not in (None, "") and (problem := hosts.port_problem(port)):
            yield Trouble(("port",), f"port {quoted(port, ('port',), written=written)} {problem}.")
        return
    if entry.get("type") == "activemq" and (host is not None or "host" not in entry):
        problem = hosts.reaches_inside(host or "localhost")
        if problem:
            shown = quoted(host or "localhost", ("host",), written=entry.get("host"))
            yield Trouble(("host",), f"{shown} {problem}.")


@rule(
    "B20",
    ERROR,
    "webhooks",
    "A host that instances refuse",
    "The module refuses to send there.",
    "Use a host name without underscores, or list it in allowed_hosts.",
    modules=("redis_publish", "http_webhook", "websocket"),
)
def refused_host_of_module(name: str, entry: Entry, pair: Pair) -> Iterator[Trouble]:
    for step in pair.steps:
        redis = as_object(entry.get("redis"))
        if step.name == "redis_publish" and redis.get("host") and not redis.get("allowed_hosts"):
            host = text(redis["host"], "host")
            if host and (problem := hosts.reaches_inside(host)):
                shown = quoted(host, ("redis", "host"), written=redis["host"])
                yield Trouble(("redis", "host"), f"{shown} {problem}.")
        if step.name in {"http_webhook", "websocket"} and not step.config.get("allowed_hosts"):
            address = text(step.config.get("url"), "url")
            host = _host_of(address) if address else ""
            if host and (problem := hosts.reaches_inside(host)):
                yield Trouble((*step.path, "module-config", "url"), f"{host!r} {problem}.")


@rule(
    "B22",
    ERROR,
    "webhooks",
    "A chain that is refused",
    "The service checks chains at reload and refuses the whole file.",
    "1 to 20 steps; each a module's name or an object with module, connection, module-config, retry.",
    when=("chain",),
)
def chain(name: str, entry: Entry, pair: Pair) -> Iterator[Trouble]:
    listed = entry.get("chain")
    if listed is None:
        return
    if not isinstance(listed, list):
        yield Trouble(("chain",), "A chain is a list of one to twenty steps.")
        return
    if not 1 <= len(listed) <= 20:
        yield Trouble(("chain",), f"A chain has 1 to 20 steps, not {len(listed)}.")
    for index, item in enumerate(listed):
        yield from _chain_item(("chain", index), item)
    config = entry.get("chain-config")
    if config is not None and not isinstance(config, dict):
        yield Trouble(("chain-config",), "chain-config must be an object.")
    for key, value in as_object(config).items():
        place = ("chain-config", key)
        if key not in CHAIN_CONFIG:
            yield Trouble(place, f"{key!r} is no key of chain-config; the file is refused.")
        elif key == "execution" and not has_reference(value) and value not in ("sequential", "parallel"):
            yield Trouble(place, "execution is sequential or parallel.")
        elif key == "continue_on_error" and not has_reference(value) and not isinstance(value, bool):
            yield Trouble(place, "continue_on_error is true or false.")
        elif key == "timeout" and not has_reference(value) and (not fits(value, "number") or value <= 0):
            yield Trouble(place, "timeout must be a number above zero.")


def _chain_item(place: tuple[str | int, ...], item: object) -> Iterator[Trouble]:
    if isinstance(item, str):
        return
    if not isinstance(item, dict):
        yield Trouble(place, "A step is a module's name or an object.")
        return
    if not isinstance(item.get("module"), str) or not item["module"].strip():
        yield Trouble(place, "A step needs a module.")
    for key, value in item.items():
        if key not in CHAIN_ITEM:
            yield Trouble((*place, key), f"{key!r} is no key of a step; the file is refused.")
        elif key in {"module-config", "retry"} and value is not None and not isinstance(value, dict):
            yield Trouble((*place, key), f"{key} must be an object.")
        elif key == "connection" and value is not None and not isinstance(value, str):
            yield Trouble((*place, key), "connection must be the name of a connection.")
    retry = as_object(item.get("retry"))
    if "enabled" in retry and not isinstance(retry["enabled"], bool):
        yield Trouble((*place, "retry", "enabled"), "enabled is true or false; the file is refused.")
    attempts = retry.get("max_attempts", 1)
    if type_name(attempts) != "integer" or attempts < 1:
        yield Trouble((*place, "retry", "max_attempts"), "max_attempts must be a whole number from 1 up.")


def _host_of(address: str) -> str:
    try:
        return urlsplit(address).hostname or ""
    except ValueError:
        return ""
