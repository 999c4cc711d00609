"""What people type at the drift desk."""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta
from typing import Any

from django import forms
from django.utils import timezone

from sync_app.set_aside import HOURS, LONGEST

USUAL = timedelta(days=7)
SPANS = [(hours, f"{hours} hour{'s' * (hours != 1)}" if hours < 24 else f"{hours // 24 * 24} hours") for hours in HOURS]


class IgnoreForm(forms.Form):
    """Until the end of a day (UTC), with a reason."""

    until = forms.DateField(label="Until the end of", widget=forms.DateInput(attrs={"type": "date"}))
    reason = forms.CharField(
        max_length=500,
        help_text="Why it may stay as it is. Everybody here reads it, and the audit trail keeps it: no secrets.",
    )

    def __init__(self, data: Any = None) -> None:
        usual = timezone.now() + USUAL
        super().__init__(data, prefix="ignore", initial={"until": usual.date()})
        self.fields["until"].help_text = f"UTC; at most {LONGEST.days} days from now."

    def moment(self) -> datetime:
        """Of a valid form."""
        return datetime.combine(self.cleaned_data["until"], time(23, 59, 59), UTC)


class SnoozeForm(forms.Form):
    """For some hours; the reason is optional."""

    hours = forms.TypedChoiceField(label="For", choices=SPANS, coerce=int)
    reason = forms.CharField(required=False, max_length=500, help_text="Optional: what is being done meanwhile.")

    def __init__(self, data: Any = None) -> None:
        super().__init__(data, prefix="snooze")
