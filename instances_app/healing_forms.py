"""Self-heal as an admin types it."""

from __future__ import annotations

from typing import Any

from django import forms

from console.errors import Refused
from instances_app import late_reviews
from instances_app.healing import MOST_PER_HOUR, MOST_PER_INSTANCE, SelfHeal


class SelfHealForm(forms.Form):
    on = forms.BooleanField(required=False, label="Repair drift by itself")
    per_instance = forms.IntegerField(
        min_value=1, max_value=MOST_PER_INSTANCE, label="Repairs of one instance in 24 hours, at most"
    )
    per_hour = forms.IntegerField(
        min_value=1, max_value=MOST_PER_HOUR, label="Repairs in the whole environment in an hour, at most"
    )
    reason = forms.CharField(
        required=False,
        max_length=500,
        help_text="Needed in a protected environment to switch it on or to allow more. That opens a review.",
    )

    def __init__(self, data: Any = None, *, heal: SelfHeal, protected: bool) -> None:
        super().__init__(data, initial=heal.data, prefix="heal")
        self.before, self.protected = heal, protected

    def clean(self) -> dict[str, Any]:
        data: dict[str, Any] = super().clean() or {}
        if not self.errors and self.protected and self.heal().looser_than(self.before):
            try:
                late_reviews.need_reason(data["reason"])
            except Refused as refusal:
                self.add_error("reason", str(refusal))
        return data

    def heal(self) -> SelfHeal:
        """Of a valid form."""
        data = self.cleaned_data
        return SelfHeal(data["on"], data["per_instance"], data["per_hour"])
