"""The last 24 hours of an instance's checks, a quarter of an hour at a time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.utils import timezone

from instances_app import health
from instances_app.models import CheckSample, Instance

QUARTERS = 96
HOUR = 4  # quarters
FLAPPING = 6  # changes in an hour


@dataclass(frozen=True, slots=True)
class Quarter:
    """The checks of a quarter of an hour. No checks: nobody looked."""

    at: datetime
    checks: int = 0
    failures: int = 0
    degraded: int = 0
    changes: int = 0
    ms_mean: int | None = None
    ms_max: int | None = None

    @property
    def word(self) -> str:
        """answered, some missed, missed, degraded, not asked"""
        if not self.checks:
            return "not asked"
        if self.failures:
            return "missed" if self.failures == self.checks else "some missed"
        return "degraded" if self.degraded else "answered"


@dataclass(frozen=True, slots=True)
class Day:
    quarters: Sequence[Quarter]  # QUARTERS of them, oldest first; the last one is not over

    @property
    def checks(self) -> int:
        return sum(one.checks for one in self.quarters)

    @property
    def failures(self) -> int:
        return sum(one.failures for one in self.quarters)

    @property
    def degraded(self) -> int:
        return sum(one.degraded for one in self.quarters)

    @property
    def not_asked(self) -> int:
        """Quarters of an hour in which nobody looked."""
        return sum(not one.checks for one in self.quarters)

    @property
    def ms_mean(self) -> int | None:
        answered = [(one.ms_mean, one.checks - one.failures) for one in self.quarters if one.ms_mean is not None]
        number = sum(weight for _, weight in answered)
        return round(sum(ms * weight for ms, weight in answered) / number) if number else None

    @property
    def ms_max(self) -> int | None:
        return max((one.ms_max for one in self.quarters if one.ms_max is not None), default=None)

    @property
    def changes(self) -> int:
        """In the last hour, as far as quarters go: checks that found something else than the one before."""
        return sum(one.changes for one in self.quarters[-HOUR - 1 :])

    @property
    def is_flapping(self) -> bool:
        return self.changes >= FLAPPING


def of(instance: Instance) -> Day:
    """One query: its samples, and the one that is being counted."""
    now = health.bucket(timezone.now())
    begin = now - timedelta(seconds=health.BUCKET_SECONDS) * (QUARTERS - 1)
    kept = CheckSample.objects.filter(instance=instance, at__gte=begin).values_list(
        "at", "checks", "failures", "degraded", "changes", "ms_mean", "ms_max"
    )
    found = {row[0]: Quarter(*row) for row in kept}
    if instance.bucket_at is not None:
        found[instance.bucket_at] = _current(instance, instance.bucket_at)
    times = [begin + timedelta(seconds=health.BUCKET_SECONDS) * number for number in range(QUARTERS)]
    return Day([found.get(at) or Quarter(at) for at in times])


def _current(instance: Instance, at: datetime) -> Quarter:
    answered = instance.bucket_checks - instance.bucket_failures
    return Quarter(
        at,
        instance.bucket_checks,
        instance.bucket_failures,
        instance.bucket_degraded,
        instance.bucket_changes,
        instance.bucket_ms // answered if answered else None,
        instance.bucket_ms_max if answered else None,
    )
