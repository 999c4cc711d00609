"""Which values are secrets, and how a document is shown without them.

The list is section 8 of the service's configuration reference: named keys, keys that sound like secrets, headers
and user information in URLs. A bare `{$NAME}` or `{$vault:path#field}` is a reference, not a secret; the default
inside one is.

A mark stands for one literal, character by character: ``"‹secret 3f9a2c81d04b›"`` for a secret that is written without
escapes, ``"‹secret 3f9a2c81d04b·5d21a7›"`` for the same one with escapes or as a number, and for a piece of a broken
text ``‹secret 91c40be7aa02·broken›``. How secrets come back: `configs_app/marks.py`.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Literal

from webhook_agent import protocol

from configs_app import broken_text
from configs_app.json_text import JsonError, Path, Place, scalars, scan, seek
from console.sealing import fingerprint

NAMES = frozenset(
    """
    authorization pass password secret jwt_secret consumer_secret token_secret client_secret api_key secret_key
    channel_token aws_secret_access_key aws_access_key_id connection_string credentials consumer_key client_id
    """.split()
)
SOUNDS = re.compile(r"password|passwd|secret|token|key|credential|auth|private", re.IGNORECASE)
# Sound like secrets and are not: names of things, algorithms, places to look.
PLAIN = frozenset(
    """
    validate_token token_type key_name header_name parameter_name public_key routing_key partition_key
    introspection_endpoint token_url auth_type key_prefix credentials_path token_source token_field ssl_key
    tls_key_file upsert_key
    """.split()
)
# A message key of Kafka: `key` is a secret anywhere else.
PLAIN_UNDER = frozenset({("module-config", "key")})
ALL_WITHIN = frozenset({"headers", "header", "credentials"})
REFERENCE = re.compile(r"\A\{\$(?:vault:[^}:]+|\w+):?\}\Z")  # an empty default hides nothing
BARE_WORD = re.compile(r"\A(?:Bearer|Basic|Token)\s+(\{\$(?:vault:[^}:]+|\w+):?\})\Z", re.IGNORECASE)
# Also within a list of addresses or a default, and with a slash in the password. Bounded: texts are long.
URL_LOGIN = re.compile(r"[a-z][a-z0-9+.-]{0,30}://[^/@\s]{1,500}@|//[^/@\s:]{0,200}:[^@\s]{0,500}@", re.IGNORECASE)

_SCALAR = frozenset('"-0123456789')  # how a string or a number starts
_ESCAPE = re.compile(r"\\u([0-9a-fA-F]{4})")
# Anything that somebody could take for a mark: whole, cut, mistyped, or in other quotes.
_LIKE_A_MARK = re.compile(
    r"‹\s*secret(?:\s+[0-9a-f]+(?:·\w*)?)?\s*›?|‹\s*[0-9a-f]{6,12}\b|[0-9a-f]{6,12}(?:·\w*)?\s*›|\bsecret\s+[0-9a-f]{12}\b",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Hidden:
    """One secret of a text: where it stands, what it is, and the mark shown in its place."""

    path: Path
    start: int
    end: int
    value: str = field(repr=False)
    mark: str


@dataclass(frozen=True, slots=True)
class SecretChange:
    """What became of one secret: ``db.password``, changed. `origin` says from where a moved one came."""

    path: str
    word: Literal["changed", "new", "removed", "moved"]
    origin: str = ""


@dataclass(frozen=True, slots=True)
class Differences:
    changes: tuple[SecretChange, ...]
    unchanged: int


def is_secret(path: Path, value: str) -> bool:
    """Whether this string, standing at this path of a document, has to be hidden."""
    return is_secret_in_entry(path[1:], value)


def is_secret_in_entry(path: Path, value: str) -> bool:
    """The same, where the path begins in the entry: the name of an entry makes no secret."""
    if _named_so(path):
        return bool(value) and not REFERENCE.match(value) and not BARE_WORD.match(value)
    return "@" in value and URL_LOGIN.search(value) is not None


@lru_cache(maxsize=4096)
def _named_so(path: Path) -> bool:
    """Whether what stands at this path of an entry is a secret by its name; entries have the same paths, mostly."""
    keys = [part for part in path if isinstance(part, str)]
    name, above = (keys[-1].lower() if keys else ""), [key.lower() for key in keys[:-1]]
    if above[-1:] and above[-1] in ALL_WITHIN:
        return True
    if path[:1] != ("json_schema",) and any(key in NAMES for key in above):  # {"password": {"value": "…"}}
        return True
    if not name or name in PLAIN or tuple(keys[-2:]) in PLAIN_UNDER:
        return False
    return name in NAMES or SOUNDS.search(name) is not None


def looks_like_mark(text: str) -> bool:
    """Whether somebody could take the text, or a part of it, for a mark; escapes count as what they stand for."""
    if not may_look_like_mark(text):
        return False
    if "\\u" in text:
        text = _ESCAPE.sub(lambda code: chr(int(code[1], 16)), text)
    return _LIKE_A_MARK.search(text) is not None


def may_look_like_mark(text: str) -> bool:
    """A quick look: False is certain, also for every part of the text."""
    return "‹" in text or "›" in text or "\\u" in text or "secret" in text.lower()


def hidden(text: str) -> list[Hidden]:
    """Every secret of a text, in its order; of a text that is not JSON, whatever may be one."""
    try:
        pieces = [broken_text.Piece(path, place.start, place.end, is_value=True) for path, place in _places(text)]
    except JsonError:
        pieces = list(broken_text.secrets(text, _is_hidden))
    pieces.sort(key=lambda piece: piece.start)
    return [Hidden(piece.path, piece.start, piece.end, *_mark(text, piece)) for piece in pieces]


def values(text: str) -> set[str]:
    """Every secret of a text, unescaped. Faster than `hidden`: nobody asks where they stand."""
    return {value for _, value in _secrets(text)}


def masked(text: str) -> str:
    """The text with every secret replaced by its mark: the same mark for the same secret. The rest is as typed."""
    pieces: list[str] = []
    done = 0
    for secret in hidden(text):
        pieces += [text[done : secret.start], secret.mark]
        done = secret.end
    return "".join([*pieces, text[done:]])


def differences(old: str | None, new: str) -> Differences:
    """What became of the secrets of a text; None is a document that does not exist yet."""
    before, after = _by_path(old or "{}"), _by_path(new)
    unchanged = sum(before.get(path) == value for path, value in after.items())
    gone: dict[str, list[str]] = {}  # value → where it no longer stands
    for path, value in before.items():
        if after.get(path) != value:
            gone.setdefault(value, []).append(path)
    changes = []
    moved: set[str] = set()
    for path, value in after.items():
        if before.get(path) == value:
            continue
        if gone.get(value):
            origin = gone[value].pop(0)
            moved.add(origin)
            changes.append(SecretChange(path, "moved", origin))
        else:
            changes.append(SecretChange(path, "changed" if path in before else "new"))
    changes += [SecretChange(path, "removed") for path in before if path not in after and path not in moved]
    order = ["changed", "new", "removed", "moved"]
    return Differences(tuple(sorted(changes, key=lambda change: order.index(change.word))), unchanged)


def _by_path(text: str) -> dict[str, str]:
    """``db.password`` → the secret there. A path that stands twice is numbered from the second time on."""
    found: dict[str, str] = {}
    times: Counter[str] = Counter()
    for where, value in _secrets(text):
        path = ".".join(str(part) for part in where if part != "")
        times[path] += 1
        found[path if times[path] == 1 else f"{path} ({times[path]})"] = value
    return found


def _secrets(text: str) -> Iterable[tuple[Path, str]]:
    try:
        document = protocol.parse(text)
    except protocol.ProtocolError:
        return [(secret.path, secret.value) for secret in hidden(text)]
    return [(path, value if isinstance(value, str) else json.dumps(value)) for path, value in _within(document)]


def _within(document: Mapping[str, object]) -> Iterator[tuple[Path, object]]:
    for name, entry in document.items():
        for path, value in scalars(entry, (name,)):
            if _is_hidden(path, value):
                yield path, value


def _is_hidden(path: Path, value: object) -> bool:
    """A text that could be taken for a mark gets one, too: so there is no doubt about what it is.

    A number is a secret under the names of secrets, and not under whatever sounds like one, as token_lifetime.
    """
    if isinstance(value, str):
        return is_secret(path, value) or looks_like_mark(value)
    if value is None or isinstance(value, bool):
        return False
    return _numbers_too(path[1:])


@lru_cache(maxsize=4096)
def _numbers_too(path: Path) -> bool:
    keys = [part.lower() for part in path if isinstance(part, str)]
    return bool(keys) and (keys[-1] in NAMES or (len(keys) > 1 and keys[-2] in ALL_WITHIN))


def _mark(text: str, piece: broken_text.Piece) -> tuple[str, str]:
    """The value that a piece has, and its mark."""
    literal = text[piece.start : piece.end]
    if piece.is_value:
        try:
            found = json.loads(literal)
        except ValueError:
            pass
        else:
            value = found if isinstance(found, str) else literal
            plain = json.dumps(value, ensure_ascii=False)
            spelling = "" if literal == plain else f"·{fingerprint(f'spelling:{literal}')[:6]}"
            return value, f'"‹secret {fingerprint(value)}{spelling}›"'
    return literal, f"‹secret {fingerprint(f'broken:{literal}')}·broken›"


def _places(text: str) -> list[tuple[Path, Place]]:
    """Where the secrets of a text stand. Raises JsonError for what is not JSON at all."""
    try:
        document = protocol.parse(text)
    except protocol.ProtocolError:  # keys that stand twice, for one: each of them may hold a secret
        every = scan(text).every
        scalar = [(path, place) for path, place in every if text[place.start] in _SCALAR]
        return [found for found in scalar if _is_hidden(found[0], json.loads(text[found[1].start : found[1].end]))]
    paths = [path for path, _ in _within(document)]
    found = seek(text, paths)
    return [(path, found.places[path]) for path in paths]
