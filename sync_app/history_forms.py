"""What people ask of the past: a moment, a period, a revision. Times are UTC, to the second."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from django import forms
from django.utils import timezone

from instances_app.models import Kind
from sync_app.splits import LONGEST_DAYS

FIRST = datetime(2000, 1, 1, tzinfo=UTC)
PERIOD = timedelta(hours=24)
SHAPE = "%Y-%m-%dT%H:%M:%S"


class MomentField(forms.DateTimeField):
    """A date and a time of day in UTC; neither in the future nor before 2000."""

    def __init__(self, label: str) -> None:
        widget = forms.DateTimeInput(attrs={"type": "datetime-local", "step": "1"}, format=SHAPE)
        wrong = "Give a date and a time, like 2026-03-01 15:10:00."
        super().__init__(label=label, widget=widget, error_messages={"invalid": wrong, "required": wrong})

    def clean(self, value: Any) -> Any:
        moment = super().clean(value)
        if moment < FIRST:
            raise forms.ValidationError("Nothing is known from before 2000.")
        if moment > timezone.now():
            raise forms.ValidationError("That moment has not come yet. Times are UTC.")
        return moment.astimezone(UTC)


class AtForm(forms.Form):
    """What ran at a moment; now, when nothing is asked. A default is exact, though the field shows whole seconds."""

    at = MomentField("At (UTC)")

    def __init__(self, asked: Mapping[str, str], **defaults: datetime) -> None:
        typed = {name: value for name, value in asked.items() if value}
        self.defaults = {name: at for name, at in {"at": timezone.now(), **defaults}.items() if name not in typed}
        super().__init__({name: at.strftime(SHAPE) for name, at in self.defaults.items()} | typed)

    def clean(self) -> dict[str, Any]:
        return {**(super().clean() or {}), **self.defaults}


class HistoryForm(AtForm):
    """A moment, perhaps a revision, and a period; the last day, when nothing is asked."""

    kind = forms.ChoiceField(required=False, label="Document", choices=[("", "either"), *Kind.choices])
    revision = forms.CharField(
        required=False,
        max_length=40,
        label="Who was on revision",
        widget=forms.TextInput(attrs={"placeholder": "41, a tag, current", "autocomplete": "off"}),
    )
    since = MomentField("From (UTC)")
    until = MomentField("To (UTC)")

    def __init__(self, asked: Mapping[str, str]) -> None:
        now = timezone.now()
        super().__init__(asked, since=now - PERIOD, until=now)

    def clean(self) -> dict[str, Any]:
        data = super().clean()
        if data.get("revision") and not data.get("kind"):
            self.add_error("kind", "Say of which document.")
        since, until = data.get("since"), data.get("until")
        if since and until:
            if since >= until:
                self.add_error("until", "The period ends before it begins.")
            elif until - since > timedelta(days=LONGEST_DAYS):
                self.add_error("since", f"At most {LONGEST_DAYS} days at a time.")
        return data
