"""Which revision a reported digest was, for any moment."""

from __future__ import annotations

from datetime import datetime

from webhook_agent import protocol

from configs_app.models import Revision
from instances_app.models import Environment


class Names:
    """The revisions of one environment by what instances report of them; one query, no contents."""

    def __init__(self, environment: Environment) -> None:
        self._found: dict[tuple[str, str], list[Revision]] = {}  # kind, short digest → oldest first
        for revision in (
            Revision.objects.filter(document__environment=environment)
            .defer("content_sealed")
            .select_related("document__environment")
            .order_by("number")
        ):
            key = revision.document.kind, protocol.short(revision.digest)
            self._found.setdefault(key, []).append(revision)

    def of(self, kind: str, digest: str, moment: datetime | None = None) -> Revision | None:
        """The newest revision with that content as of then, or the first one made later. None: not one of ours."""
        if not digest:
            return None
        same = [one for one in self._found.get((kind, protocol.short(digest)), []) if protocol.same(one.digest, digest)]
        made = [one for one in same if moment is None or one.created_at <= moment]
        return made[-1] if made else next(iter(same), None)
