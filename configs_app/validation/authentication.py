"""A rules: who may call a webhook. Most of what goes wrong here fails open, and silently."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

from configs_app import secrets
from configs_app.validation import placeholders
from configs_app.validation.catalogue import BOTH, Level, Pair, Trouble, rule
from configs_app.validation.model import ALGORITHMS, AUTHENTICATION, CHECKS, SECURITY, WEBHOOK
from configs_app.validation.reading import (
    CREDENTIALS,
    as_object,
    has_reference,
    nearest,
    quoted,
    text,
    type_name,
)

ERROR, WARNING, NOTE = Level.ERROR, Level.WARNING, Level.NOTE
Entry = dict[str, Any]

# Which empty values make the service skip a check without a word (reference, 3.3).
_SKIPPED_WHEN_EMPTY = ("basic_auth", "jwt", "hmac", "oauth2", "rate_limit", "json_schema", "recaptcha", "ip_whitelist")
_SKIPPED_WHEN_NULL = ("digest_auth", "oauth1", "header_auth", "query_auth")
# A secret whose own default is the empty text.
_MAY_BE_EMPTY = frozenset({("oauth1", "token_secret")})
_SCHEMES = {"basic_auth": "basic", "digest_auth": "digest", "jwt": "bearer", "oauth1": "oauth", "oauth2": "bearer"}


@rule(
    "A1",
    ERROR,
    "webhooks",
    "Empty authorization",
    "An empty, blank, null or non-text value switches the check off: anybody may call the webhook.",
    "Give it the exact header value, or remove the key.",
    when=("authorization",),
)
def empty_authorization(name: str, entry: Entry, pair: Pair) -> Iterator[Trouble]:
    if "authorization" in entry:
        value = entry["authorization"]
        if not isinstance(value, str) or not value.strip():
            text_ = f"{name!r} looks protected and is open to anyone: an empty authorization switches the check off."
            yield Trouble(("authorization",), text_)


@rule(
    "A2",
    ERROR,
    "webhooks",
    "An empty check",
    "The service skips a check whose block is empty or null.",
    "Fill the block in, or remove it.",
    when=(*_SKIPPED_WHEN_EMPTY, *_SKIPPED_WHEN_NULL),
)
def empty_check(name: str, entry: Entry, pair: Pair) -> Iterator[Trouble]:
    for key in (*_SKIPPED_WHEN_EMPTY, *_SKIPPED_WHEN_NULL):
        if key not in entry:
            continue
        value = entry[key]
        skipped = value in (None, {}, []) if key in _SKIPPED_WHEN_EMPTY else value is None
        if key == "recaptcha" and value is None:
            skipped = False  # that one breaks every request: B6
        if skipped:
            yield Trouble((key,), f"{key} of {name!r} is empty, so the service skips it without a word.")


@rule(
    "A3",
    WARNING,
    "webhooks",
    "An open webhook",
    "No key of the entry checks who calls.",
    "Add authorization or another check; or accept that anybody who knows the address can call it.",
    unless=CHECKS,
)
def no_check(name: str, entry: Entry, pair: Pair) -> Iterator[Trouble]:
    if not any(key in entry for key in CHECKS):
        yield Trouble((), f"{name!r} is open: anybody who knows its address can call it.")


@rule(
    "A4",
    NOTE,
    "webhooks",
    "A credential that instances have to define",
    "Where the variable is not set, the credential becomes a text that everybody knows.",
    "See that every instance defines it.",
    when=("authorization", *AUTHENTICATION),
    needs="placeholder",
)
def undefined_credential(name: str, entry: Entry, pair: Pair) -> Iterator[Trouble]:
    for path, value in pair.references:
        for reference in placeholders.references(value) if path in CREDENTIALS else ():
            if not reference.vault and reference.default is None:
                known = f"Undefined variable {reference.name}" if reference.whole else f"{{${reference.name}}}"
                message = (
                    f"Every instance has to define {reference.name}; where it is missing, {known!r} lets callers in."
                )
                yield Trouble(path, message)


@rule(
    "A5",
    ERROR,
    "webhooks",
    "A credential that may be empty",
    "With an empty default the check is off wherever the variable is not set.",
    "Remove the colon and the empty default.",
    when=("authorization", *AUTHENTICATION),
    needs="default",
)
def empty_default(name: str, entry: Entry, pair: Pair) -> Iterator[Trouble]:
    for path, value in pair.references:
        if path not in CREDENTIALS or path in _MAY_BE_EMPTY:
            continue
        for reference in placeholders.references(value):
            if reference.default is not None and not reference.default.strip():
                yield Trouble(path, f"{reference.name} has an empty default: where it is not set, the check is off.")


@rule(
    "A6",
    WARNING,
    BOTH,
    "A secret in a default",
    "A default inside a placeholder is a secret that stands in the file.",
    "Remove the default and define the variable.",
    needs="default",
)
def secret_default(name: str, entry: Entry, pair: Pair) -> Iterator[Trouble]:
    for path, value in pair.secrets:
        for reference in placeholders.references(value) if _is_credential(path) else ():
            if reference.default and reference.default.strip():
                yield Trouble(path, f"The default of {reference.name} is a secret that stands in the file.")


@rule(
    "A7",
    ERROR,
    "webhooks",
    "Tokens that are not checked",
    "With validate_token false any token is accepted, unless jwt_secret checks it.",
    "Remove validate_token.",
    when=("oauth2",),
)
def unchecked_tokens(name: str, entry: Entry, pair: Pair) -> Iterator[Trouble]:
    block = as_object(entry.get("oauth2"))
    unchecked = block.get("introspection_endpoint") or not block.get("jwt_secret")
    if "validate_token" in block and not block["validate_token"] and unchecked:
        yield Trouble(("oauth2", "validate_token"), f"{name!r} accepts any token: validate_token is false.")


@rule(
    "A8",
    ERROR,
    "webhooks",
    "OAuth 2 without a way to check",
    "Every request is refused.",
    "Give introspection_endpoint or jwt_secret.",
    when=("oauth2",),
)
def no_way_to_check(name: str, entry: Entry, pair: Pair) -> Iterator[Trouble]:
    block = as_object(entry.get("oauth2"))
    has_way = block.get("introspection_endpoint") or block.get("jwt_secret")
    if block and not has_way and block.get("validate_token", True):
        yield Trouble(("oauth2",), f"oauth2 of {name!r} has neither introspection_endpoint nor jwt_secret.")


@rule(
    "A9",
    ERROR,
    "webhooks",
    "An introspection endpoint inside",
    "Tokens would go to this machine or network, or unencrypted. The service does not notice.",
    "Use an https address of the authorisation server.",
    when=("oauth2",),
)
def endpoint_inside(name: str, entry: Entry, pair: Pair) -> Iterator[Trouble]:
    value = as_object(entry.get("oauth2")).get("introspection_endpoint")
    address = text(value, "introspection_endpoint")
    if not address:
        return
    path = ("oauth2", "introspection_endpoint")
    try:
        parts = urlsplit(address)
        host = parts.hostname or ""
    except ValueError:
        yield Trouble(path, "This is not an address.")
        return
    try:
        inside = not ipaddress.ip_address(host).is_global
    except ValueError:
        inside = host == "localhost" or host.endswith(".localhost")
    if inside:
        yield Trouble(path, f"{host} is on this machine or in a private network.")
    elif parts.scheme != "https":
        yield Trouble(path, "Tokens and the client's secret go over the network unencrypted.", WARNING)


@rule(
    "A10",
    ERROR,
    "webhooks",
    "A check that refuses everybody",
    "A required key is missing, of another type, or names an algorithm the service does not know.",
    "Correct the key.",
    when=AUTHENTICATION,
)
def broken_check(name: str, entry: Entry, pair: Pair) -> Iterator[Trouble]:
    for check, keys in AUTHENTICATION.items():
        block = entry.get(check)
        if check not in entry or (block in (None, {}, []) and check in _SKIPPED_WHEN_EMPTY):
            continue
        if block is None:
            continue
        if not isinstance(block, dict):
            yield Trouble((check,), f"{check} must be an object, not {type_name(block)}: every request is refused.")
            continue
        for key, known in keys.items():
            if known.required and key not in block:
                yield Trouble((check,), f"{check} needs {key}: without it every request is refused.")
            elif known.type == "string" and key in block and not isinstance(block[key], str):
                yield Trouble((check, key), f"{key} must be a text, not {type_name(block[key])}.")
            elif known.required and isinstance(block.get(key), str) and not block[key].strip():
                yield Trouble((check, key), f"{key} is empty: every request is refused.")
        yield from _algorithms(check, block)


def _algorithms(check: str, block: Entry) -> Iterator[Trouble]:
    if check in {"jwt", "hmac"}:
        path, written = (check, "algorithm"), block.get("algorithm")
        found = text(written, "algorithm")
        known = {name.lower() for name in ALGORITHMS} if check == "jwt" else {"sha256", "sha1", "sha512"}
        if found is not None and found.lower() not in known:
            which = f". {', '.join(ALGORITHMS)}" if check == "jwt" else ": sha256, sha512 or sha1"
            shown = quoted(found, path, written=written)
            yield Trouble(path, f"{shown} is no algorithm the service knows{which}.")
    if check == "oauth2":
        listed = block.get("jwt_algorithms", ["HS256"])
        if not isinstance(listed, list) or not listed:
            yield Trouble((check, "jwt_algorithms"), "jwt_algorithms must be a list with at least one algorithm.")
        for index, item in enumerate(listed if isinstance(listed, list) else ()):
            if str(item).upper() not in ALGORITHMS and not has_reference(item):
                place = (check, "jwt_algorithms", index)
                yield Trouble(place, f"{quoted(item, place)} is no algorithm the service knows.")
        if "required_scope" in block and not isinstance(block["required_scope"], list):
            yield Trouble((check, "required_scope"), "required_scope must be a list; a text is taken letter by letter.")


@rule(
    "A11",
    ERROR,
    "webhooks",
    "Two checks on one header",
    "They all read the Authorization header, and no header is two things.",
    "Keep one of them.",
    when=_SCHEMES,
)
def two_schemes(name: str, entry: Entry, pair: Pair) -> Iterator[Trouble]:
    found = {key: scheme for key, scheme in _SCHEMES.items() if entry.get(key)}
    value = entry.get("authorization")
    if isinstance(value, str) and value.strip():
        first = value.split(" ", 1)[0].lower() if " " in value else "exact"
        found["authorization"] = first if first in {"basic", "bearer", "digest", "oauth"} else "exact"
    if len(found) < 2:
        return
    keys = list(found)
    if len(set(found.values())) > 1:
        yield Trouble((keys[-1],), f"{' and '.join(keys)} read one header and can never both pass.")
    else:
        message = f"{' and '.join(keys)} read one header: a caller passes only with one token that satisfies both."
        yield Trouble((keys[-1],), message, WARNING)


@rule(
    "A12",
    ERROR,
    "webhooks",
    "An address that never matches",
    "ip_whitelist knows exact addresses only; networks and names are skipped.",
    "List each address.",
    when=("ip_whitelist",),
)
def no_address(name: str, entry: Entry, pair: Pair) -> Iterator[Trouble]:
    listed = entry.get("ip_whitelist")
    if listed is None or listed == []:
        return
    if not isinstance(listed, list):
        yield Trouble(("ip_whitelist",), "ip_whitelist must be a list of addresses: every request is refused.")
        return
    for index, item in enumerate(listed):
        if not has_reference(item) and not _is_address(item):
            hint = " Networks are not supported." if isinstance(item, str) and "/" in item else ""
            shown = quoted(item, ("ip_whitelist", index))
            yield Trouble(("ip_whitelist", index), f"{shown} is no exact address and never matches.{hint}")


@rule(
    "A13",
    ERROR,
    "webhooks",
    "Proxies that are not addresses",
    "A text is matched by its parts, so that strangers may pass for the proxy.",
    "Make it a list of exact addresses.",
    when=("trusted_proxies",),
)
def no_proxies(name: str, entry: Entry, pair: Pair) -> Iterator[Trouble]:
    if "trusted_proxies" not in entry:
        return
    listed = entry["trusted_proxies"]
    if not isinstance(listed, list):
        yield Trouble(("trusted_proxies",), "trusted_proxies must be a list of addresses.")
        return
    for index, item in enumerate(listed):
        if not has_reference(item) and not _is_address(item):
            shown = quoted(item, ("trusted_proxies", index))
            yield Trouble(("trusted_proxies", index), f"{shown} is no exact address.")


@rule(
    "A14",
    NOTE,
    "webhooks",
    "Keys compared without regard to case",
    "Fewer keys are told apart.",
    "Set case_sensitive to true.",
    when=("header_auth", "query_auth"),
)
def weak_compare(name: str, entry: Entry, pair: Pair) -> Iterator[Trouble]:
    for key in ("header_auth", "query_auth"):
        block = as_object(entry.get(key))
        if block and block.get("case_sensitive") is not True:
            yield Trouble((key,), f"{key} compares the key without regard to case.")


@rule(
    "A15",
    ERROR,
    "webhooks",
    "An algorithm that is not implemented",
    "Every request is refused.",
    "digest_auth: MD5. oauth1: HMAC-SHA1 or PLAINTEXT.",
    when=("digest_auth", "oauth1"),
)
def not_implemented(name: str, entry: Entry, pair: Pair) -> Iterator[Trouble]:
    for check, key, known, advice in (
        ("digest_auth", "algorithm", {"MD5"}, "is not implemented; only MD5 is"),
        ("oauth1", "signature_method", {"HMAC-SHA1", "PLAINTEXT"}, "never passes; use HMAC-SHA1"),
    ):
        written = as_object(entry.get(check)).get(key)
        found = text(written, key)
        if found is not None and found.upper() not in known:
            yield Trouble((check, key), f"{quoted(found, (check, key), written=written)} {advice}.")


@rule(
    "A16",
    ERROR,
    "webhooks",
    "A clean-up that does not happen",
    "With another mode, or fields that are no list, credentials are delivered as they came.",
    "mode is mask or remove; fields is a list of names.",
    when=("credential_cleanup",),
)
def no_cleanup(name: str, entry: Entry, pair: Pair) -> Iterator[Trouble]:
    block = as_object(entry.get("credential_cleanup"))
    mode = block.get("mode", "mask")
    known = text(mode, "mode")
    if not isinstance(mode, str) or (known is not None and known.lower() not in {"mask", "remove"}):
        path = ("credential_cleanup", "mode")
        yield Trouble(path, f"The mode {quoted(mode, path)} is neither mask nor remove.")
    if "fields" in block and not isinstance(block["fields"], list):
        yield Trouble(("credential_cleanup", "fields"), "fields must be a list of names.")


@rule(
    "A17",
    WARNING,
    "webhooks",
    "Credentials in the log",
    "redact_sensitive false prints them.",
    "Remove redact_sensitive.",
    when=("module-config", "chain"),
    modules=("log",),
)
def printed(name: str, entry: Entry, pair: Pair) -> Iterator[Trouble]:
    for step in pair.steps:
        if step.name == "log" and "redact_sensitive" in step.config and not step.config["redact_sensitive"]:
            yield Trouble((*step.path, "module-config", "redact_sensitive"), "This prints credentials into the log.")


@rule(
    "A19",
    ERROR,
    "webhooks",
    "A misspelt check",
    "The service ignores keys it does not know, so the check is not there.",
    "Correct the spelling.",
    needs="unusual",
)
def misspelt(name: str, entry: Entry, pair: Pair) -> Iterator[Trouble]:
    for key in entry:
        if key not in WEBHOOK and (meant := nearest(key, SECURITY)):
            yield Trouble((key,), f"{key!r} is not a key the service knows: the check is not there. {meant!r} is.")


@rule(
    "A20",
    ERROR,
    "connections",
    "Certificates that are not checked",
    'tls_insecure accepts any certificate; a text, even "false", counts as true.',
    "Remove tls_insecure.",
    when=("tls_insecure",),
)
def insecure(name: str, entry: Entry, pair: Pair) -> Iterator[Trouble]:
    value = entry.get("tls_insecure")
    if isinstance(value, str) and value:
        shown = quoted(value, ("tls_insecure",))
        yield Trouble(("tls_insecure",), f"The text {shown} counts as true: any certificate is accepted.")
    elif value:
        yield Trouble(("tls_insecure",), "Any certificate is accepted.", WARNING)


@rule(
    "A21",
    WARNING,
    "webhooks",
    "A catch-all",
    "The webhook `default` answers every address that no other one has.",
    "Give it another name.",
)
def catch_all(name: str, entry: Entry, pair: Pair) -> Iterator[Trouble]:
    if name == "default":
        yield Trouble((), "'default' answers every address that no other webhook has.")


@rule(
    "A22",
    WARNING,
    BOTH,
    "A secret in the file",
    "Whoever reads the file has it.",
    "Put {$NAME} in its place and define the variable on the instances.",
    needs="secret",
)
def literal_secret(name: str, entry: Entry, pair: Pair) -> Iterator[Trouble]:
    for path, value in pair.secrets:
        if _is_credential(path) and value.strip() and not has_reference(value):
            yield Trouble(path, f"{'.'.join(map(str, path))} is a secret that stands in the file.")


@rule(
    "A23",
    ERROR,
    BOTH,
    "A mark in place of a value",
    "Marks such as ‹secret 3f9a2c81d04b› mean something to the console only; the service takes them as they are.",
    "Put the value itself there, or a placeholder.",
    needs="mark",
)
def mark(name: str, entry: Entry, pair: Pair) -> Iterator[Trouble]:
    for path, value in pair.texts:
        if secrets.looks_like_mark(value):
            yield Trouble(path, "This is a mark of the console, not the secret that it stands for.")


_SENSITIVE = frozenset({"aws_access_key_id", "consumer_key", "client_id"})  # masked, but no secret by itself


def _is_credential(path: tuple[str | int, ...]) -> bool:
    return bool(path) and path[-1] not in _SENSITIVE


def _is_address(item: object) -> bool:
    try:
        ipaddress.ip_address(item.strip() if isinstance(item, str) else "")
    except ValueError:
        return False
    return True
