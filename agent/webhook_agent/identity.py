"""Which place this is: an id that the state folder keeps, the same after every restart and for every worker process.

A name would not do: host names change with each container, and two services may have one name. Where the folder goes
with the container there is no such id, rather than a new one with every deployment.
"""

from __future__ import annotations

import logging
import os
import re
import secrets
from pathlib import Path

from webhook_agent import files

log = logging.getLogger("webhook_agent")

NAME = ".webhook_agent.identity"
_FLEETING = frozenset({"overlay", "aufs", "tmpfs", "ramfs"})  # file systems that end with a container or a boot
_ESCAPE = re.compile(r"\\([0-7]{3})")
_FORM = re.compile(rb"\A[0-9a-f]{32}\n?\Z")


def of(folder: Path, *, lasting: bool | None, wait: float) -> str | None:
    """The id that `folder` keeps, made at the first start; None where nothing would keep it.

    `lasting`: whether the folder outlives a deployment; None: what its file system says.
    """
    if not (lasts(folder) if lasting is None else lasting):
        return None
    path = folder / NAME
    try:
        found = _read(path)
        if found is None:
            with files.folder_lock(folder, wait=wait):  # a sibling process may be at it
                found = _read(path)
                if found is None:
                    found = secrets.token_hex(16)
                    files.write_atomically(path, f"{found}\n".encode())
    except (OSError, TimeoutError):
        log.warning("This instance has no identity: its state folder cannot be written.")
        return None
    return found


def lasts(folder: Path, *, mounts: str = "/proc/self/mountinfo") -> bool:
    """Whether what lies in the folder is there after a redeployment, as far as its file system tells."""
    here = os.path.realpath(folder)
    best, kind = "", ""
    try:
        lines = Path(mounts).read_text().splitlines()
    except OSError:
        return True  # no Linux, so no container of one
    for line in lines:  # proc(5): …, mount point is the fifth field, the type comes after a lone dash
        before, _, after = line.partition(" - ")
        fields = before.split()
        if len(fields) < 5 or not after:
            continue
        point = _ESCAPE.sub(lambda found: chr(int(found[1], 8)), fields[4])
        if (here == point or here.startswith(point.rstrip("/") + "/")) and len(point) >= len(best):
            best, kind = point, after.split()[0]
    return kind not in _FLEETING


def _read(path: Path) -> str | None:
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return None
    return data.decode().strip() if _FORM.match(data) else None
