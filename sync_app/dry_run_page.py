"""What pages show of a dry run: first in words, then what is wrong with whom, then every instance.

It is drawn anew with every ping, so all but the page of answers is counted and grouped by the database.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

from django.db import connection
from django.db.models import Case, Count, QuerySet, Value, When
from django.http import QueryDict

from configs_app.models import Change
from console import access
from console.models import User
from sync_app import dry_runs, progress
from sync_app.dry_answers import topic
from sync_app.dry_run_models import OPEN, DryAnswer, DryAnswerState, DryRun
from sync_app.progress import NAMED, Group

GROUPS_SHOWN = 12  # of one kind of trouble
EARLIER = 10  # runs
ORDER = (  # what needs a person first
    DryAnswerState.REFUSED,
    DryAnswerState.UNFIT,
    DryAnswerState.FAILED,
    DryAnswerState.UNREACHABLE,
    DryAnswerState.UNKNOWN,
    DryAnswerState.UNABLE,
    DryAnswerState.SKIPPED,
    *OPEN,
    DryAnswerState.READY,
)
TROUBLE = ORDER[: ORDER.index(DryAnswerState.PENDING)]
RANK = Case(*(When(state=state, then=Value(rank)) for rank, state in enumerate(ORDER)), default=Value(len(ORDER)))
WORDS: dict[str, tuple[str, str]] = {  # of one, of several
    DryAnswerState.REFUSED: ("refuses it", "refuse it"),
    DryAnswerState.UNFIT: ("not fit for it", "not fit for it"),
    DryAnswerState.FAILED: ("refuses the console, or has no agent", "refuse the console, or have no agent"),
    DryAnswerState.UNREACHABLE: ("not reachable", "not reachable"),
    DryAnswerState.UNKNOWN: ("gave no verdict", "gave no verdict"),
    DryAnswerState.UNABLE: ("cannot be asked", "cannot be asked"),
    DryAnswerState.SKIPPED: ("not asked", "not asked"),
}


@dataclass(frozen=True, slots=True)
class Note:
    """What nobody refuses, and somebody should know."""

    text: str
    number: int  # instances


def section(change: Change, user: User) -> dict[str, Any]:
    """The part of the change's page: its newest run."""
    run = change.dry_runs.select_related("author").first()
    may = access.allows(user, "change.dry_run", change.environment)
    context: dict[str, Any] = {"change": change, "topic": topic(change.pk), "may_start": may and change.is_open}
    if run is None:
        return context | {"run": None, "targets": len(dry_runs.aimed_at(change)) if change.is_open else 0}
    run.change = change
    return context | summary(run)


def page(run: DryRun, user: User, asked: QueryDict) -> dict[str, Any]:
    """One run with its answers; `asked` may narrow them: ?state=, ?page=."""
    context = summary(run)
    counts, state = context["counts"], asked.get("state", "")
    number = counts[state] if state in counts else sum(counts.values())
    shown, pages, part = progress.window(asked, number)
    return context | {
        "change": run.change,
        "environment": run.change.environment,
        "may": access.verbs(user, run.change.environment),
        "answers": _answers(run, state if state in counts else "")[part],
        "chips": {word.value: counts[word] for word in ORDER if word in counts},
        "state": state,
        "page": shown,
        "pages": pages,
        "earlier": run.change.dry_runs.exclude(pk=run.pk).order_by("-number")[:EARLIER],
    }


def summary(run: DryRun) -> dict[str, Any]:
    """Counts, the same in words, the groups, the notes, and what makes the run outdated."""
    counts: Counter[str] = Counter()
    for state, number in run.answers.values_list("state").annotate(Count("pk")).order_by():
        counts[state] = number
    return {
        "run": run,
        "topic": topic(run.change_id),
        "counts": dict(counts),
        "total": counts.total(),
        "ready": counts[DryAnswerState.READY],
        "left": sum(counts[state] for state in OPEN),
        "words": in_words(counts),
        "groups": _groups(run),
        "notes": _notes(run) if not run.is_running else [],
        "departed": dry_runs.departures(run),
    }


