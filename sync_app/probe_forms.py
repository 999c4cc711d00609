"""The serving probe as an admin types it. What is sealed is not shown again: an empty field keeps it."""

from __future__ import annotations

from typing import Any

from django import forms

from console.errors import Refused
from instances_app import probes
from instances_app.models import Probe
from instances_app.probe_models import Method
from instances_app.probes import LONGEST_BODY, LONGEST_HEADERS, LONGEST_SECONDS, MOST_CHECKS, Settings

ROWS = {"rows": 3, "spellcheck": "false", "autocomplete": "off"}


class ProbeForm(forms.Form):
    method = forms.ChoiceField(
        choices=Method.choices,
        help_text="A POST or PUT does real work: what it sends goes where real requests go, each time it is asked.",
    )
    path = forms.CharField(
        max_length=300,
        help_text="Behind each instance's address, as /health or /webhook/ping. No secrets here: it stands on pages.",
    )
    statuses = forms.CharField(max_length=100, label="Expected statuses", help_text="As 200-299, 401.")
    contains = forms.CharField(
        required=False,
        strip=False,
        max_length=200,
        label="Expected text",
        help_text="Somewhere in the answer, exactly so.",
    )
    seconds = forms.IntegerField(min_value=1, max_value=LONGEST_SECONDS, label="Seconds it may take, at most")
    every = forms.IntegerField(
        min_value=0,
        max_value=MOST_CHECKS,
        label="Ask again after so many checks",
        help_text="10 is every five minutes where checks come every 30 seconds; 0: after deliveries and by hand only.",
    )
    headers = forms.CharField(
        required=False,
        max_length=LONGEST_HEADERS,
        widget=forms.Textarea(attrs=ROWS),
        help_text="One a line, Name: value. Sealed, and never shown again. The agent's token is never sent.",
    )
    forget_headers = forms.BooleanField(required=False, label="Forget the stored headers")
    body = forms.CharField(
        required=False,
        strip=False,
        max_length=LONGEST_BODY,
        widget=forms.Textarea(attrs=ROWS),
        help_text="Of a POST or PUT. Sealed, and never shown again.",
    )
    forget_body = forms.BooleanField(required=False, label="Forget the stored body")

    def __init__(self, data: Any = None, *, probe: Probe | None) -> None:
        self.before = Settings.of(probe) if probe is not None else None
        shown = self.before or Settings("GET", "/health")
        names = ("method", "path", "statuses", "contains", "seconds", "every")
        super().__init__(data, initial={name: getattr(shown, name) for name in names})
        if not shown.headers:
            del self.fields["forget_headers"]
        else:
            stored = ", ".join(name for name, _ in shown.headers)
            self.fields["headers"].help_text = f"Stored: {stored}. Empty keeps them. {self.fields['headers'].help_text}"
        if not shown.body:
            del self.fields["forget_body"]
        else:
            size = len(shown.body.encode())
            self.fields["body"].help_text = f"Stored: {size:,} bytes. Empty keeps it. {self.fields['body'].help_text}"

    def clean(self) -> dict[str, Any]:
        data: dict[str, Any] = super().clean() or {}
        if not self.errors:
            try:
                data["settings"] = self._settings(data)
                probes.check(data["settings"])
            except Refused as refusal:
                self.add_error(None, str(refusal))
        return data

    def settings(self) -> Settings:
        """Of a valid form."""
        found: Settings = self.cleaned_data["settings"]
        return found

    @property
    def uses_sealed(self) -> bool:
        """Of a valid form: it goes with headers or a body that were sealed before, which nobody has typed now."""
        data, wanted = self.cleaned_data, self.settings()
        return bool((wanted.headers and not data["headers"].strip()) or (wanted.body and not data["body"]))

    def _settings(self, data: dict[str, Any]) -> Settings:
        kept = self.before or Settings("GET", "/")
        headers = probes.headers_of(data["headers"]) if data["headers"].strip() else kept.headers
        body = data["body"] or kept.body
        return Settings(
            data["method"],
            data["path"],
            data["statuses"],
            data["contains"],
            data["seconds"],
            data["every"],
            () if data.get("forget_headers") and not data["headers"].strip() else headers,
            "" if data.get("forget_body") and not data["body"] else body,
        )
