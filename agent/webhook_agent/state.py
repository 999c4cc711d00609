"""What the host runs, as far as the agent knows: the documents it loaded last, and what it refused since."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any

from webhook_agent.document_file import MISSING, Snapshot
from webhook_agent.protocol import KINDS, same, short


@dataclass(frozen=True)
class Loaded:
    """A document the host loaded; no digest: it runs without one, or its file is no strict document."""

    digest: str | None
    size: int  # bytes
    entries: int


class State:
    """Belongs to the event loop: threads hand their findings back instead of writing here."""

    def __init__(self, found: Mapping[str, Snapshot]) -> None:
        """The host is about to load what is on disk now."""
        self._loaded = {kind: _loaded(found[kind]) for kind in KINDS}
        self._failed: dict[str, str] = {}
        self._trouble = ""
        self._started = time.monotonic()
        self.last_reload: str | None = now()

    def succeeded(self, found: Mapping[str, Snapshot]) -> None:
        """The host loaded these."""
        for kind, snapshot in found.items():
            self._loaded[kind] = _loaded(snapshot)
            self._failed.pop(kind, None)
        self.last_reload = now()

    def failed(self, kinds: Iterable[str], reason: str) -> None:
        """The host could not load these from the files as they are now; it runs what it loaded before."""
        for kind in kinds:
            self._failed[kind] = reason

    def never_loaded(self, kinds: Iterable[str], reason: str) -> None:
        """The host started without these."""
        for kind in kinds:
            self._loaded[kind] = Loaded(None, 0, 0)
            self._failed[kind] = reason
        if not any(loaded.digest for loaded in self._loaded.values()):
            self.last_reload = None

    def troubled(self, reason: str) -> None:
        """The files are not as they should be, and a restart is needed to settle them."""
        self._trouble = reason

    def digest(self, kind: str) -> str | None:
        return self._loaded[kind].digest

    def versions(self) -> dict[str, str | None]:
        """`{kind}_version` for both kinds: the short digest of what the host runs, null for none."""
        return {f"{kind}_version": _short(self.digest(kind)) for kind in KINDS}

    def version_report(
        self, found: Mapping[str, Snapshot], sequence: int | None, *, unsettled: Collection[str] = ()
    ) -> dict[str, Any]:
        """The answer of config-version: what the host runs, and beside it what lies on disk.

        Of the `unsettled` kinds worker processes run different documents: there is no one version to name.
        """
        runs = {kind: None if kind in unsettled else self.digest(kind) for kind in KINDS}
        return {
            **{f"{kind}_version": _short(digest) for kind, digest in runs.items()},
            **{f"{kind}_digest": digest for kind, digest in runs.items()},
            "last_reload": self.last_reload,
            "sequence": sequence,
            "on_disk": {kind: found[kind].digest for kind in KINDS},
            "differs": [kind for kind in KINDS if self._differs(kind, found[kind])],
        }

    def instance_report(self, found: Mapping[str, Snapshot], more: Iterable[str] = ()) -> dict[str, Any]:
        """The part of instance-info that changes; `more` are reasons to be degraded that others know."""
        trouble = [self._trouble] if self._trouble else []
        reasons = list(dict.fromkeys([*self._failed.values(), *trouble, *more]))
        return {
            "uptime_seconds": int(time.monotonic() - self._started),
            **{f"{kind}_count": self._loaded[kind].entries for kind in KINDS},
            "config_version": _short(self.digest("webhooks")),
            "last_reload": self.last_reload,
            "health": "degraded" if reasons else "healthy",
            "health_reason": " ".join(reasons) or None,
            "documents": {
                kind: {
                    "digest": self._loaded[kind].digest,
                    "size": self._loaded[kind].size,
                    "entries": self._loaded[kind].entries,
                    "reload_status": self._reload_status(kind, found[kind]),
                    "on_disk": found[kind].digest,
                    "problem": found[kind].problem or None,
                }
                for kind in KINDS
            },
        }

    def _differs(self, kind: str, found: Snapshot) -> bool:
        if found.problem == MISSING:
            return self.digest(kind) is not None
        return not same(self.digest(kind), found.digest)

    def _reload_status(self, kind: str, found: Snapshot) -> str:
        """failed: the host refused it; changed: edited since, not loaded; missing: no file; else loaded."""
        if kind in self._failed:
            return "failed"
        if self._differs(kind, found):
            return "changed"
        return "missing" if found.problem == MISSING else "loaded"


def now() -> str:
    return datetime.now(timezone.utc).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _loaded(found: Snapshot) -> Loaded:
    return Loaded(found.digest, found.size, found.entries)


def _short(digest: str | None) -> str | None:
    return short(digest) if digest else None
