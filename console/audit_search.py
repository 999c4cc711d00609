"""Finding events among millions: filters, who may see what, and pages by sequence number.

Every query ends after a page's worth of steps along one index (or a few, for people who do not see everything), so that
a page costs the same however long the trail is.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db.models import F, Func, Q, QuerySet, TextField, Value
from django.db.models.expressions import RawSQL
from django.db.models.functions import Lower

from console.forms import words_of
from console.models import AuditEvent

PAGE_SIZE = 50
NEAR = 5000  # events in which words are looked for one by one, before the index of words is asked
BATCH = 2000  # events of an export that are read at once

Events = QuerySet[AuditEvent]


@dataclass(frozen=True, slots=True)
class Sight:
    """What somebody may see: everything, or what happened in these environments and what they did themselves."""

    person: int
    everything: bool
    environments: tuple[str, ...] = ()

    def of(self, events: Events) -> Events:
        """For events that something else already narrows to a few; `_visible` is for the others."""
        if self.everything:
            return events
        return events.filter(Q(environment__in=self.environments) | self.own)

    @property
    def own(self) -> Q:
        """But not that something was hidden from them: it would tell them that it is there."""
        return Q(actor_id=self.person) & ~Q(action="access.hidden")


@dataclass(frozen=True, slots=True)
class Page:
    """Newest first. `newer` and `older` are where the pages beside it begin, None where there is none."""

    events: list[AuditEvent]
    newer: int | None
    older: int | None


@dataclass(frozen=True, slots=True)
class Search:
    """What a filter lets through: of `events`, which an index leads to, those with all `words` (a query of Postgres, or
    "" for any) on a thing whose name has `label` in it."""

    events: Events
    words: str = ""
    label: str = ""

    def found(self, *, by_index: bool) -> Events:
        """With the words. Not `by_index`: each event is looked at, in whatever order the rest of the query goes."""
        if not self.words:
            return self.events
        having = "console_auditevent.words @@ to_tsquery('simple', %s)"
        where = having if by_index else f"({having}) IS TRUE"
        named = self.events.filter(target_label__icontains=self.label) if self.label else self.events
        return named.extra(where=[where], params=[self.words])  # noqa: S610 - both are written here


def narrow(asked: dict[str, Any]) -> Search:
    """What to look for, from the cleaned data of AuditFilter."""
    words, label = [asked["text"]], ""
    events = AuditEvent.objects.all()
    if asked["who"]:
        events = events.alias(who=Lower("actor_name")).filter(who=Lower(Value(asked["who"])))
    if asked["action"]:
        events = _of_action(events, asked["action"])
    if asked["environment"]:
        events = events.filter(environment=asked["environment"])
    if asked["target"]:
        kind, colon, number = asked["target"].strip().partition(":")
        if colon and kind.isalpha():
            events = events.filter(target_type=kind.lower(), target_id=number.strip())
        else:
            label = asked["target"].strip()
            words.append(words_of(label))
    if asked["address"]:
        events = events.filter(address=asked["address"])
    if asked["session"]:
        events = events.filter(session=asked["session"])
    if asked["since"]:
        first = AuditEvent.objects.filter(at__gte=asked["since"]).order_by("at", "sequence")
        events = _from(events, first.values_list("sequence", flat=True).first())
    if asked["until"]:
        events = events.filter(sequence__lte=last_until(asked["until"]))
    return Search(events, " & ".join(query for query in words if query), label)


def last_until(moment: datetime) -> int:
    """The sequence of the last event up to that moment; 0 where there is none.

    Moments become sequence numbers first: the database's clock and the chain go the same way, and a page then needs
    one order only. Should that clock ever be put back, what happened meanwhile stands where the chain has it.
    """
    last = AuditEvent.objects.filter(at__lte=moment).order_by("-at", "-sequence").values_list("sequence", flat=True)
    return last.first() or 0


def page(search: Search, sight: Sight, *, before: int | None = None, after: int | None = None) -> Page:
    """The newest events; with `before` the newest that are older than that one, with `after` the oldest newer ones."""
    first = _first_with_words if search.words else _first
    if after is not None:
        found = first(search, sight, Q(sequence__gt=after), newest_first=False)
        more, found = len(found) > PAGE_SIZE, found[:PAGE_SIZE][::-1]
        return Page(found, newer=found[0].sequence if more else None, older=found[-1].sequence if found else after + 1)
    found = first(search, sight, Q() if before is None else Q(sequence__lt=before), newest_first=True)
    more, found = len(found) > PAGE_SIZE, found[:PAGE_SIZE]
    newer = None if before is None else (found[0].sequence if found else before - 1)
    return Page(found, newer=newer, older=found[-1].sequence if more else None)


def batches(search: Search, sight: Sight, *, until: int) -> Iterator[list[AuditEvent]]:
    """All of them up to that sequence, oldest first, in lists; nothing is held open from one to the next."""
    last = 0
    events = search.found(by_index=False).filter(sequence__lte=until)
    while True:
        found = list(_visible(events.filter(sequence__gt=last), sight, newest_first=False, limit=BATCH))
        if found:
            yield found
            last = found[-1].sequence
        if len(found) < BATCH:
            return


def _first(search: Search, sight: Sight, there: Q, *, newest_first: bool) -> list[AuditEvent]:
    """A page's worth, and one more, of the events `there`."""
    return list(_visible(search.events.filter(there), sight, newest_first=newest_first, limit=PAGE_SIZE + 1))


