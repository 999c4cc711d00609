"""What today's rules find wrong in a bundle that was right once: a way back is proven before it is needed."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache

from configs_app import validation
from configs_app.models import Bundle, Revision
from configs_app.validation import Level
from instances_app.models import OTHER


def errors(bundle: Bundle) -> tuple[str, ...]:
    """In words, with document and line."""
    return _errors(*(revision.pk for revision in bundle.revisions()))


@lru_cache(maxsize=64)
def _errors(*revision_ids: int) -> tuple[str, ...]:
    """Of these revisions together. Neither they nor the rules change while a process lives."""
    texts = {r.document.kind: r.text for r in Revision.objects.filter(pk__in=revision_ids).select_related("document")}
    return tuple(_in_words(texts))


def _in_words(texts: dict[str, str]) -> Iterable[str]:
    for kind, text in texts.items():
        for finding in validation.findings(kind, text, beside=texts.get(OTHER[kind])):
            if finding.level == Level.ERROR:
                yield f"{kind}, line {finding.line}: {finding.message}"
