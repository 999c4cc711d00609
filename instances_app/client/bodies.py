"""What a document looks like in a request to an agent (docs/agent-protocol.md)."""

from __future__ import annotations

import json

from webhook_agent import protocol


def members(kind: str, digest: str, text: str) -> str:
    """The members of one document, without their braces; its text goes onto the wire as it was typed."""
    head = {"type": kind, "version": protocol.short(digest), "digest": digest}
    return f'{json.dumps(head)[1:-1]},"config":{text}'
