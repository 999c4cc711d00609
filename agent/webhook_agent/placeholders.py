"""The placeholders of a document: `{$NAME}`, `{$NAME:default}` and `{$vault:path#field:default}` in its string values.

The grammar is the service's; the console reads its documents by it, too. Nothing here knows a value.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

WHOLE_VAULT = re.compile(r"^\{\$vault:([^}]+)\}$")
WHOLE_ENV = re.compile(r"^\{\$(?!vault:)(\w+)(?::(.*))?\}$")
VAULT = re.compile(r"\{\$vault:([^}]+)\}")
ENV = re.compile(r"\{\$(?!vault:)(\w+)(?::([^}]*))?\}")

MOST_NAMES = 500  # told about in one answer
LONGEST_NAME = 200  # characters, all of them ASCII

# A reference to Vault that is none may hold anything, a default among it, so it is nobody's name.
_VAULT_NAME = re.compile(r"[A-Za-z0-9_./-]+#[A-Za-z0-9_.-]+\Z")


def names(*documents: Any, most: int | None = MOST_NAMES) -> tuple[dict[str, bool], int]:
    """The names that stand in these documents, in their order, each with whether every place has a default for it;
    and how many names are left out, because they are too many, too long, or not ASCII (None: none is).

    A variable by its name, a reference to Vault as `vault:path#field`.
    """
    found: dict[str, bool] = {}
    for value in _strings(documents):
        for name, has_default in _references(value):
            found[name] = found.get(name, True) and has_default
    if most is None:
        return found, 0
    told = [name for name in found if name.isascii() and len(name) <= LONGEST_NAME][:most]
    return {name: found[name] for name in told}, len(found) - len(told)


def _strings(container: Any) -> Iterator[str]:
    """Depth first and in order, without recursion; keys are not substituted."""
    left = [container]
    while left:
        value = left.pop()
        if isinstance(value, str):
            if "{$" in value:
                yield value
        elif isinstance(value, dict):
            left.extend(reversed(list(value.values())))
        elif isinstance(value, (list, tuple)):
            left.extend(reversed(value))


def _references(value: str) -> Iterator[tuple[str, bool]]:
    """(name, whether it has a default) as the service takes the string: first as a whole, then piece by piece."""
    whole = WHOLE_VAULT.match(value)
    if whole:
        yield from _vault(whole[1])
        return
    whole = WHOLE_ENV.match(value)
    if whole:
        yield whole[1], whole[2] is not None
        return
    for body in VAULT.findall(value):
        yield from _vault(body)
    for found in ENV.finditer(value):
        yield found[1], found[2] is not None


def _vault(body: str) -> Iterator[tuple[str, bool]]:
    path, mark, rest = body.strip().partition("#")
    field, colon, _ = rest.partition(":")
    name = f"{path.strip().strip('/')}#{field.strip()}"
    if mark and _VAULT_NAME.match(name):
        yield f"vault:{name}", bool(colon)
