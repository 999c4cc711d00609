"""The editor's form: a title and the two texts, exactly as typed."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from django import forms

from configs_app.validation import Finding
from instances_app.models import Kind


class AsTyped(forms.CharField):
    """Text from a textarea, with LF line ends; `with_line_ends_of` gives it those of its base.

    Browsers send CRLF whatever was shown to them (HTML, "constructing the entry list"), so line ends carry no
    intention of the person who typed. Nothing else is touched: no stripping, no added last line.
    """

    def __init__(self) -> None:
        super().__init__(required=False, strip=False, widget=forms.Textarea)

    def to_python(self, value: object) -> str:
        return as_lf(str(super().to_python(value)))


class ChangeForm(forms.Form):
    title = forms.CharField(max_length=200, required=False)
    reason = forms.CharField(max_length=2000, required=False, widget=forms.Textarea)
    webhooks = AsTyped()
    connections = AsTyped()
    webhooks_base = forms.IntegerField(required=False, max_value=2**63 - 1, widget=forms.HiddenInput)
    connections_base = forms.IntegerField(required=False, max_value=2**63 - 1, widget=forms.HiddenInput)
    seen = forms.CharField(required=False, widget=forms.HiddenInput)
    carried = forms.CharField(required=False, widget=forms.HiddenInput)

    def typed(self) -> dict[str, str]:
        """kind → text as it was sent, with marks in place of secrets and LF line ends."""
        return {kind: self.cleaned_data[kind] for kind in Kind.values}

    def bases(self) -> dict[str, int | None]:
        """kind → id of the revision that the text was typed over."""
        return {kind: self.cleaned_data.get(f"{kind}_base") for kind in Kind.values}

    def pages(self) -> str:
        """What the editor carried of its draft's secrets; `configs_app.carried` opens it."""
        return str(self.cleaned_data.get("carried", ""))


class AcceptanceForm(forms.Form):
    """Which findings somebody decides to live with, why, and until when."""

    reason = forms.CharField(max_length=500, required=False)
    until = forms.DateField(required=False, widget=forms.DateInput(attrs={"type": "date"}))

    def __init__(self, *args: Any, offered: Iterable[Finding], **options: Any) -> None:
        super().__init__(*args, **options)
        self.by_value = {value_of(finding): finding for finding in offered}
        self.fields["findings"] = forms.MultipleChoiceField(choices=[(v, v) for v in self.by_value], required=False)

    def ticked(self) -> list[Finding]:
        return [self.by_value[value] for value in self.cleaned_data["findings"]]


def value_of(finding: Finding) -> str:
    """What a tick box sends for a finding: one rule in one entry is accepted as a whole."""
    return json.dumps([finding.document, finding.rule, finding.level, finding.entry])


def as_lf(text: str) -> str:
    return text.replace("\r\n", "\n").replace("\r", "\n")


def with_line_ends_of(base: str | None, text: str) -> str:
    """A text that came back untouched is its base again, byte for byte, even where that mixes its line ends."""
    if base is None or "\r" not in base:
        return text
    if as_lf(base) == text:
        return base
    return text.replace("\n", "\r\n") if "\r\n" in base else text
