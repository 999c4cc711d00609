"""C rules: what the service ignores or alters without a word."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from configs_app.json_text import Path
from configs_app.validation import placeholders
from configs_app.validation.catalogue import BOTH, Level, Pair, Trouble, rule
from configs_app.validation.model import (
    AUTHENTICATION,
    CONNECTIONS,
    LOOK_ALIKES,
    MODULES,
    RETRY,
    SECURITY,
    STEP,
    WEBHOOK,
    Key,
    Module,
)
from configs_app.validation.reading import (
    BLOCKS,
    NOTES,
    TYPED_BLOCKS,
    as_object,
    fits,
    has_reference,
    key_of,
    misfit,
    nearest,
    quoted,
    text,
    type_name,
)

ERROR, WARNING, NOTE = Level.ERROR, Level.WARNING, Level.NOTE
Entry = dict[str, Any]


@rule(
    "C1",
    WARNING,
    "webhooks",
    "A key that has no effect",
    "The service ignores keys it does not know.",
    "Correct its spelling, or remove it.",
    needs="unusual",
)
def unknown_key(name: str, entry: Entry, pair: Pair) -> Iterator[Trouble]:
    for name_, value in entry.items():
        known = BLOCKS.get(name_)
        if known is not None:
            for key in value if isinstance(value, dict) else ():
                elsewhere = name_ == "redis" and key in MODULES["redis_publish"].ignored  # C2
                if key not in known and (name_, key) != ("rate_limit", "enabled") and not elsewhere:
                    yield Trouble((name_, key), _no_effect(key, known))
        elif name_ not in WEBHOOK and name_ not in NOTES and name_ != "chain_config" and not nearest(name_, SECURITY):
            yield Trouble((name_,), _no_effect(name_, WEBHOOK))  # what is near to a check is A19's
    modules: list[Module] = [step.module for step in pair.steps if step.module is not None]
    for key in as_object(entry.get("module-config")) if modules else ():
        if not any(key in module.keys or key in module.ignored for module in modules):
            yield Trouble(("module-config", key), _no_effect(key, modules[0].keys))
    for step in pair.steps:
        if not step.path:
            continue
        item = as_object(entry["chain"][step.path[1]])
        for key in as_object(item.get("retry")):
            if key not in RETRY:
                yield Trouble((*step.path, "retry", key), _no_effect(key, RETRY))
        if step.module is None:
            continue
        for key in _own_config(entry, step.path):
            if key not in step.module.keys and key not in step.module.ignored:
                yield Trouble((*step.path, "module-config", key), _no_effect(key, step.module.keys))


@rule(
    "C1",
    WARNING,
    "connections",
    "A key that has no effect",
    "The service ignores keys it does not know.",
    "Correct its spelling, or remove it.",
)
def unknown_key_of_connection(name: str, entry: Entry, pair: Pair) -> Iterator[Trouble]:
    known = CONNECTIONS.get(str(entry.get("type")))
    if known is None:
        return
    for key in entry:
        if key != "type" and key not in known.keys and key not in known.ignored and key not in NOTES:
            yield Trouble((key,), _no_effect(key, known.keys))


@rule(
    "C2",
    WARNING,
    "webhooks",
    "A key of another module",
    "Documentation and samples name it, the service ignores it.",
    "See the message.",
    modules=[name for name, module in MODULES.items() if module.ignored],
)
def known_wrong_key(name: str, entry: Entry, pair: Pair) -> Iterator[Trouble]:
    for step in pair.steps:
        for key, advice in step.module.ignored.items() if step.module else ():
            if key in _own_config(entry, step.path):
                yield Trouble((*step.path, "module-config", key), f"{step.name} ignores {key}. {advice}")
        if step.name == "redis_publish":
            for key, advice in MODULES["redis_publish"].ignored.items():
                if key != "channel" and key in as_object(entry.get("redis")):
                    yield Trouble(("redis", key), f"redis_publish ignores {key}. {advice}")
            if entry.get("connection") and not step.in_chain:
                yield Trouble(("connection",), "redis_publish ignores connection; it uses the entry's `redis` object.")


@rule(
    "C2",
    WARNING,
    "connections",
    "A key of another type",
    "Documentation and samples name it, the service ignores it.",
    "See the message.",
)
def known_wrong_key_of_connection(name: str, entry: Entry, pair: Pair) -> Iterator[Trouble]:
    known = CONNECTIONS.get(str(entry.get("type")))
    for key, advice in known.ignored.items() if known else ():
        if key in entry:
            yield Trouble((key,), f"{entry['type']} ignores {key}. {advice}")


@rule(
    "C3",
    WARNING,
    "connections",
    "A type nobody uses",
    "The service accepts any type and checks none but its own.",
    "Use one of the types in the reference.",
)
def unknown_type(name: str, entry: Entry, pair: Pair) -> Iterator[Trouble]:
    kind = entry.get("type")
    if not isinstance(kind, str) or not kind.strip():
        message = f'{name!r} has no type, so the service refuses the whole file. Example: "type": "postgresql".'
        yield Trouble(("type",) if "type" in entry else (), message, ERROR)
    elif kind not in CONNECTIONS and not has_reference(kind):
        meant = LOOK_ALIKES.get(kind.strip().lower()) or nearest(kind.strip(), CONNECTIONS)
        hint = f" Did you mean {meant!r}?" if meant else ""
        yield Trouble(("type",), f"No module uses connections of type {quoted(kind, ('type',))}.{hint}")


@rule(
    "C4",
    WARNING,
    "webhooks",
    "Beside a chain",
    "With a chain, the webhook's own module and retry are ignored; without one, chain-config is.",
    "Keep what is meant.",
    when=("chain", "chain_config", "chain-config"),
)
def beside_a_chain(name: str, entry: Entry, pair: Pair) -> Iterator[Trouble]:
    if "chain_config" in entry:
        yield Trouble(("chain_config",), "The key is `chain-config`; this one is ignored.")
    if entry.get("chain") is not None:
        for key in ("module", "retry"):
            if key in entry:
                yield Trouble((key,), f"{key} is ignored beside a chain.")
    elif entry.get("chain-config"):
        yield Trouble(("chain-config",), "chain-config is ignored without a chain.")


@rule(
    "C5",
    ERROR,
    "webhooks",
    "A step's setting in the wrong place",
    "topic, queue_name and destination are read from the step's module-config only.",
    "Move it into the step's module-config.",
    when=("chain",),
)
def setting_beside_step(name: str, entry: Entry, pair: Pair) -> Iterator[Trouble]:
    chain = entry.get("chain")
    for index, item in enumerate(chain if isinstance(chain, list) else ()):
        for key in ("topic", "queue_name", "destination"):
            if key in as_object(item):
                yield Trouble(("chain", index, key), f"{key} is ignored here; move it into the step's module-config.")


@rule(
    "C6",
    NOTE,
    "webhooks",
    "A timeout without effect",
    "It counts in parallel mode only.",
    "Remove it.",
    when=("chain-config",),
)
def sequential_timeout(name: str, entry: Entry, pair: Pair) -> Iterator[Trouble]:
    config = as_object(entry.get("chain-config"))
    if entry.get("chain") and "timeout" in config and config.get("execution", "sequential") == "sequential":
        yield Trouble(("chain-config", "timeout"), "timeout has no effect on a sequential chain.")


@rule(
    "C7",
    WARNING,
    "webhooks",
    "A switch without effect",
    "rate_limit.enabled is ignored; false does not switch the limit off.",
    "Remove it; to have no limit remove rate_limit.",
    when=("rate_limit",),
)
def rate_limit_enabled(name: str, entry: Entry, pair: Pair) -> Iterator[Trouble]:
    if "enabled" in as_object(entry.get("rate_limit")):
        yield Trouble(("rate_limit", "enabled"), "enabled is ignored; the limit is on whatever it says.")


@rule(
    "C8",
    WARNING,
    "webhooks",
    "A retry outside its bounds",
    "The service takes the nearest value it knows, or its default.",
    "Attempts 1 to 20, delays 0 to 60 seconds, multiplier 0.1 to 10.",
    when=("retry", "chain"),
    needs="unusual",
)
def retry_bounds(name: str, entry: Entry, pair: Pair) -> Iterator[Trouble]:
    places: list[tuple[Path, Entry]] = [(("retry",), as_object(entry.get("retry")))]
    chain = entry.get("chain")
    for index, item in enumerate(chain if isinstance(chain, list) else ()):
        places.append((("chain", index, "retry"), as_object(as_object(item).get("retry"))))
    for place, block in places:
        for key, value in block.items():
            known = RETRY.get(key)
            if known is None or known.least is None or known.most is None or has_reference(value):
                continue
            if not fits(value, "number"):
                yield Trouble((*place, key), f"{key} must be a number; the default is used.")
            elif not known.least <= value <= known.most:
                becomes = min(max(value, known.least), known.most)
                yield Trouble((*place, key), f"{key} {value} becomes {becomes}.")


@rule(
    "C9",
    WARNING,
    BOTH,
    "A default that is altered",
    "The service deletes characters and words from defaults and values of variables.",
    "Put the value into the text itself, or choose another.",
    needs="default",
)
def altered_default(name: str, entry: Entry, pair: Pair) -> Iterator[Trouble]:
    for path, value in pair.references:
        if placeholders.is_trap(value):
            continue
        for reference in placeholders.references(value):
            if reference.vault or not reference.default:
                continue
            becomes = placeholders.sanitised(reference.default, key_of(path))
            if becomes != reference.default:
                shown = quoted(becomes, path, written=value)
                yield Trouble(path, f"The default of {reference.name} becomes {shown}.")


@rule(
    "C10",
    WARNING,
    BOTH,
    "Not a placeholder",
    "It stays in the text as it is.",
    "{$NAME} or {$NAME:default}.",
    needs="look-alike",
)
def look_alike(name: str, entry: Entry, pair: Pair) -> Iterator[Trouble]:
    for path, value in pair.texts:
        if "json_schema" in path[:1] or ("{" not in value):
            continue
        if found := placeholders.LOOK_ALIKE.search(value):
            shown = quoted(found[0], path, written=value)
            yield Trouble(path, f"{shown} is no placeholder and stays as it is.")


@rule(
    "C11",
    NOTE,
    BOTH,
    "A variable that instances have to define",
    "Where it is not set, the text itself stays, or says that it is undefined.",
    "See that every instance defines it, or give a default.",
    needs="placeholder",
)
def undefined(name: str, entry: Entry, pair: Pair) -> Iterator[Trouble]:
    for path, value in pair.references:
        if path and (path[0] == "authorization" or path[0] in AUTHENTICATION):
            continue  # credentials are A4's
        for reference in placeholders.references(value):
            if not reference.vault and reference.default is None:
                yield Trouble(path, f"Every instance has to define {reference.name}.")


_REDACTED = re.compile(r"password|secret|token|key|credential|auth", re.IGNORECASE)


@rule(
    "C12",
    NOTE,
    "webhooks",
    "Payload fields that are redacted",
    "The clean-up is on by default and changes what is delivered, by parts of names.",
    'Set "credential_cleanup": {"enabled": false} if the fields are needed.',
    when=("json_schema",),
)
def redacted_fields(name: str, entry: Entry, pair: Pair) -> Iterator[Trouble]:
    cleanup = entry.get("credential_cleanup", {})
    if not isinstance(cleanup, dict) or not cleanup.get("enabled", True):
        return
    properties = as_object(as_object(entry.get("json_schema")).get("properties"))
    hit = [field for field in properties if _REDACTED.search(field)]
    if hit:
        yield Trouble(("json_schema", "properties", hit[0]), f"Delivered redacted: {', '.join(hit)}.")


@rule(
    "C13",
    NOTE,
    "connections",
    "The ClickHouse that receives everything",
    "The first ClickHouse connection is given every webhook's payload, from the next start on.",
    "Know which one stands first.",
)
def first_clickhouse(name: str, entry: Entry, pair: Pair) -> Iterator[Trouble]:
    if name == pair.first_clickhouse:
        yield Trouble((), f"{name!r} is the first ClickHouse connection: it receives every webhook's payload.")


@rule(
    "C14",
    WARNING,
    "connections",
    "A ClickHouse port for HTTP",
    "The native protocol is spoken: 9000.",
    "Use 9000.",
    when=("port",),
)
def clickhouse_port(name: str, entry: Entry, pair: Pair) -> Iterator[Trouble]:
    port = entry.get("port")
    port = placeholders.resolved(port, "port") if isinstance(port, str) else port
    if entry.get("type") == "clickhouse" and str(port) in {"8123", "8443", "9440"}:
        yield Trouble(("port",), f"Port {port} does not speak the native protocol without TLS; 9000 does.")


@rule(
    "C15",
    WARNING,
    "connections",
    "MySQL settings without effect",
    "The shared pool ignores pool sizes and TLS.",
    "Remove them; the connection is not encrypted.",
)
def mysql_settings(name: str, entry: Entry, pair: Pair) -> Iterator[Trouble]:
    if entry.get("type") == "mysql":
        for key in ("pool_min_size", "pool_max_size", "ssl", "ssl_ca_cert", "ssl_cert", "ssl_key"):
            if entry.get(key):
                yield Trouble((key,), f"{key} is ignored by mysql.")


@rule("C16", NOTE, "connections", "A connection nobody uses", "No webhook names it.", "Remove it, or leave it.")
def unused(name: str, entry: Entry, pair: Pair) -> Iterator[Trouble]:
    if pair.webhooks is not None and name not in pair.used:
        yield Trouble((), f"No webhook uses {name!r}.")


@rule(
    "C17",
    NOTE,
    "webhooks",
    "A setting in its old place",
    "It works, but belongs into module-config.",
    "Move it into module-config.",
    when=("topic", "queue_name"),
)
def old_place(name: str, entry: Entry, pair: Pair) -> Iterator[Trouble]:
    used = {step.name for step in pair.steps}
    for key, modules in (("topic", {"kafka", "mqtt"}), ("queue_name", {"rabbitmq"})):
        if key in entry and used & modules:
            yield Trouble((key,), f"{key} works here, but belongs into module-config.")
        elif key in entry and used:
            yield Trouble((key,), f"No module of this webhook reads {key}.", WARNING)


@rule(
    "C18",
    WARNING,
    "webhooks",
    "A value of another type",
    "The service replaces it by the default, takes any text for true, or fails when a request comes.",
    "Write what the key's table says.",
    fallback=True,
    needs="unusual",
)
def other_type(name: str, entry: Entry, pair: Pair) -> Iterator[Trouble]:
    yield from _misfits((), entry, WEBHOOK)
    for block, value in entry.items():
        if block in TYPED_BLOCKS and isinstance(value, dict):
            yield from _misfits((block,), value, TYPED_BLOCKS[block])
    for step in pair.steps:
        if step.path:
            item = as_object(entry["chain"][step.path[1]])
            yield from _misfits(step.path, item, STEP)
            yield from _misfits((*step.path, "retry"), as_object(item.get("retry")), RETRY)
        if step.module is not None:
            yield from _misfits((*step.path, "module-config"), step.config, step.module.keys)


@rule(
    "C18",
    WARNING,
    "connections",
    "A value of another type",
    "The service replaces it by the default, takes any text for true, or fails when a request comes.",
    "Write what the key's table says.",
    fallback=True,
)
def other_type_of_connection(name: str, entry: Entry, pair: Pair) -> Iterator[Trouble]:
    known = CONNECTIONS.get(str(entry.get("type")))
    if known is not None:
        yield from _misfits((), entry, known.keys)


def _misfits(place: Path, block: Entry, keys: Mapping[str, Key]) -> Iterator[Trouble]:
    for key, value in block.items():
        known = keys.get(key)
        if known is None or known.takes_plainly(value):
            continue
        if problem := misfit((*place, key), known, value):
            yield Trouble((*place, key), f"{key} {problem}.")
        elif isinstance(value, list) and key != "chain":
            for index, item in enumerate(value):
                found = text(item, key) if isinstance(item, str) else None
                if not isinstance(item, str):
                    yield Trouble((*place, key, index), f"{key} lists strings, not {type_name(item)}.")
                elif found is not None and not known.takes(found):
                    yield Trouble(
                        (*place, key, index), f"{quoted(item, (*place, key))} is none of {', '.join(known.values)}."
                    )


def _own_config(entry: Entry, path: tuple[str | int, ...]) -> dict[str, Any]:
    """The module-config that stands at a step itself."""
    if not path:
        return as_object(entry.get("module-config"))
    item = entry["chain"][path[1]]
    return as_object(as_object(item).get("module-config"))


def _no_effect(key: str, known: dict[str, Key] | Any) -> str:
    meant = nearest(key, known)
    return f"{key!r} has no effect." + (f" Did you mean {meant!r}?" if meant else "")
