"""The placeholder grammar of the service: `{$NAME}`, `{$NAME:default}`, `{$vault:path#field:default}`.

What a string becomes when it is loaded, and what goes wrong on the way. Reference: section 2.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

from webhook_agent.placeholders import ENV as ENV
from webhook_agent.placeholders import VAULT as VAULT
from webhook_agent.placeholders import WHOLE_ENV as WHOLE_ENV
from webhook_agent.placeholders import WHOLE_VAULT as WHOLE_VAULT

LOOK_ALIKE = re.compile(r"\$\{\w+[^}]*\}|\{\{\s*\$?\w+\s*\}\}|\{\s+\$\w+\s*\}|\{\$\w+[ -][^}:]*\}")

VAULT_PATH = re.compile(r"[A-Za-z0-9_./-]{1,512}\Z")
VAULT_FIELD = re.compile(r"[A-Za-z0-9_.-]{1,128}\Z")
VAULT_LONGEST = 1024

_DELETED = re.compile(r"[;|&`$(){}]")
_COMMANDS = re.compile(r"rm -rf|rm |cat |ls |pwd|whoami|id|uname", re.IGNORECASE)
_SCHEMES = re.compile(r"\A(javascript|data|vbscript|file|gopher):", re.IGNORECASE)
_SQL = re.compile(r"';|\";|--|/\*|\*/|union select|drop table|delete from|insert into|update set", re.IGNORECASE)
LONGEST = 4096


@dataclass(frozen=True, slots=True)
class Reference:
    """One placeholder in a string. `default` is None when there is none."""

    name: str  # of the variable; of a Vault reference: path#field
    default: str | None
    vault: bool = False
    whole: bool = False  # the string is nothing else


def references(value: str) -> tuple[Reference, ...]:
    """In the order and with the meaning that the service gives them."""
    return _references(value) if "{$" in value else ()


@lru_cache(maxsize=1024)
def _references(value: str) -> tuple[Reference, ...]:
    """Remembered: a dozen rules ask it of one string, one after the other."""
    if found := WHOLE_VAULT.match(value):
        return (_vault(found[1], whole=True),)
    if found := WHOLE_ENV.match(value):
        return (Reference(found[1], found[2], whole=True),)
    return (
        *(_vault(body) for body in VAULT.findall(value)),
        *(Reference(found[1], found[2]) for found in ENV.finditer(value)),
    )


def is_trap(value: str) -> bool:
    """Several placeholders, and the first has a default: the service takes the whole string for one."""
    found = WHOLE_ENV.match(value) if value.count("{$") > 1 else None
    return found is not None and found[2] is not None and "{$" in found[2]


def vault_problem(body: str) -> str:
    """Why the service cannot read a Vault reference, or nothing."""
    if len(body.strip()) > VAULT_LONGEST:
        return f"is longer than {VAULT_LONGEST} characters"
    path, hash_mark, rest = body.strip().partition("#")
    field = rest.partition(":")[0].strip()
    path = path.strip().strip("/")
    if not hash_mark:
        return "names no field; write path#field"
    if not VAULT_PATH.match(path) or ".." in path:
        return "has a path with other characters than letters, digits, _ . / -"
    if not VAULT_FIELD.match(field) or ".." in field:
        return "has a field with other characters than letters, digits, _ . -"
    return ""


def sanitised(value: str, key: str) -> str:
    """What is left of an environment value or default that stands under this key."""
    name = key.lower()
    result = value.replace("\x00", "")
    if "url" in name or "host" in name:
        result = _SCHEMES.sub("", result)
    result = _DELETED.sub("", result)
    if any(part in name for part in ("sql", "query", "table")):
        result = _SQL.sub("", result)
    result = result.replace("..", "")
    if "path" not in name and "url" not in name:
        result = result.lstrip("/")
    result = _COMMANDS.sub("", result)[:LONGEST]
    return "sanitized_value" if value.strip() and not result.strip() else result


def resolved(value: str, key: str) -> str | None:
    """What the string becomes where no variable is set; None when that is not known (a reference without default)."""
    found = references(value)
    if not found:
        return value
    if any(reference.default is None for reference in found):
        return None
    if found[0].whole:
        default = found[0].default or ""
        return default if found[0].vault else sanitised(default, key)
    result = VAULT.sub(lambda match: _vault(match[1]).default or "", value)
    return ENV.sub(lambda match: sanitised(match[2] or "", key), result)


def _vault(body: str, *, whole: bool = False) -> Reference:
    path, _, rest = body.partition("#")
    field, colon, default = rest.partition(":")
    return Reference(f"{path}#{field}", default if colon else None, vault=True, whole=whole)
