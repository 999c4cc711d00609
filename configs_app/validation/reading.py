"""What rules read of an entry: values as they are after placeholders, steps of a chain, credentials."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from configs_app import secrets
from configs_app.json_text import Path
from configs_app.validation import placeholders
from configs_app.validation.model import (
    AUTHENTICATION,
    CHAIN_CONFIG,
    CLEANUP,
    MODULES,
    RATE_LIMIT,
    REDIS,
    RETRY,
    WEBHOOK,
    Key,
    Module,
)

# The objects within a webhook whose keys are listed.
BLOCKS: dict[str, Mapping[str, Key]] = {
    **AUTHENTICATION,
    "rate_limit": RATE_LIMIT,
    "credential_cleanup": CLEANUP,
    "retry": RETRY,
    "redis": REDIS,
}
TYPED_BLOCKS: dict[str, Mapping[str, Key]] = {**BLOCKS, "chain-config": CHAIN_CONFIG}
NOTES = frozenset({"description", "comment", "note", "notes", "_comment"})  # where people write to each other

# What callers are checked against: where the values stand whose loss or knowledge opens the webhook.
CREDENTIALS: frozenset[Path] = frozenset(
    {
        ("authorization",),
        *((name, key) for name, keys in AUTHENTICATION.items() for key, known in keys.items() if known.secret),
    }
)


@dataclass(frozen=True, slots=True)
class Step:
    """One module that an entry runs, with what it reads. A webhook without a chain is one step."""

    name: str  # of the module
    module: Module | None
    config: dict[str, Any]  # merged as the service does
    path: Path  # of the item in the entry; () for the webhook itself
    connection: object  # what it names; None for nothing
    in_chain: bool


def steps(entry: Mapping[str, Any]) -> Iterator[Step]:
    shared = as_object(entry.get("module-config"))
    chain = entry.get("chain")
    if chain is None:
        name = _name(entry)
        yield Step(name, MODULES.get(name), shared, (), entry.get("connection"), in_chain=False)
        return
    for index, item in enumerate(chain if isinstance(chain, list) else []):
        value = {"module": item} if isinstance(item, str) else as_object(item)
        name = _name(value)
        config = {**shared, **as_object(value.get("module-config"))}
        yield Step(name, MODULES.get(name), config, ("chain", index), value.get("connection"), in_chain=True)


def _name(value: Mapping[str, Any]) -> str:
    module = value.get("module")
    return module.strip() if isinstance(module, str) else ""


def is_usual(entry: Mapping[str, Any], steps: Iterable[Step]) -> bool:
    """A quick look at a webhook: True when every key is listed and every value plainly of its type. Most are so."""
    for key, value in entry.items():
        known = WEBHOOK.get(key)
        if known is None:
            if key not in NOTES:
                return False
        elif not known.takes_plainly(value) or (key in TYPED_BLOCKS and not _are_usual(value, TYPED_BLOCKS[key])):
            return False
    return all(
        not step.path and step.module is not None and _are_usual(step.config, step.module.keys) for step in steps
    )


def _are_usual(block: object, keys: Mapping[str, Key]) -> bool:
    if not isinstance(block, dict):
        return False
    for key, value in block.items():
        known = keys.get(key)
        if known is None or not known.takes_plainly(value):
            return False
    return True


def quoted(value: object, path: Path, *, written: object = None) -> str:
    """A value as messages name it: never a secret, and no object that may hold some.

    `path` is where it stands in its entry. `written` is what stands there when the value was made of it.
    """
    if isinstance(value, (dict, list)):
        return f"this {type_name(value)}"
    source = value if written is None else written
    if isinstance(source, str) and secrets.is_secret(("", *path), source):
        return "this secret"
    return repr(value)


def as_object(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def text(value: object, key: str) -> str | None:
    """A string as it is once loaded; None when that is not known, or it is no string."""
    return placeholders.resolved(value, key) if isinstance(value, str) else None


def has_reference(value: object) -> bool:
    return isinstance(value, str) and "{$" in value and bool(placeholders.references(value))


def key_of(path: Path) -> str:
    """The JSON key that a value stands under; of a list, the service's own word for it."""
    if path and isinstance(path[-1], str):
        return path[-1]
    return f"list[{path[-1]}]" if path else ""


def nearest(word: str, known: Iterable[str]) -> str:
    """The known key that was probably meant, or nothing."""
    return _nearest(word.lower(), tuple(known))


@lru_cache(maxsize=4096)
def _nearest(word: str, known: tuple[str, ...]) -> str:
    """Remembered: large documents ask the same question for every entry."""
    for name in known:
        if name.lower().replace("_", "-") == word.replace("_", "-"):
            return name
    found = difflib.get_close_matches(word, known, n=1, cutoff=0.8)
    return found[0] if found else ""


_TYPES: dict[type, str] = {
    type(None): "null",
    bool: "boolean",
    int: "integer",
    float: "number",
    str: "string",
    list: "array",
    dict: "object",
}


def type_name(value: object) -> str:
    """JSON's word for the type of a parsed value."""
    return _TYPES.get(type(value), "value")


def fits(value: object, wanted: str | tuple[str, ...]) -> bool:
    names = (wanted,) if isinstance(wanted, str) else wanted
    found = type_name(value)
    return found in names or (found == "integer" and "number" in names)


def misfit(path: Path, known: Key, value: object) -> str:
    """Why the service does not take a value for what it seems to be, or nothing; "must be a number, not string"."""
    if value is None:
        return "" if known.may_be_null else f"must be {_a(known.types)}, not null"
    if not fits(value, known.types):
        return f"must be {_a(known.types)}, not {type_name(value)}"
    if isinstance(value, str):
        found = text(value, key_of(path))
        if found is not None and known.required and not found.strip():
            return "is needed, and empty"
        if found is not None and not known.takes(found):
            return f"is {' or '.join(known.values)}, not {quoted(found, path, written=value)}"
        if found is not None and "integer" in known.types and not found.strip().isdecimal():
            return f"must be a whole number, not {quoted(found, path, written=value)}"
    if isinstance(value, int | float):
        if known.least is not None and value < known.least:
            return f"must be {known.least:g} or more, not {value}"
        if known.most is not None and value > known.most:
            return f"must be {known.most:g} or less, not {value}"
    return ""


def _a(types: tuple[str, ...]) -> str:
    return " or ".join(f"an {name}" if name[0] in "aio" else f"a {name}" for name in types if name != "null")
