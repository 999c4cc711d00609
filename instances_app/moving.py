"""Other addresses for many instances: a part of each base URL is replaced, all of them or none."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from django.db import IntegrityError, transaction
from django.utils import timezone

from console import audit
from console.errors import Refused
from console.models import User
from instances_app import exchanges, observations, registry, selections
from instances_app.models import Environment, Instance
from instances_app.selections import Done

MOST = 1000  # at once: somebody looks at each of them
SHORTEST = 3  # characters of what is replaced
SAID = 5  # names in a refusal


@dataclass(frozen=True, slots=True)
class Move:
    """What becomes of one address; `problem` says why it cannot."""

    id: int
    name: str
    before: str
    after: str
    problem: str = ""


def preview(environment: Environment, instances: Collection[int], *, find: str, put: str) -> list[Move]:
    """For each whose address has `find` in it, by name, those with a problem first. Refuses what nobody can mean."""
    find, put = find.strip(), put.strip()
    if len(find) < SHORTEST:
        raise Refused(f"Say what is replaced, {SHORTEST} characters at least. Example: http://old.internal")
    if find == put:
        raise Refused("It is replaced with itself. Say what the address is to be.")
    chosen = environment.instances.active().filter(pk__in=instances, base_url__contains=find)
    found = list(chosen.order_by("name").values_list("pk", "name", "base_url")[: MOST + 1])
    if len(found) > MOST:
        raise Refused(f"These are more than {MOST:,} at once. Choose fewer, by a label for example.")
    made = [_made(environment, *row, find=find, put=put) for row in found]
    often = Counter(move.after for move in made)
    taken = dict(Instance.objects.active().filter(base_url__in=often).values_list("base_url", "pk"))
    judged = [_judged(move, often, taken) for move in made]
    return sorted(judged, key=lambda move: not move.problem)


def mark(moves: Sequence[Move]) -> str:
    """Of what somebody has looked at: every address before and after."""
    rows = sorted((move.id, move.before, move.after) for move in moves)
    return hashlib.sha256(json.dumps(rows).encode()).hexdigest()


def move(environment: Environment, instances: Collection[int], *, find: str, put: str, seen: str, actor: User) -> Done:
    """Do what was shown, and nothing else: `seen` is the mark of it."""
    with transaction.atomic():
        environment = Environment.objects.select_for_update(no_key=True).get(
            pk=environment.pk
        )  # or http is forbidden now
        chosen = {one.pk: one for one in selections.locked(environment, instances)}
        moves = preview(environment, chosen, find=find, put=put)
        if not moves:
            raise Refused(f"None of their addresses has {find.strip()} in it.")
        stopped = [one for one in moves if one.problem]
        if stopped:
            names = ", ".join(f"{one.name} ({one.problem})" for one in stopped[:SAID])
            more = f" and {len(stopped) - SAID:,} more" if len(stopped) > SAID else ""
            raise Refused(f"Nothing was moved, because of {names}{more}.")
        if mark(moves) != seen:
            raise Refused("Addresses have changed since you looked at them. This is how they are now; look again.")
        exchanges.refuse_move([one.id for one in moves])
        now = timezone.now()
        for one in moves:
            chosen[one.id].base_url, chosen[one.id].moved_at = one.after, now
            chosen[one.id].stranger, chosen[one.id].stranger_at = "", None  # who answers there is asked anew
        moved = [chosen[one.id] for one in moves]
        try:
            with transaction.atomic():
                Instance.objects.bulk_update(moved, ["base_url", "moved_at", "stranger", "stranger_at"], batch_size=500)
                observations.forget([one.pk for one in moved])
        except IntegrityError:
            raise Refused("Nothing was moved: somebody has just taken one of these addresses. Look again.") from None
        audit.record(
            "instances.moved",
            actor=actor,
            target=environment,
            number=len(moves),
            replaced=find.strip(),
            by=put.strip(),
            instances={one.name: f"{one.before} → {one.after}" for one in moves},
        )
    return selections.done(chosen.values(), moved)


def _made(environment: Environment, pk: int, name: str, before: str, *, find: str, put: str) -> Move:
    if before.count(find) > 1:
        return Move(pk, name, before, before, f"{find} stands in its address twice: say more of it")
    after = before.replace(find, put)
    try:
        after = registry.clean_base_url(after)
    except Refused as refusal:
        return Move(pk, name, before, after, str(refusal).rstrip("."))
    problem = "that address is longer than 300 characters" if len(after) > 300 else ""
    problem = problem or registry.plain_refusal(environment, after).rstrip(".")
    if not problem and registry.carry_refusal(environment, before, after):
        problem = "another host: edit it by itself and type the token that its agent has there"
    return Move(pk, name, before, after, problem)


def _judged(move: Move, often: Counter[str], taken: dict[str, int]) -> Move:
    problem = move.problem
    if not problem and often[move.after] > 1:
        problem = "another of them would have the same address"
    elif not problem and taken.get(move.after, move.id) != move.id:
        problem = f"{move.after} is managed already"
    elif not problem and move.after == move.before:
        problem = "its address stays the same"
    return Move(move.id, move.name, move.before, move.after, problem)
