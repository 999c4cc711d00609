"""Finding revisions: by number, by tag, or as what is current."""

from __future__ import annotations

import re

from django.db.models import Q, QuerySet

from configs_app import documents
from configs_app.models import Revision, RevisionTag
from console.errors import Refused, storable
from instances_app.models import Environment

NUMBER = re.compile(r"\Ar?([0-9]{1,9})\Z", re.IGNORECASE)
CURRENT = "current"


def of(environment: Environment, kind: str) -> QuerySet[Revision]:
    """Every revision of one document, with what pages show of it."""
    found = Revision.objects.filter(document__environment=environment, document__kind=kind).select_related(
        "document__environment", "author", "parent__document", "restored_from__document", "note__editor"
    )
    return found.defer(
        "parent__content_sealed", "restored_from__content_sealed"
    )  # of others only the numbers are shown


def find(environment: Environment, kind: str, word: str) -> Revision:
    """The revision that a person means by ``17``, ``r17``, a tag or ``current``."""
    word = word.strip()
    number = NUMBER.match(word)
    if word.lower() == CURRENT:
        current = documents.current(environment, kind)
        if current is None:
            raise Refused(f"{environment} has no {kind} document yet.")
        return of(environment, kind).get(pk=current.pk)
    storable(word)
    named = Q(number=int(number.group(1))) if number else Q(tags__name=word.lower())
    found = of(environment, kind).filter(named).first()
    if found is None:
        raise Refused(f"{environment} has no {kind} revision {word!r}. Give a number (17), a tag or “current”.")
    return found


def names(environment: Environment, kind: str) -> list[str]:
    """Words to offer where a revision is chosen: what is current, and every tag."""
    tags = RevisionTag.objects.filter(document__environment=environment, document__kind=kind)
    return [CURRENT, *tags.values_list("name", flat=True)]
