"""The two files of the service: loading them, and what loading refuses."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from webhook_agent import Rejected, ReloadFailed
from webhook_agent.protocol import KINDS

Entries = dict[str, dict[str, Any]]

# What the real service knows. Here only the first two do anything.
MODULES = frozenset(
    [
        "log",
        "save_to_disk",
        "rabbitmq",
        "redis_rq",
        "redis_publish",
        "http_webhook",
        "kafka",
        "s3",
        "clickhouse",
        "websocket",
        "mqtt",
        "zeromq",
        "activemq",
        "aws_sqs",
        "gcp_pubsub",
        "postgresql",
        "postgres",
        "mysql",
        "mariadb",
        "webhook_connect",
    ]
)


class Configuration:
    """What the service runs: the entries it loaded last."""

    def __init__(self, folder: Path, *, lenient: bool = False, refuse: str = "", object_: str = "") -> None:
        """`lenient` passes over entries that are no objects; `refuse` and `object_` are reasons (see drills)."""
        self.folder = folder
        self._lenient = lenient
        self._refuse = refuse
        self._object = object_
        self._loaded: dict[str, Entries] = {kind: {} for kind in KINDS}

    @property
    def webhooks(self) -> Entries:
        return self._loaded["webhooks"]

    def path(self, kind: str) -> Path:
        return self.folder / f"{kind}.json"

    def load(self, kinds: Iterable[str] = KINDS) -> None:
        """Load these files, all or none. Raises ReloadFailed. No file means no entries."""
        self._loaded = {**self._loaded, **{kind: self._read(kind) for kind in kinds}}

    def reload(self, kinds: Iterable[str]) -> None:
        """`load` as the agent calls it. The drill refuses what is new and lets the previous files back in."""
        fresh = {kind: self._read(kind) for kind in kinds}
        refuse = self._refuse or _text(self.folder / "reject")
        if refuse and any(self._loaded[kind] != entries for kind, entries in fresh.items()):
            raise ReloadFailed(refuse)
        self._loaded = {**self._loaded, **fresh}

    def validate(self, kind: str, document: dict[str, Any]) -> None:
        """What loading it would say, before anything is written. Raises Rejected."""
        refuse = self._object or _text(self.folder / "object")
        if refuse:
            raise Rejected(refuse)
        try:
            self._entries(kind, document)
        except ReloadFailed as failure:
            raise Rejected(failure.reason) from None

    def _read(self, kind: str) -> Entries:
        try:
            found = json.loads(self.path(kind).read_bytes())
        except FileNotFoundError:
            return {}
        except ValueError:
            raise ReloadFailed(f"Invalid JSON in {kind}.json") from None
        if not isinstance(found, dict):
            raise ReloadFailed(f"{kind}.json must hold an object")
        return self._entries(kind, found)

    def _entries(self, kind: str, found: dict[str, Any]) -> Entries:
        noun = kind[:-1]
        entries: Entries = {}
        for name, entry in found.items():
            if not name:
                raise ReloadFailed(f"A {noun} has an empty name")
            if isinstance(entry, dict):
                entries[name] = entry
            elif not self._lenient:
                raise ReloadFailed(f"The {noun} '{name}' must be an object")
        for name, entry in entries.items():
            if kind == "webhooks":
                _check_webhook(name, entry)
            elif not entry.get("type"):
                raise ReloadFailed(f"Connection '{name}' is missing 'type'")
        return entries


def chain_of(entry: dict[str, Any]) -> list[dict[str, Any]]:
    """The steps of a webhook, each with `module` and `module-config`; one step when it has no chain."""
    chain = entry.get("chain")
    if chain is None:
        return [entry]
    steps = [{"module": step} if isinstance(step, str) else step for step in chain]
    shared = _object(entry.get("module-config"))
    return [{**step, "module-config": {**shared, **_object(step.get("module-config"))}} for step in steps]


def _check_webhook(name: str, entry: dict[str, Any]) -> None:
    chain = entry.get("chain")
    if chain is not None and (not isinstance(chain, list) or not 1 <= len(chain) <= 20):
        raise ReloadFailed(f"The chain of webhook '{name}' must be a list of 1 to 20 steps")
    if chain is None and not entry.get("module"):
        raise ReloadFailed(f"Webhook '{name}' is missing 'module' or 'chain'")
    if any(not isinstance(step, (str, dict)) for step in chain or ()):
        raise ReloadFailed(f"A step in the chain of webhook '{name}' is neither a name nor an object")
    for step in chain_of(entry):
        module = step.get("module")
        if not isinstance(module, str) or module.strip() not in MODULES:
            raise ReloadFailed(f"Unknown module '{module}' in webhook '{name}'")


def _object(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _text(path: Path) -> str:
    try:
        return path.read_text().strip()
    except FileNotFoundError:
        return ""
