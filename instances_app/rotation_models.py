"""Rotations: instances get new tokens, one exchange each."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.db.models import Q


class RotationState(models.TextChoices):
    RUNNING = "running"
    STOPPING = "stopping"  # nobody else is begun with; who was given a token comes to its end
    FINISHED = "finished"  # every exchange has ended. Final.
    STOPPED = "stopped"  # the same, and a person stopped it. Final.


class ExchangeState(models.TextChoices):
    WAITING = "waiting"  # nothing was sent yet
    GIVING = "giving"  # a worker holds the lease and sends the new token; `attempts` is its fencing number
    GIVEN = "given"  # the agent says that it takes it; not proven yet
    UNKNOWN = "unknown"  # something was sent, nobody knows whether it arrived: both tokens are asked with
    PROVEN = "proven"  # the new token opens and is in use; the old one still opens
    DROPPING = "dropping"  # a worker holds the lease and has the old one dropped
    DROPPED = "old dropped"  # the new token opens, the old one does not. Final, as all that follow.
    BY_HAND = "by hand"  # its agent cannot; nothing has changed
    FAILED = "failed"  # `error` says why, and which token is in use
    GIVEN_UP = "given up"  # retired meanwhile, or somebody typed another token
    STOPPED = "not begun"  # the rotation was stopped before


GOING = (RotationState.RUNNING, RotationState.STOPPING)
LEASED = (ExchangeState.GIVING, ExchangeState.DROPPING)
OPEN = (
    ExchangeState.WAITING,
    ExchangeState.GIVING,
    ExchangeState.GIVEN,
    ExchangeState.UNKNOWN,
    ExchangeState.PROVEN,
    ExchangeState.DROPPING,
)
WITH_REASON = (ExchangeState.UNKNOWN, ExchangeState.BY_HAND, ExchangeState.FAILED, ExchangeState.GIVEN_UP)


class Rotation(models.Model):
    """Some instances of one environment get new tokens. `rotation.py` begins and ends it."""

    environment = models.ForeignKey("instances_app.Environment", on_delete=models.PROTECT, related_name="rotations")
    number = models.PositiveIntegerField()
    state = models.CharField(max_length=20, choices=RotationState.choices, default=RotationState.RUNNING)
    author = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    started_at = models.DateTimeField(auto_now_add=True)
    stopped_at = models.DateTimeField(null=True)
    stopped_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True, related_name="+")
    finished_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ["-number"]
        constraints = [
            models.UniqueConstraint(fields=["environment", "number"], name="rotation_number_once"),
            models.UniqueConstraint(fields=["environment"], condition=Q(state__in=GOING), name="rotation_one_going"),
            models.CheckConstraint(condition=Q(state__in=RotationState.values), name="rotation_state_known"),
            models.CheckConstraint(
                condition=Q(state__in=GOING, finished_at=None) | (~Q(state__in=GOING) & Q(finished_at__isnull=False)),
                name="rotation_ended_has_time",
            ),
            models.CheckConstraint(
                condition=~Q(state__in=[RotationState.STOPPING, RotationState.STOPPED])
                | Q(stopped_at__isnull=False, stopped_by__isnull=False),
                name="rotation_stopped_by_somebody",
            ),
        ]

    def __str__(self) -> str:
        return f"token rotation {self.number}"

    @property
    def is_going(self) -> bool:
        return self.state in GOING


class Exchange(models.Model):
    """That rotation for one instance. `exchanges.py` alone moves it.

    Its tokens stand here, sealed, from before the new one is sent until the exchange has ended.
    """

    rotation = models.ForeignKey(Rotation, on_delete=models.PROTECT, related_name="exchanges")
    instance = models.ForeignKey("instances_app.Instance", on_delete=models.PROTECT, related_name="exchanges")
    state = models.CharField(max_length=20, choices=ExchangeState.choices, default=ExchangeState.WAITING)
    token_old_sealed = models.BinaryField(null=True)
    token_next_sealed = models.BinaryField(null=True)
    attempts = models.PositiveIntegerField(default=0)
    lease_until = models.DateTimeField(null=True)
    next_attempt_at = models.DateTimeField(null=True)
    changed_at = models.DateTimeField(auto_now_add=True)  # of the state
    begun_at = models.DateTimeField(null=True)  # when it was first claimed, to give and then anew to drop
    sent_at = models.DateTimeField(null=True)  # since when the agent may know the new token
    switched_at = models.DateTimeField(null=True)  # since when the console uses the new one
    # After the switch was committed, by the database's clock: whoever reads a token later than that reads the new one.
    settled_at = models.DateTimeField(null=True)
    code = models.CharField(max_length=40, blank=True)
    error = models.CharField(max_length=500, blank=True)  # the instance's words (untrusted) or ours

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["rotation", "instance"], name="exchange_once"),
            models.UniqueConstraint(fields=["instance"], condition=Q(state__in=OPEN), name="exchange_one_open"),
            models.CheckConstraint(condition=Q(state__in=ExchangeState.values), name="exchange_state_known"),
            models.CheckConstraint(
                condition=~Q(state__in=WITH_REASON) | ~Q(error=""),
                name="exchange_has_reason",
            ),
            models.CheckConstraint(
                condition=Q(state__in=LEASED, lease_until__isnull=False) | (~Q(state__in=LEASED) & Q(lease_until=None)),
                name="exchange_leased_while_sending",
            ),
            models.CheckConstraint(  # the new token is kept before it is sent, and both are forgotten at the end
                condition=Q(state=ExchangeState.WAITING)
                | Q(state__in=OPEN, token_old_sealed__isnull=False, token_next_sealed__isnull=False)
                | Q(token_old_sealed=None, token_next_sealed=None) & ~Q(state__in=OPEN),
                name="exchange_open_keeps_both_tokens",
            ),
        ]
        indexes = [models.Index(fields=["rotation"], condition=Q(state__in=OPEN), name="exchange_open")]

    def __str__(self) -> str:
        return f"{self.rotation} at {self.instance}"
