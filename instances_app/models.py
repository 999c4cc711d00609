"""Who is out there: environments, their instances, and what each was seen to run."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.contrib.auth.models import AnonymousUser, Group
from django.contrib.postgres.fields import ArrayField
from django.core.validators import RegexValidator
from django.db import models
from django.db.models import F, Q
from django.utils import timezone

from console import sealing
from console.models import User
from instances_app import certificates
from instances_app.client import Look, Target, Way, places
from instances_app.discovery_models import DiscoverySource as DiscoverySource
from instances_app.discovery_models import FoundInstance as FoundInstance
from instances_app.discovery_models import FoundState as FoundState
from instances_app.discovery_models import Joined as Joined
from instances_app.discovery_models import Policy as Policy
from instances_app.discovery_models import SourceKind as SourceKind
from instances_app.freeze_models import LAST
from instances_app.health_models import CALLED, HOLDS, MISSES, SAID, Checked
from instances_app.health_models import CheckSample as CheckSample
from instances_app.health_models import Health as Health
from instances_app.health_models import HealthTransition as HealthTransition
from instances_app.probe_models import Probe as Probe
from instances_app.probe_models import Served as Served
from instances_app.probe_models import Service as Service
from instances_app.rotation_models import Exchange as Exchange
from instances_app.rotation_models import ExchangeState as ExchangeState
from instances_app.rotation_models import Rotation as Rotation
from instances_app.rotation_models import RotationState as RotationState
from instances_app.transport_models import EnvironmentTrust as EnvironmentTrust
from instances_app.transport_models import way

MOST_APPROVALS = 5


class Kind(models.TextChoices):
    """The two documents of an environment, in the order of their names on the wire."""

    WEBHOOKS = "webhooks"
    CONNECTIONS = "connections"


OTHER: dict[str, str] = {Kind.WEBHOOKS: Kind.CONNECTIONS, Kind.CONNECTIONS: Kind.WEBHOOKS}


class EnvironmentQuerySet(models.QuerySet["Environment"]):
    def visible_to(self, user: User | AnonymousUser) -> EnvironmentQuerySet:
        if not isinstance(user, User) or not user.is_active:
            return self.none()
        if user.is_superuser or user.auditor:
            return self
        return self.filter(role_bindings__user=user).distinct()


class Environment(models.Model):
    """A fleet that shares documents, people and rules."""

    name = models.CharField(
        max_length=40,
        unique=True,
        validators=[RegexValidator(r"^[a-z][a-z0-9-]*\Z", "Lower-case letters, digits and dashes, a letter first.")],
        help_text="Short and final: it stands in addresses and in the audit trail. Example: production-eu",
    )
    protected = models.BooleanField(
        default=False, help_text="Changes need another person's approval before they are published."
    )
    # What a change needs before it is published here, while protected; `instances_app.rules` changes it.
    approvals = models.PositiveSmallIntegerField(default=1)
    approvals_high = models.PositiveSmallIntegerField(default=1)  # where one of the consequences has a high risk
    approvers_group = models.ForeignKey(  # one of the approvals has to come from it; its end must not end the rule
        Group, on_delete=models.PROTECT, null=True, blank=True, related_name="+"
    )
    plan = models.JSONField(default=dict, blank=True)  # plans.Plan.of reads it; empty: all at once
    # Whether the console repairs drift here by itself, and how often at most; `instances_app.healing` changes it.
    self_heal = models.BooleanField(default=False)
    heals_per_instance = models.PositiveSmallIntegerField(default=3)  # repairs of one instance in 24 hours
    heals_per_hour = models.PositiveSmallIntegerField(default=10)  # repairs in the whole environment in one hour
    # How its instances may be reached; `instances_app.transport` changes it.
    plain_http = models.BooleanField(default=True)
    trust = models.ForeignKey(EnvironmentTrust, on_delete=models.PROTECT, null=True, blank=True, related_name="+")
    created_at = models.DateTimeField(auto_now_add=True)

    objects = EnvironmentQuerySet.as_manager()

    class Meta:
        ordering = ["protected", "name"]
        constraints = [
            models.CheckConstraint(
                condition=Q(approvals__gte=1, approvals_high__gte=F("approvals"), approvals_high__lte=MOST_APPROVALS),
                name="environment_approvals_known",
            ),
            models.CheckConstraint(
                condition=Q(heals_per_instance__gte=1, heals_per_hour__gte=1), name="environment_heals_known"
            ),
        ]

    def __str__(self) -> str:
        return self.name

    @property
    def way(self) -> Way:
        return way(plain_http=self.plain_http, trust_id=self.trust_id)


class LateReview(models.Model):
    """What somebody did alone in a protected environment, until another person has looked at it and says so.

    It is opened with the deed, in its transaction. A trigger lets it be closed once, by nobody of `excluded`.
    """

    class Cause(models.TextChoices):
        GLASS = "glass"  # a change was published without waiting for approvals
        RULES = "rules"  # the environment's rules were loosened
        FREEZE = "freeze"  # a freeze was lifted before its end, or rollouts may start at more times

    environment = models.ForeignKey(Environment, on_delete=models.PROTECT, related_name="late_reviews")
    cause = models.CharField(max_length=10, choices=Cause.choices)
    subject = models.CharField(max_length=500)  # what was done, one sentence
    reason = models.CharField(max_length=500)
    by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    excluded = ArrayField(models.BigIntegerField())  # the ids of all who had a part: none of them closes it
    opened_at = models.DateTimeField(auto_now_add=True)
    due_at = models.DateTimeField()
    closed_at = models.DateTimeField(null=True)
    closed_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True, related_name="+")
    note = models.CharField(max_length=500, blank=True)  # what whoever closed it found

    class Meta:
        ordering = ["due_at"]
        constraints = [
            models.CheckConstraint(condition=Q(cause__in=["glass", "rules", "freeze"]), name="late_review_cause_known"),
            models.CheckConstraint(condition=~Q(reason=""), name="late_review_has_reason"),
            models.CheckConstraint(
                condition=Q(closed_at=None, closed_by=None, note="")
                | (Q(closed_at__isnull=False, closed_by__isnull=False) & ~Q(note="")),
                name="late_review_closed_by_somebody_with_a_note",
            ),
        ]

    def __str__(self) -> str:
        return self.subject

    @property
    def is_overdue(self) -> bool:
        return self.closed_at is None and self.due_at <= timezone.now()


class InstanceQuerySet(models.QuerySet["Instance"]):
    def active(self) -> InstanceQuerySet:
        return self.filter(retired_at=None)

    def managed(self) -> InstanceQuerySet:
        """Those that documents may be sent to, or read from: rollouts, dry runs, drift and imports know no others."""
        return self.active().filter(monitored_only=False)

    def in_maintenance(self) -> InstanceQuerySet:
        return self.filter(maintained())


class Instance(Checked):
    """One running webhook service: a base URL and a token; `Checked` has what checks found."""

    environment = models.ForeignKey(Environment, on_delete=models.PROTECT, related_name="instances")
    name = models.CharField(max_length=80)
    base_url = models.CharField(max_length=300)
    token_sealed = models.BinaryField()
    labels = models.JSONField(default=dict, blank=True)  # {"region": "eu"}: text to text
    created_at = models.DateTimeField(auto_now_add=True)
    retired_at = models.DateTimeField(null=True, blank=True)
    retired_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True, blank=True, related_name="+"
    )
    # A service without an agent: it is asked how it is, and nothing is ever sent to it.
    monitored_only = models.BooleanField(default=False)
    moved_at = models.DateTimeField(null=True, blank=True)  # to another address or place; proofs before were elsewhere

    # Left out of rollouts, gates and alarms, until then or until somebody ends it; `sync_app/maintenance.py` does both.
    maintenance_since = models.DateTimeField(null=True, blank=True)
    maintenance_until = models.DateTimeField(null=True, blank=True)
    maintenance_reason = models.CharField(max_length=500, blank=True)
    maintenance_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True, blank=True, related_name="+"
    )

    objects = InstanceQuerySet.as_manager()

    class Meta:
        ordering = ["name"]
        constraints = [
            models.UniqueConstraint(
                fields=["environment", "name"], condition=Q(retired_at=None), name="instance_name_once"
            ),
            models.UniqueConstraint(fields=["base_url"], condition=Q(retired_at=None), name="instance_base_url_once"),
            models.CheckConstraint(condition=Q(health__in=SAID), name="instance_health_known"),
            models.CheckConstraint(condition=Q(health_called__in=CALLED), name="instance_health_called_known"),
            models.CheckConstraint(
                condition=Q(stranger="", stranger_at=None)
                | ~Q(stranger="") & ~Q(identity="") & Q(stranger_at__isnull=False),
                name="instance_stranger_for_a_pinned_place",
            ),
            models.CheckConstraint(
                condition=Q(maintenance_since=None, maintenance_until=None, maintenance_by=None, maintenance_reason="")
                | Q(maintenance_since__isnull=False, maintenance_by__isnull=False) & ~Q(maintenance_reason=""),
                name="instance_maintenance_has_reason",
            ),
            models.CheckConstraint(
                condition=Q(maintenance_until=None) | Q(maintenance_until__lte=LAST),
                name="instance_maintenance_in_readable_years",
            ),
        ]
        indexes = [
            models.Index(
                fields=["identity"], condition=Q(retired_at=None) & ~Q(identity=""), name="instance_by_identity"
            ),
            models.Index(
                fields=["environment"], condition=Q(maintenance_since__isnull=False), name="instance_in_maintenance"
            ),
            models.Index(fields=["environment"], condition=Q(monitored_only=True), name="instance_monitored_only"),
        ]

    def __str__(self) -> str:
        return self.name

    @property
    def target(self) -> Target:
        """Where many are asked, fetch `environment` with them."""
        return Target(
            base_url=self.base_url,
            token=sealing.unseal(self.token_sealed),
            way=self.environment.way,
            identity=self.identity,
        )

    def here_since(self, at: datetime) -> bool:
        """Whether what is of that moment was at the address that it has now."""
        return self.moved_at is None or at > self.moved_at

    @property
    def look(self) -> Look:
        """The question of a check."""
        return Look(key=self.pk, target=self.target, service=self.monitored_only)

    @property
    def capabilities(self) -> frozenset[str]:
        listed: Any = self.info.get("capabilities")
        return frozenset(str(item) for item in listed) if isinstance(listed, list) else frozenset()

    @property
    def was_heard(self) -> bool:
        """Whether an agent has ever answered with our token: of one that runs no document there is no observation."""
        return isinstance(self.info.get("protocol"), int) or self.observations.exists()

    @property
    def health_word(self) -> str:
        """The word for pages, with grace and damping. Gates ask `health`, which has neither."""
        if self.health_at is None:
            return Health.NEW
        if not is_fresh(self.health_at):
            return Health.UNKNOWN
        if self.health_called == Health.NEW:
            return Health.NEW if self.health == Health.DOWN else self.health
        missed = self.health == Health.DOWN and self.health_called != Health.DOWN
        return Health.LATE if missed else self.health_called

    @property
    def health_note(self) -> str:
        """Why the word is what it is, and what the last check found where the word does not say it yet."""
        word = self.health_word
        if word == Health.LATE:
            found = f"Missed {self.health_streak} of {MISSES} checks that make it down."
        elif word == Health.NEW and self.health_at is not None:
            found = "Has never answered yet."
        elif word not in {self.health, Health.UNKNOWN, Health.NEW}:
            found = f"The last check found it {self.health}: {self.health_streak} of {HOLDS} that make it so."
        else:
            found = ""
        return f"{found} {self.health_detail}".strip()

    @property
    def certificate_note(self) -> str:
        """That the certificate it showed ends soon, or has ended; else nothing."""
        return certificates.ending(self.certificate_until, "Its certificate")

    @property
    def stranger_note(self) -> str:
        """Who answers at its address instead; else nothing."""
        return places.words(self.identity, self.stranger) if self.stranger else ""

    @property
    def in_maintenance(self) -> bool:
        until = self.maintenance_until
        return self.maintenance_since is not None and (until is None or until > timezone.now())


class Observation(models.Model):
    """What an instance reported to run for one document, from when until when.

    From `since` to `seen_at` its reports said so, with no silence above STALE_SECONDS among them. Between `seen_at` and
    `until`, the first report of something else or after a silence, or a move, nobody looked.
    `instances_app/history.py` reads it.
    """

    instance = models.ForeignKey(Instance, on_delete=models.CASCADE, related_name="observations")
    kind = models.CharField(max_length=20, choices=Kind.choices)
    digest = models.CharField(max_length=64)  # 64 hex digits, or the 16 a seed-only service reports
    since = models.DateTimeField()
    seen_at = models.DateTimeField()  # the latest report of the same digest
    until = models.DateTimeField(null=True)  # the next observation's since, or its move; null: the latest one

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["instance", "kind"], condition=Q(until=None), name="observation_one_open"),
            models.CheckConstraint(condition=Q(kind__in=Kind.values), name="observation_kind_known"),
        ]
        indexes = [
            models.Index(fields=["instance", "kind", "-since"], name="observation_at"),
            models.Index(fields=["digest", "until"], condition=Q(until__isnull=False), name="observation_left"),
        ]

    def __str__(self) -> str:
        return f"{self.instance_id} {self.kind} {self.digest[:12]}"


def maintained(path: str = "") -> Q:
    """Those in maintenance now; `path` leads to the instance ("instance__")."""
    begun = Q(**{f"{path}maintenance_since__isnull": False})
    return begun & (Q(**{f"{path}maintenance_until": None}) | Q(**{f"{path}maintenance_until__gt": timezone.now()}))


def monitored(environment_id: int) -> models.QuerySet[Instance, Any]:
    """The ids of those without an agent, for another query: few, and found in an index of their own."""
    return Instance.objects.filter(environment=environment_id, monitored_only=True).values("pk")


class Glance(models.Model):
    """What lists and counters of a fleet are made of: one narrow row per active instance, written by triggers alone.

    It repeats what the instance and its open observations say, in the transaction that changes them. So the numbers of
    ten thousand instances are one short scan. It holds no words that age: those are computed when somebody asks.
    """

    instance = models.OneToOneField(Instance, on_delete=models.CASCADE, primary_key=True, related_name="glance")
    environment = models.ForeignKey(Environment, on_delete=models.CASCADE, related_name="+", db_index=False)
    name = models.CharField(max_length=80)
    health = models.CharField(max_length=20)
    health_at = models.DateTimeField(null=True)
    webhooks_digest = models.CharField(max_length=64, null=True)  # null: it never reported this document
    webhooks_at = models.DateTimeField(null=True)
    connections_digest = models.CharField(max_length=64, null=True)
    connections_at = models.DateTimeField(null=True)
    text = models.TextField()  # lower case, a line each: name, address, and every label as key=value

    class Meta:
        indexes = [models.Index(fields=["environment", "name"], name="glance_by_name")]

    def __str__(self) -> str:
        return self.name


def fresh_since() -> datetime:
    """What was seen before that is too old to believe (CONSOLE_STALE_SECONDS)."""
    return timezone.now() - timedelta(seconds=settings.STALE_SECONDS)


def is_fresh(at: datetime | None) -> bool:
    """Young enough to believe; older answers are unknown."""
    return at is not None and at >= fresh_since()
