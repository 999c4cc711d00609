"""What pages show of a rotation of tokens: first in words, what comes next, what is wrong with whom, then all."""

from __future__ import annotations

from collections import Counter
from typing import Any

from django.contrib.postgres.aggregates import ArrayAgg
from django.db.models import Case, Count, Min, QuerySet, Value, When
from django.http import QueryDict

from console import access
from console.models import User
from instances_app import exchanges
from instances_app import rotation as rotations
from instances_app.models import Environment, Exchange, ExchangeState, Rotation
from instances_app.rotation_models import GOING
from sync_app import progress, rotation_turn
from sync_app.progress import NAMED, SHOWN, Group

GROUPS = 20
EARLIER = 10
ORDER = (  # what needs a person first
    ExchangeState.FAILED,
    ExchangeState.BY_HAND,
    ExchangeState.GIVEN_UP,
    ExchangeState.UNKNOWN,
    ExchangeState.GIVING,
    ExchangeState.GIVEN,
    ExchangeState.DROPPING,
    ExchangeState.PROVEN,
    ExchangeState.WAITING,
    ExchangeState.STOPPED,
    ExchangeState.DROPPED,
)
TROUBLE = (ExchangeState.FAILED, ExchangeState.BY_HAND, ExchangeState.GIVEN_UP, ExchangeState.UNKNOWN)
RANK = Case(*(When(state=state, then=Value(rank)) for rank, state in enumerate(ORDER)), default=Value(len(ORDER)))
WORDS = {  # of one, of several
    ExchangeState.DROPPED: ("has only its new token", "have only their new token"),
    ExchangeState.PROVEN: (
        "uses the new one, and still takes the old one",
        "use the new one, and still take the old one",
    ),
    ExchangeState.DROPPING: ("has the old one dropped just now", "have the old one dropped just now"),
    ExchangeState.GIVING: ("is being given one just now", "are being given one just now"),
    ExchangeState.GIVEN: ("was given one that is to be proven", "were given one that is to be proven"),
    ExchangeState.WAITING: ("waits", "wait"),
    ExchangeState.UNKNOWN: ("unknown", "unknown"),
    ExchangeState.BY_HAND: ("by hand", "by hand"),
    ExchangeState.FAILED: ("failed", "failed"),
    ExchangeState.GIVEN_UP: ("given up", "given up"),
    ExchangeState.STOPPED: ("not begun with", "not begun with"),
}


def page(rotation: Rotation, user: User, asked: QueryDict) -> dict[str, Any]:
    """One rotation with its exchanges; `asked` may narrow them: ?state=, ?page=."""
    counts = rotations.counts(rotation)
    state = asked.get("state", "")
    state = state if state in counts else ""
    number = counts[state] if state else counts.total()
    shown, pages, part = progress.window(asked, number)
    rows = rotation.exchanges.select_related("instance").defer(
        "instance__token_sealed", "instance__info", "token_old_sealed", "token_next_sealed"
    )
    rows = rows.filter(state=state) if state else rows
    again, rest = ("", 0) if rotation.is_going else _again(rotation)
    return {
        "rotation": rotation,
        "topic": rotations.topic(rotation),
        "environment": rotation.environment,
        "may": access.verbs(user, rotation.environment),
        "counts": dict(counts),
        "total": counts.total(),
        "words": in_words(counts),
        "next": what_next(rotation, counts),
        "groups": _groups(rotation),
        "by_hand": counts[ExchangeState.BY_HAND],
        "again": again,
        "again_first": SHOWN if rest > SHOWN else 0,
        "rest": rest,
        "chips": {word.value: counts[word] for word in ORDER if word in counts},
        "state": state,
        "exchanges": rows.order_by(RANK, "instance__name")[part],
        "page": shown,
        "pages": pages,
        "earlier": rotation.environment.rotations.exclude(pk=rotation.pk).order_by("-number")[:EARLIER],
    }


def in_words(counts: Counter[str]) -> str:
    """180 of 200 have only their new token · 12 use the new one, and still take the old one · 8 by hand"""
    done = (
        f"{counts[ExchangeState.DROPPED]:,} of {counts.total():,} {WORDS[ExchangeState.DROPPED][counts.total() != 1]}"
    )
    rest = dict.fromkeys(state for state in (*TROUBLE, *ORDER) if counts[state] and state != ExchangeState.DROPPED)
    return " · ".join([done, *(f"{counts[state]:,} {WORDS[state][counts[state] != 1]}" for state in rest)])


def what_next(rotation: Rotation, counts: Counter[str]) -> list[str]:
    """What happens by itself, and what a person can do; a sentence each."""
    found = []
    if rotation.is_going:
        found.append("It goes on by itself, also when this page is closed.")
    if rotation.state == "stopping":
        found.append("Nobody else is begun with; those that were given a token come to the end, so nobody keeps two.")
    if counts[ExchangeState.PROVEN]:
        found.append(_dropping(rotation))
    if counts[ExchangeState.UNKNOWN]:
        found.append(
            "Where it is unknown, both tokens are asked with again, for ten minutes; one of them opens all the while."
        )
    if counts[ExchangeState.FAILED] and not rotation.is_going:
        found.append(
            "Of those that failed, each says which token is in use. Correct what it names and rotate them again."
        )
    return found


def newest(environment: Environment) -> Rotation | None:
    """The one that is going, for the fleet page."""
    return environment.rotations.filter(state__in=GOING).first()


def _dropping(rotation: Rotation) -> str:
    proven = rotation.exchanges.filter(state=ExchangeState.PROVEN)
    settled = proven.aggregate(first=Min("settled_at"))["first"]
    held = rotation_turn.on_their_way(rotation)
    if held:
        names = list(rotation.exchanges.filter(instance__in=held[:3]).values_list("instance__name", flat=True))
        more = f" and {len(held) - 3:,} more" if len(held) > 3 else ""
        return f"The old token of {', '.join(names)}{more} is kept until what is being sent there has ended."
    if settled is None:
        return "Old tokens are dropped about a minute after the new ones are in use."
    due = settled + exchanges.kept_for()
    return f"Old tokens are dropped from {due:%H:%M:%S} UTC on, when nobody can be on the way with one any more."


def _groups(rotation: Rotation) -> list[Group]:
    """By the same words, the most frequent first."""
    found = (
        rotation.exchanges.filter(state__in=TROUBLE)
        .values_list("state", "error")
        .annotate(number=Count("pk"), names=ArrayAgg("instance__name", order_by="instance__name"))
        .order_by(RANK, "-number", "error")
    )
    return [Group(state, error, number, names[:NAMED]) for state, error, number, names in found[:GROUPS]]


def _again(rotation: Rotation) -> tuple[str, int]:
    """Ids of those that another rotation may bring further, as many as an address can hold, and how many there are."""
    failed: QuerySet[Exchange] = rotation.exchanges.filter(
        state__in=[ExchangeState.FAILED, ExchangeState.GIVEN_UP, ExchangeState.STOPPED],
        instance__retired_at=None,
        instance__monitored_only=False,
    )
    ids = list(failed.order_by("pk").values_list("instance_id", flat=True))
    return ",".join(map(str, ids[:SHOWN])), len(ids)
