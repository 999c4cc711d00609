"""The site's own wake-ups."""

from __future__ import annotations

import logging

from celery import shared_task
from django.conf import settings

from console import checkpoints, notifications

logger = logging.getLogger(__name__)


@shared_task
def checkpoint() -> None:
    """Sign where the audit trail stands, if there is a key to sign with; running it twice writes one."""
    if not settings.AUDIT_KEYS:
        return
    try:
        checkpoints.write(settings.CHECKPOINT_DIR)
    except (checkpoints.BadCheckpoint, OSError) as error:
        # `doctor` and the audit page say that checkpoints have stopped; here stands why.
        logger.error("No audit checkpoint written: %s", error)


@shared_task
def notify() -> None:
    """Post the loud events that are due, if there is somewhere to post them; running it twice tells nothing twice."""
    if settings.NOTIFY_URL:
        notifications.send_due()
    else:
        notifications.forget()