def _first_with_words(search: Search, sight: Sight, there: Q, *, newest_first: bool) -> list[AuditEvent]:
    """A frequent word fills the page from the nearest events; for a rare one the index of words is asked.

    Postgres cannot know which it is (of beginnings it has no statistics), and guessing wrong costs seconds: a rare word
    looked for event by event, or every event with a frequent one fetched and sorted.
    """
    order, direction = ("-sequence", "DESC") if newest_first else ("sequence", "ASC")
    visible = _visible(search.events.filter(there), sight, newest_first=newest_first, limit=NEAR)
    near = list(visible.values_list("sequence", flat=True))
    among = search.found(by_index=False).extra(where=["console_auditevent.sequence = ANY(%s)"], params=[near])
    found = list(among.order_by(order)[: PAGE_SIZE + 1])
    if len(found) > PAGE_SIZE or len(near) < NEAR:
        return found
    # OFFSET 0 keeps the order and the limit out of the inner query, which is planned by its conditions alone.
    events = sight.of(search.found(by_index=True).filter(there))
    sql, parameters = events.order_by().values("sequence").query.sql_with_params()
    rare = RawSQL(  # noqa: S611 - of Django's own statement; every value is a parameter
        f"SELECT found.sequence FROM ({sql} OFFSET 0) AS found ORDER BY found.sequence {direction} LIMIT %s",
        [*parameters, PAGE_SIZE + 1],
    )
    return list(AuditEvent.objects.filter(sequence__in=rare).order_by(order))


def _visible(events: Events, sight: Sight, *, newest_first: bool, limit: int) -> Events:
    """The first of those that may be seen.

    "In one of my environments, or mine" as a condition would spoil every index. So each environment, and the person,
    gives its own first ones, each along its index, and the first of all those are taken.
    """
    order = "-sequence" if newest_first else "sequence"
    if sight.everything:
        return events.order_by(order)[:limit]
    one = events.extra(where=["console_auditevent.environment = visible.name"]).order_by(order)
    own = events.filter(sight.own).order_by(order)
    one_sql, one_parameters = one.values("sequence")[:limit].query.sql_with_params()
    own_sql, own_parameters = own.values("sequence")[:limit].query.sql_with_params()
    found = RawSQL(  # noqa: S611 - of Django's own statements; every value is a parameter
        f"SELECT found.sequence FROM unnest(%s::text[]) AS visible (name) CROSS JOIN LATERAL ({one_sql}) AS found"
        f" UNION SELECT own.sequence FROM ({own_sql}) AS own",
        [list(sight.environments), *one_parameters, *own_parameters],
    )
    return AuditEvent.objects.filter(sequence__in=found).order_by(order)[:limit]


def _of_action(events: Events, typed: str) -> Events:
    """`change.approved` is one action; `change.*`, `change.` and `change` are all of that family."""
    family, _, rest = typed.strip().lower().partition(".")
    if rest and rest != "*":
        return events.filter(action=f"{family}.{rest}")
    of_family = Func(F("action"), Value("."), Value(1), function="split_part", output_field=TextField())
    return events.alias(family=of_family).filter(family=family)


def _from(events: Events, first: int | None) -> Events:
    return events.filter(sequence__gte=first) if first is not None else events.none()
