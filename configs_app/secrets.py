"""Which values are secrets, and how a document is shown without them.

The list is section 8 of the service's configuration reference: named keys, keys that sound like secrets, headers
and user information in URLs. A bare `{$NAME}` or `{$vault:path#field}` is a reference, not a secret; the default
inside one is.
"""

from __future__ import annotations

import re
from functools import lru_cache

from webhook_agent import protocol

from configs_app.json_text import JsonError, JsonMap, Path, leaves, locate, scan, strings
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
HEADERS = frozenset({"headers", "header"})
REFERENCE = re.compile(r"\A\{\$(?:vault:[^}:]+|\w+):?\}\Z")  # an empty default hides nothing
BARE_WORD = re.compile(r"\A(?:Bearer|Basic|Token)\s+(\{\$(?:vault:[^}:]+|\w+):?\})\Z", re.IGNORECASE)
URL_LOGIN = re.compile(r"\A([a-z][a-z0-9+.-]*://)([^/@\s]+)@", re.IGNORECASE)
REFERENCE_DEFAULT = re.compile(r"\{\$(?:vault:[^}:]+|\w+):([^}]+)\}")


def is_secret(path: Path, value: str) -> bool:
    """Whether this string, standing at this path of a document, has to be hidden."""
    if _named_so(path[1:]):
        return bool(value) and not REFERENCE.match(value) and not BARE_WORD.match(value)
    return "@" in value and URL_LOGIN.match(value) is not None


@lru_cache(maxsize=4096)
def _named_so(path: Path) -> bool:
    """Whether what stands at this path of an entry is a secret by its name; entries have the same paths, mostly."""
    keys = [part for part in path if isinstance(part, str)]
    name, above = (keys[-1].lower() if keys else ""), (keys[-2].lower() if len(keys) > 1 else "")
    if above in HEADERS or above == "credentials":
        return True
    if not name or name in PLAIN or tuple(keys[-2:]) in PLAIN_UNDER:
        return False
    return name in NAMES or SOUNDS.search(name) is not None


def masked(text: str) -> str:
    """The text with every secret replaced by ``‹secret 3f9a2c›``: the same mark for the same secret, nothing else.

    Everything around it stays as typed. A text that is not JSON is not shown at all.
    """
    try:
        found = _places(text)
    except JsonError:
        return "This text is not valid JSON, so its secrets cannot be told from the rest; it is not shown."
    pieces: list[str] = []
    done = 0
    hidden = [(place.start, place.end, value) for path, place, value in strings(text, found) if is_secret(path, value)]
    for start, end, value in sorted(hidden):
        pieces += [text[done:start], f'"‹secret {fingerprint(value)}›"']
        done = end
    return "".join([*pieces, text[done:]])


def _places(text: str) -> JsonMap:
    """Where the strings of all entries with a secret stand. Most entries have none and are passed over quickly."""
    try:
        document = protocol.parse(text)
    except protocol.ProtocolError:  # keys that stand twice, for one: each of them may hold a secret
        return scan(text)
    holders = [
        (name,)
        for name, entry in document.items()
        if any(is_secret((name, *path), value) for path, value in leaves(entry))
    ]
    return locate(text, holders)
