"""What is known of one document on one instance, and the ladder that is made of it: the shapes of `ladder`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from webhook_agent import protocol

from sync_app.models import DeliveryState

REACHED = "reached"
ELSEWHERE = "not by us"  # it is there, and no push of ours brought it
WAITING = "under way"
STOPPED = "stopped"
UNKNOWN = "unknown"
UNTOLD = "not told"  # this service says nothing about it
AHEAD = "not yet"
UNSET = "not set up"
SILENT = (REACHED, ELSEWHERE, UNTOLD, UNSET)  # rungs at which nothing stops


@dataclass(frozen=True, slots=True)
class Report:
    """The last report of a document: of config-version."""

    digest: str
    since: datetime
    seen_at: datetime


@dataclass(frozen=True, slots=True)
class Attempt:
    """A delivery to the instance, as far as it concerns this document."""

    rollout: int
    number: int
    by: str
    state: str
    changed_at: datetime
    carries: bool  # its bundle has the wanted content of this document
    held: str = ""  # the rollout's state, where that is not running
    waits_for_wave: int = 0  # the delivery's wave, where that is not open yet
    sent_at: datetime | None = None
    finished_at: datetime | None = None
    next_at: datetime | None = None
    attempts: int = 0
    code: str = ""
    error: str = ""
    evidence: str = ""
    ran_already: bool | None = False  # it reported this content before the push left; None: that is not kept any more

    @property
    def may_have_arrived(self) -> bool:
        return self.sent_at is not None and self.state != DeliveryState.REJECTED and self.code != protocol.STALE


@dataclass(frozen=True, slots=True)
class Told:
    """What instance-info says of the document. `protocol`: an agent of ours answers, which keeps the whole contract."""

    at: datetime | None
    protocol: bool
    digest: str = ""  # that the process which answered has loaded
    on_disk: str = ""
    reload_status: str = ""
    problem: str = ""
    alive: int | None = None  # worker processes; None: they cannot see each other
    loaded: int | None = None
    words: str = ""  # its reason for being degraded


@dataclass(frozen=True, slots=True)
class Served:
    """The probe of the environment, and what the last one found (word None: never asked)."""

    believed: timedelta
    word: str | None = None
    at: datetime | None = None
    detail: str = ""
    said: str = ""
    held: bool = False  # what is sealed in it may not go there yet


@dataclass(frozen=True, slots=True)
class Rung:
    """`what`: one or two sentences of ours. `said`: the instance's own words, untrusted. `go`: where to act on it:
    sync, check, edit, drift, rollout, probe, maintenance or nothing."""

    name: str
    state: str
    what: str
    at: datetime | None = None
    said: str = ""
    attempt: Attempt | None = None
    next: str = ""
    go: str = ""


@dataclass(frozen=True, slots=True)
class Ladder:
    kind: str
    wanted: str
    rungs: tuple[Rung, ...]

    def rung(self, name: str) -> Rung:
        return next(rung for rung in self.rungs if rung.name == name)

    @property
    def proven(self) -> bool:
        return self.rung("verified").state == REACHED

    @property
    def runs(self) -> bool | None:
        """Whether it runs what is wanted, by a report that can be believed; None: there is none."""
        return {REACHED: True, UNKNOWN: None}.get(self.rung("verified").state, False)

    @property
    def stop(self) -> Rung | None:
        """Where it stands still, whatever the reason. What is verified is not held up by what nobody knows below it."""
        for rung in self.rungs:
            if rung.state == STOPPED or (rung.state not in SILENT and not (self.proven and rung.name != "serving")):
                return rung
        return None


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known of one document on one instance. `attempts`: newest first, also those of other contents."""

    kind: str
    wanted: str
    now: datetime
    stale: timedelta
    report: Report | None = None
    attempts: Sequence[Attempt] = ()
    told: Told = Told(None, False)
    served: Served | None = None  # None: no probe is set up
    in_maintenance: bool = False

    def fresh(self, at: datetime | None) -> bool:
        return at is not None and self.now - at <= self.stale

    @property
    def right(self) -> bool:
        """A fresh report of this content, and no push of another left after it."""
        if self.report is None or not self.fresh(self.report.seen_at) or not self.wants(self.report.digest):
            return False
        over = self.overwritten
        return over is None or over.sent_at is None or self.report.seen_at > over.sent_at

    @property
    def overwritten(self) -> Attempt | None:
        """The last one that may have put another content there."""
        return next((one for one in self.attempts if not one.carries and one.may_have_arrived), None)

    @property
    def tries(self) -> Sequence[Attempt]:
        """Those that were to bring this content, since another one was sent."""
        over = self.overwritten
        since = self.attempts if over is None else self.attempts[: list(self.attempts).index(over)]
        return [one for one in since if one.carries]

    @property
    def attempt(self) -> Attempt | None:
        """The last one of them."""
        return next(iter(self.tries), None)

    @property
    def pushed_at(self) -> datetime | None:
        """When the last push of whatever content was over, or left, while nobody knows more. An answer is dated by when
        it was kept: one that came in during a push may have been given before it.
        """
        return max((one.finished_at or one.sent_at for one in self.attempts if one.sent_at), default=None)

    @property
    def told_since(self) -> bool:
        """What it says of itself is fresh, and from after the last push."""
        pushed = self.pushed_at
        return self.fresh(self.told.at) and (pushed is None or (self.told.at or pushed) > pushed)

    @property
    def speaks_protocol(self) -> bool:
        """An agent of ours has answered lately, so what the protocol promises may be believed."""
        return self.told.protocol and self.fresh(self.told.at)

    def seen_since(self, attempt: Attempt) -> bool:
        """It reported this content after that push, lately or not: the push is no riddle any more, only old."""
        report = self.report
        seen = report is not None and self.wants(report.digest) and not self.fresh(report.seen_at)
        return seen and report is not None and attempt.sent_at is not None and report.seen_at > attempt.sent_at

    def wants(self, digest: str) -> bool:
        return bool(digest) and protocol.same(self.wanted, digest)
