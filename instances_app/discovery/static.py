"""A list that a person types: addresses, and ranges of them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from itertools import product
from typing import Any

from django import forms

from instances_app.discovery.found import MOST, Found, SourceError

TITLE = "List"
ABOUT = "Addresses that you type, with ranges: for fleets whose hosts are numbered."
SECRET = ""
RANGE = re.compile(r"\[(\d{1,6})-(\d{1,6})\]")


class Settings(forms.Form):
    addresses = forms.CharField(
        max_length=500_000,
        widget=forms.Textarea(attrs={"rows": 8, "spellcheck": "false"}),
        help_text="One a line; a name and labels may follow. [01-12] stands for 01, 02 and so on. "
        "Example: http://hook-[01-12].example:8000 region=eu",
    )

    def clean_addresses(self) -> str:
        text: str = self.cleaned_data["addresses"]
        try:
            for number, _ in enumerate(lines(text)):
                if number >= MOST:
                    raise SourceError(f"These are more than {MOST:,} addresses. Make several sources of them.")
        except SourceError as error:
            raise forms.ValidationError(str(error)) from None
        return text


def find(settings: dict[str, Any], *, secret: str) -> Iterable[Found]:
    return lines(settings["addresses"])


def lines(text: str) -> Iterator[Found]:
    """``address [name] [key=value …]`` a line; empty lines and those that begin with # say nothing."""
    for number, line in enumerate(text.splitlines(), start=1):
        address, *words = line.split() or ["#"]
        if address.startswith("#"):
            continue
        pairs = [word.partition("=") for word in words]
        labels = {key: value for key, equals, value in pairs if equals}
        names = [key for key, equals, _ in pairs if not equals]
        if len(names) > 1:
            raise SourceError(f"Line {number}: an address, then at most one name, then key=value. Correct the line.")
        addresses = list(expand(address, number=number))
        for one in addresses:
            yield Found(one, names[0] if names and len(addresses) == 1 else "", labels)


def expand(text: str, *, number: int) -> Iterator[str]:
    """``a[08-10]`` as a08, a09, a10; several ranges as all their combinations. `number` is of the line, for errors."""
    parts = RANGE.split(text)
    ranges = []
    total = 1
    for first, last in zip(parts[1::3], parts[2::3], strict=True):
        count = int(last) - int(first) + 1
        total *= max(count, 1)
        if count < 1 or total > MOST:
            raise SourceError(f"Line {number}: [{first}-{last}] counts down, or makes more than {MOST:,} addresses.")
        ranges.append([str(value).zfill(len(first)) for value in range(int(first), int(last) + 1)])
    for chosen in product(*ranges):
        yield "".join(fixed + value for fixed, value in zip(parts[::3], [*chosen, ""], strict=True))
