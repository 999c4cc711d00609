"""Which tokens open the agent: those that are configured, and what rotation made of them since.

One small file in the state folder holds hashes only. It is read anew for every request that brings a token, so what
one worker process wrote holds in all of them with the very next request: there is nothing to tell and nothing to wait
for, and no answer rests on a copy. A stat would be a little cheaper, but two writes within one tick of the file
system's clock can look alike to it.

A file that cannot be read, or that no agent wrote, lets nobody in: dropped tokens may be dropped because they leaked.
"""

from __future__ import annotations

import hmac
import json
import logging
import math
import os
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from webhook_agent import files, protocol
from webhook_agent.errors import Problem
from webhook_agent.files import reached
from webhook_agent.limits import Tokens, presented

log = logging.getLogger("webhook_agent")

NAME = ".webhook_agent.tokens"
SHORTEST, LONGEST = 32, 512  # characters of a token that arrives
LEAST_BITS = 96.0  # of entropy, as far as its characters show; hashes of what can be guessed protect nothing
MOST_ADDED = 16
MOST_DROPPED = 200  # remembered; a configured one is never forgotten


@dataclass(frozen=True)
class Record:
    """SHA-256 hashes, hexadecimal, oldest first. Empty before the first rotation."""

    added: tuple[str, ...] = ()
    dropped: tuple[str, ...] = ()  # refused from now on, also where they are configured


class TokenFile:
    """Blocks on the disk. Whoever changes something holds the lock."""

    def __init__(self, folder: Path, configured: Tokens) -> None:
        self._path = folder / NAME
        self._configured = configured.hashes

    def allow(self, header: bytes) -> bool:
        """Whether an Authorization header carries a token that opens. Raises Problem(INTERNAL) for a bad file."""
        return self._allowed(self._read(), header)

    def add(self, token: str, *, header: bytes) -> int:
        """Let this one in as well; how many open then. Raises Problem: UNAUTHORISED, SHAPE; OSError."""
        new = presented(b"Bearer " + token.encode("ascii"))
        held = self._held(header)
        if new in self._accepted(held):
            return len(self._accepted(held))
        if len(held.added) >= MOST_ADDED:
            raise Problem(400, protocol.SHAPE, f"{MOST_ADDED} tokens were added already. Drop the others first.")
        added = held.added if new in self._configured else (*held.added, new)
        after = Record(added, tuple(one for one in held.dropped if one != new))
        self._save(after)
        log.info("A token was added: %d open the agent now.", len(self._accepted(after)))
        return len(self._accepted(after))

    def drop_others(self, *, header: bytes) -> int:
        """Let only the one that is presented in. Raises Problem(UNAUTHORISED); OSError."""
        kept = presented(header)
        held = self._held(header)
        others = [one for one in (*held.added, *self._configured) if one != kept]
        earlier = [one for one in held.dropped if one not in others]
        # A configured token needs no hash here: where it is taken out of the configuration it is to open no more.
        after = Record(() if kept in self._configured else (kept,), (*earlier, *dict.fromkeys(others))[-MOST_DROPPED:])
        if after != held:
            self._save(after)
            log.info("Every other token was dropped.")
        return len(self._accepted(after))

    def _held(self, header: bytes) -> Record:
        """What holds under the lock: a sibling may have dropped the caller's token since it was let in."""
        held = self._read()
        if not self._allowed(held, header):
            raise Problem(401, protocol.UNAUTHORISED, "This needs `Authorization: Bearer <token>`.")
        return held

    def _accepted(self, held: Record) -> set[str]:
        return {*self._configured} - {*held.dropped} | {*held.added}

    def _allowed(self, held: Record, header: bytes) -> bool:
        """Takes the same time whichever it is."""
        candidate = presented(header)
        found = False
        for known in self._accepted(held):
            found |= hmac.compare_digest(candidate, known)
        return found

    def _read(self) -> Record:
        try:
            return _record(protocol.parse(self._path.read_bytes()))
        except FileNotFoundError:
            return Record()
        except (OSError, protocol.ProtocolError):
            log.exception("%s cannot be used; nobody is let in. Deleting it lets the configured tokens in.", NAME)
            text = "The agent cannot read its own tokens; its log says more."
            raise Problem(500, protocol.INTERNAL, text) from None

    def _save(self, record: Record) -> None:
        data = json.dumps({"added": list(record.added), "dropped": list(record.dropped)}).encode() + b"\n"
        new = files.half_written(self._path)
        files.write(new, data, like=None)
        reached("tokens-written")
        os.replace(new, self._path)
        reached("tokens-placed")
        files.sync_folder(self._path.parent)
        reached("tokens-kept")


def wanted(body: bytes) -> str:
    """The token that a request adds, or nothing where it drops the others. Raises Problem: MALFORMED, SHAPE."""
    try:
        request = protocol.parse(body)
    except protocol.ProtocolError as error:
        raise Problem(400, error.code, error.message) from None
    token, drops = request.get("add"), request.get("drop_others")
    if (token is None) == (drops is None) or (drops is not None and drops is not True):
        raise Problem(400, protocol.SHAPE, 'Send either `add` with a token, or `"drop_others": true`.')
    if token is None:
        return ""
    if not isinstance(token, str) or not SHORTEST <= len(token) <= LONGEST:
        raise Problem(400, protocol.SHAPE, f"`add` must be a token of {SHORTEST} to {LONGEST} characters.")
    if not all("!" <= character <= "~" for character in token):
        raise Problem(400, protocol.SHAPE, "`add` holds a blank or a character outside ASCII.")
    if _bits(token) < LEAST_BITS:
        raise Problem(400, protocol.SHAPE, "`add` is too easy to guess. Let a random generator make it.")
    return token


def _bits(token: str) -> float:
    """Its entropy, if its characters were drawn as often as they stand in it."""
    return sum(number * math.log2(len(token) / number) for number in Counter(token).values())


def _record(found: Mapping[str, Any]) -> Record:
    added, dropped = found.get("added"), found.get("dropped")
    for hashes in (added, dropped):
        if not isinstance(hashes, list) or not all(isinstance(one, str) and len(one) == 64 for one in hashes):
            raise protocol.ProtocolError(protocol.MALFORMED, "The agent's token file is not one it wrote.")
    return Record(tuple(added or ()), tuple(dropped or ()))
