"""The audit page's filter."""

from __future__ import annotations

from typing import Any

from django import forms
from django.db.models import Q, QuerySet, TextField
from django.db.models.functions import Cast

from console.models import AuditEvent

DATE = {"type": "date"}


class AuditFilter(forms.Form):
    who = forms.CharField(required=False, label="Who")
    action = forms.CharField(
        required=False, label="What", widget=forms.TextInput(attrs={"placeholder": "change.approved"})
    )
    environment = forms.CharField(required=False, label="Environment")
    since = forms.DateField(required=False, label="From", widget=forms.DateInput(attrs=DATE))
    until = forms.DateField(required=False, label="To", widget=forms.DateInput(attrs=DATE))
    text = forms.CharField(required=False, label="Text", widget=forms.TextInput(attrs={"type": "search"}))
    before = forms.IntegerField(required=False, min_value=1, widget=forms.HiddenInput)

    def clean(self) -> dict[str, Any]:
        data: dict[str, Any] = super().clean() or {}
        if data.get("since") and data.get("until") and data["since"] > data["until"]:
            self.add_error("until", "This day is before the first one.")
        return data

    def narrow(self, events: QuerySet[AuditEvent]) -> QuerySet[AuditEvent]:
        data = self.cleaned_data
        if data["who"]:
            events = events.filter(actor_name__iexact=data["who"])
        if data["action"]:
            events = events.filter(action__istartswith=data["action"])
        if data["environment"]:
            events = events.filter(environment=data["environment"])
        if data["since"]:
            events = events.filter(at__date__gte=data["since"])
        if data["until"]:
            events = events.filter(at__date__lte=data["until"])
        if data["text"]:
            events = events.annotate(data_text=Cast("data", TextField())).filter(
                Q(target_label__icontains=data["text"])
                | Q(data_text__icontains=data["text"])
                | Q(action__icontains=data["text"])
            )
        return events
