"""Giving an agent another token, and having it drop the old one; never an agent of another place than the one meant.

Which token opens is asked, never concluded from an answer that did not come. Every request goes over a connection of
its own: a balancer that stands before several services, each with tokens of its own, shows in that.
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Protocol

from instances_app.client import places
from instances_app.client.replies import MARK, Outcome, Reply, Target

CAPABILITY = "rotate_token"
SHORTEST_PART = 5  # characters of a token that are hidden where words were cut
PROOFS = 3  # connections on which the new token has to open
# Answers to POST tokens after which a person has to do it: no such endpoint, nothing can be kept, a signature wanted.
BY_HAND = {"not_found", "method_not_allowed", "read_only", "bad_signature", "forbidden"}


class End(StrEnum):
    PROVEN = "proven"  # the new token opens
    GIVEN = "given"  # the agent says that it takes it; not proven yet
    DROPPED = "dropped"  # the new token opens, and the old one does not any more
    BACK = "back"  # the new token, which was in use, does not open; the old one does
    UNABLE = "unable"  # its agent cannot, or not here
    REFUSED = "refused"  # no other try would end otherwise
    AGAIN = "again"  # nothing is decided


@dataclass(frozen=True, slots=True)
class Give:
    """The agent behind `old` is to take the token of `new`, too."""

    key: int
    old: Target
    new: Target
    sent: bool  # it may have been sent before: which token opens is asked first


@dataclass(frozen=True, slots=True)
class Drop:
    """The agent is to let only the token of `new` in. Not asked after `until` (time.monotonic()): by then somebody else
    may be at it, or a person may have typed another token, which would be dropped with the old one."""

    key: int
    old: Target
    new: Target
    until: float


@dataclass(frozen=True, slots=True)
class Turned:
    """`reply` decided. `sent`: what was to be sent may have arrived now, whatever was before."""

    key: int
    end: End
    reply: Reply
    sent: bool = False


class Ask(Protocol):
    """One exchange on a connection of its own."""

    async def __call__(self, target: Target, method: str, path: str, *, body: bytes | None = None) -> Reply: ...


async def give(job: Give, ask: Ask) -> Turned:
    ask = _discreet(job, ask)
    if job.sent:
        seen = await _proof(job.new, ask)
        if seen.outcome == Outcome.OK:
            return Turned(job.key, End.PROVEN, seen)
        if not is_refusal(seen):
            return Turned(job.key, End.AGAIN, seen)
    info = places.held_against(job.old.identity, await ask(job.old, "GET", "instance-info"))
    if info.outcome in {Outcome.UNAUTHORISED, Outcome.WRONG_PROTOCOL}:
        return Turned(job.key, End.REFUSED, info)
    if info.outcome != Outcome.OK:
        return Turned(job.key, End.AGAIN, info)
    listed = info.body.get("capabilities")
    if not isinstance(listed, list) or CAPABILITY not in listed:
        return Turned(job.key, End.UNABLE, info)
    said = await ask(job.old, "POST", "tokens", body=json.dumps({"add": job.new.token}).encode())
    if said.outcome != Outcome.OK:
        return Turned(job.key, _said_no(said), said, sent=said.outcome in {Outcome.UNKNOWN, Outcome.SERVER_ERROR})
    seen = await _proof(job.new, ask)
    if is_refusal(seen):
        return Turned(job.key, End.REFUSED, seen, sent=True)
    return Turned(job.key, End.PROVEN if seen.outcome == Outcome.OK else End.GIVEN, seen, sent=True)


async def drop(job: Drop, ask: Ask) -> Turned:
    ask = _discreet(job, ask)
    seen = places.held_against(job.new.identity, await ask(job.new, "GET", "config-version"))
    if is_refusal(seen):
        was = places.held_against(job.old.identity, await ask(job.old, "GET", "config-version"))
        if was.outcome == Outcome.OK:
            return Turned(job.key, End.BACK, seen)
        return Turned(job.key, End.REFUSED if is_refusal(was) else End.AGAIN, was)
    if seen.outcome != Outcome.OK or time.monotonic() > job.until:
        return Turned(job.key, End.AGAIN, seen)
    said = await ask(job.new, "POST", "tokens", body=b'{"drop_others": true}')
    if said.outcome != Outcome.OK:
        return Turned(job.key, _said_no(said), said, sent=said.outcome in {Outcome.UNKNOWN, Outcome.SERVER_ERROR})
    was = await ask(job.old, "GET", "config-version")
    return Turned(job.key, End.DROPPED if is_refusal(was) else End.AGAIN, was, sent=True)


def is_refusal(reply: Reply) -> bool:
    """Whether the agent does not know the token. A 403 is about the address that asks, whatever the token."""
    return reply.outcome == Outcome.UNAUTHORISED and reply.status == 401


def _discreet(job: Give | Drop, ask: Ask) -> Ask:
    """Replies without the two tokens, for their words are kept and shown."""

    async def asked(target: Target, method: str, path: str, *, body: bytes | None = None) -> Reply:
        reply = await ask(target, method, path, body=body)
        return replace(reply, error=_hidden(reply.error, job.old.token, job.new.token), text="")

    return asked


def _hidden(words: str, *tokens: str) -> str:
    """Something that is no agent may send back all that it was asked with. Its words may end within a token."""
    for token in tokens:
        words = words.replace(token, MARK)
        shown = next((size for size in range(len(token), SHORTEST_PART, -1) if words.endswith(token[:size])), 0)
        words = f"{words[:-shown]}{MARK}" if shown else words
    return words


async def _proof(target: Target, ask: Ask) -> Reply:
    """The first answer that is none to somebody who was let in; else the last."""
    for _ in range(PROOFS):
        seen = places.held_against(target.identity, await ask(target, "GET", "config-version"))
        if seen.outcome != Outcome.OK:
            break
    return seen


def _said_no(reply: Reply) -> End:
    if reply.code in BY_HAND:
        return End.UNABLE
    if reply.outcome in {Outcome.UNAUTHORISED, Outcome.REJECTED, Outcome.WRONG_PROTOCOL}:
        return End.REFUSED
    return End.AGAIN
