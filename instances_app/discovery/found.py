"""What a source tells of, and how it becomes fit to be shown and registered. Everything in it is untrusted."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from console.errors import Refused
from instances_app import registry
from instances_app.client.replies import NOT_STORABLE, printable
from instances_app.client.wire import BASE_URL

MOST = 10_000  # entries in one answer
MOST_LABELS = 20
ODD = re.compile(r"[^\w.:@-]+")
LABEL_KEY = re.compile(r"\A[A-Za-z][\w.-]{0,39}\Z")
ODD_IN_LABEL = re.compile(r"[^\w.:/ -]")
LOGIN = re.compile(r"//[^/?#]*@")


class SourceError(Exception):
    """No answer that can be used. The text is for the person: what is wrong, and what to do."""


@dataclass(frozen=True, slots=True)
class Found:
    """One service, as the source told it."""

    base_url: str
    name: str = ""  # empty: named after its address
    labels: Mapping[str, Any] = field(default_factory=dict)


class Told(list[Found]):
    """An answer of a source that can be waited at: `at` is where it stood, and goes with the next question."""

    at = 0


@dataclass(frozen=True, slots=True)
class Fit:
    """The same, cleaned. With a reason it cannot be an instance, and the address is only what was told, for people."""

    base_url: str
    name: str
    labels: dict[str, str]
    reason: str = ""


def clean(told: Iterable[Found]) -> list[Fit]:
    """Each address once, the first of its entries; raises SourceError for more than MOST."""
    fit: dict[str, Fit] = {}
    for number, one in enumerate(told):
        if number >= MOST:
            raise SourceError(
                f"It tells of more than {MOST:,} services. Narrow it down, or make several sources of it."
            )
        entry = _clean(one)
        fit.setdefault(entry.base_url, entry)
    return list(fit.values())


def unique(name: str, taken: set[str]) -> str:
    """This name, or with a number behind it; it is taken from then on."""
    chosen, number = name, 2
    while chosen in taken:
        chosen, number = f"{name[:74]}-{number}", number + 1
    taken.add(chosen)
    return chosen


def _clean(one: Found) -> Fit:
    labels = _labels(one.labels)
    try:
        base_url = registry.clean_base_url(one.base_url)
        if len(base_url) > 300 or not base_url.isprintable() or not BASE_URL.fullmatch(base_url):
            raise Refused("The address has more than 300 characters, or some that no address has.")
    except Refused as refusal:
        return Fit(_shown(one.base_url), _name(one.name) or "unnamed", labels, printable(refusal))
    return Fit(base_url, _name(one.name) or _name(urlsplit(base_url).netloc) or "unnamed", labels)


def _name(text: str) -> str:
    return ODD.sub("-", text[:200]).strip("-")[:80]


def _labels(told: Mapping[str, Any]) -> dict[str, str]:
    """Labels as people could type them; what cannot be one is left out."""
    good = {}
    for key, value in told.items():
        if LABEL_KEY.match(str(key)) and isinstance(value, (str, int, float)):
            good[str(key)] = ODD_IN_LABEL.sub("-", str(value).strip())[:80]
        if len(good) == MOST_LABELS:
            break
    return good


def _shown(text: str) -> str:
    """An address that is none, without the parts that may hold a secret."""
    text = NOT_STORABLE.sub("\ufffd", text[:1000])
    shown = re.split(r"[?#]", LOGIN.sub("//…@", printable(text)), maxsplit=1)[0]
    return shown[:300] or "(nothing)"
