"""Beat's turn at drift. Apart from `tasks`, which rollouts import: self-heal starts rollouts."""

from __future__ import annotations

from celery import shared_task

from sync_app import drift_watch


@shared_task
def watch_drift() -> None:
    """Note what drifts, keep copies of what is there, let self-heal work. Running it twice changes nothing."""
    drift_watch.turn()
