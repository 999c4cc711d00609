"""Words that people type beside documents: reasons, titles, comments, notes.

Many read them and the audit trail keeps some of them for ever, so none may hold a literal secret of the documents.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Iterator

from configs_app import documents, secrets
from configs_app.models import Bundle, Change
from console.errors import Refused, storable
from instances_app.models import Environment

LONGEST = 500  # characters
SHORTEST_SECRET = 4  # shorter ones cannot be told from words
LONG_SECRET = 8  # from here on it counts as pasted inside of longer words, too
_MARK = "‹secret›"
# What somebody would paste of a secret that is written with more around it.
_CORES = (
    re.compile(r"\A(?:Bearer|Basic|Token)\s+(.+)\Z", re.IGNORECASE | re.DOTALL),
    re.compile(r"//[^/@\s:]*:([^@\s]+)@"),
    re.compile(r"\{\$(?:vault:[^}:]+|\w+):([^}]+)\}"),
)


def tidy(typed: str, *, what: str = "reason", longest: int = LONGEST, missing: str = "") -> str:
    """The words as they are kept. With `missing`, which says so, there have to be some."""
    words = storable(typed).replace("\r\n", "\n").strip()
    if missing and not words:
        raise Refused(missing)
    if len(words) > longest:
        raise Refused(f"A {what} has up to {longest:,} characters; this one has {len(words):,}. Shorten it.")
    return words


def refuse_secrets(words: str, texts: Iterable[str], *, what: str = "reason") -> None:
    if secrets_in(words, texts):
        raise Refused(
            f"This {what} holds a secret of these documents, and everybody who sees the environment would read it. "
            "It was not kept. Name the entry and the key instead."
        )


def without_secrets(words: str, texts: Iterable[str]) -> str:
    """What was typed, to be shown again after a refusal."""
    return _hidden(words, secrets_in(words, texts))


def hiding(texts: Iterable[str]) -> Callable[[str], str]:
    """The same for many words beside the same documents, which are read once. These words may end within a secret."""
    literals = frozenset(_literals(texts))
    return lambda words: _hidden_end(
        _hidden(words, {secret for secret in literals if _stands_in(secret, words)}), literals
    )


def secrets_in(words: str, texts: Iterable[str]) -> set[str]:
    """The literal secrets of these documents that stand in the words."""
    return {secret for secret in _literals(texts) if _stands_in(secret, words)} if words else set()


def beside_change(change: Change) -> set[str]:
    """The texts of the change, of its bases, and of what is current."""
    kept = list(change.documents.select_related("base"))
    bases = {document.base.text for document in kept if document.base}
    return {document.text for document in kept} | bases | current(change.environment)


def beside_bundles(*bundles: Bundle) -> set[str]:
    """The texts of these bundles of one environment, and of what is current there."""
    return {revision.text for bundle in bundles for revision in bundle.revisions()} | current(bundles[0].environment)


def current(environment: Environment) -> set[str]:
    """The texts of what is current."""
    bundle = documents.desired(environment)
    return {revision.text for revision in bundle.revisions()} if bundle else set()


def _hidden(words: str, found: Collection[str]) -> str:
    for secret in sorted(found, key=len, reverse=True):
        words = words.replace(secret, _MARK)
    return words


def _hidden_end(words: str, literals: Iterable[str]) -> str:
    """An instance's words are cut before anybody compares them, so they may end with the beginning of a secret."""
    start = min((_cut_at(words, secret) for secret in literals if len(secret) > LONG_SECRET), default=len(words))
    return words if start == len(words) else f"{words[:start]}{_MARK}"


def _cut_at(words: str, secret: str) -> int:
    """Where the beginning of a secret starts that the words end with, else their length."""
    start = words.find(secret[:LONG_SECRET])
    while start >= 0 and not secret.startswith(words[start:]):
        start = words.find(secret[:LONG_SECRET], start + 1)
    return start if start >= 0 else len(words)


def _literals(texts: Iterable[str]) -> Iterator[str]:
    """Each as it is, and on one line: so is what a browser pastes, and what is kept of an instance's words."""
    for text in texts:
        for secret in secrets.values(text):
            for part in (secret, *(found for core in _CORES for found in core.findall(secret))):
                yield part.strip()
                yield " ".join(part.split())


def _stands_in(secret: str, words: str) -> bool:
    if len(secret) < SHORTEST_SECRET or secret not in words:
        return False
    return len(secret) >= LONG_SECRET or re.search(rf"(?<!\w){re.escape(secret)}(?!\w)", words) is not None
