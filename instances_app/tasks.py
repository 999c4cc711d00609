"""Wake-ups of discovery. Running any of these twice changes nothing."""

from __future__ import annotations

from celery import shared_task

from instances_app.discovery import turns


@shared_task
def discover() -> None:
    """A wake-up for each source that is due: one that hangs holds up no other."""
    for source_id in turns.due():
        ask_source.delay(source_id)


@shared_task
def ask_source(source_id: int) -> None:
    turns.run(source_id)
