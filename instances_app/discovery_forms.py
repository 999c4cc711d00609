"""A source as an admin types it: the same fields for every kind, and those of its kind."""

from __future__ import annotations

from typing import Any

from django import forms

from instances_app.discovery.kinds import Kind
from instances_app.discovery_models import EVERY, RETIRE, Policy
from instances_app.models import DiscoverySource

PASSWORD = {"autocomplete": "new-password"}


class SourceForm(forms.Form):
    """Secrets are never sent back to the browser; empty keeps the sealed ones."""

    name = forms.CharField(max_length=60, help_text="How people call it. Example: Consul eu")
    secret = forms.CharField(required=False, max_length=8000, widget=forms.PasswordInput(attrs=PASSWORD))
    seconds = forms.TypedChoiceField(label="Ask every", choices=EVERY, coerce=int, initial=300)
    policy = forms.ChoiceField(
        label="Instances it tells of",
        choices=Policy.choices,
        initial=Policy.PROPOSE,
        help_text="Nothing is sent to a new instance but questions, until a rollout includes it.",
    )
    token = forms.CharField(
        label="Agents' token",
        required=False,
        max_length=500,
        widget=forms.PasswordInput(attrs=PASSWORD),
        help_text="The CONFIG_ADMIN_TOKEN of what it adds, one for all. Every address that the source tells of gets to "
        "see it. Without one, whoever adds them types it.",
    )
    retire_hours = forms.TypedChoiceField(
        label="Retire what is gone for",
        required=False,
        choices=[(hours or "", words) for hours, words in RETIRE],
        coerce=int,
        empty_value=None,
        help_text="Only what this source had added itself, and only while it goes on answering.",
    )

    def __init__(self, data: Any = None, *, kind: Kind, source: DiscoverySource | None = None) -> None:
        initial = {}
        if source is not None:
            initial = {name: getattr(source, name) for name in ("name", "seconds", "policy", "retire_hours")}
        super().__init__(data, initial=initial)
        if not kind.SECRET:
            del self.fields["secret"]
        else:
            self.fields["secret"].label = kind.SECRET
        for name, sealed in (("secret", source and source.secret_sealed), ("token", source and source.token_sealed)):
            if name in self.fields and sealed:
                self.fields[name].help_text = "Leave empty to keep the sealed one."
        stored = source.settings if source is not None else None
        self.of_kind = kind.Settings(data, initial=stored, prefix="at")

    def is_valid(self) -> bool:
        return all([super().is_valid(), self.of_kind.is_valid()])

    def values(self) -> dict[str, Any]:
        """What `sources.add` and `sources.change` take, of a valid form."""
        data = {"secret": "", **self.cleaned_data}
        data["secret"] = getattr(self.of_kind, "secret", "") or data["secret"]  # one that came with the settings
        return {**data, "settings": self.of_kind.cleaned_data}
