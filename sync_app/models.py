"""Getting it there and knowing it is there: rollouts and their deliveries."""

from __future__ import annotations

from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import Q

from configs_app.models import Bundle, Change
from instances_app.freeze_models import Freeze
from instances_app.models import Environment, Instance
from sync_app.drift_models import CheckClock as CheckClock
from sync_app.drift_models import CheckRound as CheckRound
from sync_app.drift_models import Drift as Drift
from sync_app.drift_models import LiveCopy as LiveCopy
from sync_app.drift_models import Repair as Repair
from sync_app.drift_models import SetAside as SetAside
from sync_app.dry_run_models import DryAnswer as DryAnswer
from sync_app.dry_run_models import DryRun as DryRun


class RolloutState(models.TextChoices):
    RUNNING = "running"
    PAUSED = "paused"  # a person holds it: nothing is sent until somebody resumes it
    HALTED = "halted"  # its plan holds it: `halt_reason` says why; a person chooses what becomes of it
    SUCCEEDED = "succeeded"  # every delivery verified. Final.
    INCOMPLETE = "incomplete"  # ended with some not verified; its deliveries say which and why. Final.
    CANCELLED = "cancelled"  # a person stopped it: nothing more is sent. Final.
    SUPERSEDED = "superseded"  # a newer rollout took over: nothing more is sent. Final.


class Cause(models.TextChoices):
    PUBLISH = "publish"  # a change was published
    SYNC = "sync"  # somebody asked for the desired bundle: first sync, selected
    RETRY = "retry"  # the deliveries of an earlier rollout that were not verified
    ROLLBACK = "rollback"  # back to the bundle before, where an earlier rollout has been
    REPAIR = "repair"  # over a drift; without an author it is self-heal


class DeliveryState(models.TextChoices):
    PENDING = "pending"  # waiting for a worker
    SENDING = "sending"  # a worker holds the lease; `attempts` is its fencing number
    UNKNOWN = "unknown"  # nobody knows whether the push arrived: read back first
    RETRYING = "retrying"  # a retryable error; `next_attempt_at` says when
    VERIFIED = "verified"  # the instance reports our digests. Final.
    REJECTED = "rejected"  # the instance read it and refused; `error` is its reason. Final, never retried.
    FAILED = "failed"  # permanent, or attempts used up after answers. Final for this rollout.
    UNREACHABLE = "unreachable"  # no answer within its attempts. Final for this rollout.
    SUPERSEDED = "superseded"  # ended by a newer rollout before it was sent. Final.
    CANCELLED = "cancelled"  # ended by a person before it was sent. Final.
    SKIPPED = "skipped"  # its instance went into maintenance before it was sent. Final.


WAITING = (DeliveryState.PENDING, DeliveryState.RETRYING)
UNFINISHED = (*WAITING, DeliveryState.UNKNOWN, DeliveryState.SENDING)
FINAL = tuple(state for state in DeliveryState if state not in UNFINISHED)
WITH_REASON = (DeliveryState.REJECTED, DeliveryState.FAILED, DeliveryState.UNREACHABLE)
ATTENTION = (*WITH_REASON, DeliveryState.UNKNOWN)  # what a list of deliveries begins with
GOING = (RolloutState.RUNNING, RolloutState.PAUSED, RolloutState.HALTED)  # not ended: at most one per environment


