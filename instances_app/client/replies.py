"""What an instance answered, in words that say what to do next.

The question behind every outcome is "may the push have arrived?". Only `UNREACHABLE` says no. Everything an
instance writes is untrusted: it is shortened, stripped of control characters, and escaped where it is shown.
"""

from __future__ import annotations

import email.utils
import json
import math
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from webhook_agent import protocol

from instances_app.client.tls import Way

ANSWER_LIMIT = 256 * 1024
STATS_LIMIT = 4 * 1024 * 1024  # a line for each webhook
DOCUMENT_LIMIT = 16 * 1024 * 1024
DEEPEST = 50  # nested objects and arrays; an agent needs four, and the database's driver cannot write a thousand
SHORTEST_TOKEN = 8  # a shorter one stands in too many words to be taken out of them
MARK = "‹token›"
SAID = 600  # bytes of an answer that is no agent's, for people to recognise it by
LONGEST_RETRY_AFTER = 300.0
CODE = re.compile(r"\A[a-z_]{1,40}\Z")
NOT_STORABLE = re.compile(r"[\x00\ud800-\udfff]")
NOT_PRINTABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]+")


class Outcome(StrEnum):
    OK = "ok"
    UNREACHABLE = "unreachable"  # refused, DNS, TLS, connect timeout: certainly not delivered
    UNKNOWN = "unknown"  # no answer after it was sent: may have been delivered
    REJECTED = "rejected"  # 400, 409, 413, 422: the instance read it and said no
    UNAUTHORISED = "unauthorised"  # 401, 403
    BUSY = "busy"  # 408, 429, 503: come again, `retry_after` says when
    SERVER_ERROR = "server_error"  # any other 5xx: may have been applied
    WRONG_PROTOCOL = "wrong_protocol"  # an answer, but not an agent's


@dataclass(frozen=True, slots=True)
class Target:
    """Where an instance's agent answers, the token it wants, and how its environment lets it be reached."""

    base_url: str
    token: str = field(repr=False)
    way: Way = field(kw_only=True)
    identity: str = ""  # of the place that is meant; empty: whoever answers there

    def url(self, path: str) -> str:
        """Of /admin/`path`, or of `path` itself if it begins with a slash."""
        return f"{self.base_url}{path}" if path.startswith("/") else f"{self.base_url}/admin/{path}"

    def headers(self) -> dict[str, str]:
        """None without a token: the service's own endpoints are not told the agent's."""
        return {"Authorization": f"Bearer {self.token}"} if self.token else {}


@dataclass(frozen=True, slots=True)
class Reply:
    """One answer, or the lack of one. `error` is for people and at most 300 characters; `code` for programs."""

    outcome: Outcome
    status: int | None = None
    body: dict[str, Any] = field(default_factory=dict)
    error: str = ""
    code: str = ""
    retry_after: float | None = None
    elapsed_ms: int = 0
    text: str = ""  # a document, exactly as served; of what is no agent's answer its beginning, of a redirect where to


def silent(outcome: Outcome, code: str, error: str, *, started: float) -> Reply:
    """A request that brought no answer. `started` is of time.monotonic()."""
    return Reply(outcome, code=code, error=error, elapsed_ms=_since(started))


