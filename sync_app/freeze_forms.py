"""A freeze, or the maintenance of an instance, as people type it: local times in a named zone."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from django import forms

from configs_app import reasons
from instances_app import freezes
from instances_app.freeze_models import Freeze
from instances_app.models import Environment

SHAPE = "%Y-%m-%dT%H:%M"
ONCE, WEEKLY = "once", "weekly"
DAY_CHOICES = [("", "choose a day"), *enumerate(freezes.DAYS)]


class WallField(forms.DateTimeField):
    """A date and a time of day on the wall of some zone: naive."""

    def __init__(self, **options: Any) -> None:
        widget = forms.DateTimeInput(attrs={"type": "datetime-local"}, format=SHAPE)
        super().__init__(required=False, widget=widget, error_messages={"invalid": "Like 2026-12-24 16:00."}, **options)

    def clean(self, value: Any) -> Any:
        moment = super().clean(value)
        if not isinstance(moment, datetime):
            return None
        if not 2000 <= moment.year <= 2100:
            raise forms.ValidationError("Choose a day from 2000 to 2100, or leave it empty.")
        return moment.replace(tzinfo=None)


class ZoneField(forms.ChoiceField):
    def __init__(self, **options: Any) -> None:
        super().__init__(choices=lambda: [(name, name) for name in freezes.zones()], label="Time zone", **options)


def hide_secrets(form: forms.Form, environment: Environment) -> None:
    """What was typed is shown again after a refusal, but no secret of the documents in its reason."""
    if form.is_bound:
        words = reasons.without_secrets(form.data.get("reason", ""), reasons.current(environment))
        form.data = {**dict(form.data.items()), "reason": words}


class FreezeForm(forms.Form):
    """Valid when its fields make a `Freeze`."""

    kind = forms.ChoiceField(choices=Freeze.Kind.choices, label="What")
    how = forms.ChoiceField(choices=[(ONCE, "once"), (WEEKLY, "every week")], label="How often")
    zone = ZoneField(help_text="All times here are local times there, summer time included.")
    starts_at = WallField(label="Once: from", help_text="Empty: from now on.")
    ends_at = WallField(label="Once: until", help_text="Empty: until somebody lifts it.")
    start_day = forms.TypedChoiceField(
        required=False, coerce=int, empty_value=None, choices=DAY_CHOICES, label="Every week: from"
    )
    start_time = forms.TimeField(required=False, label="at", widget=forms.TimeInput(attrs={"type": "time"}))
    end_day = forms.TypedChoiceField(
        required=False, coerce=int, empty_value=None, choices=DAY_CHOICES, label="Every week: until"
    )
    end_time = forms.TimeField(required=False, label="at", widget=forms.TimeInput(attrs={"type": "time"}))
    policy = forms.ChoiceField(choices=Freeze.Policy.choices, label="A rollout that runs already")
    reason = forms.CharField(
        max_length=500, help_text="People read it wherever a rollout is refused. Name whom to ask, if not you."
    )

    def __init__(self, data: Any = None, *, environment: Environment) -> None:
        last = Freeze.objects.filter(environment=environment).order_by("-pk").values_list("zone", flat=True).first()
        super().__init__(data, initial={"zone": last or "UTC"})
        self.environment = environment

    def clean(self) -> dict[str, Any]:
        data: dict[str, Any] = super().clean() or {}
        if data.get("how") == ONCE:
            if data.get("kind") == Freeze.Kind.WINDOW:
                self.add_error("how", "A maintenance window recurs every week. For a single time, set a freeze.")
            starts, ends = data.get("starts_at"), data.get("ends_at")
            if starts and ends and ends <= starts:
                self.add_error("ends_at", "It ends before it begins.")
        else:
            for name in ("start_day", "start_time", "end_day", "end_time"):
                if data.get(name) is None and name not in self.errors:
                    self.add_error(name, "Needed for every week.")
        return data

    def freeze(self, now: datetime) -> Freeze:
        """Of a valid form: a row that is not saved."""
        data = self.cleaned_data
        found = Freeze(
            environment=self.environment, **{name: data[name] for name in ("kind", "policy", "zone", "reason")}
        )
        if data["how"] == ONCE:
            zone = ZoneInfo(data["zone"])
            found.starts_at = data["starts_at"].replace(tzinfo=zone) if data["starts_at"] else now
            found.ends_at = data["ends_at"].replace(tzinfo=zone, fold=1) if data["ends_at"] else None
        else:
            for name in ("start_day", "start_time", "end_day", "end_time"):
                setattr(found, name, data[name])
        return found


class MaintenanceForm(forms.Form):
    reason = forms.CharField(max_length=500, help_text="Shown wherever the instance is left out.")
    zone = ZoneField()
    until = WallField(help_text="Local time there. Empty: until somebody ends it.")

    def end(self) -> datetime | None:
        """Of a valid form."""
        until = self.cleaned_data["until"]
        return until.replace(tzinfo=ZoneInfo(self.cleaned_data["zone"]), fold=1) if until else None
