"""What people do during a run: publish, sync, pause, resume, continue, cancel, retry, roll back, by the real verbs.

Some publications go through the web server. Each deed ends in one of three ways: it was answered as done, it was
refused, or nobody knows, because database or web server went away. Only the first is held against the console.
"""

from __future__ import annotations

import http.client
import http.cookiejar
import itertools
import json
import random
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import django.db

from configs_app import changes, documents
from configs_app.models import Change, Revision
from console.errors import Refused
from console.models import User
from instances_app.models import Environment, Kind
from sync_app import rollbacks, rollout_control, rollouts
from sync_app.chaos.books import Books
from sync_app.chaos.record import Loop, Record
from sync_app.models import Cause, Rollout, RolloutState

NUMBERS = itertools.count(1)  # each publication has a content of its own
DEEDS = {
    "publish": 10,
    "publish on the page": 5,
    "restore": 3,
    "sync": 3,
    "retry": 4,
    "pause": 3,
    "resume": 4,
    "continue": 4,
    "cancel": 2,
    "roll back": 3,
}


@dataclass(frozen=True)
class Cast:
    """Who acts in an environment: one starts things, another approves and continues them."""

    environment: Environment
    operator: User
    approver: User


class Browser:
    """Just enough of one: cookies, one signed-in person, forms."""

    def __init__(self, url: str, credentials: Path) -> None:
        self._url = url
        self._who = json.loads(credentials.read_text())["admin"]
        self._cookies = http.cookiejar.CookieJar()
        self._opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(self._cookies))

    def publish(self, change: Change, *, instances: list[int]) -> int | None:
        """The id of the rollout that the page leads to; None when it said no. Raises OSError, HTTPException."""
        self._sign_in()
        fields = [("instance", str(pk)) for pk in instances]
        fields += [("supersede", "on"), ("confirmation", change.environment.name)]
        where = self._post(f"changes/{change.pk}/publish/", fields)
        parts = urllib.parse.urlsplit(where).path.strip("/").split("/")
        return int(parts[1]) if parts[0] == "rollouts" else None

    def _sign_in(self) -> None:
        if "login" in self._get(""):
            self._post("login/", [("login", self._who["username"]), ("password", self._who["password"])])

    def _get(self, path: str) -> str:
        """Where it ended up."""
        with self._opener.open(f"{self._url}{path}", timeout=15) as answer:
            answer.read()
            return str(answer.url)

    def _post(self, path: str, fields: list[tuple[str, str]]) -> str:
        if path == "login/":
            self._get(path)
        token = next((cookie.value or "" for cookie in self._cookies if cookie.name == "csrftoken"), "")
        body = urllib.parse.urlencode([*fields, ("csrfmiddlewaretoken", token)]).encode()
        try:
            with self._opener.open(f"{self._url}{path}", body, timeout=30) as answer:
                answer.read()
                return str(answer.url)
        except urllib.error.HTTPError as refusal:
            if refusal.code != 422:
                raise
            return ""


