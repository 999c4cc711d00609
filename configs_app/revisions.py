"""Finding revisions: by number, or as what is current."""

from __future__ import annotations

import re

from django.db.models import QuerySet

from configs_app import changes
from configs_app.models import Revision
from console.errors import Refused
from instances_app.models import Environment

NUMBER = re.compile(r"\Ar?([0-9]{1,9})\Z", re.IGNORECASE)
CURRENT = "current"


def of(environment: Environment, kind: str) -> QuerySet[Revision]:
    """Every revision of one document, with what pages show of it."""
    return Revision.objects.filter(document__environment=environment, document__kind=kind).select_related(
        "document__environment", "author", "parent__document", "restored_from__document"
    )


def find(environment: Environment, kind: str, word: str) -> Revision:
    """The revision that a person means by ``17``, ``r17`` or ``current``."""
    word = word.strip()
    number = NUMBER.match(word)
    if word.lower() == CURRENT:
        current = changes.current_revision(environment, kind)
        if current is None:
            raise Refused(f"{environment} has no {kind} document yet.")
        return of(environment, kind).get(pk=current.pk)
    found = of(environment, kind).filter(number=int(number.group(1))).first() if number else None
    if found is None:
        raise Refused(f"{environment} has no {kind} revision {word!r}. Give a number (17) or “current”.")
    return found
