"""Which place answered: agents that keep an identity name it in their answers (docs/agent-protocol.md)."""

from __future__ import annotations

import re

from webhook_agent import protocol

from instances_app.client.replies import Outcome, Reply

FORM = re.compile(r"[0-9a-f]{32}")
NONE = "none"  # it answered, and named no identity


def told(reply: Reply) -> str:
    """The identity that an agent's answer names, or NONE."""
    said = reply.body.get("identity")
    return said if isinstance(said, str) and FORM.fullmatch(said) else NONE


def held_against(pinned: str, reply: Reply) -> Reply:
    """The answer, if the pinned place gave it or nothing is pinned; else one that says who answers there."""
    if not pinned or reply.outcome != Outcome.OK or told(reply) == pinned:
        return reply
    return other(pinned, told(reply))


def pushed(pinned: str, reply: Reply) -> Reply:
    """The answer to an update that was addressed to the pinned place. Who has no such endpoint has written nothing."""
    if not pinned or reply.status not in {404, 405}:
        return reply
    return other(pinned, NONE)


def other(pinned: str, got: str) -> Reply:
    return Reply(Outcome.WRONG_PROTOCOL, error=words(pinned, got), code=protocol.OTHER_INSTANCE)


def words(pinned: str, got: str) -> str:
    who = "one without an identity" if got == NONE else got[:12]
    return f"Another instance answers at this address: expected {pinned[:12]}, got {who}. Nothing is sent to it."
