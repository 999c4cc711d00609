"""What people type to register environments and instances."""

from __future__ import annotations

import re
from typing import Any

from django import forms

from instances_app.models import Instance

LABEL = re.compile(r"\A[A-Za-z][\w.-]{0,39}=[\w.:/ -]{0,80}\Z")


class SecretArea(forms.Textarea):
    """Never filled in again."""

    def format_value(self, value: Any) -> str | None:
        return None


class EnvironmentForm(forms.Form):
    name = forms.CharField(
        max_length=40,
        help_text="Lower-case letters, digits and dashes. It stands in addresses and in the audit trail, so it is "
        "final. Example: production-eu",
    )
    protected = forms.BooleanField(
        required=False,
        help_text="Changes need another person's approval before they are published. Instances are reached over "
        "https:// only, unless its settings allow plain http.",
    )


class InstanceForm(forms.Form):
    """An instance as typed. The token is never sent back to the browser; empty keeps the sealed one."""

    name = forms.CharField(max_length=80, help_text="How people call it. Example: webhooks-1")
    base_url = forms.CharField(
        max_length=300,
        label="Base URL",
        help_text="Where its agent answers, without /admin. Example: http://webhooks-1.internal:8000",
        widget=forms.TextInput(attrs={"inputmode": "url", "autocomplete": "off", "spellcheck": "false"}),
    )
    token = forms.CharField(
        required=False,
        max_length=500,
        widget=forms.PasswordInput(attrs={"autocomplete": "new-password"}),
        help_text="The agent's CONFIG_ADMIN_TOKEN. Sealed at once; nobody can read it back here.",
    )
    labels = forms.CharField(
        required=False,
        widget=forms.Textarea(attrs={"rows": 3, "spellcheck": "false"}),
        help_text="One key=value a line. Example: region=eu",
    )

    unproven = forms.BooleanField(required=False, label="Store this token although the instance does not accept it now")

    def __init__(self, data: Any = None, *, instance: Instance | None = None) -> None:
        if instance is None:
            super().__init__(data)
            del self.fields["unproven"]
            self.fields["token"].label = "Token that it has already"
            self.fields["token"].help_text = (
                "Only if its agent runs with a token of its own. Empty: the new one above. Sealed at once either way; "
                "nobody can read it back here."
            )
            return
        labels = "\n".join(f"{key}={value}" for key, value in instance.labels.items())
        super().__init__(data, initial={"name": instance.name, "base_url": instance.base_url, "labels": labels})
        self.fields[
            "token"
        ].help_text = "Leave empty to keep the sealed one. The instance is asked with it before it replaces that."
        if instance.environment.protected:
            self.fields["token"].help_text += " For another host it has to be typed."
        if not (data and data.get("token")):
            del self.fields["unproven"]

    def clean_labels(self) -> dict[str, str]:
        return _labels(self.cleaned_data["labels"])


class LabelsForm(forms.Form):
    """Labels for many instances: those that are put on, and the keys of those that are taken off."""

    put = forms.CharField(
        required=False,
        label="Put on",
        widget=forms.Textarea(attrs={"rows": 2, "spellcheck": "false"}),
        help_text="One key=value a line; another value of that key is replaced. Example: region=eu",
    )
    remove = forms.CharField(
        required=False,
        label="Take off",
        widget=forms.Textarea(attrs={"rows": 2, "spellcheck": "false"}),
        help_text="One key a line. Example: region",
    )

    def clean_put(self) -> dict[str, str]:
        return _labels(self.cleaned_data["put"])

    def clean_remove(self) -> list[str]:
        return [line.strip() for line in self.cleaned_data["remove"].splitlines() if line.strip()]


class MoveForm(forms.Form):
    """What is replaced in the addresses of many, and by what."""

    find = forms.CharField(
        max_length=300,
        label="Replace in the base URL",
        help_text="It has to stand there once. Example: http://old.internal or .old.internal",
        widget=forms.TextInput(attrs={"autocomplete": "off", "spellcheck": "false"}),
    )
    put = forms.CharField(
        required=False,
        max_length=300,
        label="by",
        help_text="Example: http://new.internal",
        widget=forms.TextInput(attrs={"autocomplete": "off", "spellcheck": "false"}),
    )


def _labels(typed: str) -> dict[str, str]:
    labels: dict[str, str] = {}
    for line in typed.splitlines():
        if not line.strip():
            continue
        if not LABEL.match(line.strip()):
            raise forms.ValidationError(f"{line.strip()[:60]!r} is not key=value.")
        key, _, value = line.strip().partition("=")
        labels[key] = value.strip()
    return labels
