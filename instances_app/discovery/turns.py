"""Whose turn it is. A source is asked by one worker at a time, and by another one when that worker died.

`claim` moves `next_at` as far as a turn may last, and counts `turn` up: who comes back later than that finds another
number and writes nothing.
"""

from __future__ import annotations

import logging
from datetime import timedelta

from django.db import transaction
from django.db.models import F
from django.utils import timezone

from instances_app.discovery import looking
from instances_app.discovery.found import SourceError
from instances_app.models import DiscoverySource

logger = logging.getLogger(__name__)

LEASE = timedelta(seconds=90)  # more than asking a source takes, and the writing of the largest answer


def due() -> list[int]:
    """Sources to be asked now, the longest waiting first."""
    waiting = DiscoverySource.objects.filter(paused=False, next_at__lte=timezone.now())
    return list(waiting.order_by("next_at").values_list("pk", flat=True))


def run(source_id: int) -> bool:
    """Ask this source if it is due and nobody else does; whether it was asked."""
    source = claim(source_id)
    if source is None:
        return False
    try:
        looking.write(source, looking.look(source, patient=True), turn=source.turn, actor=None)
    except SourceError as error:
        looking.fail(source, error, turn=source.turn)
    except Exception as error:
        logger.exception("The answer of source %s was not written down", source.pk)
        text = f"The answer could not be written down ({type(error).__name__}). The log has the details."
        looking.fail(source, SourceError(text), turn=source.turn)
    return True


def claim(source_id: int) -> DiscoverySource | None:
    with transaction.atomic():
        waiting = DiscoverySource.objects.filter(pk=source_id, paused=False, next_at__lte=timezone.now())
        source = waiting.select_for_update(no_key=True, skip_locked=True).first()
        if source is None:
            return None
        DiscoverySource.objects.filter(pk=source.pk).update(turn=F("turn") + 1, next_at=timezone.now() + LEASE)
        source.refresh_from_db()
    return source
