"""What hosts raise to say no, and what the agent answers with.

Rejected        raised by a host's `validate`: the document is refused, nothing is written
ReloadFailed    raised by a host's `reload`: the files were not loaded, the agent puts the previous ones back
Problem         inside the agent: a request ends here, with this status and code
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


class Rejected(Exception):
    """The host refuses this document; `reason` is shown to the person who sent it."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class ReloadFailed(Exception):
    """The host could not load its files and keeps what it had; `reason` is shown to whoever sent them."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class Problem(Exception):
    """An answer that is an error. `more` adds fields to its JSON; `retry_after` is in seconds; `allow` is a method."""

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        *,
        retry_after: float | None = None,
        more: Mapping[str, Any] | None = None,
        allow: str = "",
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.retry_after = retry_after
        self.more = dict(more or {})
        self.allow = allow
