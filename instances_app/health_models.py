"""What is kept of checks: the word an instance is called by, the current quarter of an hour, and the past."""

from __future__ import annotations

from django.contrib.postgres.indexes import BrinIndex
from django.db import models
from django.db.models import F, Q


class Health(models.TextChoices):
    """What the last check found, and what an instance is called. `Instance.health_word` is what a page shows."""

    HEALTHY = "healthy"
    DEGRADED = "degraded"  # answers, and says that something is wrong
    DOWN = "down"  # did not answer, or not as an agent does
    UNKNOWN = "unknown"  # never asked, or asked too long ago
    NEW = "new"  # has never answered yet
    LATE = "late"  # missed a check or two: no alarm yet


MISSES = 3  # checks in a row without an answer, before an instance is called down
HOLDS = 2  # checks in a row that an answer's word has to hold
SAID = ["healthy", "degraded", "down", "unknown"]
CALLED = ["new", "healthy", "degraded", "down"]


class Checked(models.Model):
    """The columns of an instance that every check writes, in one statement (`health.record`)."""

    # `health` is what the last check found, `health_called` what held for long enough to be called so.
    health = models.CharField(max_length=20, choices=Health.choices, default=Health.UNKNOWN)
    health_at = models.DateTimeField(null=True)
    health_detail = models.CharField(max_length=300, blank=True)
    health_streak = models.PositiveSmallIntegerField(default=0)  # checks in a row that found `health`
    health_called = models.CharField(max_length=20, choices=Health.choices, default=Health.NEW)
    health_called_at = models.DateTimeField(null=True)  # since when
    latency_ms = models.PositiveIntegerField(null=True)  # connection, question and answer; null: the last was none
    certificate_until = models.DateTimeField(null=True)  # of the TLS certificate that it last showed
    token_refused_at = models.DateTimeField(null=True)  # 401 or 403: nothing is sent until the token changes
    info = models.JSONField(default=dict)  # the last instance-info answer, untrusted
    info_at = models.DateTimeField(null=True)  # when it came

    # Which place it is (`instances_app.identity`). The first answer that named one was pinned; empty: none has.
    identity = models.CharField(max_length=64, blank=True)
    identity_at = models.DateTimeField(null=True)
    stranger = models.CharField(max_length=64, blank=True)  # what answers there instead; "none": one that names none
    stranger_at = models.DateTimeField(null=True)  # since when

    # The sample that is being counted; a check in the next quarter of an hour makes it a row of CheckSample.
    bucket_at = models.DateTimeField(null=True)
    bucket_checks = models.PositiveSmallIntegerField(default=0)
    bucket_failures = models.PositiveSmallIntegerField(default=0)
    bucket_degraded = models.PositiveSmallIntegerField(default=0)
    bucket_changes = models.PositiveSmallIntegerField(default=0)
    bucket_ms = models.PositiveBigIntegerField(default=0)  # of all answers together
    bucket_ms_max = models.PositiveIntegerField(default=0)

    class Meta:
        abstract = True


class CheckSample(models.Model):
    """An instance's checks in one quarter of an hour. Kept for CONSOLE_SAMPLE_DAYS."""

    pk = models.CompositePrimaryKey("instance_id", "at")
    instance = models.ForeignKey(
        "instances_app.Instance", on_delete=models.CASCADE, related_name="samples", db_index=False
    )
    at = models.DateTimeField()  # its beginning
    checks = models.PositiveSmallIntegerField()
    failures = models.PositiveSmallIntegerField()  # not answered, or not as an agent does
    degraded = models.PositiveSmallIntegerField()
    changes = models.PositiveSmallIntegerField()  # checks that found something else than the one before
    ms_mean = models.PositiveIntegerField(null=True)  # of those that were answered
    ms_max = models.PositiveIntegerField(null=True)

    class Meta:
        indexes = [
            BrinIndex(fields=["at"], name="check_sample_by_time")
        ]  # rows come in time: small, enough to delete by
        constraints = [
            models.CheckConstraint(
                condition=Q(checks__gte=F("failures") + F("degraded")), name="check_sample_failures_of_checks"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.failures} of {self.checks} failed"


class HealthTransition(models.Model):
    """That an instance came to be called something else. Append-only, kept for ever: a trigger sees to it."""

    instance = models.ForeignKey(
        "instances_app.Instance", on_delete=models.PROTECT, related_name="transitions", db_index=False
    )
    at = models.DateTimeField()
    before = models.CharField(max_length=20, choices=Health.choices)
    after = models.CharField(max_length=20, choices=Health.choices)
    detail = models.CharField(max_length=300, blank=True)  # the reason, as the last check had it

    class Meta:
        ordering = ["-at", "-pk"]
        indexes = [models.Index(fields=["instance", "-at"], name="health_transition_by_instance")]
        constraints = [
            models.CheckConstraint(
                condition=Q(before__in=CALLED, after__in=CALLED) & ~Q(before=F("after")),
                name="health_transition_known",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.before} → {self.after}"
