"""What people say about a change."""

from __future__ import annotations

import json

from django.conf import settings
from django.db import models
from django.db.models import Q

from instances_app.models import Kind


class Comment(models.Model):
    """What somebody says about a change, or about one entry of it. A trigger keeps the words as they were written.

    Its author may withdraw it: the words go, the rest stays. Resolved says that nothing is left to do about it.
    """

    change = models.ForeignKey("configs_app.Change", on_delete=models.PROTECT, related_name="comments")
    kind = models.CharField(max_length=20, choices=Kind.choices, blank=True)  # empty: about the change as a whole
    key = models.TextField(blank=True)  # the entry's name as a JSON string, as in RevisionEntry
    text = models.TextField(max_length=4000, blank=True)
    author = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    created_at = models.DateTimeField(auto_now_add=True)
    withdrawn_at = models.DateTimeField(null=True)
    resolved_at = models.DateTimeField(null=True)
    resolved_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True, related_name="+")

    class Meta:
        ordering = ["created_at", "pk"]
        constraints = [
            models.CheckConstraint(condition=Q(kind__in=["", *Kind.values]), name="comment_kind_known"),
            models.CheckConstraint(
                condition=Q(kind="", key="") | (~Q(kind="") & ~Q(key="")), name="comment_of_an_entry_has_both"
            ),
            models.CheckConstraint(
                condition=Q(text="", withdrawn_at__isnull=False) | (~Q(text="") & Q(withdrawn_at__isnull=True)),
                name="comment_has_words_until_withdrawn",
            ),
            models.CheckConstraint(
                condition=Q(resolved_at__isnull=True, resolved_by__isnull=True)
                | Q(resolved_at__isnull=False, resolved_by__isnull=False),
                name="comment_resolved_by_somebody",
            ),
        ]

    def __str__(self) -> str:
        return f"comment {self.pk} on change {self.change_id}"

    @property
    def entry(self) -> str | None:
        """The name of the entry that it is about; None for the change as a whole."""
        return str(json.loads(self.key)) if self.key else None

    @property
    def is_open(self) -> bool:
        return self.resolved_at is None and self.withdrawn_at is None
