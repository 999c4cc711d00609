"""What the console and the agent agree on: words of the wire, strict JSON, and the digest of a document.

Pure and standard library only; the console imports this module from the agent's distribution.
"""

from __future__ import annotations

import hashlib
import json
import math
from typing import Any, Final

PROTOCOL: Final = 1
KINDS: Final = ("webhooks", "connections")

MAX_BODY: Final = 8 * 1024 * 1024  # bytes of one request, envelope included
MAX_DEPTH: Final = 100  # nested objects and arrays; the real service substitutes no deeper
MAX_INTEGER_DIGITS: Final = 1000  # far above any port or limit, far below Python's own refusal at 4,300
MAX_SEQUENCE: Final = 2**63 - 1

Document = dict[str, Any]

# Error codes: `code` of an answer whose `status` is "error".
UNAUTHORISED: Final = "unauthorised"  # 401: no token, or one this agent does not know
BAD_SIGNATURE: Final = "bad_signature"  # 401: the body's signature is missing, wrong, too old, or was used before
FORBIDDEN: Final = "forbidden"  # 403: the client's address is in none of the networks allowed
TOO_LARGE: Final = "too_large"  # 413: the request body is over the agent's limit
RATE_LIMITED: Final = "rate_limited"  # 429: too many requests from this client; Retry-After says how long to wait
MALFORMED: Final = "malformed"  # 400: not strict JSON with an object on top; 422 when it is the file on disk
SHAPE: Final = "shape"  # 400: JSON, but not a request of this protocol
DIGEST_MISMATCH: Final = "digest_mismatch"  # 400: the document received is not the one the sender digested
EMPTY: Final = "empty"  # 400: an empty document, and this agent was not told to allow that
OTHER_INSTANCE: Final = "other_instance"  # 409: the update was meant for another place than this one
STALE: Final = "stale"  # 409: a higher sequence has been applied already
REJECTED: Final = "rejected"  # 422: the host refused the document; nothing was written
ROLLED_BACK: Final = "rolled_back"  # 422: the host could not load it; the previous files are back
WORKERS_BEHIND: Final = "workers_behind"  # 503: kept, but some worker processes have not loaded it; Retry-After
READ_ONLY: Final = "read_only"  # 409: the agent may not write where the documents live
BUSY: Final = "busy"  # 503: another update holds the lock; Retry-After
NOT_FOUND: Final = "not_found"  # 404: no such endpoint or document, or reading is switched off
METHOD_NOT_ALLOWED: Final = "method_not_allowed"  # 405: the endpoint exists, for another method
WRITE_FAILED: Final = "write_failed"  # 500: the disk refused (full, broken); the previous files are kept
INTERNAL: Final = "internal"  # 500: a fault of the agent; its log says more
CODES: Final = frozenset(
    {
        UNAUTHORISED,
        BAD_SIGNATURE,
        FORBIDDEN,
        WORKERS_BEHIND,
        TOO_LARGE,
        RATE_LIMITED,
        MALFORMED,
        SHAPE,
        DIGEST_MISMATCH,
        EMPTY,
        OTHER_INSTANCE,
        STALE,
        REJECTED,
        ROLLED_BACK,
        READ_ONLY,
        BUSY,
        NOT_FOUND,
        METHOD_NOT_ALLOWED,
        WRITE_FAILED,
        INTERNAL,
    }
)

# Outcomes: `outcome` of an answer to config-update. Four of them share their word with an error code.
APPLIED: Final = "applied"  # written, loaded by the host, read back
UNCHANGED: Final = "unchanged"  # the host runs exactly this already; nothing was written
VALIDATED: Final = "validated"  # a dry run found nothing to object to
OUTCOMES: Final = frozenset({APPLIED, UNCHANGED, VALIDATED, REJECTED, ROLLED_BACK, STALE})

_FULL: Final = 64
_SHORT: Final = 16


