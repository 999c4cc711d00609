"""What there is to say of one entry, remembered: an edit leaves most entries of a document as they were.

Somebody who types into two megabytes has them judged every few seconds, and again when the draft saves itself, is
reviewed and published. What is kept are messages, which name no secret, under a hash of everything they depend on.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

from configs_app import members, secrets
from configs_app.json_text import Path, leaves
from configs_app.validation import placeholders
from configs_app.validation.catalogue import Level, Pair, Plan, Trait
from configs_app.validation.reading import is_usual, steps

Said = tuple[tuple[str, Level, Path, str], ...]  # rule, level, path within the entry, message

MOST = 20_000  # entries of a generation


class Judge:
    """Judges the entries of one document beside the other one."""

    def __init__(self, kind: str, pair: Pair) -> None:
        self._plan = Plan(kind)
        self._pair = pair
        types = {name: _type(entry) for name, entry in (pair.connections or {}).items()}
        around = (kind, pair.target, sorted(pair.used), pair.first_clickhouse, pair.webhooks is None)
        # Of the other document rules see names and types, nothing else; a test holds them to it.
        self._context = repr((*around, pair.connections is None, list(types.items()) if kind == "webhooks" else ()))

    def about(self, name: str, entry: dict[str, Any], text: str) -> Said:
        """`text` is the entry as typed: what it is remembered by."""
        whole = f"{self._context}{name!r}{text}".encode("utf-8", "surrogatepass")
        key = hashlib.blake2b(whole, digest_size=16).digest()
        said = _memory.get(key)
        if said is None:
            said = self._judged(name, entry)
            _memory.keep(key, said)
        return said

    def _judged(self, name: str, entry: dict[str, Any]) -> Said:
        texts = tuple(leaves(entry))
        references = tuple(found for found in texts if "{$" in found[1])
        hidden = tuple(found for found in texts if secrets.is_secret_in_entry(*found))
        around = self._pair.around(texts=texts, steps=tuple(steps(entry)), references=references, secrets=hidden)
        said: list[tuple[str, Level, Path, str]] = []
        places: set[Path] = set()
        modules = [step.name for step in around.steps]
        for rule in self._plan.rules(entry, traits=_traits(entry, around), modules=modules):
            for trouble in rule.check(name, entry, around):
                if rule.fallback and trouble.path in places:
                    continue
                level = trouble.level or rule.level
                if level != Level.NOTE:
                    places.add(trouble.path)
                said.append((rule.id, level, trouble.path, trouble.message))
        return tuple(said)


def _traits(entry: Mapping[str, Any], around: Pair) -> frozenset[Trait]:
    """What an entry has; rather too much than too little. One look at all of its texts where that is enough."""
    found: set[Trait] = set()
    whole = "\n".join(value for _, value in around.texts)
    if around.references:
        found.add("placeholder")
        for _, value in around.references:
            if ":" in value:
                found.add("default")
            if "{$vault:" in value:
                found.add("vault")
            if value.count("{$") > 1:
                found.add("several")
    if around.secrets:
        found.add("secret")
    if "{" in whole and placeholders.LOOK_ALIKE.search(whole):
        found.add("look-alike")
    if secrets.may_look_like_mark(whole):
        found.add("mark")
    if not is_usual(entry, around.steps):
        found.add("unusual")
    return frozenset(found)


class _Memory:
    """Two generations: what was asked for lately stays. Threads may lose each other's entries, never mix them up."""

    def __init__(self) -> None:
        self._young: dict[bytes, Said] = {}
        self._old: dict[bytes, Said] = {}

    def get(self, key: bytes) -> Said | None:
        said = self._young.get(key)
        if said is None:
            said = self._old.get(key)
            if said is not None:
                self.keep(key, said)
        return said

    def keep(self, key: bytes, said: Said) -> None:
        if len(self._young) >= MOST:
            self._old, self._young = self._young, {}
        self._young[key] = said

    def forget(self) -> None:
        self._young, self._old = {}, {}


_memory = _Memory()


def forget() -> None:
    """As after a start, for measuring and for tests of the rules themselves: nothing is judged or read yet."""
    _memory.forget()
    members.forget()


def _type(entry: object) -> object:
    return repr(entry.get("type")) if isinstance(entry, Mapping) else None