class People(Loop):
    """The people of one environment: a deed every `every` seconds on average."""

    def __init__(
        self, cast: Cast, books: Books, record: Record, *, seed: int, every: float, browser: Browser | None
    ) -> None:
        super().__init__(record, f"people of {cast.environment}")
        self._cast = cast
        self._books = books
        self._random = random.Random(seed)  # noqa: S311 - a run is repeated by its seed
        self._every = every
        self._browser = browser
        self._deeds: dict[str, Callable[[], str]] = {
            "publish": self._publish,
            "publish to all": self._publish_to_all,
            "publish on the page": self._publish_on_the_page,
            "restore": self._restore,
            "sync": self._sync,
            "retry": self._retry,
            "pause": self._pause,
            "resume": self._resume,
            "continue": self._continue,
            "cancel": self._cancel,
            "roll back": self._roll_back,
        }

    def pause(self) -> float:
        return self._random.expovariate(1 / self._every)

    def step(self) -> None:
        self.attempt(self._random.choices(list(DEEDS), list(DEEDS.values()))[0])

    def end(self) -> None:
        django.db.connection.close()

    def attempt(self, name: str) -> bool:
        """Do it, and note how it ended; whether it was answered as done."""
        who = self._cast.environment.name
        try:
            self.record.deed(name, "done", f"in {who}: {self._deeds[name]()}")
            return True
        except Refused as refusal:
            self.record.deed(name, "refused", f"in {who}: {refusal}")
        except (django.db.Error, OSError, http.client.HTTPException) as error:
            self.record.deed(name, "in doubt", f"in {who}: {type(error).__name__}: {error}")
            django.db.connection.close()
        return False

    def let_go(self) -> None:
        """Whatever waits for a person goes on: pauses and halts end only so, by design."""
        going = rollouts.going(self._cast.environment)
        if going is not None and going.state == RolloutState.PAUSED:
            self.attempt("resume")
        elif going is not None and going.state == RolloutState.HALTED:
            self.attempt("continue")

    def _publish(self) -> str:
        return self._published(self._drafted())

    def _publish_to_all(self) -> str:
        """The last one."""
        change = self._drafted()
        rollout = rollouts.publish(change, actor=self._cast.operator, supersede=True)
        self._books.answered("change.published", "change", change.pk)
        return self._started(rollout)

    def _drafted(self) -> Change:
        """A change of one document or both, approved where that is asked for."""
        number = next(NUMBERS)
        kinds = self._random.choice([("webhooks",), ("connections",), ("webhooks", "connections")])
        texts = {kind: text(kind, number) for kind in kinds}
        draft = changes.open_draft(self._cast.environment, actor=self._cast.operator, title=f"Number {number}")
        current = {kind: documents.current(self._cast.environment, kind) for kind in kinds}
        bases = {kind: revision.pk if revision else None for kind, revision in current.items()}
        draft = changes.save(draft, texts, bases=bases, actor=self._cast.operator, reason="For the chaos run")
        return self._approved(draft)

    def _approved(self, draft: Change) -> Change:
        if not self._cast.environment.protected:
            return draft
        changes.propose(draft, actor=self._cast.operator, reason="For the chaos run")
        return changes.approve(draft, actor=self._cast.approver)

    def _published(self, change: Change) -> str:
        rollout = rollouts.publish(
            change, actor=self._cast.operator, instances=self._some(), supersede=self._random.random() < 0.3
        )
        self._books.answered("change.published", "change", change.pk)
        return self._started(rollout)

    def _started(self, rollout: Rollout) -> str:
        self._books.answered("rollout.started", "rollout", rollout.pk)
        return f"rollout {rollout.number}, sequence {rollout.sequence}, {rollout.cause} of {rollout.bundle}"

    def _some(self) -> list[int] | None:
        """Every instance, or a few of them."""
        if self._random.random() < 0.7:
            return None
        ids = list(self._cast.environment.instances.values_list("pk", flat=True))
        return self._random.sample(ids, self._random.randint(1, len(ids)))

    def _publish_on_the_page(self) -> str:
        if self._browser is None:
            return self._publish()
        change = self._drafted()
        ids = list(self._cast.environment.instances.values_list("pk", flat=True))
        pk = self._browser.publish(change, instances=ids)
        if pk is None:
            raise Refused("the page said no")
        self._books.answered("change.published", "change", change.pk)
        self._books.answered("rollout.started", "rollout", pk)
        return f"rollout id {pk}"

    def _restore(self) -> str:
        """An older content again, which some instance may still run."""
        revisions = Revision.objects.filter(document__environment=self._cast.environment).order_by("-pk")[:6]
        change = changes.restore(self._random.choice(list(revisions)), actor=self._cast.operator)
        return self._published(self._approved(change))

    def _sync(self) -> str:
        return self._started(
            rollouts.start(
                self._cast.environment,
                actor=self._cast.approver,
                cause=Cause.SYNC,
                instances=self._some(),
                supersede=self._random.random() < 0.3,
            )
        )

    def _retry(self) -> str:
        return self._started(rollouts.retry(self._latest, actor=self._cast.approver))

    def _pause(self) -> str:
        rollout = rollout_control.pause(self._latest, actor=self._cast.operator)
        return f"rollout {rollout.number} is {rollout.state}"  # one that was held already stays as it was

    def _resume(self) -> str:
        rollout = rollout_control.resume(self._latest, actor=self._cast.operator)
        return f"rollout {rollout.number} is {rollout.state}"

    def _continue(self) -> str:
        rollout = rollout_control.continue_(self._latest, actor=self._cast.approver, reason="For the chaos run")
        return self._held_to("rollout.continued", rollout)

    def _cancel(self) -> str:
        return self._held_to("rollout.cancelled", rollout_control.cancel(self._latest, actor=self._cast.operator))

    def _held_to(self, event: str, rollout: Rollout) -> str:
        self._books.answered(event, "rollout", rollout.pk)
        return f"rollout {rollout.number}"

    def _roll_back(self) -> str:
        started = rollbacks.roll_back(self._latest, actor=self._cast.operator, reason="For the chaos run")
        return self._started(started)

    @property
    def _latest(self) -> Rollout:
        found = Rollout.objects.filter(environment=self._cast.environment).order_by("-number").first()
        if found is None:
            raise Refused("there is no rollout yet")
        return found


def text(kind: str, number: int) -> str:
    """A document like no other."""
    entries: dict[str, dict[str, str]]
    if kind == Kind.WEBHOOKS:
        entries = {"orders": {"module": "log", "authorization": "Bearer {$TOKEN}"}}
        entries[f"entry-{number}"] = {"module": "log", "authorization": "Bearer {$TOKEN}"}
    else:
        entries = {"queue": {"type": "kafka", "bootstrap_servers": f"kafka-{number}:9092"}}
    return json.dumps(entries, indent=2) + "\n"