def classify(status: int, headers: Mapping[str, str], content: bytes, *, started: float, token: str = "") -> Reply:
    """What an answer means. Header names are looked up as given by both clients: without regard to case.

    `token`: what it was asked with. Whatever is no agent may send that back, and its words are shown and kept.
    """
    elapsed = _since(started)
    if len(token) < SHORTEST_TOKEN:
        token = ""
    elif token.encode() in content:
        content = content.replace(token.encode(), MARK.encode())
    body = _object(content)
    code = str(body.get("code") or "")
    code = code if CODE.match(code) else ""
    words = body.get("error") or body.get("detail")
    said = printable(words) if words else ""
    if 200 <= status < 300:
        if body:
            return Reply(Outcome.OK, status, body, said, code, elapsed_ms=elapsed)
        own = "empty" if content.strip() == b"{}" else "not_json"
        return _no_agent(status, content, own, elapsed)
    if status in {401, 403}:
        error = f"The instance refused our token (HTTP {status})."
        return Reply(Outcome.UNAUTHORISED, status, body, error, code or "unauthorised", elapsed_ms=elapsed)
    if status in {408, 429, 503}:
        error = said or f"The instance is busy (HTTP {status})."
        after = _retry_after(headers.get("Retry-After", ""))
        return Reply(Outcome.BUSY, status, body, error, code or "busy", after, elapsed)
    if status in {400, 409, 413, 422} and body:
        error = said or f"The instance said no without a reason (HTTP {status})."
        return Reply(Outcome.REJECTED, status, body, error, code or "rejected", elapsed_ms=elapsed)
    if status >= 500:
        error = said or f"The instance failed (HTTP {status})."
        return Reply(Outcome.SERVER_ERROR, status, body, error, code or "server_error", elapsed_ms=elapsed)
    if 300 <= status < 400:
        error = f"The address redirects (HTTP {status}). Register the address that it leads to."
        to = headers.get("Location", "")
        to = printable(to.replace(token, MARK) if token else to)
        return Reply(Outcome.WRONG_PROTOCOL, status, {}, error, "redirect", elapsed_ms=elapsed, text=to)
    own = "not_found" if status in {404, 405} else "wrong_answer"
    return _no_agent(status, content, own, elapsed)


def too_large(status: int, *, started: float) -> Reply:
    error = "The answer is far larger than an agent's. Is this the right address?"
    return Reply(Outcome.WRONG_PROTOCOL, status, error=error, code="too_large", elapsed_ms=_since(started))


def printable(value: object, limit: int = 300) -> str:
    """Somebody else's words on one line, without control or direction characters."""
    return " ".join(NOT_PRINTABLE.sub(" ", str(value)[: limit * 4]).split())[:limit]


def _object(content: bytes) -> dict[str, Any]:
    """An answer's object, as the database can keep it: one that cannot be kept would take its whole batch with it."""
    try:
        text = content.decode("utf-8", "replace")  # as RFC 8259 has it
        body = _decoder.decode(text)
        if isinstance(body, dict) and text.count("{") + text.count("[") > DEEPEST:
            protocol.check_depth(body, DEEPEST)
        if "\\u" in text:
            body = _storable(body)
    except (ValueError, RecursionError):
        return {}
    return body if isinstance(body, dict) else {}


def _float(digits: str) -> float:
    """Raises ValueError for what is no number to a database: NaN, Infinity, 1e999."""
    value = float(digits)
    if not math.isfinite(value):
        raise ValueError(digits)
    return value


_decoder = json.JSONDecoder(parse_float=_float, parse_constant=_float)  # json.loads would make one for every answer


def _storable(value: Any) -> Any:
    """Without NUL and halves of characters, which come in as escapes."""
    if isinstance(value, str):
        return NOT_STORABLE.sub("\ufffd", value)
    if isinstance(value, dict):
        return {NOT_STORABLE.sub("\ufffd", key): _storable(item) for key, item in value.items()}
    return [_storable(item) for item in value] if isinstance(value, list) else value


def _no_agent(status: int, content: bytes, code: str, elapsed: int) -> Reply:
    error = f"Something answers there (HTTP {status}), but not an agent. Is the service running with one?"
    said = printable(content[:SAID].decode("utf-8", "replace"))
    return Reply(Outcome.WRONG_PROTOCOL, status, {}, error, code, elapsed_ms=elapsed, text=said)


def _retry_after(value: str) -> float | None:
    """RFC 9110, 10.2.3: seconds, or a date."""
    if not value:
        return None
    if value.strip().isdigit():
        return min(float(value), LONGEST_RETRY_AFTER)
    try:
        at = email.utils.parsedate_to_datetime(value)
    except ValueError:
        return None
    return min(max(0.0, at.timestamp() - time.time()), LONGEST_RETRY_AFTER)


def _since(started: float) -> int:
    return round((time.monotonic() - started) * 1000)
