"""When rollouts may not start: the rows behind `freezes`."""

from __future__ import annotations

from datetime import UTC, datetime

from django.conf import settings
from django.db import models
from django.db.models import F, Q

# The years 2000 to 2100 in every zone. A moment near the year 9999 comes back from the database as one of the year
# 10000, which Python cannot read: the row would break every page and turn that meets it.
FIRST, LAST = datetime(1999, 12, 31, tzinfo=UTC), datetime(2101, 1, 2, tzinfo=UTC)


class Freeze(models.Model):
    """When no rollout starts in an environment; or, as maintenance windows, the only times in which one does.

    Once, from `starts_at` until `ends_at`; or every week between two local times, day 0 being Monday. A row stays as it
    is, but for being lifted or skipped; `instances_app/freezes.py` says what follows from all of them together.
    """

    class Kind(models.TextChoices):
        FREEZE = "freeze", "Freeze: no rollout starts in this time"
        WINDOW = "window", "Maintenance window: rollouts start in this time only"

    class Policy(models.TextChoices):
        FINISH = "finish", "goes on to its end"
        PAUSE = "pause", "is paused, until a person resumes it afterwards"

    environment = models.ForeignKey("instances_app.Environment", on_delete=models.PROTECT, related_name="freezes")
    kind = models.CharField(max_length=10, choices=Kind.choices)
    policy = models.CharField(max_length=10, choices=Policy.choices)  # for a rollout that runs already
    zone = models.CharField(max_length=60)  # an IANA name; weekly times are local times there, the others are shown so
    starts_at = models.DateTimeField(null=True)
    ends_at = models.DateTimeField(null=True)  # null: until somebody lifts it
    start_day = models.PositiveSmallIntegerField(null=True)
    start_time = models.TimeField(null=True)
    end_day = models.PositiveSmallIntegerField(null=True)
    end_time = models.TimeField(null=True)
    reason = models.CharField(max_length=500)
    by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    at = models.DateTimeField(auto_now_add=True)
    skipped_until = models.DateTimeField(null=True)  # what of it began before then does not count: this time only
    lifted_at = models.DateTimeField(null=True)
    lifted_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True, related_name="+")
    lift_reason = models.CharField(max_length=500, blank=True)

    class Meta:
        ordering = ["pk"]
        constraints = [
            models.CheckConstraint(condition=Q(kind__in=["freeze", "window"]), name="freeze_kind_known"),
            models.CheckConstraint(condition=Q(policy__in=["finish", "pause"]), name="freeze_policy_known"),
            models.CheckConstraint(condition=~Q(reason=""), name="freeze_has_reason"),
            models.CheckConstraint(
                condition=Q(kind="freeze", starts_at__isnull=False, start_day=None, start_time=None)
                & Q(end_day=None, end_time=None)
                & (Q(ends_at=None) | Q(ends_at__gt=F("starts_at")))
                | Q(starts_at=None, ends_at=None, start_day__lte=6, end_day__lte=6)
                & Q(start_time__isnull=False, end_time__isnull=False),
                name="freeze_once_or_weekly",
            ),
            models.CheckConstraint(
                condition=(Q(starts_at=None) | Q(starts_at__range=(FIRST, LAST)))
                & (Q(ends_at=None) | Q(ends_at__range=(FIRST, LAST))),
                name="freeze_in_readable_years",
            ),
            models.CheckConstraint(
                condition=Q(lifted_at=None, lifted_by=None)
                | Q(lifted_at__isnull=False, lifted_by__isnull=False) & ~Q(lift_reason=""),
                name="freeze_lifted_with_reason",
            ),
        ]
        indexes = [models.Index(fields=["environment"], condition=Q(lifted_at=None), name="freeze_standing")]

    def __str__(self) -> str:
        return f"{self.noun} of {self.environment}"

    @property
    def noun(self) -> str:
        return "maintenance window" if self.kind == self.Kind.WINDOW else "freeze"
