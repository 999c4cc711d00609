"""Placeholders in place of literal secrets: which names to propose, and the text with them in it."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from configs_app import secrets
from configs_app.json_text import leaves
from configs_app.validation import placeholders
from configs_app.validation.reading import key_of
from console.errors import Refused

VALID = re.compile(r"[A-Za-z_]\w*", re.ASCII)  # the service takes \w+; a shell wants no digit first
LONGEST = 200
_VAULT_DEFAULT = re.compile(r"(#[^:}]*):[^}]*")
_SCHEME = re.compile(r"\A((?:Bearer|Basic|Token)\s+)\S", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Proposal:
    """One literal secret, and the variable that can take its place.

    A secret that is only the default of a placeholder loses the default: `name` is then the variable it names already
    and cannot be chosen. `altered`: the service would not take this value from a variable as it is.
    """

    kind: str
    path: str
    start: int
    end: int
    value: str = field(repr=False)
    name: str
    prefix: str = ""  # what stays in front: "Bearer "
    without_default: str = ""  # the whole value without its default
    altered: bool = False

    @property
    def key(self) -> str:
        """What its fields in a form are named after."""
        return f"{self.kind}-{self.start}"


def proposals(texts: Mapping[str, str]) -> list[Proposal]:
    """For every literal secret of these valid documents, in their order. One name for each secret, never one in use."""
    taken = _in_use(texts)
    names: dict[str, str] = {}  # secret → its variable
    found: list[Proposal] = []
    for kind, text in texts.items():
        for secret in secrets.hidden(text):
            if not secrets.is_secret(secret.path, secret.value):
                continue
            path = ".".join(map(str, secret.path))
            bare = _without_defaults(secret.value)
            if bare != secret.value and not secrets.is_secret(secret.path, bare):
                name = ", ".join(reference.name for reference in placeholders.references(secret.value))
                place = (kind, path, secret.start, secret.end, secret.value)
                found.append(Proposal(*place, name, without_default=bare))
                continue
            scheme = _SCHEME.match(secret.value)
            prefix = scheme[1] if scheme else ""
            value = secret.value.removeprefix(prefix)
            if value not in names:
                names[value] = _unused(secret.path, taken)
                taken.add(names[value])
            altered = placeholders.sanitised(value, key_of(secret.path)) != value
            place = (kind, path, secret.start, secret.end, value)
            found.append(Proposal(*place, names[value], prefix, altered=altered))
    return found


def replaced(texts: Mapping[str, str], chosen: Mapping[Proposal, str]) -> dict[str, str]:
    """The texts with the chosen secrets replaced by `{$NAME}`, everything else as typed.

    Refused for a name that is none, is in use already, or would stand for two secrets.
    """
    used = _in_use(texts)
    values: dict[str, str] = {}
    for proposal, name in chosen.items():
        if proposal.without_default:
            continue
        if not VALID.fullmatch(name) or len(name) > LONGEST:
            raise Refused(f"{proposal.path}: {name!r} is no name of a variable. Letters, digits and _, no digit first.")
        if name in used:
            raise Refused(f"{proposal.path}: {name} is in use already and may have another value. Choose another name.")
        if values.setdefault(name, proposal.value) != proposal.value:
            raise Refused(f"{proposal.path}: {name} would stand for two different secrets. Choose another name.")
    result = dict(texts)
    for proposal, name in sorted(chosen.items(), key=lambda item: -item[0].start):
        value = proposal.without_default or f"{proposal.prefix}{{${name}}}"
        text = result[proposal.kind]
        literal = json.dumps(value, ensure_ascii=False)
        result[proposal.kind] = text[: proposal.start] + literal + text[proposal.end :]
    return result


def _in_use(texts: Mapping[str, str]) -> set[str]:
    """Every variable that the documents name."""
    return {
        reference.name
        for text in texts.values()
        for _, value in leaves(json.loads(text))
        for reference in placeholders.references(value)
    }


def _without_defaults(value: str) -> str:
    found = placeholders.references(value)
    if found and found[0].whole:
        return f"{{${'vault:' if found[0].vault else ''}{found[0].name}}}"
    value = placeholders.VAULT.sub(lambda match: _VAULT_DEFAULT.sub(r"\1", match[0]), value)
    return placeholders.ENV.sub(lambda match: f"{{${match[1]}}}", value)


def _unused(path: tuple[str | int, ...], taken: set[str]) -> str:
    """ORDERS_AUTHORIZATION for orders.authorization; numbered when that is taken."""
    keys = [part for part in path if isinstance(part, str)]
    name = "_".join(keys[:1] + keys[1:][-1:])
    name = re.sub(r"[^A-Za-z0-9]+", "_", name).strip("_").upper()[:LONGEST]
    if not VALID.fullmatch(name):
        name = f"SECRET_{name}".rstrip("_")
    number, numbered = 1, name
    while numbered in taken:
        number += 1
        numbered = f"{name}_{number}"
    return numbered
