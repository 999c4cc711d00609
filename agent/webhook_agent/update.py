"""The request of config-update: both its forms, read and checked before anything is touched."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from webhook_agent import protocol
from webhook_agent.errors import Problem
from webhook_agent.protocol import KINDS, Document

_ENVELOPE = 3  # levels a batch puts around a document: the request, the list, the item
_MAX_WORD = 200  # characters of version, source and request_id


@dataclass(frozen=True)
class Proposed:
    """One document of an update, with the digest of what arrived."""

    document: Document
    digest: str
    version: str | None


@dataclass(frozen=True)
class Update:
    documents: Mapping[str, Proposed]
    sequence: int | None
    dry_run: bool
    version: str | None
    source: str | None
    request_id: str | None


def read_update(body: bytes, *, allow_empty: bool) -> Update:
    """Raises Problem: MALFORMED, SHAPE, EMPTY or DIGEST_MISMATCH."""
    try:
        request = protocol.parse(body, max_depth=protocol.MAX_DEPTH + _ENVELOPE)
    except protocol.ProtocolError as error:
        raise Problem(400, error.code, error.message) from None
    request_id = _word(request, "request_id")
    try:
        return _update(request, request_id, allow_empty=allow_empty)
    except Problem as problem:
        problem.more.setdefault("request_id", request_id)
        raise


def _update(request: Document, request_id: str | None, *, allow_empty: bool) -> Update:
    sequence = request.get("sequence")
    if sequence is not None and (type(sequence) is not int or not 0 <= sequence <= protocol.MAX_SEQUENCE):
        raise _shape("`sequence` must be a whole number from 0 to 2^63 - 1.")
    dry_run = request.get("dry_run", False)
    if not isinstance(dry_run, bool):
        raise _shape("`dry_run` must be true or false.")
    items: Any = [request]
    if "configs" in request:
        if any(name in request for name in ("type", "config", "digest")):
            raise _shape("Send either `configs` or one `type` with its `config`, not both.")
        items = request["configs"]
        if not isinstance(items, list) or not 1 <= len(items) <= len(KINDS):
            raise _shape(f"`configs` must be a list of one to {len(KINDS)} documents.")
    documents: dict[str, Proposed] = {}
    for item in items:
        kind, proposed = _proposed(item, allow_empty=allow_empty)
        if kind in documents:
            raise _shape(f"`configs` holds {kind} twice.")
        documents[kind] = proposed
    return Update(
        documents=documents,
        sequence=sequence,
        dry_run=dry_run,
        version=_word(request, "version"),
        source=_word(request, "source"),
        request_id=request_id,
    )


def _proposed(item: object, *, allow_empty: bool) -> tuple[str, Proposed]:
    if not isinstance(item, dict):
        raise _shape("Each of `configs` must be an object.")
    kind = item.get("type")
    if kind not in KINDS:
        raise _shape('`type` must be "webhooks" or "connections".')
    document = item.get("config")
    if not isinstance(document, dict):
        raise _shape(f"The `config` of {kind} must be an object.")
    if not document and not allow_empty:
        raise Problem(400, protocol.EMPTY, f"The {kind} document is empty; this instance does not accept that.")
    try:
        protocol.check_depth(document)
    except protocol.ProtocolError as error:
        raise Problem(400, error.code, error.message) from None
    digest = protocol.digest(document)
    claimed = _word(item, "digest")
    if claimed is not None and not protocol.same(claimed, digest):
        raise Problem(
            400, protocol.DIGEST_MISMATCH, f"The {kind} document that arrived does not have the digest named."
        )
    return kind, Proposed(document, digest, _word(item, "version"))


def _word(container: Document, name: str) -> str | None:
    value = container.get(name)
    if value is None:
        return None
    if not isinstance(value, str) or len(value) > _MAX_WORD or not value.isprintable():
        raise _shape(f"`{name}` must be a printable text of at most {_MAX_WORD} characters.")
    return value


def _shape(message: str) -> Problem:
    return Problem(400, protocol.SHAPE, message)
