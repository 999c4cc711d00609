"""`manage.py audit verify [FILE]` checks the trail, `audit export` writes it, `audit checkpoint` signs its end."""

from __future__ import annotations

import json
import sys
from argparse import ArgumentParser
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from console import audit, audit_proof, checkpoints
from console.audit_proof import Proof
from console.checkpoints import BadCheckpoint, Checkpoint

NEEDED = {"sequence": int, "previous_hash": str, "hash": str}  # of every line of an export


class Command(BaseCommand):
    help = "Verify, export or sign the audit trail."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("verb", choices=["verify", "export", "checkpoint"])
        parser.add_argument(
            "file", nargs="?", help="verify exported JSON lines (- for standard input), not the database"
        )
        parser.add_argument(
            "--checkpoints", metavar="DIR", help="the folder, or one file of it; for the database: ours"
        )
        parser.add_argument(
            "--public-key",
            action="append",
            default=[],
            metavar="HEX",
            help="trust this key; else those of the settings",
        )
        parser.add_argument(
            "--older", action="store_true", help="the file may be older than the last checkpoint and end before it"
        )

    def handle(self, *args: Any, verb: str, file: str | None, **options: Any) -> None:
        try:
            if verb == "export":
                self.export()
            elif verb == "checkpoint":
                self.checkpoint(Path(options["checkpoints"] or settings.CHECKPOINT_DIR))
            else:
                self.verify(file, options)
        except BadCheckpoint as error:
            raise CommandError(str(error), returncode=2) from None

    def export(self) -> None:
        for row in audit.rows():
            self.stdout.write(json.dumps(row, sort_keys=True))

    def checkpoint(self, folder: Path) -> None:
        made = checkpoints.write(folder)
        last = made or checkpoints.newest(folder)
        if last is None:
            self.stdout.write("No event is recorded yet: there is nothing to sign.")
            return
        word = "Signed" if made else "Nothing is new: signed already is"
        self.stdout.write(f"{word} event {last.sequence} in {folder}, with the key {last.public_key}.")

    def verify(self, file: str | None, options: dict[str, Any]) -> None:
        place = Path(options["checkpoints"]) if options["checkpoints"] else None
        if place is None and not file and settings.CHECKPOINT_DIR.is_dir():
            place = settings.CHECKPOINT_DIR
        if place is not None and not place.exists():
            raise CommandError(f"There is no {place}.")
        trusted = options["public_key"] or checkpoints.public_keys()
        known = checkpoints.read(place, trusted=trusted) if place else {}
        proof = self.examine(file, known, older=options["older"])
        if proof.bad is not None:
            sequence, reason = proof.bad
            raise CommandError(f"Event {sequence} is the first bad one: {reason}.", returncode=2)
        self.stdout.write(_chain(proof))
        if place is not None:
            self.stdout.write(_confirmation(proof, known, trusted))

    def examine(self, file: str | None, known: dict[int, Checkpoint], *, older: bool) -> Proof:
        hashes = {sequence: checkpoint.hash for sequence, checkpoint in known.items()}
        if not file:
            return audit_proof.examine(audit.rows(), hashes, whole=True)
        proof = audit_proof.examine(_read(file), hashes, whole=False)
        latest = max(known, default=0)
        if proof.is_whole and proof.last is not None and proof.last[0] < latest and not older:
            # Without a gap from the first event on it was an export of everything: then its end should be there.
            proof.bad = (
                proof.last[0] + 1,
                f"the file ends before it, but a checkpoint has event {latest}. If it was exported before that "
                "checkpoint, say --older",
            )
        return proof


def _chain(proof: Proof) -> str:
    number = f"{proof.events:,} {'event' if proof.events == 1 else 'events'}"
    if proof.is_whole:
        return f"{number}, the chain is whole."
    gaps = ", ".join(f"{first:,}" if first == last else f"{first:,} to {last:,}" for first, last in proof.gaps)
    more = f" and {proof.gap_count - len(proof.gaps):,} more" if proof.gap_count > len(proof.gaps) else ""
    word = "gap" if proof.gap_count == 1 else "gaps"
    return f"{number}, each matches its hash. Not the whole chain: {proof.gap_count:,} {word} ({gaps}{more})."


def _confirmation(proof: Proof, known: dict[int, Checkpoint], trusted: list[str]) -> str:
    if not known:
        return "There is no checkpoint to hold it against."
    latest = known[max(known)]
    text = f"{proof.checkpoints:,} of {len(known):,} checkpoints met; they vouch for {proof.confirmed:,} of the events."
    if not trusted:
        text += f" Their key, {latest.public_key}, was not checked: is it yours? Then say --public-key."
    return text


def _read(name: str) -> Iterator[dict[str, Any]]:
    with nullcontext(sys.stdin) if name == "-" else _opened(name) as source:
        for number, line in enumerate(source, 1):
            try:
                row = json.loads(line)
            except ValueError:
                row = None
            if not isinstance(row, dict) or any(not isinstance(row.get(key), kind) for key, kind in NEEDED.items()):
                raise CommandError(f"{name}, line {number} is not a line of an export.", returncode=2)
            yield row


def _opened(name: str) -> Any:
    try:
        return Path(name).open(encoding="utf-8")
    except OSError as error:
        raise CommandError(f"{name} cannot be read: {error.strerror}.") from None
