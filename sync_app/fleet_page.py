"""What the fleet page shows: counters that are filters, one page of rows, and what of it has changed.

The address holds all of it: ?config= and ?health= (a word), ?maintenance=yes, ?q= (in name, address and labels),
?label= (key=value, any number of them), ?after= or ?before= (a name: the page that begins behind it, or ends before
it), and which columns there are (`columns`).
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
from sync_app import drift, fleet, heartbeat, rollouts
from sync_app.columns import OFFERED, Columns
from sync_app.fleet import CONFIG_WORDS, HEALTH_WORDS, Glances, Row
from sync_app.seen import Seen

SHOWN = 100  # rows on a page
KEYS = 20  # of labels that are offered as columns
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
    maintenance: str = ""  # "yes": only those in maintenance

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
            "yes" if asked.get("maintenance") == "yes" else "",
        )

    def __bool__(self) -> bool:
        return bool(self.config or self.health or self.text or self.labels or self.maintenance)

    def words(self) -> dict[str, Any]:
        """What is asked, for the audit trail."""
        asked = {"config": self.config, "health": self.health, "text": self.text, "labels": list(self.labels)}
        asked["maintenance"] = self.maintenance
        return {name: value for name, value in asked.items() if value}

    @property
    def query(self) -> str:
        """As it stands in the address."""
        asked = {"config": self.config, "health": self.health, "q": self.text, "label": self.labels}
        asked["maintenance"] = self.maintenance
        return urlencode({name: value for name, value in asked.items() if value}, doseq=True)

    def by_text(self, glances: Glances) -> Glances:
        """By text, labels and maintenance only: what the counters of words count."""
        if self.text:
            glances = glances.filter(text__contains=Lower(Value(self.text)))
        for label in self.labels:
            glances = glances.filter(text__contains=Lower(Value(f"\n{label}\n")))
        return in_maintenance(glances) if self.maintenance else glances

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
    wanted, columns = Filter.of(asked), Columns.of(asked)
    bundle = documents.desired(environment)
    drifting = drift.told(bundle)
    glances = wanted.by_text(fleet.glances(environment, bundle, drifting=drifting))
    counted = list(glances.values_list("config", "health_word").annotate(n=Count("pk")).order_by())
    matching = wanted.by_words(glances)
    found = page(matching, bundle, columns, after=_name(asked, "after"), before=_name(asked, "before"))
    number = sum(n for config, health, n in counted if _in(config, wanted.config) and _in(health, wanted.health))
    return {
        "environment": environment,
        "may": access.verbs(user, environment),
        "bundle": bundle,
        "asked": wanted,
        "columns": columns,
        "offered": OFFERED,
        "cells": columns.all,
        "beside": frozenset(columns.shown),
        "query": "&".join(filter(None, (wanted.query, columns.query))),
        "label_keys": sorted({key for row in found.rows for key in row.instance.labels} - set(columns.labels))[:KEYS],
        "maintained": number if wanted.maintenance else _maintained(environment, matching),
        "labels": [(label, _address(asked, wanted.labels, without=label)) for label in wanted.labels],
        "with_label": f"{_address(asked, wanted.labels)}&label=",
        "page": found,
        "seen": Seen(_marks(found.rows, columns)),
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
        "drift_count": sum(drifting.values()),  # the number in the navigation, without asking once more
        "any": bool(counted) or environment.instances.active().exists(),
        "running": rollouts.going(environment),
        "heartbeat": heartbeat.of(environment),
        "now": timezone.now(),
    }


def in_maintenance(glances: Glances) -> Glances:
    """Found by an index of those few, whatever the size of the fleet."""
    return glances.filter(pk__in=Instance.objects.in_maintenance().values("pk"))


def _maintained(environment: Environment, glances: Glances) -> int:
    """Usually none, and then nothing else is asked; a few are looked up one by one, not found among all."""
    few = list(environment.instances.active().in_maintenance().values_list("pk", flat=True))
    return glances.filter(pk__in=few).count() if few else 0


def page(glances: Glances, bundle: Bundle | None, columns: Columns, *, after: str = "", before: str = "") -> Page:
    """The first instances behind that name, or the last ones before it: whatever the number, one step in an index."""
    if before and not after:
        found = list(glances.filter(name__lt=before).order_by("-name")[: SHOWN + 1])
        more, found = len(found) > SHOWN, found[:SHOWN][::-1]
        rows = _rows(found, bundle, columns)
        return Page(rows, before=found[0].name if more else None, after=found[-1].name if found else None)
    found = list((glances.filter(name__gt=after) if after else glances).order_by("name")[: SHOWN + 1])
    more, found = len(found) > SHOWN, found[:SHOWN]
    first = found[0].name if after and found else None
    return Page(_rows(found, bundle, columns), before=first, after=found[-1].name if more else None)


def chosen(environment: Environment, sent: QueryDict) -> set[int]:
    """The instances that a form names: with `all` every one that its filter lets through, else those ticked
    (`instance`) or carried on from the page before (`ids`). They may be of other environments, or none.
    """
    if sent.get("all") == "yes":
        return set(Filter.of(sent).matching(environment, documents.desired(environment)).values_list("pk", flat=True))
    numbers = map(whole, [*sent.getlist("instance"), *sent.get("ids", "").split(",")])
    return {number for number in numbers if number is not None}


def _rows(found: list[Any], bundle: Bundle | None, columns: Columns) -> list[Row]:
    twins = (
        Instance.objects.active().filter(identity=OuterRef("identity")).exclude(identity="").exclude(pk=OuterRef("pk"))
    )
    few = Instance.objects.defer("token_sealed", "info")
    few = few.annotate(draining=F("info__draining"), twin=Exists(twins), **columns.needed())
    instances = few.in_bulk([glance.pk for glance in found])
    columns.fill(instances.values())
    for one in instances.values():
        setattr(one, "tags", columns.tags(one))  # noqa: B010 - an annotation, as `draining` is
    in_order = {glance.pk: instances[glance.pk] for glance in found if glance.pk in instances}
    return fleet.rows_of(found, in_order, bundle)


def _marks(rows: list[Row], columns: Columns) -> dict[str, tuple[object, ...]]:
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
            (row.instance.in_maintenance, row.instance.maintenance_reason, row.instance.maintenance_until),
            getattr(row.instance, "draining", None),
            *(getattr(row.instance, name, None) for name in ("agent", "abilities")),
            row.instance.latency_ms if "latency" in columns else None,
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
