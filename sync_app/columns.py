"""Which columns the fleet page shows beside the name: ?column= (any of OFFERED) and ?label_column= (a label's key).

Without either it is DEFAULT. What is a column of its own does not stand under the name as well.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Self
from urllib.parse import quote, urlencode

from django.db.models import F
from django.http import QueryDict

from instances_app.client.replies import printable
from instances_app.models import Instance

OFFERED = {
    "config": "Config",
    "health": "Health",
    "delivery": "Last delivery",
    "address": "Address",
    "agent": "Agent",
    "abilities": "Can",
    "maintenance": "Maintenance",
    "latency": "Answers in",
}
DEFAULT = ("config", "health", "delivery")
MOST_LABELS, LONGEST_KEY = 5, 64
MANY = 4  # columns that fit without scrolling
FROM_INFO = {"agent": F("info__agent_version"), "abilities": F("info__capabilities")}
LONGEST_VERSION, MOST_ABILITIES = 40, 20


@dataclass(frozen=True, slots=True)
class Column:
    name: str  # of OFFERED, or "label"
    title: str
    key: str = ""  # of a label


@dataclass(frozen=True, slots=True)
class Columns:
    """What somebody chose; nothing: DEFAULT."""

    names: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()

    @classmethod
    def of(cls, asked: QueryDict) -> Self:
        """Only known ones, and a bounded number of labels: anybody may send anything."""
        names = tuple(name for name in OFFERED if name in asked.getlist("column"))
        keys = (key.replace("\0", "").strip()[:LONGEST_KEY] for key in asked.getlist("label_column"))
        labels = tuple(dict.fromkeys(filter(None, keys)))[:MOST_LABELS]
        return cls(() if names == DEFAULT and not labels else names, labels)

    def __contains__(self, name: str) -> bool:
        return name in self.shown

    @property
    def shown(self) -> tuple[str, ...]:
        return self.names or (() if self.labels else DEFAULT)

    @property
    def all(self) -> list[Column]:
        found = [Column(name, OFFERED[name]) for name in self.shown]
        return found + [Column("label", key, key) for key in self.labels]

    @property
    def many(self) -> bool:
        return len(self.all) > MANY

    @property
    def width(self) -> int:
        """Cells of a row: the box, the name, and these."""
        return len(self.all) + 2

    @property
    def query(self) -> str:
        """As it stands in the address; empty for DEFAULT."""
        return urlencode({"column": self.names, "label_column": self.labels}, doseq=True)

    def needed(self) -> dict[str, F]:
        """What has to be read of instance-info, which is large otherwise."""
        return {f"told_{name}": told for name, told in FROM_INFO.items() if name in self}

    def tags(self, instance: Instance) -> list[tuple[str, str, str]]:
        """The labels that stand under the name: what is before each, the label, and how it ends an address.

        Made here, for a hundred rows: a template takes twice as long for it.
        """
        gap = "" if "address" in self else " · "
        found = []
        for key, value in instance.labels.items():
            if key not in self.labels:
                found.append((gap, f"{key}={value}", f"{quote(key, safe='')}%3D{quote(value, safe='')}"))
                gap = " · "
        return found

    def fill(self, instances: Iterable[Instance]) -> None:
        """Clean what was read for `needed`: instances wrote it. `agent` is a text then, `abilities` a list of them."""
        for one in instances:
            for name in FROM_INFO:
                if name in self:
                    setattr(one, name, _clean(name, getattr(one, f"told_{name}", None)))


def _clean(name: str, told: Any) -> Any:
    if name == "agent":
        return printable(told, LONGEST_VERSION) if isinstance(told, str) else ""
    listed = told[:MOST_ABILITIES] if isinstance(told, list) else []
    return [printable(word, LONGEST_VERSION) for word in listed if isinstance(word, str)]
