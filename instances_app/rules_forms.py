"""An environment's rules as an admin types them."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib.auth.models import Group

from console.errors import Refused
from instances_app import late_reviews
from instances_app.models import MOST_APPROVALS
from instances_app.rules import Rules


class RulesForm(forms.Form):
    protected = forms.BooleanField(required=False, label="Changes need other people's approval")
    approvals = forms.IntegerField(min_value=1, max_value=MOST_APPROVALS, label="Approvals needed")
    approvals_high = forms.IntegerField(
        min_value=1,
        max_value=MOST_APPROVALS,
        label="Approvals needed with a high risk",
        help_text="When one of its consequences has a high risk: something in use is removed, a protection is lost.",
    )
    group = forms.ModelChoiceField(
        Group.objects.order_by("name"),
        required=False,
        empty_label="anybody who may approve",
        label="One of them from",
        help_text="At least one approval has to come from a member of this group, who needs the role as well.",
    )
    reason = forms.CharField(
        required=False,
        max_length=500,
        help_text="Needed when the rules become looser. That opens a review, which somebody else has to close.",
    )

    def __init__(self, data: Any = None, *, rules: Rules) -> None:
        super().__init__(data, initial={**rules.data, "group": rules.group})
        self.before = rules

    def clean(self) -> dict[str, Any]:
        data: dict[str, Any] = super().clean() or {}
        if data.get("approvals", 0) > data.get("approvals_high", MOST_APPROVALS):
            self.add_error("approvals_high", "With a high risk at least as many are needed as otherwise.")
        if not self.errors and self.rules().looser_than(self.before):
            try:
                late_reviews.need_reason(data["reason"])
            except Refused as refusal:
                self.add_error("reason", str(refusal))
        return data

    def rules(self) -> Rules:
        """Of a valid form."""
        data = self.cleaned_data
        return Rules(data["protected"], data["approvals"], data["approvals_high"], data["group"])
