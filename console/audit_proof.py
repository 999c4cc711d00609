"""What a run of audit events proves, from the database or from an exported file, with checkpoints or without."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from console import audit

NAMED = 20  # gaps that are named; the others are counted


@dataclass(slots=True)
class Proof:
    """`bad` is the first bad event and why; nothing after it was looked at."""

    events: int = 0
    first: int | None = None
    last: tuple[int, str] | None = None  # sequence and hash
    bad: tuple[int, str] | None = None
    gaps: list[tuple[int, int]] = field(default_factory=list)  # the first NAMED: events from … to … are not there
    gap_count: int = 0
    confirmed: int = 0  # events that a checkpoint vouches for: it is of one of them or of one that continues them
    checkpoints: int = 0  # that were met

    @property
    def is_whole(self) -> bool:
        """From the first event on, without a gap; whether the end is there only a checkpoint can tell."""
        return self.bad is None and not self.gap_count and self.first in {None, 1}


def examine(rows: Iterable[dict[str, Any]], checkpoints: Mapping[int, str], *, begins: int = 1, whole: bool) -> Proof:
    """Go through the events once. `checkpoints` gives the hash that an event had.

    `whole`: every event from `begins` to the last checkpoint must be there. Otherwise events may be missing (a filtered
    export): each must match its hash, and those that stand next to each other must continue each other.
    """
    proof = Proof()
    after = (0, "") if begins == 1 else None
    pending = 0  # events since the last checkpoint or gap: a checkpoint further on vouches for them
    for row in rows:
        sequence = row["sequence"]
        if whole and after is None and sequence != begins:
            proof.bad = sequence, f"event {begins} is missing"
            return proof
        expected = after[0] + 1 if after else begins
        if not whole and sequence > expected:
            _note_gap(proof, expected, sequence - 1)
            after, pending = None, 0
        if problem := audit.flaw(row, after=after):
            proof.bad = sequence, problem
            return proof
        pending += 1
        if sequence in checkpoints:
            if checkpoints[sequence] != row["hash"]:
                proof.bad = sequence, _contradicts(sequence, checkpoints)
                return proof
            proof.checkpoints += 1
            proof.confirmed, pending = proof.confirmed + pending, 0
        after = sequence, row["hash"]
        proof.events, proof.last = proof.events + 1, after
        proof.first = sequence if proof.first is None else proof.first
    ends, latest = proof.last[0] if proof.last else begins - 1, max(checkpoints, default=0)
    if whole and latest > ends:
        proof.bad = ends + 1, f"the chain ends before it, but a checkpoint has event {latest}"
    return proof


def _contradicts(sequence: int, checkpoints: Mapping[int, str]) -> str:
    sound = max((known for known in checkpoints if known < sequence), default=0)
    where = f"events {sound + 1} to {sequence} were rewritten" if sequence - sound > 1 else "it was rewritten"
    return f"its checkpoint has another hash, so {where}"


def _note_gap(proof: Proof, first: int, last: int) -> None:
    proof.gap_count += 1
    if len(proof.gaps) < NAMED:
        proof.gaps.append((first, last))
