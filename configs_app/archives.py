"""The two documents out of a zip archive that somebody sent: everything else in it is left alone.

Nothing is written to disk, so no name in the archive can lead anywhere. Sizes are looked at before anything is
unpacked, and again while it is, because an archive may lie about them.
"""

from __future__ import annotations

import zipfile
import zlib
from typing import IO

from django.conf import settings

from console.errors import Refused
from instances_app.models import Kind

MOST_BYTES = 32 * 1024 * 1024  # of the archive itself
MOST_MEMBERS = 10_000
NAMES: dict[str, str] = {f"{kind}.json": str(kind) for kind in Kind.values}
METHODS = {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED}
ENCRYPTED = 0x1


def documents_in(file: IO[bytes], *, size: int, name: str) -> dict[str, bytes]:
    """kind → bytes of webhooks.json and connections.json, in whatever folder of the archive; one of them or both."""
    if size > MOST_BYTES:
        raise Refused(f"{name} has {size:,} bytes; an archive may have {MOST_BYTES:,}. Pack only the two documents.")
    try:
        with zipfile.ZipFile(file) as archive:
            members = archive.infolist()
            if len(members) > MOST_MEMBERS:
                raise Refused(f"{name} has {len(members):,} files. Pack only the two documents.")
            return {kind: _read(archive, member, name) for kind, member in _chosen(members, name).items()}
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, ValueError, OSError):
        raise Refused(f"{name} is no zip archive, or it is damaged. Pack the two documents again.") from None


def _chosen(members: list[zipfile.ZipInfo], name: str) -> dict[str, zipfile.ZipInfo]:
    found: dict[str, zipfile.ZipInfo] = {}
    for member in members:
        folders = member.filename.replace("\\", "/").split("/")
        kind = NAMES.get(folders[-1])
        if kind is None or "__MACOSX" in folders:
            continue
        if kind in found:
            both = f"{found[kind].filename!r} and {member.filename!r}"
            raise Refused(f"{name} holds {kind}.json more than once: {both}. Leave the one that is meant.")
        found[kind] = member
    if not found:
        raise Refused(f"{name} holds neither webhooks.json nor connections.json.")
    return found


def _read(archive: zipfile.ZipFile, member: zipfile.ZipInfo, name: str) -> bytes:
    limit = settings.DOCUMENT_MAX_BYTES
    if member.flag_bits & ENCRYPTED:
        raise Refused(f"{member.filename} in {name} is encrypted. Pack it without a password.")
    if member.compress_type not in METHODS:
        raise Refused(f"{member.filename} in {name} is packed in a way that is not read here. Use an ordinary zip.")
    if member.file_size > limit:
        raise Refused(f"{member.filename} in {name} unpacks to {member.file_size:,} bytes; the limit is {limit:,}.")
    with archive.open(member) as packed:
        content = packed.read(limit + 1)
    if len(content) > limit:
        raise Refused(f"{member.filename} in {name} unpacks to more than {limit:,} bytes.")
    return content
