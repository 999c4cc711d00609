"""Dry runs: what each instance would say to a change, asked before anybody approves it."""

from __future__ import annotations

from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import Q

from configs_app.models import Change
from instances_app.models import Instance


class DryRunState(models.TextChoices):
    RUNNING = "running"
    FINISHED = "finished"  # every instance has its answer, or the lack of one. Final.
    STOPPED = "stopped"  # the change moved on before all were asked; `ended_because` says how. Final.


class DryAnswerState(models.TextChoices):
    PENDING = "pending"  # waiting for a worker
    ASKING = "asking"  # a worker holds the lease; `attempts` is its fencing number
    READY = "ready"  # it would take the documents. Final, as all that follow.
    UNFIT = "not fit"  # its validator has nothing against them, but they would not work there; `error` says why
    REFUSED = "refused"  # it says no; `error` is its reason
    FAILED = "failed"  # a rollout would fail there whatever it brings: token, no agent
    UNREACHABLE = "unreachable"  # no connection
    UNKNOWN = "unknown"  # a connection, and no verdict
    UNABLE = "cannot be asked"  # its agent knows no dry runs, so it was sent nothing
    SKIPPED = "not asked"  # retired meanwhile, or the run was stopped


OPEN = (DryAnswerState.PENDING, DryAnswerState.ASKING)
WITHOUT_REASON = (*OPEN, DryAnswerState.READY)


class DryRun(models.Model):
    """One asking of the instances that a change is aimed at, about its documents as they were then.

    It names the documents by their digests and keeps no text. A trigger refuses every edit once it has ended.
    """

    change = models.ForeignKey(Change, on_delete=models.PROTECT, related_name="dry_runs")
    number = models.PositiveIntegerField()
    state = models.CharField(max_length=20, choices=DryRunState.choices, default=DryRunState.RUNNING)
    digests = models.JSONField()  # kind → 64 hex digits, of the pair that publishing would make
    aim = models.CharField(max_length=64)  # a hash of the instances and their addresses
    names = models.JSONField()  # kind → its placeholders: all that an answer may name
    author = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    started_at = models.DateTimeField(auto_now_add=True)
    finished_at = models.DateTimeField(null=True)
    ended_because = models.CharField(max_length=200, blank=True)

    class Meta:
        ordering = ["-number"]
        constraints = [
            models.UniqueConstraint(fields=["change", "number"], name="dry_run_number_once"),
            models.UniqueConstraint(
                fields=["change"], condition=Q(state=DryRunState.RUNNING), name="dry_run_one_running"
            ),
            models.CheckConstraint(condition=Q(state__in=DryRunState.values), name="dry_run_state_known"),
            models.CheckConstraint(
                condition=Q(state=DryRunState.RUNNING, finished_at=None)
                | (~Q(state=DryRunState.RUNNING) & Q(finished_at__isnull=False)),
                name="dry_run_ended_has_time",
            ),
            models.CheckConstraint(
                condition=~Q(state=DryRunState.STOPPED) | ~Q(ended_because=""), name="dry_run_stop_has_reason"
            ),
        ]

    def __str__(self) -> str:
        return f"dry run {self.number} of {self.change}"

    @property
    def is_running(self) -> bool:
        return self.state == DryRunState.RUNNING


class DryAnswer(models.Model):
    """What came of asking one instance. A trigger refuses every edit once it is final."""

    run = models.ForeignKey(DryRun, on_delete=models.PROTECT, related_name="answers")
    instance = models.ForeignKey(Instance, on_delete=models.PROTECT, related_name="+")
    state = models.CharField(max_length=20, choices=DryAnswerState.choices, default=DryAnswerState.PENDING)
    kinds = ArrayField(models.CharField(max_length=20), default=list)  # the documents that it was asked about
    attempts = models.PositiveSmallIntegerField(default=0)
    lease_until = models.DateTimeField(null=True)
    changed_at = models.DateTimeField(auto_now_add=True)  # of the state
    code = models.CharField(max_length=40, blank=True)
    error = models.CharField(max_length=500, blank=True)  # the instance's words (untrusted) or ours
    # What else was found out; null where nobody knows.
    reached = models.BooleanField(null=True)
    admitted = models.BooleanField(null=True)  # it accepts our token
    validator = models.BooleanField(null=True)  # the host has one of its own
    writable = models.BooleanField(null=True)
    room = models.BooleanField(null=True)
    free_bytes = models.BigIntegerField(null=True)
    placeholders = models.JSONField(default=dict)  # {"no", "default", "unknown": [names]}; the others have a value

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["run", "instance"], name="dry_answer_once"),
            models.CheckConstraint(condition=Q(state__in=DryAnswerState.values), name="dry_answer_state_known"),
            models.CheckConstraint(condition=Q(state__in=WITHOUT_REASON) | ~Q(error=""), name="dry_answer_has_reason"),
            models.CheckConstraint(
                condition=~Q(state=DryAnswerState.ASKING) | Q(lease_until__isnull=False),
                name="dry_answer_asking_has_lease",
            ),
        ]
        indexes = [models.Index(fields=["run"], condition=Q(state__in=OPEN), name="dry_answer_open")]

    def __str__(self) -> str:
        return f"{self.run} at {self.instance}"
