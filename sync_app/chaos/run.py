"""One chaos run, from the first publication to the state in which everything has come to rest."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import django.db
from django.conf import settings

from configs_app import documents
from console.embedded.children import Child
from console.models import Role, RoleBinding, User
from instances_app import registry
from instances_app.models import Kind
from sync_app.chaos import network, processes
from sync_app.chaos.books import Books
from sync_app.chaos.disks import Agents, Disks, reports
from sync_app.chaos.faults import Faults
from sync_app.chaos.people import Browser, Cast, People, text
from sync_app.chaos.processes import Member
from sync_app.chaos.record import Loop, Promise, Record

# Environment → its plan. The second is protected, and reaches its instances in waves that halt by themselves.
PLANS: dict[str, dict[str, Any]] = {
    "open": {},
    "guarded": {"waves": ["1", "50%", "100%"], "soak_seconds": 1, "failure_limit": "50%"},
}
BOUND = 120.0  # seconds after the last fault for everything to end by itself, and again for the last publication
FIRST = 4  # kinds of faults before the first publication
SHOWN = 20  # violations of one promise


@dataclass(frozen=True)
class Options:
    seconds: float  # of faults
    seed: int
    instances: int
    every: float  # seconds from one fault to the next, on average
    url: str  # of the web server, with a slash at its end
    folder: Path


class Supervision:
    """Keeps the children of this process alive while it waits; they have to be started from the main thread."""

    def __init__(self, children: Sequence[Child]) -> None:
        self._children = children

    def until(self, condition: Callable[[], object], *, seconds: float) -> bool:
        """Whether it came true in time. While the database is away it has not."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            for child in self._children:
                child.keep_alive()
            try:
                if condition():
                    return True
            except django.db.Error:
                django.db.connection.close()
            time.sleep(0.2)
        return False

    def end(self, *loops: Loop) -> None:
        for loop in loops:
            loop.stop()
        self.until(lambda: not any(loop.is_running for loop in loops), seconds=60)


def run(options: Options) -> dict[str, Any]:
    """The figures of the run; `broken` has the evidence of every promise that did not hold."""
    record = Record(options.folder / "events.log")
    chance = random.Random(options.seed)  # noqa: S311 - a run is repeated by its seed
    addresses = f"127.{chance.randint(20, 250)}.{chance.randint(1, 250)}"
    members = processes.fleet(options.instances, tuple(PLANS), options.folder, addresses)
    network.start([member.relay for member in members if member.relay])
    children = [*(member.child for member in members), processes.second_worker(options.folder)]
    try:
        for child in children:
            child.start()
        return _run(options, members, record, Supervision(children))
    finally:
        for child in children:
            child.restart = False
            child.stop()
        record.close()


def _run(options: Options, members: list[Member], record: Record, supervision: Supervision) -> dict[str, Any]:
    if not supervision.until(lambda: all(reports(member)[0] for member in members), seconds=60):
        raise RuntimeError("The instances did not start.")
    casts = [_environment(name, plan, members) for name, plan in PLANS.items()]
    disks, agents = Disks(members, record), Agents(members, record)
    books = Books(members, disks, agents, record)
    browser = Browser(options.url, settings.DATA_DIR / "credentials.json")
    people = [
        People(cast, books, record, seed=options.seed + number, every=6 * options.every, browser=browser)
        for number, cast in enumerate(casts)
    ]
    faults = Faults(members, record, seed=options.seed, every=options.every)
    for loop in (disks, agents, books, faults):
        loop.start()
    supervision.until(lambda: len(record.faults) >= FIRST, seconds=60)
    for one in people:
        one.attempt("publish")  # into what is broken already
        one.start()
    supervision.until(lambda: False, seconds=options.seconds)
    supervision.end(faults, *people)
    record.say("calm")
    rested = _rest(people, books, supervision)
    arrived = _arrive(people, books, supervision) if rested is not None else None
    supervision.end(disks, agents, books)
    _note(books.last_look, record, supervision)
    return {
        "seconds": round(options.seconds),
        "seed": options.seed,
        "instances": options.instances,
        "faults": sum(record.faults.values()),
        "faults_by_kind": dict(sorted(record.faults.items())),
        "deeds": dict(sorted(record.deeds.items())),
        "rollouts": sum(books.rollouts.values()),
        "rollouts_by_state": dict(sorted(books.rollouts.items())),
        "deliveries": sum(books.deliveries.values()),
        "deliveries_by_state": dict(sorted(books.deliveries.items())),
        "looks_at_disks": disks.looks,
        "looks_at_books": books.looks,
        "at_rest_after_s": rested,
        "converged_after_s": arrived,
        "bound_s": BOUND,
        **{str(promise): len(found) for promise, found in record.broken.items()},
        "broken": {str(promise): found[:SHOWN] for promise, found in record.broken.items() if found},
    }


def _rest(people: list[People], books: Books, supervision: Supervision) -> float | None:
    """Every rollout and every delivery ends by itself: seconds that it took, None when it did not."""
    began = time.monotonic()

    def ended() -> bool:
        for one in people:
            one.let_go()
        return not books.unfinished()

    if not supervision.until(ended, seconds=BOUND):
        _note(books.unfinished, books.record, supervision)
        return None
    books.record.say("at rest")
    return round(time.monotonic() - began, 1)


def _arrive(people: list[People], books: Books, supervision: Supervision) -> float:
    """One more publication reaches every instance, at its first attempt, and everybody knows. Seconds that it took."""
    began = time.monotonic()
    for one in people:
        if not supervision.until(lambda one=one: one.attempt("publish to all"), seconds=30):  # type: ignore[misc]
            books.record.violation(Promise.STUCK, f"nothing can be published by the {one.name}")

    def missing() -> list[str]:
        return [*books.unfinished(), *books.apart()]

    if not supervision.until(lambda: not missing(), seconds=BOUND):
        _note(missing, books.record, supervision)
    return round(time.monotonic() - began, 1)


def _note(found: Callable[[], list[str]], record: Record, supervision: Supervision) -> None:
    """What is stuck, or that the database itself never came back."""

    def said() -> bool:
        for words in found():
            record.violation(Promise.STUCK, words)
        return True

    if not supervision.until(said, seconds=5):
        record.violation(Promise.STUCK, "the database does not answer")


def _environment(name: str, plan: dict[str, Any], members: list[Member]) -> Cast:
    """With its people, its first documents, and its instances as the console learns to know them."""
    environment = registry.add_environment(name, protected=bool(plan), plain_http=True, actor=None)
    environment.plan = plan
    environment.save()
    made = [User.objects.create(username=f"{role}-{name}") for role in (Role.OPERATOR, Role.APPROVER)]
    for user, role in zip(made, (Role.OPERATOR, Role.APPROVER), strict=True):
        RoleBinding.objects.create(user=user, environment=environment, role=role)
    first = {kind: text(kind, 0) for kind in Kind.values}
    documents.import_first(environment, first, actor=None, origin="the chaos run")
    for member in members:
        if member.environment == name:
            instance = registry.register(
                environment, name=member.name, base_url=member.base_url, token=member.token, actor=None
            )
            registry.check(instance, actor=made[0])
            member.pk = instance.pk
    return Cast(environment, *made)
