"""What is kept of how a change was decided: who had a part in it."""

from __future__ import annotations

from django.conf import settings
from django.db import models


class Contributor(models.Model):
    """Somebody who had a part in a change: opened, saved or rebased it. Rows only come; a trigger refuses the rest."""

    change = models.ForeignKey("configs_app.Change", on_delete=models.PROTECT, related_name="contributors")
    person = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    since = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["change", "person"], name="contributor_once")]

    def __str__(self) -> str:
        return f"{self.person} in change {self.change_id}"