def in_words(counts: Counter[str]) -> str:
    """47 of 50 would accept it · 2 not reachable · 1 refuses it"""
    parts = [f"{counts[DryAnswerState.READY]:,} of {counts.total():,} would accept it"]
    parts += [
        f"{counts[state]:,} {WORDS[state][counts[state] != 1]}"
        for state in (DryAnswerState.UNREACHABLE, *(one for one in TROUBLE if one != DryAnswerState.UNREACHABLE))
        if counts[state]
    ]
    return " · ".join(parts)


def placeholders_of(answer: DryAnswer) -> str:
    """Each of them in words: which have a value, a default, none, or nobody knows."""
    if answer.state not in {DryAnswerState.READY, DryAnswerState.UNFIT, DryAnswerState.REFUSED}:
        return ""
    named = {name for kind in answer.kinds for name in answer.run.names.get(kind, ())}
    if not named:
        return "none in it"
    told: dict[str, list[str]] = answer.placeholders
    valued = len(named) - sum(map(len, told.values()))
    parts = [f"{valued} of {len(named)} have a value"]
    for word, text in (("no", "no value for"), ("default", "default for"), ("unknown", "not known:")):
        names = told.get(word, [])
        if names:
            parts.append(f"{text} {_some(names)}")
    return "; ".join(parts)


def _answers(run: DryRun, state: str) -> QuerySet[DryAnswer]:
    found = run.answers.select_related("instance", "run").order_by(RANK, "instance__name", "pk")
    return found.filter(state=state) if state else found


def _groups(run: DryRun) -> list[Group]:
    """By the same words, the most frequent first; no more than GROUPS_SHOWN for each state."""
    with connection.cursor() as cursor:
        cursor.execute(
            """
            SELECT state, error, number, names FROM (
                SELECT a.state, a.error, count(*) AS number, (array_agg(i.name ORDER BY i.name))[1:%s] AS names,
                       row_number() OVER (PARTITION BY a.state ORDER BY count(*) DESC, a.error) AS place
                FROM sync_app_dryanswer a JOIN instances_app_instance i ON i.id = a.instance_id
                WHERE a.run_id = %s AND a.state = ANY(%s) GROUP BY a.state, a.error
            ) grouped WHERE place <= %s ORDER BY array_position(%s::text[], state::text), place
            """,
            [NAMED, run.pk, list(TROUBLE), GROUPS_SHOWN, list(TROUBLE)],
        )
        return [Group(*row) for row in cursor.fetchall()]


def _notes(run: DryRun) -> list[Note]:
    """Of instances that would accept it."""
    fine = run.answers.filter(state=DryAnswerState.READY)
    alike: dict[int, list[str]] = {}
    for name, number in _named(run, "default"):
        alike.setdefault(number, []).append(name)
    found = [Note(f"The default is used for {_some(names)}: there is no value.", n) for n, names in alike.items()]
    unknown = _named(run, "unknown")
    if unknown:
        names = _some([name for name, _ in unknown])
        found.append(Note(f"Nobody knows there whether there is a value for {names}.", max(n for _, n in unknown)))
    silent = fine.filter(validator=False).count()
    if silent:
        found.append(
            Note("The service has no validator: only the shape was looked at, loading may still fail.", silent)
        )
    untold = fine.filter(room=None).count()
    if untold:
        found.append(Note("The agent does not say whether the disk has room.", untold))
    return found


def _named(run: DryRun, word: str) -> list[tuple[str, int]]:
    """Placeholder → how many instances that would accept it say this word of it; the most frequent first."""
    with connection.cursor() as cursor:
        cursor.execute(
            """
            SELECT name, count(*) FROM sync_app_dryanswer a, jsonb_array_elements_text(a.placeholders -> %s) name
            WHERE a.run_id = %s AND a.state = 'ready' GROUP BY name ORDER BY count(*) DESC, name
            """,
            [word, run.pk],
        )
        return [(str(name), int(number)) for name, number in cursor.fetchall()]


def _some(names: list[str]) -> str:
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return f"{', '.join(names[:NAMED])}{more}"
