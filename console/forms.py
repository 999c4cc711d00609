"""The audit page's filter."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Any

from django import forms
from django.core.exceptions import ValidationError

MOMENTS = {  # how a moment may be typed, and how long what was typed lasts
    "%Y-%m-%dT%H:%M:%S": timedelta(seconds=1),
    "%Y-%m-%d %H:%M:%S": timedelta(seconds=1),
    "%Y-%m-%dT%H:%M": timedelta(minutes=1),
    "%Y-%m-%d %H:%M": timedelta(minutes=1),
    "%Y-%m-%d": timedelta(days=1),
}
RARER = ("target", "address", "session")  # fields that stand folded
INSTANT = timedelta(microseconds=1)


class MomentInput(forms.DateTimeInput):
    """The browser's picker; it takes days and times only together."""

    def __init__(self, *, ends: bool) -> None:
        super().__init__(attrs={"type": "datetime-local", "step": "1"})
        self.ends = ends

    def format_value(self, value: Any) -> str | None:
        text = str(value or "").strip().replace(" ", "T")
        return f"{text}T{'23:59:59' if self.ends else '00:00:00'}" if len(text) == 10 else text or None


class Moment(forms.Field):
    """A moment in UTC. `ends`: the last one of the second, minute or day that was typed."""

    def __init__(self, *, label: str, ends: bool = False) -> None:
        super().__init__(required=False, label=label, widget=MomentInput(ends=ends))
        self.ends = ends

    def to_python(self, value: Any) -> datetime | None:
        text = str(value or "").strip()
        if not text:
            return None
        for format_, lasts in MOMENTS.items():
            try:
                parsed = datetime.strptime(text, format_).replace(tzinfo=UTC)
            except ValueError:
                continue
            return parsed + lasts - INSTANT if self.ends else parsed
        raise ValidationError("Type a day or a moment, as 2026-11-25 or 2026-11-25 14:30.")


def words_of(text: str) -> str:
    """A query for all words of a text, "" without any: whole words, the last one from its beginning.

    A beginning means every word that has it, so one is enough, and not one of a letter or two.
    """
    *whole, last = re.findall(r"[^\W_]+", text) or [""]
    return " & ".join([*whole, f"{last}:*" if len(last) > 2 else last]) if last else ""


class Words(forms.CharField):
    """Words to search for, as a query of Postgres."""

    def clean(self, value: Any) -> str:
        text = super().clean(value)
        query = words_of(text)
        if text and not query:
            raise ValidationError("Type at least one letter or digit.")
        return query


def _suggest(name: str, placeholder: str) -> forms.TextInput:
    return forms.TextInput(attrs={"list": f"{name}-known", "placeholder": placeholder, "autocomplete": "off"})


class AuditFilter(forms.Form):
    """Every field narrows; all of them are in the address."""

    text = Words(
        required=False,
        max_length=200,
        label="Words",
        widget=forms.TextInput(attrs={"type": "search", "data-filter": ""}),
    )
    who = forms.CharField(required=False, max_length=150, label="Who")
    action = forms.CharField(required=False, max_length=80, label="What", widget=_suggest("action", "change.*"))
    environment = forms.CharField(
        required=False, max_length=60, label="Environment", widget=_suggest("environment", "any")
    )
    since = Moment(label="From (UTC)")
    until = Moment(label="To (UTC)", ends=True)
    target = forms.CharField(
        required=False,
        max_length=200,
        label="On what",
        widget=forms.TextInput(attrs={"placeholder": "its name, or change:12"}),
    )
    address = forms.CharField(required=False, max_length=45, label="From address")
    session = forms.CharField(required=False, max_length=12, label="In session")

    def clean(self) -> dict[str, Any]:
        data: dict[str, Any] = super().clean() or {}
        target = data.get("target", "")
        if target and not words_of(target):
            self.add_error("target", "Type at least one letter or digit.")
        if data.get("since") and data.get("until") and data["since"] > data["until"]:
            self.add_error("until", "This moment is before the first one.")
        return data

    def asked(self) -> dict[str, str]:
        """What was typed, by name; nothing that was left empty."""
        return {name: str(self.data[name])[:200] for name in self.fields if self.data.get(name)}

    def usual(self) -> list[forms.BoundField]:
        return [self[name] for name in self.fields if name not in RARER]

    def rarer(self) -> list[forms.BoundField]:
        return [self[name] for name in RARER]

    def has_rarer(self) -> bool:
        return any(self.data.get(name) for name in RARER)
