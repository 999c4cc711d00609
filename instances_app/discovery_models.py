"""Where instances are told of (sources), and what each source told last."""

from __future__ import annotations

from django.db import models
from django.db.models import Q
from django.utils import timezone

from console import sealing

EVERY = ((30, "30 seconds"), (60, "minute"), (300, "5 minutes"), (1800, "30 minutes"), (21600, "6 hours"))
RETIRE = ((None, "never: a person retires it"), (1, "1 hour"), (24, "1 day"), (72, "3 days"), (336, "14 days"))


class SourceKind(models.TextChoices):
    STATIC = "static"
    FILE = "file"
    HTTP = "http"
    DNS = "dns"
    CONSUL = "consul"
    KUBERNETES = "kubernetes"
    JOINING = "joining"


class Policy(models.TextChoices):
    PROPOSE = "propose", "propose them: a person adds them"
    ADD = "add", "add them"


class DiscoverySource(models.Model):
    """A place that tells which services there are, how often it is asked, and what came of the last time."""

    environment = models.ForeignKey("instances_app.Environment", on_delete=models.PROTECT, related_name="sources")
    name = models.CharField(max_length=60)
    kind = models.CharField(max_length=20, choices=SourceKind.choices)
    settings = models.JSONField(default=dict)  # cleaned by the Settings form of its kind; no secrets
    secret_sealed = models.BinaryField(null=True)  # what the source itself asks for
    token_sealed = models.BinaryField(null=True)  # the agents' token of what it adds
    policy = models.CharField(max_length=10, choices=Policy.choices, default=Policy.PROPOSE)
    seconds = models.PositiveIntegerField(default=300, choices=EVERY)  # how often it is asked
    retire_hours = models.PositiveIntegerField(null=True, blank=True, choices=RETIRE)  # gone for so long: retired
    paused = models.BooleanField(default=True)  # begins when a person has seen what it would do
    created_at = models.DateTimeField(auto_now_add=True)

    # Whose turn it is. A worker that takes it moves `next_at`; an answer to an older `turn` is dropped.
    turn = models.BigIntegerField(default=0)
    next_at = models.DateTimeField(default=timezone.now)

    index = models.BigIntegerField(default=0)  # where the source stood then; 0: the next question waits for nothing

    # What came of it. With an error or a hold, what it told before still stands.
    looked_at = models.DateTimeField(null=True)
    answered_at = models.DateTimeField(null=True)
    error = models.CharField(max_length=500, blank=True)
    held = models.CharField(max_length=500, blank=True)  # why a person has to look at the answer first
    counts = models.JSONField(default=dict)  # of the last answer that was written down: {"reported": 5, "new": 1, …}

    class Meta:
        ordering = ["name"]
        constraints = [
            models.UniqueConstraint(fields=["environment", "name"], name="source_name_once"),
            models.CheckConstraint(condition=Q(kind__in=SourceKind.values), name="source_kind_known"),
            models.CheckConstraint(condition=Q(policy__in=Policy.values), name="source_policy_known"),
            models.CheckConstraint(
                condition=~Q(policy="add") | Q(token_sealed__isnull=False), name="source_adds_with_a_token"
            ),
            models.CheckConstraint(condition=Q(seconds__gte=30), name="source_seconds_known"),
            # Whoever holds a join token would be sent the agents' token otherwise.
            models.CheckConstraint(
                condition=~Q(kind="joining") | Q(policy="propose"), name="source_joining_waits_for_a_person"
            ),
        ]
        indexes = [models.Index(fields=["next_at"], condition=Q(paused=False), name="source_due")]

    def __str__(self) -> str:
        return self.name

    @property
    def secret(self) -> str:
        return sealing.unseal(self.secret_sealed) if self.secret_sealed else ""

    @property
    def token(self) -> str:
        return sealing.unseal(self.token_sealed) if self.token_sealed else ""

    @property
    def word(self) -> str:
        """How it is, in one word of a badge."""
        if self.paused:
            return "paused"
        if self.held or self.error:
            return "held" if self.held else "failed"
        return "ready" if self.answered_at else "pending"


class FoundState(models.TextChoices):
    PROPOSED = "proposed"  # told of; waits for a person
    ADDED = "added"  # an instance has this address
    GONE = "gone"  # the source tells of it no more; the instance is still there
    RETIRED = "retired"  # told of, although a person retired the instance or moved it: stays out
    REFUSED = "refused"  # a person wants it left out
    UNFIT = "unfit"  # cannot be an instance here; the reason says why


class FoundInstance(models.Model):
    """One address that a source told of, and what became of it."""

    source = models.ForeignKey(DiscoverySource, on_delete=models.CASCADE, related_name="found")
    base_url = models.CharField(max_length=300)
    name = models.CharField(max_length=80)
    labels = models.JSONField(default=dict)
    taken = models.JSONField(default=dict)  # the labels that were put on the instance
    state = models.CharField(max_length=10, choices=FoundState.choices)
    reason = models.CharField(max_length=300, blank=True)
    instance = models.ForeignKey("instances_app.Instance", on_delete=models.PROTECT, null=True, related_name="+")
    ours = models.BooleanField(default=False)  # this source had it registered: it follows labels, and time retires it
    found_at = models.DateTimeField(default=timezone.now)
    gone_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ["name", "base_url"]
        constraints = [
            models.UniqueConstraint(fields=["source", "base_url"], name="found_once"),
            models.CheckConstraint(condition=Q(state__in=FoundState.values), name="found_state_known"),
            models.CheckConstraint(
                condition=Q(state="gone", gone_at__isnull=False) | (~Q(state="gone") & Q(gone_at=None)),
                name="found_gone_since",
            ),
            models.CheckConstraint(
                condition=~Q(state__in=["added", "gone"]) | Q(instance__isnull=False), name="found_added_is_an_instance"
            ),
            models.CheckConstraint(
                condition=~Q(state__in=["refused", "unfit"]) | ~Q(reason=""), name="found_left_out_has_a_reason"
            ),
        ]

    def __str__(self) -> str:
        return self.name

    @property
    def is_changed(self) -> bool:
        """Its source tells of other labels than the instance was given."""
        return self.state == FoundState.ADDED and self.ours and self.labels != self.taken


class Joined(models.Model):
    """What an instance told of itself with a join token, and when last."""

    source = models.ForeignKey(DiscoverySource, on_delete=models.CASCADE, related_name="joined")
    base_url = models.CharField(max_length=300)
    name = models.CharField(max_length=80)
    labels = models.JSONField(default=dict)
    heard_at = models.DateTimeField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["source", "base_url"], name="joined_once")]

    def __str__(self) -> str:
        return self.name
