"""Taking a probe's own headers and body out of what a service answered, however it spells them: services echo."""

from __future__ import annotations

import base64
import html
import json
import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any
from urllib.parse import parse_qsl, quote, quote_plus

from instances_app.client.replies import printable

PLAIN = frozenset({"accept", "accept-language", "content-type", "cache-control"})  # headers without secrets
SHORTEST = 4  # shorter ones cannot be told from words
ENCODED = 8  # from here on a part of it can be told in base64
MOST = 5000  # spellings; of an answer to a probe with more of them nothing is kept
MARK = "‹secret›"
PARTS = re.compile(r"[\s;,=&\"']+")  # of a header's value: a scheme and its credentials, cookies, parameters


def hiding(headers: Sequence[tuple[str, str]], body: str) -> Callable[[str], str]:
    """Somebody's words → the same on one line, at most 300 characters, without what was sent."""
    found: set[str] = set()
    for secret in _secrets(headers, body):
        found.update(one for one in _spellings(secret.strip()) if len(one) >= SHORTEST)
        if len(found) > MOST:
            return lambda words: ""
    longest_first = sorted(found, key=len, reverse=True)

    def hide(words: str) -> str:
        for one in longest_first:
            words = words.replace(one, MARK)
        return printable(words)

    return hide


def _secrets(headers: Sequence[tuple[str, str]], body: str) -> Iterator[str]:
    for name, value in headers:
        if name.lower() in PLAIN:
            continue
        yield value
        yield value.partition(" ")[2]
        yield from PARTS.split(value)
        yield from _basic(value)
    if body:
        yield body
        yield from (value for _, value in parse_qsl(body, max_num_fields=None))
        try:
            yield from _texts(json.loads(body))
        except (ValueError, RecursionError):
            return


def _basic(value: str) -> Iterator[str]:
    """User and password, together and alone."""
    scheme, _, credentials = value.partition(" ")
    if scheme.lower() == "basic":
        try:
            both = base64.b64decode(credentials.strip(), validate=True).decode()
        except ValueError:
            return
        yield both
        yield both.partition(":")[2]


def _spellings(secret: str) -> Iterator[str]:
    """As it is, and as JSON, addresses, HTML, hexadecimal digits and base64 write it."""
    if len(secret) < SHORTEST:
        return
    content = secret.encode("utf-8", "surrogatepass")
    yield secret
    yield " ".join(secret.split())
    for text in (json.dumps(secret)[1:-1], json.dumps(secret, ensure_ascii=False)[1:-1]):
        yield text
        yield text.replace("/", "\\/")
    for text in (quote(content, safe=""), quote(content), quote_plus(content)):
        yield text
        yield re.sub(r"%..", lambda found: found[0].lower(), text)
    yield html.escape(secret)
    yield html.escape(secret).replace("&#x27;", "&#39;")
    yield content.hex()
    yield content.hex().upper()
    if len(content) >= ENCODED:
        for before in range(3):  # whatever stands before it, it begins at one of three places
            kept = base64.b64encode(bytes(before) + content).rstrip(b"=").decode()
            kept = kept[(before * 8 + 5) // 6 : (before + len(content)) * 8 // 6]
            yield kept
            yield kept.translate(str.maketrans("+/", "-_"))


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for part in value.values():
            yield from _texts(part)
    elif isinstance(value, list):
        for part in value:
            yield from _texts(part)
