"""Whether load balancers should leave this instance alone: a flag that all worker processes share."""

from __future__ import annotations

import os
from pathlib import Path

NAME = ".webhook_agent.drained"


class Drain:
    """The flag is a file beside the journal, so it outlives a restart. Blocks on the disk, but only to look."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / NAME

    def is_on(self) -> bool:
        return os.path.exists(self._path)

    def turn(self, *, on: bool) -> None:
        """Raises OSError where nothing can be written."""
        if on:
            self._path.touch(mode=0o600)
        else:
            self._path.unlink(missing_ok=True)