class Rollout(models.Model):
    """Bringing the instances of one environment to one bundle."""

    environment = models.ForeignKey(Environment, on_delete=models.PROTECT, related_name="rollouts")
    number = models.PositiveIntegerField()
    bundle = models.ForeignKey(Bundle, on_delete=models.PROTECT, related_name="rollouts")
    change = models.ForeignKey(Change, on_delete=models.PROTECT, null=True, related_name="rollouts")
    cause = models.CharField(max_length=20, choices=Cause.choices)
    state = models.CharField(max_length=20, choices=RolloutState.choices, default=RolloutState.RUNNING)
    # Agents refuse a lower one. Milliseconds since 1970 or the last one + 1, so it grows even across a lost database.
    sequence = models.BigIntegerField()
    max_attempts = models.PositiveSmallIntegerField()
    author = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True, related_name="+")
    retries = models.ForeignKey("self", on_delete=models.PROTECT, null=True, related_name="retried_by")
    superseded_by = models.ForeignKey("self", on_delete=models.PROTECT, null=True, related_name="supersedes")
    started_at = models.DateTimeField(auto_now_add=True)
    finished_at = models.DateTimeField(null=True)

    plan = models.JSONField(default=dict)  # as it was when the rollout began; plans.Plan.of reads it
    waves = models.PositiveSmallIntegerField(default=1)  # how many there are
    wave = models.PositiveSmallIntegerField(default=1)  # the open one; deliveries of later ones are not sent
    wave_opened_at = models.DateTimeField(auto_now_add=True)
    asked_at = models.DateTimeField(null=True)  # since when its instances are being asked how they are, after the soak
    overlooked = models.JSONField(default=dict)  # state → deliveries not held against it by somebody who continued it
    halt_reason = models.CharField(max_length=500, blank=True)
    held_at = models.DateTimeField(null=True)  # paused or halted since
    held_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True, related_name="+")
    frozen_by = models.ForeignKey(Freeze, on_delete=models.PROTECT, null=True, related_name="+")  # paused by it
    comparison = models.JSONField(default=dict)  # of the open wave; `comparing` writes and reads it
    left_out = models.JSONField(default=list)  # in maintenance when it began: [{"id", "name", "reason"}, …]

    class Meta:
        ordering = ["-started_at"]
        constraints = [
            models.UniqueConstraint(fields=["environment", "number"], name="rollout_number_once"),
            models.UniqueConstraint(fields=["environment", "sequence"], name="rollout_sequence_once"),
            models.UniqueConstraint(
                fields=["environment"], condition=Q(state__in=GOING), name="rollout_one_unfinished"
            ),
            models.CheckConstraint(condition=Q(state__in=RolloutState.values), name="rollout_state_known"),
            models.CheckConstraint(condition=Q(cause__in=Cause.values), name="rollout_cause_known"),
            models.CheckConstraint(condition=Q(wave__gte=1, wave__lte=models.F("waves")), name="rollout_wave_exists"),
            models.CheckConstraint(
                condition=~Q(state=RolloutState.HALTED) | ~Q(halt_reason=""), name="rollout_halt_has_reason"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.environment} rollout {self.number}"

    @property
    def is_going(self) -> bool:
        """Not ended: running, or held by a person or its plan."""
        return self.state in GOING


class Delivery(models.Model):
    """A rollout for one instance."""

    rollout = models.ForeignKey(Rollout, on_delete=models.CASCADE, related_name="deliveries", db_index=False)
    instance = models.ForeignKey(Instance, on_delete=models.PROTECT, related_name="deliveries", db_index=False)
    state = models.CharField(max_length=20, choices=DeliveryState.choices, default=DeliveryState.PENDING)
    wave = models.PositiveSmallIntegerField(default=1)
    attempts = models.PositiveSmallIntegerField(default=0)
    next_attempt_at = models.DateTimeField(null=True)  # null: at once
    lease_until = models.DateTimeField(null=True)
    kinds = ArrayField(models.CharField(max_length=20), default=list)  # the documents it sends; none: only looks
    sent_at = models.DateTimeField(null=True)  # the last push that left, or may have, whatever came of it
    finished_at = models.DateTimeField(null=True)
    changed_at = models.DateTimeField(auto_now_add=True)  # of the state
    code = models.CharField(max_length=40, blank=True)
    error = models.CharField(max_length=500, blank=True)  # the instance's words (untrusted) or ours
    evidence = models.CharField(max_length=200, blank=True)  # how we know
    # Written before its instance is drained, emptied when that takes traffic again; `draining` sees to it.
    drained_since = models.DateTimeField(null=True)
    drain_error = models.CharField(max_length=300, blank=True, default="", db_default="")  # why it is still drained

    class Meta:
        ordering = ["instance__name"]
        constraints = [
            models.UniqueConstraint(fields=["rollout", "instance"], name="delivery_once_per_rollout"),
            models.CheckConstraint(condition=Q(state__in=DeliveryState.values), name="delivery_state_known"),
            models.CheckConstraint(
                condition=~Q(state__in=WITH_REASON) | ~Q(error=""), name="delivery_failure_has_reason"
            ),
            models.CheckConstraint(
                condition=~Q(state=DeliveryState.SENDING) | Q(lease_until__isnull=False),
                name="delivery_sending_has_lease",
            ),
            models.CheckConstraint(
                condition=~Q(state=DeliveryState.VERIFIED) | ~Q(evidence=""),
                name="delivery_verified_has_evidence",
            ),
        ]
        indexes = [
            models.Index(fields=["rollout", "next_attempt_at"], condition=Q(state__in=UNFINISHED), name="delivery_due"),
            models.Index(fields=["rollout", "id"], name="delivery_in_order"),
            models.Index(fields=["rollout", "id"], condition=Q(state__in=ATTENTION), name="delivery_attention"),
            models.Index(fields=["instance", "-id"], name="delivery_last"),
            models.Index(fields=["rollout"], condition=Q(drained_since__isnull=False), name="delivery_drained"),
        ]

    def __str__(self) -> str:
        return f"{self.rollout} to {self.instance}"

    @property
    def key(self) -> str:
        """Its id on a page."""
        return f"delivery-{self.pk}"


class Blocked(models.Model):
    """A pair of documents that is not sent to this environment, until somebody lifts that."""

    environment = models.ForeignKey(Environment, on_delete=models.PROTECT, related_name="blocked")
    bundle = models.ForeignKey(Bundle, on_delete=models.PROTECT, related_name="+")  # the one it was blocked as
    webhooks_digest = models.CharField(max_length=64, blank=True)  # what counts: the same content again is blocked, too
    connections_digest = models.CharField(max_length=64, blank=True)
    rollout = models.ForeignKey(Rollout, on_delete=models.PROTECT, related_name="+")  # that was rolled back
    reason = models.CharField(max_length=500)
    by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    at = models.DateTimeField(auto_now_add=True)
    lifted_at = models.DateTimeField(null=True)
    lifted_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True, related_name="+")
    lift_reason = models.CharField(max_length=500, blank=True)

    class Meta:
        ordering = ["-at"]
        constraints = [
            models.UniqueConstraint(
                fields=["environment", "webhooks_digest", "connections_digest"],
                condition=Q(lifted_at=None),
                name="blocked_once",
            ),
            models.CheckConstraint(condition=~Q(reason=""), name="blocked_has_reason"),
            models.CheckConstraint(
                condition=Q(lifted_at=None, lifted_by=None, lift_reason="")
                | Q(lifted_at__isnull=False, lifted_by__isnull=False) & ~Q(lift_reason=""),
                name="blocked_lifted_with_reason",
            ),
        ]

    def __str__(self) -> str:
        return f"block of {self.bundle}"


class SavedView(models.Model):
    """A filter of the fleet page that somebody keeps under a name."""

    LONGEST = 1000

    environment = models.ForeignKey(Environment, on_delete=models.CASCADE, related_name="+")
    person = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="+", db_index=False)
    name = models.CharField(max_length=60)
    query = models.CharField(max_length=LONGEST)  # as it stands in the address

    class Meta:
        constraints = [models.UniqueConstraint(fields=["person", "environment", "name"], name="saved_view_once")]

    def __str__(self) -> str:
        return self.name
