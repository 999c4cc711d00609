"""What lies on the disks of the instances, looked at all the time, by somebody who asks neither agent nor console.

An agent moves several files together by way of a journal. While that says `pending`, the pair may be between two
renames, and a kill leaves it so until the next start or update settles it. At any other moment the pair has to be the
one of the rollout whose sequence the journal names. Each file has to be a whole document at every moment.
"""

from __future__ import annotations

import http.client
import json
import time
import urllib.request
from collections.abc import Sequence
from dataclasses import dataclass

from webhook_agent import journal, protocol
from webhook_agent.document_file import snapshot

from instances_app.models import Kind
from sync_app.chaos.processes import Member
from sync_app.chaos.record import Loop, Promise, Record

Pair = tuple[str, str]  # digests of webhooks and connections
EMPTY: Pair = (protocol.digest({}), protocol.digest({}))


@dataclass(frozen=True, slots=True)
class Held:
    """One instance at rest: the sequence of the last update that counted (0 before the first), and the pair."""

    sequence: int
    pair: Pair


class Disks(Loop):
    """Reads the files of all instances, fifty times a second if it can."""

    def __init__(self, members: Sequence[Member], record: Record) -> None:
        super().__init__(record, "disks")
        self._members = members
        self.looks = 0
        self.settled: dict[tuple[str, Held], float] = {}  # (instance, what it held) → when first seen
        self._highest: dict[str, int] = {}
        self._digests: dict[bytes, str | None] = {}

    def pause(self) -> float:
        return 0.02

    def step(self) -> None:
        for member in self._members:
            self._look(member)

    def held(self, member: Member) -> Held | None:
        """What the instance holds now; None while an update is under way or was cut short."""
        before = self._journal(member)
        pair = self._pair(member)
        if pair is None or before is None or before != self._journal(member):
            return None
        record = json.loads(before) if before else {}
        return None if record.get("pending") else Held(record.get("sequence") or 0, pair)

    def _look(self, member: Member) -> None:
        held = self.held(member)
        self.looks += 1
        if held is None:
            return
        if held.sequence < self._highest.get(member.name, 0):
            text = f"{member.name} went from sequence {self._highest[member.name]} back to {held.sequence}"
            self.record.violation(Promise.UNTRUE, text)
        self._highest[member.name] = held.sequence
        if (member.name, held) not in self.settled:
            self.settled[member.name, held] = time.time()
            self.record.say(f"disk   {member.name} {held.sequence} {_short(held.pair)}")

    def _journal(self, member: Member) -> bytes | None:
        try:
            return (member.state / journal.NAME).read_bytes()
        except FileNotFoundError:
            return b""

    def _pair(self, member: Member) -> Pair | None:
        found = []
        for kind in Kind.values:
            try:
                raw = (member.folder / f"{kind}.json").read_bytes()
            except FileNotFoundError:
                self.record.violation(Promise.HALF_APPLIED, f"{member.name} has no {kind} file")
                return None
            if raw not in self._digests:
                self._digests[raw] = snapshot(raw).digest
            digest = self._digests[raw]
            if digest is None:
                self.record.violation(Promise.HALF_APPLIED, f"{member.name} has a {kind} file that is no document")
                return None
            found.append(digest)
        return found[0], found[1]


class Agents(Loop):
    """Asks the agents what they run, directly, past every relay."""

    def __init__(self, members: Sequence[Member], record: Record) -> None:
        super().__init__(record, "agents")
        self._members = members
        self.reported: dict[tuple[str, Pair], float] = {}  # (instance, what it said that it runs) → when first

    def pause(self) -> float:
        return 0.2

    def step(self) -> None:
        for member in self._members:
            pair, _ = reports(member)
            if pair is not None:
                self.reported.setdefault((member.name, pair), time.time())


def reports(member: Member) -> tuple[Pair | None, str]:
    """What its agent says that it runs, and its health; None without an answer, or while its processes differ."""
    try:
        said = _ask(member, "config-version")
        health = _ask(member, "instance-info").get("health", "")
    except (OSError, ValueError, http.client.HTTPException):
        return None, ""
    webhooks, connections = (said.get(f"{kind}_digest") for kind in Kind.values)
    return ((webhooks, connections) if webhooks and connections else None), health


def _ask(member: Member, what: str) -> dict[str, str]:
    host, port = member.address
    request = urllib.request.Request(
        f"http://{host}:{port}/admin/{what}", headers={"Authorization": f"Bearer {member.token}"}
    )
    with urllib.request.urlopen(request, timeout=1) as answer:  # noqa: S310
        found = json.load(answer)
    return found if isinstance(found, dict) else {}


def _short(pair: Pair) -> str:
    return " ".join(digest[:8] for digest in pair)
