"""What is kept of how a change was decided: who had a part in it, and what was put to people for approval."""

from __future__ import annotations

import json
from dataclasses import dataclass

from django.conf import settings
from django.db import models

from console import sealing
from instances_app.models import LateReview


class Contributor(models.Model):
    """Somebody who had a part in a change: opened, saved or rebased it. Rows only come; a trigger refuses the rest."""

    change = models.ForeignKey("configs_app.Change", on_delete=models.PROTECT, related_name="contributors")
    person = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    since = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["change", "person"], name="contributor_once")]

    def __str__(self) -> str:
        return f"{self.person} in change {self.change_id}"


@dataclass(frozen=True, slots=True)
class ProposedTarget:
    """An instance as it was when a change was proposed for it."""

    id: int
    name: str
    base_url: str
    wave: int = 0  # from 1; 0 in proposals from before waves were kept


class Proposal(models.Model):
    """A change as it was put to people for approval: texts, targets and plan. A trigger refuses every edit of it."""

    change = models.ForeignKey("configs_app.Change", on_delete=models.PROTECT, related_name="proposals")
    number = models.PositiveIntegerField()
    seal = models.CharField(max_length=64, unique=True)  # over all of this; the number in it makes each one its own
    texts_sealed = models.BinaryField()
    targets = models.JSONField()  # [{"id", "name", "base_url", "wave"}], by name
    plan = models.JSONField()  # plans.Plan.data
    risk = models.CharField(max_length=10)  # the gravest of its consequences: low, medium, high
    by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["number"]
        constraints = [
            models.UniqueConstraint(fields=["change", "number"], name="proposal_number_once"),
            models.CheckConstraint(condition=models.Q(risk__in=["low", "medium", "high"]), name="proposal_risk_known"),
        ]

    def __str__(self) -> str:
        return f"proposal {self.number} of change {self.change_id}"

    @property
    def texts(self) -> dict[str, str]:
        """kind → the text that was proposed, of the documents that the change touched."""
        texts: dict[str, str] = json.loads(sealing.unseal(self.texts_sealed))
        return texts

    @property
    def aimed_at(self) -> list[ProposedTarget]:
        return [ProposedTarget(**target) for target in self.targets]


class BrokenGlass(models.Model):
    """That an admin published a proposal without waiting for approvals, and why. A trigger refuses every edit of it."""

    change = models.OneToOneField("configs_app.Change", on_delete=models.PROTECT, related_name="broken_glass")
    proposal = models.OneToOneField(Proposal, on_delete=models.PROTECT, related_name="broken_glass")
    review = models.OneToOneField(LateReview, on_delete=models.PROTECT, related_name="+")
    reason = models.CharField(max_length=500)
    by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [models.CheckConstraint(condition=~models.Q(reason=""), name="broken_glass_has_reason")]

    def __str__(self) -> str:
        return f"glass broken for change {self.change_id}"
