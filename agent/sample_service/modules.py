"""What a webhook does with a payload."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any


class Undeliverable(Exception):
    """This webhook cannot do its work; `status` and the message are the caller's answer."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


def log(webhook: str, payload: bytes, config: dict[str, Any], folder: Path) -> None:
    print(f"webhook {webhook}: {len(payload)} bytes", flush=True)  # noqa: T201 - writing to stdout is this module


def save_to_disk(webhook: str, payload: bytes, config: dict[str, Any], folder: Path) -> None:
    """One new file under `path` (default `received`), which must lie inside the service's folder."""
    wanted = config.get("path", "received")
    if not isinstance(wanted, str) or "\0" in wanted:
        raise Undeliverable(500, "The path of this webhook is not a relative path")
    root = folder.resolve()
    place = (root / wanted).resolve()  # follows links, so one that leads outside is seen as outside
    if Path(wanted).is_absolute() or (place != root and root not in place.parents):
        raise Undeliverable(500, "The path of this webhook leads outside the service's folder")
    try:
        place.mkdir(parents=True, exist_ok=True)
        (place / f"{uuid.uuid4()}.txt").write_bytes(payload)
    except OSError:
        raise Undeliverable(500, "The payload could not be saved") from None


Module = Callable[[str, bytes, dict[str, Any], Path], None]

WORKING: dict[str, Module] = {"log": log, "save_to_disk": save_to_disk}
