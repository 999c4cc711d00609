"""People, their roles, and the audit trail: what every app stands on."""

from __future__ import annotations

from typing import ClassVar

from django.contrib.auth.models import AbstractUser
from django.contrib.sessions.base_session import AbstractBaseSession
from django.db import models
from django.db.models import Q
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
    """

    sequence = models.BigIntegerField(primary_key=True)
    at = models.DateTimeField()
    action = models.CharField(max_length=80)
    actor_id = models.BigIntegerField(null=True)
    actor_name = models.CharField(max_length=150)
    address = models.CharField(max_length=45, blank=True)
    request_id = models.CharField(max_length=40, blank=True)
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
        indexes = [
            models.Index(fields=["action", "-sequence"], name="audit_by_action"),
            models.Index(fields=["actor_name", "-sequence"], name="audit_by_actor"),
            models.Index(fields=["environment", "-sequence"], name="audit_by_environment"),
            models.Index(fields=["target_type", "target_id", "-sequence"], name="audit_by_target"),
        ]

    def __str__(self) -> str:
        return f"{self.sequence} {self.action}"
