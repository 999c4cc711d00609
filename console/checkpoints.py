"""Signed checkpoints: "event N had this hash at this moment", one small file each, in a folder.

Whoever can rewrite the database can rewrite the whole chain, hashes and all. They cannot sign, and the folder may be
kept where they do not reach: a chain that was rewritten, or lost its end, contradicts a checkpoint.
"""

from __future__ import annotations

import base64
import binascii
import json
import os
from collections.abc import Collection, Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass, fields
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from django.conf import settings

from console import audit, audit_proof
from console.models import AuditEvent

PURPOSE = b"webhook console audit checkpoint 1\n"  # so that the signature is good for nothing else


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """What one file says. `public_key` and `signature` are hexadecimal, `at` is ISO 8601 UTC."""

    sequence: int
    hash: str
    at: str
    count: int  # events up to this one
    public_key: str
    signature: str = ""

    def signed(self) -> bytes:
        """The bytes that the signature is of."""
        facts = {name: value for name, value in asdict(self).items() if name != "signature"}
        return PURPOSE + json.dumps(facts, sort_keys=True).encode()


class BadCheckpoint(Exception):
    """A file in the folder is no checkpoint, or not of ours; or the chain contradicts the last one."""


def write(folder: Path) -> Checkpoint | None:
    """Sign where the chain stands now. None when nothing was recorded since the last checkpoint.

    What came since then is verified first, beginning with the event the last one is of: a chain that contradicts it is
    not signed.
    """
    if not settings.AUDIT_KEYS:
        raise BadCheckpoint("CONSOLE_AUDIT_KEY is not set: there is nothing to sign with.")
    last = newest(folder)
    events = AuditEvent.objects.filter(sequence__gte=last.sequence if last else 1)
    since = audit_proof.examine(
        audit.rows(events), {last.sequence: last.hash} if last else {}, begins=last.sequence if last else 1, whole=True
    )
    if since.bad is not None:
        raise BadCheckpoint(f"Not signed. Event {since.bad[0]} is the first bad one: {since.bad[1]}.")
    if since.last is None or (last is not None and since.last[0] == last.sequence):
        return None
    key = _private(settings.AUDIT_KEYS[0])
    unsigned = Checkpoint(
        sequence=since.last[0],
        hash=since.last[1],
        at=datetime.now(UTC).isoformat(timespec="seconds"),
        count=last.count + since.events - 1 if last else since.events,
        public_key=_public(key),
    )
    made = Checkpoint(**{**asdict(unsigned), "signature": key.sign(unsigned.signed()).hex()})
    _keep(folder, made)
    return made


def read(place: Path, *, trusted: Collection[str]) -> dict[int, Checkpoint]:
    """Every checkpoint of a folder, or the one in a file, by sequence; each must be signed with a trusted key.

    With no key to trust the signatures are held against the key that the files name: that shows damage, not forgery.
    """
    found = {}
    for path in _files(place) if place.is_dir() else [place]:
        checkpoint = _signed(path, trusted=trusted)
        found[checkpoint.sequence] = checkpoint
    return found


def newest(folder: Path) -> Checkpoint | None:
    """The last one that bears a signature of ours; None where there is none.

    Whatever else lies in the folder says nothing here; `read` names it.
    """
    try:
        return _newest(folder, folder.stat().st_mtime_ns, tuple(public_keys()))
    except OSError:
        return None


def public_keys() -> list[str]:
    """The public halves of CONSOLE_AUDIT_KEY, the one that signs first."""
    return [_public(_private(key)) for key in settings.AUDIT_KEYS]


@lru_cache(maxsize=4)
def _newest(folder: Path, changed: int, trusted: tuple[str, ...]) -> Checkpoint | None:
    """Listing a year of files takes a while, and pages ask; the folder's time tells when there is a new one."""
    for path in sorted(_files(folder), reverse=True) if trusted else ():
        with suppress(BadCheckpoint):
            found = _signed(path, trusted=trusted)
            if path.name == _name(found):  # else a copy of an older one, that hides those between
                return found
    return None


def _keep(folder: Path, checkpoint: Checkpoint) -> None:
    """Whole or not at all, and never over another one."""
    folder.mkdir(parents=True, exist_ok=True)
    final = folder / _name(checkpoint)
    temporary = folder / f".{final.name}.{os.getpid()}"
    with temporary.open("w", encoding="utf-8") as file:
        json.dump(asdict(checkpoint), file, indent=2)
        file.write("\n")
        file.flush()
        os.fsync(file.fileno())
    try:
        if not final.exists():
            os.rename(temporary, final)
        elif _signed(final, trusted=[checkpoint.public_key]).hash != checkpoint.hash:
            raise BadCheckpoint(f"{final.name} is there already and has another hash.")
        # Else another worker was as fast, and wrote the same.
    finally:
        temporary.unlink(missing_ok=True)
    entry = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(entry)
    finally:
        os.close(entry)


def _name(checkpoint: Checkpoint) -> str:
    return f"{checkpoint.sequence:012}.json"


def _files(folder: Path) -> Iterator[Path]:
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.endswith(".json") and not entry.name.startswith("."):
                yield Path(entry.path)


def _signed(path: Path, *, trusted: Collection[str]) -> Checkpoint:
    """What the file says, if it bears the signature of a trusted key; of the one it names, where there is none."""
    checkpoint = _read(path)
    if trusted and checkpoint.public_key not in trusted:
        raise BadCheckpoint(f"{path.name} is signed with {checkpoint.public_key}, which is not a key of ours.")
    try:
        Ed25519PublicKey.from_public_bytes(bytes.fromhex(checkpoint.public_key)).verify(
            bytes.fromhex(checkpoint.signature), checkpoint.signed()
        )
    except (InvalidSignature, ValueError):
        raise BadCheckpoint(f"{path.name} does not bear the signature it should: it was altered.") from None
    return checkpoint


def _read(path: Path) -> Checkpoint:
    try:
        facts: Any = json.loads(path.read_text(encoding="utf-8"))
        checkpoint = Checkpoint(**facts)
    except (OSError, ValueError, TypeError):
        raise BadCheckpoint(f"{path.name} is not a checkpoint.") from None
    if not all(isinstance(getattr(checkpoint, field.name), _type(field.name)) for field in fields(Checkpoint)):
        raise BadCheckpoint(f"{path.name} is not a checkpoint.")
    return checkpoint


def _type(name: str) -> type:
    return int if name in {"sequence", "count"} else str


def _private(key: str) -> Ed25519PrivateKey:
    try:
        return Ed25519PrivateKey.from_private_bytes(base64.urlsafe_b64decode(key))
    except (ValueError, binascii.Error):
        raise BadCheckpoint("CONSOLE_AUDIT_KEY must be 32 bytes in URL-safe base64.") from None


def _public(key: Ed25519PrivateKey) -> str:
    return key.public_key().public_bytes_raw().hex()
