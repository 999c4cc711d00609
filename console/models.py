"""People, their roles, and the audit trail: what every app stands on."""

from __future__ import annotations

from typing import ClassVar

from django.contrib.auth.models import AbstractUser
from django.contrib.postgres.indexes import HashIndex
from django.contrib.sessions.base_session import AbstractBaseSession
from django.db import models
from django.db.models import F, Func, Q, Value
from django.db.models.functions import Lower
from django.utils import timezone


class User(AbstractUser):
    """A person. Superusers are admins of every environment."""

    auditor = models.BooleanField(default=False, help_text="May read everything, everywhere, and change nothing.")
    auditor_from_sso = models.BooleanField(default=False)  # given by single sign-on, which may take it away again

    class Meta(AbstractUser.Meta):
        pass


class Role(models.TextChoices):
    VIEWER = "viewer"  # reads documents (secrets masked), fleet and history
    OPERATOR = "operator"  # edits, publishes, rolls out, registers instances
    APPROVER = "approver"  # signs off production changes
    ADMIN = "admin"  # all of it, and the environment's settings and people


class RoleBinding(models.Model):
    """One person's role in one environment; several may be held at once."""

    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="role_bindings")
    # By name: people stand below instances_app, which must not be imported here.
    environment = models.ForeignKey("instances_app.Environment", on_delete=models.CASCADE, related_name="role_bindings")
    role = models.CharField(max_length=20, choices=Role.choices)
    from_sso = models.BooleanField(default=False)  # read again at each single sign-on; others are made by hand

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["user", "environment", "role"], name="role_binding_once"),
            models.CheckConstraint(condition=Q(role__in=Role.values), name="role_binding_role_known"),
        ]

    def __str__(self) -> str:
        return f"{self.user.username} is {self.role} of {self.environment_id}"


class Session(AbstractBaseSession):
    """One browser's session; `user` is empty until somebody has signed in. Read and ended by `console.sessions`."""

    user = models.ForeignKey(User, on_delete=models.CASCADE, null=True, related_name="sessions")
    address = models.CharField(max_length=45, blank=True)
    browser = models.CharField(max_length=60, blank=True)
    started_at = models.DateTimeField(default=timezone.now)
    seen_at = models.DateTimeField(default=timezone.now)


class AuditEvent(models.Model):
    """Who did what to which thing. Written by `audit.record` only; a trigger refuses every change.

    `sequence` is gap-free and in commit order. `hash` covers every other column and the hash before it.
    People, targets and environments are copied by value, so that an event outlives what it speaks of.
    The table also has `words`, which Postgres makes of what can be searched; no model reads it (migration 0011).
    """

    sequence = models.BigIntegerField(primary_key=True)
    at = models.DateTimeField()
    action = models.CharField(max_length=80)
    actor_id = models.BigIntegerField(null=True)
    actor_name = models.CharField(max_length=150)
    address = models.CharField(max_length=45, blank=True)
    session = models.CharField(max_length=12, blank=True)  # a keyed fingerprint: tells two apart, opens neither
    request_id = models.CharField(max_length=40, blank=True)
    cause = models.BigIntegerField(null=True)  # the event that began what this one belongs to; null: it began it
    environment = models.CharField(max_length=60, blank=True)
    target_type = models.CharField(max_length=60, blank=True)
    target_id = models.CharField(max_length=60, blank=True)
    target_label = models.CharField(max_length=200, blank=True)
    data = models.JSONField(default=dict)
    previous_hash = models.CharField(max_length=64, blank=True)
    hash = models.CharField(max_length=64)

    objects: ClassVar[models.Manager[AuditEvent]]

    class Meta:
        ordering = ["-sequence"]
        # Each ends in the sequence, so that a page is fifty steps along one of them, however long the table.
        indexes = [
            models.Index(fields=["action", "-sequence"], name="audit_by_action"),
            models.Index(
                Func(F("action"), Value("."), Value(1), function="split_part"),
                F("sequence").desc(),
                name="audit_by_family",
            ),
            models.Index(Lower("actor_name"), F("sequence").desc(), name="audit_by_actor"),
            models.Index(fields=["actor_id", "-sequence"], name="audit_by_person"),
            models.Index(fields=["environment", "-sequence"], name="audit_by_environment"),
            models.Index(F("environment"), Lower("actor_name"), F("sequence").desc(), name="audit_by_place_and_actor"),
            models.Index(fields=["target_type", "target_id", "-sequence"], name="audit_by_target"),
            models.Index(fields=["address", "-sequence"], name="audit_by_address"),
            models.Index(fields=["session", "-sequence"], name="audit_by_session"),
            models.Index(fields=["cause", "sequence"], condition=Q(cause__isnull=False), name="audit_by_cause"),
            models.Index(fields=["at", "sequence"], name="audit_by_time"),
            HashIndex(fields=["request_id"], condition=~Q(request_id=""), name="audit_by_request"),
        ]

    def __str__(self) -> str:
        return f"{self.sequence} {self.action}"

    @property
    def root(self) -> int:
        """The event that began it all; itself, if it began it."""
        return self.cause or self.sequence


class NotificationCursor(models.Model):
    """Up to which audit event people outside have been told; one row."""

    sequence = models.BigIntegerField()

    class Meta:
        constraints = [models.CheckConstraint(condition=Q(pk=1), name="notification_cursor_one")]

    def __str__(self) -> str:
        return f"told up to event {self.sequence}"
