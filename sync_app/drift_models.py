"""What is remembered of drift: when it was found, what was there, who set it aside, what self-heal repaired.

Which instances drift *now* is not kept here: `sync_app/drift.py` reads that off the observations.
"""

from __future__ import annotations

from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import F, Q

from console import sealing
from instances_app.models import Environment, Instance, Kind


class Drift(models.Model):
    """One content of a document that no rollout left on instances, from when it was found until it was gone."""

    environment = models.ForeignKey(Environment, on_delete=models.PROTECT, related_name="drifts")
    kind = models.CharField(max_length=20, choices=Kind.choices)
    digest = models.CharField(max_length=64)  # as it was reported: 64 hex digits, or 16
    short = models.CharField(max_length=16)  # its first 16 digits: what makes it one content
    found_at = models.DateTimeField(auto_now_add=True)
    ended_at = models.DateTimeField(null=True)
    # Ids of the instances people were told of. Whoever is set aside is not among them, so that the end of that is told.
    instances = ArrayField(models.BigIntegerField(), default=list)
    heal_stop = models.CharField(max_length=20, blank=True)  # why self-heal leaves it alone, once that was told
    tried_at = models.DateTimeField(null=True)  # when an instance was last asked for the content
    read_error = models.CharField(max_length=500, blank=True)  # why it was not handed over

    class Meta:
        ordering = ["-found_at"]
        constraints = [
            models.UniqueConstraint(
                fields=["environment", "kind", "short"], condition=Q(ended_at=None), name="drift_open_once"
            ),
            models.CheckConstraint(condition=Q(kind__in=Kind.values), name="drift_kind_known"),
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.digest[:12]}"


class LiveCopy(models.Model):
    """The content of a drift as an instance handed it over; its digest is the one that was reported."""

    drift = models.OneToOneField(Drift, on_delete=models.CASCADE, related_name="copy")
    text_sealed = models.BinaryField()
    instance = models.ForeignKey(Instance, on_delete=models.PROTECT, related_name="+")
    read_at = models.DateTimeField(auto_now_add=True)

    def __str__(self) -> str:
        return f"copy of {self.drift_id}"

    @property
    def text(self) -> str:
        """Exactly as the instance has it."""
        return sealing.unseal(self.text_sealed)


class SetAside(models.Model):
    """A person's word that a drift needs nobody until a moment.

    With a digest: this very content on these instances is *ignored*. Without one: these instances are *snoozed*,
    whatever they run.
    """

    environment = models.ForeignKey(Environment, on_delete=models.PROTECT, related_name="set_aside")
    instances = ArrayField(models.BigIntegerField())
    kind = models.CharField(max_length=20, blank=True)
    short = models.CharField(max_length=16, blank=True)
    until = models.DateTimeField()
    reason = models.CharField(max_length=500, blank=True)
    by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    at = models.DateTimeField(auto_now_add=True)
    ended_at = models.DateTimeField(null=True)  # taken back by a person; its time ends it without a mark
    ended_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True, related_name="+")

    class Meta:
        ordering = ["until"]
        constraints = [
            models.CheckConstraint(
                condition=Q(kind="", short="") | Q(kind__in=Kind.values) & ~Q(short="") & ~Q(reason=""),
                name="set_aside_whole_or_one_content_with_reason",
            ),
            models.CheckConstraint(condition=Q(until__gt=F("at")), name="set_aside_until_later"),
            models.CheckConstraint(
                condition=Q(ended_at=None, ended_by=None) | Q(ended_at__isnull=False, ended_by__isnull=False),
                name="set_aside_taken_back_by_somebody",
            ),
        ]
        indexes = [models.Index(fields=["environment", "until"], condition=Q(ended_at=None), name="set_aside_standing")]

    def __str__(self) -> str:
        return f"{self.kind} {self.short[:12]}" if self.kind else "snooze"


class Repair(models.Model):
    """That a rollout was sent over a drift: on which instance, and what it was. Self-heal counts by these."""

    rollout = models.ForeignKey("sync_app.Rollout", on_delete=models.PROTECT, related_name="repairs")
    instance = models.ForeignKey(Instance, on_delete=models.PROTECT, related_name="repairs")
    kind = models.CharField(max_length=20, choices=Kind.choices)
    short = models.CharField(max_length=16)
    by_itself = models.BooleanField()  # self-heal; else a person
    at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["rollout", "instance", "kind"], name="repair_once"),
            models.CheckConstraint(condition=Q(kind__in=Kind.values), name="repair_kind_known"),
        ]
        indexes = [models.Index(fields=["instance", "-at"], name="repair_by_instance")]

    def __str__(self) -> str:
        return f"{self.rollout_id} over {self.kind} {self.short[:12]}"


class CheckRound(models.Model):
    """The last round in which every instance of an environment was asked what it runs, each at its own time."""

    environment = models.OneToOneField(Environment, on_delete=models.PROTECT, related_name="check_round")
    finished_at = models.DateTimeField()
    seconds = models.FloatField()
    asked = models.PositiveIntegerField()
    answered = models.PositiveIntegerField()
    late = models.PositiveIntegerField(
        default=0
    )  # asked later than they were due, by more than a tenth of the interval

    class Meta:
        constraints = [
            models.CheckConstraint(condition=Q(answered__lte=F("asked")), name="check_round_answered_of_asked"),
        ]

    def __str__(self) -> str:
        return f"{self.answered} of {self.asked}"


class CheckClock(models.Model):
    """How far checks have been given out: somebody asks, or has asked, everybody who is due before `until`. One row."""

    until = models.DateTimeField()

    class Meta:
        constraints = [models.CheckConstraint(condition=Q(pk=1), name="check_clock_once")]

    def __str__(self) -> str:
        return f"until {self.until}"
