"""What the fleet page shows: counters that are filters, one page of rows, and what of it has changed.

The address holds all of it: ?config= and ?health= (a word), ?q= (in name, address and labels), ?label= (key=value, any
number of them), ?after= or ?before= (a name: the page that begins behind it, or ends before it).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Self
from urllib.parse import urlencode

from django.db.models import Count, Exists, F, OuterRef, Value
from django.db.models.functions import Lower
from django.http import QueryDict
from django.utils import timezone

from configs_app import documents
from configs_app.models import Bundle
from console import access
from console.http import whole
from console.models import User
from instances_app.models import Environment, Instance
from sync_app import fleet, heartbeat, rollouts
from sync_app.fleet import CONFIG_WORDS, HEALTH_WORDS, Glances, Row
from sync_app.seen import Seen

SHOWN = 100  # rows on a page
# Of a filter; an export keeps it in the audit trail for ever, whoever asks.
LONGEST_TEXT = 200
MOST_LABELS, LONGEST_LABEL = 20, 130


@dataclass(frozen=True, slots=True)
class Filter:
    """Which instances somebody asks for."""

    config: str = ""
    health: str = ""
    text: str = ""
    labels: tuple[str, ...] = ()

    @classmethod
    def of(cls, asked: QueryDict) -> Self:
        """Bounded, and only with known words: anybody may send anything. Postgres keeps no NUL, so nothing is called
        like that: it is taken out of what is asked.
        """
        config, health, text = (asked.get(name, "").replace("\0", "").strip() for name in ("config", "health", "q"))
        labels = {label.replace("\0", "").strip()[:LONGEST_LABEL] for label in asked.getlist("label")}
        return cls(
            config if config in CONFIG_WORDS else "",
            health if health in HEALTH_WORDS else "",
            text[:LONGEST_TEXT],
            tuple(sorted(labels - {""})[:MOST_LABELS]),
        )

    def __bool__(self) -> bool:
        return bool(self.config or self.health or self.text or self.labels)

    def words(self) -> dict[str, Any]:
        """What is asked, for the audit trail."""
        asked = {"config": self.config, "health": self.health, "text": self.text, "labels": list(self.labels)}
        return {name: value for name, value in asked.items() if value}

    @property
    def query(self) -> str:
        """As it stands in the address."""
        asked = {"config": self.config, "health": self.health, "q": self.text, "label": self.labels}
        return urlencode({name: value for name, value in asked.items() if value}, doseq=True)

    def by_text(self, glances: Glances) -> Glances:
        """By text and labels only: what the counters count."""
        if self.text:
            glances = glances.filter(text__contains=Lower(Value(self.text)))
        for label in self.labels:
            glances = glances.filter(text__contains=Lower(Value(f"\n{label}\n")))
        return glances

    def by_words(self, glances: Glances) -> Glances:
        if self.config:
            glances = glances.filter(config=self.config)
        return glances.filter(health_word=self.health) if self.health else glances

    def matching(self, environment: Environment, bundle: Bundle | None) -> Glances:
        """All that it lets through."""
        return self.by_words(self.by_text(fleet.glances(environment, bundle)))


@dataclass(frozen=True, slots=True)
class Page:
    """By name. `before` and `after` are where the pages beside it are, None where there is none."""

    rows: list[Row]
    before: str | None
    after: str | None


def context(environment: Environment, user: User, asked: QueryDict) -> dict[str, Any]:
    """Everything on the page, in a fixed number of queries."""
    wanted = Filter.of(asked)
    bundle = documents.desired(environment)
    glances = wanted.by_text(fleet.glances(environment, bundle))
    counted = list(glances.values_list("config", "health_word").annotate(n=Count("pk")).order_by())
    found = page(wanted.by_words(glances), bundle, after=_name(asked, "after"), before=_name(asked, "before"))
    number = sum(n for config, health, n in counted if _in(config, wanted.config) and _in(health, wanted.health))
    return {
        "environment": environment,
        "may": access.verbs(user, environment),
        "bundle": bundle,
        "asked": wanted,
        "labels": [(label, _address(asked, wanted.labels, without=label)) for label in wanted.labels],
        "with_label": f"{_address(asked, wanted.labels)}&label=",
        "page": found,
        "seen": Seen(_marks(found.rows)),
        "number": number,
        "total": sum(n for _, health, n in counted if _in(health, wanted.health)),
        "counts": {
            word: sum(n for config, health, n in counted if config == word and _in(health, wanted.health))
            for word in CONFIG_WORDS
        },
        "healths": {
            word.value: sum(n for config, health, n in counted if health == word and _in(config, wanted.config))
            for word in HEALTH_WORDS
        },
        "any": bool(counted) or environment.instances.active().exists(),
        "running": rollouts.going(environment),
        "heartbeat": heartbeat.of(environment),
        "now": timezone.now(),
    }


def page(glances: Glances, bundle: Bundle | None, *, after: str = "", before: str = "") -> Page:
    """The first instances behind that name, or the last ones before it: whatever the number, one step in an index."""
    if before and not after:
        found = list(glances.filter(name__lt=before).order_by("-name")[: SHOWN + 1])
        more, found = len(found) > SHOWN, found[:SHOWN][::-1]
        rows = _rows(found, bundle)
        return Page(rows, before=found[0].name if more else None, after=found[-1].name if found else None)
    found = list((glances.filter(name__gt=after) if after else glances).order_by("name")[: SHOWN + 1])
    more, found = len(found) > SHOWN, found[:SHOWN]
    first = found[0].name if after and found else None
    return Page(_rows(found, bundle), before=first, after=found[-1].name if more else None)


def chosen(environment: Environment, sent: QueryDict) -> set[int]:
    """The instances that a form names: with `all` every one that its filter lets through, else those ticked
    (`instance`) or carried on from the page before (`ids`). They may be of other environments, or none.
    """
    if sent.get("all") == "yes":
        return set(Filter.of(sent).matching(environment, documents.desired(environment)).values_list("pk", flat=True))
    numbers = map(whole, [*sent.getlist("instance"), *sent.get("ids", "").split(",")])
    return {number for number in numbers if number is not None}


def _rows(found: list[Any], bundle: Bundle | None) -> list[Row]:
    twins = (
        Instance.objects.active().filter(identity=OuterRef("identity")).exclude(identity="").exclude(pk=OuterRef("pk"))
    )
    few = Instance.objects.defer("token_sealed", "info")
    few = few.annotate(draining=F("info__draining"), twin=Exists(twins))
    instances = few.in_bulk([glance.pk for glance in found])
    in_order = {glance.pk: instances[glance.pk] for glance in found if glance.pk in instances}
    return fleet.rows_of(found, in_order, bundle)


def _marks(rows: list[Row]) -> dict[str, tuple[object, ...]]:
    """The id of each row on the page → everything it shows."""
    return {
        row.key: (
            row.instance.name,
            row.instance.base_url,
            row.instance.labels,
            row.config,
            row.config_at,
            row.differs,
            row.health,
            row.instance.health_at,
            row.instance.health_detail,
            row.instance.token_refused_at,
            row.instance.stranger,
            getattr(row.instance, "twin", None),
            row.instance.in_maintenance,
            getattr(row.instance, "draining", None),
            (row.delivery.pk, row.delivery.state, row.delivery.changed_at) if row.delivery else None,
        )
        for row in rows
    }


def _address(asked: QueryDict, labels: Iterable[str], *, without: str = "") -> str:
    """The query of this page's first part, with these labels but one."""
    kept = asked.copy()
    for name in ("after", "before", "seen"):
        kept.pop(name, None)
    kept.setlist("label", [label for label in labels if label != without])
    return kept.urlencode()


def _in(word: str, asked: str) -> bool:
    return not asked or word == asked


def _name(asked: QueryDict, key: str) -> str:
    return asked.get(key, "").replace("\0", "")
