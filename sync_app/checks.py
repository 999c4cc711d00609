"""Asking instances what they run: each in its turn, "verify all now" at once, and a gate's question."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from django.conf import settings
from django.db.models import QuerySet

from console import live, sealing
from instances_app import observations
from instances_app.client import Fleet, Look, Looked, Outcome, Target
from instances_app.models import Instance
from instances_app.transport_models import way
from sync_app import heartbeat, schedule

FLUSH_SECONDS = 0.25
WINDOW = 250  # that are asked at once, when everybody is
STEP_SECONDS = 0.5  # who is due within one is asked together, and what was answered is kept together
MOST_HELD = 4000  # connections of a turn; whoever hangs holds one for its timeouts
PING_SECONDS = 5.0  # pages hear of checks no more often: there is always one


def run(environment_id: int) -> int:
    """Look at every active instance of the environment at once, and keep the answers. How many were asked."""
    started = time.monotonic()
    chosen = list(Instance.objects.active().filter(environment_id=environment_id).order_by("pk"))
    answered: Counter[int] = Counter()
    asked = ask(chosen, answered)
    heartbeat.record({environment_id: len(chosen)} if chosen else {}, answered, seconds=time.monotonic() - started)
    return asked


def ask(instances: Iterable[Instance], heard: Counter[int] | None = None) -> int:
    """Look at these, and keep the answers. How many were asked; `heard` counts who answered, by environment."""
    waiting = list(instances)
    environment_of = {instance.pk: instance.environment_id for instance in waiting}
    waiting.reverse()
    asked = answered = 0
    touched: set[int] = set()
    with Fleet(connect_timeout=settings.CONNECT_SECONDS, read_timeout=settings.READ_SECONDS) as fleet:
        while waiting or answered < asked:
            batch = [waiting.pop().pk for _ in range(min(len(waiting), WINDOW - (asked - answered)))]
            if batch:  # read now: since the first was asked, minutes may have passed and tokens been rotated
                fleet.submit(*_looks(Instance.objects.filter(pk__in=batch)).values())
                asked += len(batch)
            looks = [look for look in fleet.results(timeout=FLUSH_SECONDS) if isinstance(look, Looked)]
            observations.record_looks(looks)
            answered += len(looks)
            touched |= {environment_of[look.key] for look in looks}
            if heard is not None:
                heard.update(environment_of[look.key] for look in looks if look.versions.outcome == Outcome.OK)
    for environment_id in touched:
        live.ping(environment_id, "fleet")
    return answered


def turn(stop: Callable[[], bool] = lambda: False) -> int:
    """Ask everybody who gets due within an interval from now, each when it is due. How many checks were made.

    Nothing, while another turn has long to go. One that is stopped, or dies, leaves no round; the next one goes on.
    """
    taken = schedule.take()
    if taken is None:
        return 0
    started = time.monotonic()
    clock = time.time() - started  # a clock that is set in the middle of a turn holds nobody up
    books = _Round(dict(Instance.objects.active().values_list("pk", "environment_id")))
    coming = schedule.due(books.environment_of, taken)
    coming.reverse()
    step = min(STEP_SECONDS, settings.OBSERVE_SECONDS / 10)
    held = 0
    with Fleet(connect_timeout=settings.CONNECT_SECONDS, read_timeout=settings.READ_SECONDS) as fleet:
        while coming or held:
            if stop():
                schedule.give_back(taken)
                return sum(books.asked.values())
            now = clock + time.monotonic()
            checks: list[tuple[float, int]] = []
            while coming and coming[-1][0] <= now and held + len(checks) < MOST_HELD:
                checks.append(coming.pop())
            held += _submit(fleet, checks, books, now)
            time.sleep(step)
            looks = [look for look in fleet.results(timeout=0) if isinstance(look, Looked)]
            held -= len(looks)
            books.keep(looks)
    heartbeat.record(books.asked, books.answered, seconds=time.monotonic() - started, late=books.late)
    return sum(books.asked.values())


@dataclass(slots=True)
class _Round:
    """A turn's books: environment → how many were asked, answered, asked late. Whoever is due twice counts once."""

    environment_of: dict[int, int]
    asked: Counter[int] = field(default_factory=Counter)
    answered: Counter[int] = field(default_factory=Counter)
    late: Counter[int] = field(default_factory=Counter)
    _asked: set[int] = field(default_factory=set)
    _answered: set[int] = field(default_factory=set)
    _pinged: dict[int, float] = field(default_factory=dict)

    def ask(self, pk: int, *, late: bool) -> None:
        if pk not in self._asked:
            self._asked.add(pk)
            self.asked[self.environment_of[pk]] += 1
            self.late[self.environment_of[pk]] += late

    def keep(self, looks: Sequence[Looked]) -> None:
        observations.record_looks(looks)
        touched = {self.environment_of[look.key] for look in looks}
        for look in looks:
            if look.versions.outcome == Outcome.OK and look.key not in self._answered:
                self._answered.add(look.key)
                self.answered[self.environment_of[look.key]] += 1
        now = time.monotonic()
        for environment_id in touched:
            if now - self._pinged.get(environment_id, 0.0) >= PING_SECONDS:
                self._pinged[environment_id] = now
                live.ping(environment_id, "fleet")


def _submit(fleet: Fleet, checks: Sequence[tuple[float, int]], books: _Round, now: float) -> int:
    """Start these checks. How many: whoever was retired meanwhile is not asked."""
    if not checks:
        return 0
    questions = _looks(Instance.objects.active().filter(pk__in=[pk for _, pk in checks]))
    looks = []
    for at, pk in checks:
        if pk in questions:
            looks.append(questions[pk])
            books.ask(pk, late=now - at > settings.OBSERVE_SECONDS / 10)
    fleet.submit(*looks)
    return len(looks)


def _looks(rows: QuerySet[Instance]) -> dict[int, Look]:
    """The question of a check to each, by id."""
    columns = ("pk", "base_url", "token_sealed", "monitored_only", "environment__plain_http", "environment__trust")
    return {
        pk: Look(
            pk,
            Target(base_url, sealing.unseal(token), way=way(plain_http=plain_http, trust_id=trust)),
            service=monitored_only,
        )
        for pk, base_url, token, monitored_only, plain_http, trust in rows.values_list(*columns)
    }