class ProtocolError(ValueError):
    """A text that is not a document: `code` from this module, a message free of the text's values.

    `line` and `column` (from 1) are known for errors of syntax, else None.
    """

    def __init__(self, code: str, message: str, *, line: int | None = None, column: int | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.line = line
        self.column = column


def parse(text: str | bytes, *, max_depth: int = MAX_DEPTH) -> Document:
    """The object in `text`, key order kept.

    Raises ProtocolError(MALFORMED) for anything but one strict JSON object: duplicate keys, NaN and Infinity,
    numbers beyond a double, integers over MAX_INTEGER_DIGITS, nesting over `max_depth`, a byte-order mark,
    bytes that are not UTF-8.
    """
    if isinstance(text, bytes):
        try:
            text = text.decode("utf-8")
        except UnicodeDecodeError as error:
            raise ProtocolError(MALFORMED, f"This is not UTF-8 (byte {error.start}).") from None
    if text.startswith("\ufeff"):
        raise ProtocolError(MALFORMED, "A byte-order mark stands before the JSON.", line=1, column=1)
    try:
        document = json.loads(
            text,
            object_pairs_hook=_object,
            parse_int=_integer,
            parse_float=_float,
            parse_constant=_constant,
        )
    except json.JSONDecodeError as error:
        message = f"This is not JSON: {error.msg} (line {error.lineno}, column {error.colno})."
        raise ProtocolError(MALFORMED, message, line=error.lineno, column=error.colno) from None
    except RecursionError:
        raise _too_deep(max_depth) from None
    if not isinstance(document, dict):
        raise ProtocolError(MALFORMED, "The top of the document must be an object.")
    check_depth(document, max_depth)
    return document


def check_depth(document: Document, max_depth: int = MAX_DEPTH) -> None:
    """Raises ProtocolError(MALFORMED) when objects and arrays nest deeper than `max_depth` (the top is 1)."""
    depth = 0
    level: list[Any] = [document]
    while level:
        depth += 1
        if depth > max_depth:
            raise _too_deep(max_depth)
        level = [
            value
            for container in level
            for value in (container.values() if isinstance(container, dict) else container)
            if isinstance(value, (dict, list))
        ]


def digest(document: Document) -> str:
    """SHA-256 of the document as written (placeholders unresolved, keys sorted): 64 hex characters."""
    return hashlib.sha256(json.dumps(document, sort_keys=True).encode()).hexdigest()


def short(digest: str) -> str:
    """The part of a digest that the `*_version` fields carry."""
    return digest[:_SHORT]


def same(a: str | None, b: str | None) -> bool:
    """Whether two digests name the same document; either may be short. An unknown one equals nothing."""
    if not a or not b:
        return False
    if len(a) == _SHORT and len(b) == _FULL:
        return b.startswith(a)
    if len(b) == _SHORT and len(a) == _FULL:
        return a.startswith(b)
    return a == b


def written(document: Document) -> bytes:
    """The document as an agent writes it: key order kept, ASCII only (hosts read in their own locale)."""
    return json.dumps(document, indent=2, ensure_ascii=True).encode("ascii") + b"\n"


def _object(pairs: list[tuple[str, Any]]) -> Document:
    made = dict(pairs)
    if len(made) != len(pairs):
        seen: set[str] = set()
        twice = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
        raise ProtocolError(MALFORMED, f"The key {json.dumps(twice[:80])} stands twice in one object.")
    return made


def _integer(digits: str) -> int:
    if len(digits) > MAX_INTEGER_DIGITS:
        raise ProtocolError(MALFORMED, f"An integer has more than {MAX_INTEGER_DIGITS} digits.")
    return int(digits)


def _float(digits: str) -> float:
    value = float(digits)
    if math.isinf(value):
        raise ProtocolError(MALFORMED, "A number is too large to be kept exactly.")
    return value


def _constant(name: str) -> float:
    raise ProtocolError(MALFORMED, f"{name} is not JSON.")


def _too_deep(max_depth: int) -> ProtocolError:
    return ProtocolError(MALFORMED, f"Objects and arrays nest deeper than {max_depth}.")
