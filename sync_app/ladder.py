"""How far one document has come on one instance: five rungs, each with its evidence, or why there is none.

Pure: what is stored goes in, words come out. A rung is reached by evidence of its own, young enough to believe and no
older than what was sent last; never because a higher or a lower one is. What nobody knows is unknown.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from instances_app.models import Service
from sync_app.ladder_facts import (
    AHEAD,
    REACHED,
    STOPPED,
    UNKNOWN,
    UNSET,
    UNTOLD,
    WAITING,
    Attempt,
    Facts,
    Ladder,
    Rung,
)
from sync_app.ladder_push import after_failure, not_there, of_the_push, sent, short
from sync_app.models import DeliveryState
from sync_app.verdicts import AFTER_PUSH


@dataclass(frozen=True, slots=True)
class Verdict:
    """All ladders of an instance in one: right, under way, not right, unknown. `rung`: where one stands still."""

    word: str
    says: str
    rung: Rung | None = None
    kind: str = ""


def climb(facts: Facts) -> Ladder:
    rungs = (sent(facts), _written(facts), _loaded(facts), _verified(facts), _serving(facts))
    return Ladder(facts.kind, facts.wanted, rungs)


def verdict(ladders: Sequence[Ladder]) -> Verdict:
    """The worst first: what stopped, what nobody knows, what has not come yet; and whether it serves last of all."""
    stops = [(rung, one) for one in ladders if (rung := one.stop) is not None]
    stops = [(rung, one) for rung, one in stops if rung.name != "serving"] or stops
    for state in (STOPPED, UNKNOWN, AHEAD, WAITING):
        for rung, one in stops:
            if rung.state == state:
                return Verdict(_word(rung, one), _says(rung, one), rung, one.kind)
    serving = {one.rung("serving").state for one in ladders}
    return Verdict(
        "right", "It runs what it should, and serves." if serving == {REACHED} else "It runs what it should."
    )


def _word(rung: Rung, one: Ladder) -> str:
    """What its last report says goes before where the ladder stands: a push that nobody knows of changes no report."""
    if rung.state == WAITING:
        return "under way"
    if rung.name == "serving":
        return "unknown" if rung.state == UNKNOWN else "not right"
    return "unknown" if one.runs is None else "not right"


def _says(rung: Rung, one: Ladder) -> str:
    if rung.name == "serving":
        return (
            "It runs what it should; whether it serves is not known."
            if rung.state == UNKNOWN
            else ("It runs what it should, and does not serve.")
        )
    if rung.state == WAITING:
        return f"A rollout is bringing the {one.kind} it should run."
    if one.runs is None:
        return f"Nobody knows whether it runs the {one.kind} it should."
    if one.proven:
        return f"It runs the {one.kind} it should, but something is not as it should be."
    return f"It does not run the {one.kind} it should."


def _written(facts: Facts) -> Rung:
    told, last = facts.told, facts.attempt
    if facts.told_since and told.protocol:
        if facts.wants(told.on_disk):
            return Rung("written", REACHED, "Its disk holds this content.", told.at)
        if told.problem:
            return Rung(
                "written",
                STOPPED,
                "Its file is not one it can read.",
                told.at,
                told.problem,
                next="Look at the file on the host.",
            )
        if facts.right:
            what = f"Somebody edited the file ({short(told.on_disk)}) and has not loaded it; a restart would."
            see = "See what lies there with Import…, and put the file back on the host."
            return Rung("written", STOPPED, what, told.at, next=see)
        return not_there(facts, "written", f"Its disk holds other content ({short(told.on_disk)}).", told.at)
    return _without_word(facts, "written", last)


def _loaded(facts: Facts) -> Rung:
    told, last = facts.told, facts.attempt
    named = facts.report.seen_at if facts.right and facts.report else None
    if named and facts.speaks_protocol and told.alive and not (facts.told_since and told.at and told.at >= named):
        what = "Its config-version names this content, which its agent does only when every worker process runs it."
        return Rung("loaded", REACHED, what, named)
    if facts.told_since and told.protocol:
        return _told_loaded(facts)
    return _without_word(facts, "loaded", last)


def _told_loaded(facts: Facts) -> Rung:
    told = facts.told
    if told.reload_status == "failed":
        what = "Its service could not load the file."
        return Rung(
            "loaded",
            STOPPED,
            what,
            told.at,
            told.words,
            next="Read its log; correct the document or the host.",
            go="rollout",
        )
    if told.reload_status == "missing":
        return Rung(
            "loaded", STOPPED, "There is no such file on its disk.", told.at, next="Sync this instance.", go="sync"
        )
    if not facts.wants(told.digest):
        return not_there(facts, "loaded", f"It has loaded other content ({short(told.digest)}).", told.at)
    if not told.alive or told.loaded is None:
        what = "The process that answered has loaded it. Whether there are others, it cannot see."
        return Rung("loaded", UNKNOWN, what, told.at, next="Give the agent a folder that it can write to.")
    if told.loaded < told.alive:
        behind = told.alive - told.loaded
        what = f"{behind} of {told.alive} worker processes {'has' if behind == 1 else 'have'} not loaded it."
        return Rung(
            "loaded",
            STOPPED,
            what,
            told.at,
            told.words,
            next="Check again; restart the service if it stays so.",
            go="check",
        )
    processes = f"All {told.alive} worker processes have" if told.alive > 1 else "Its one worker process has"
    return Rung("loaded", REACHED, f"{processes} loaded it.", told.at)


def _without_word(facts: Facts, name: str, last: Attempt | None) -> Rung:
    """Where the instance itself has said nothing since the last push that could be believed."""
    told = facts.told
    newest = facts.attempts[0] if facts.attempts else None
    if last is not None and last is newest and not last.ran_already and not facts.seen_since(last):
        if last.state == DeliveryState.REJECTED and not facts.right:
            what = "It read the documents and refused them; what it ran before goes on."
            return Rung(
                name,
                STOPPED if name == "written" else AHEAD,
                what,
                last.finished_at,
                last.error,
                last,
                **after_failure(last),
            )
        pushed = last.state == DeliveryState.VERIFIED and last.evidence == AFTER_PUSH and last.ran_already is False
        if pushed and facts.speaks_protocol and facts.fresh(last.finished_at):
            what = f"It answered the push with success, which its agent does once the documents are {name}."
            return Rung(name, REACHED, what, last.finished_at, attempt=last)
        if not facts.right and last.state != DeliveryState.VERIFIED:
            return of_the_push(name, last)
    if not facts.right and last is None and facts.overwritten is None:
        return Rung(name, AHEAD, "Nothing was sent.")
    if told.at is not None and not told.protocol:
        return Rung(name, UNTOLD, "This service speaks the three endpoints only and says nothing about it.", told.at)
    if told.at is None:
        return Rung(name, UNKNOWN, "It has not said anything about itself yet.", next="Check now.", go="check")
    if not facts.fresh(told.at):
        return Rung(name, UNKNOWN, "What it said last is too old to believe.", told.at, next="Check now.", go="check")
    return Rung(
        name,
        UNKNOWN,
        "What it said last is from before the push.",
        told.at,
        next="Check now, or wait for the next check.",
        go="check",
    )


def _verified(facts: Facts) -> Rung:
    report = facts.report
    if report is None:
        return Rung("verified", UNKNOWN, "It has never reported this document.", next="Check now.", go="check")
    if not facts.fresh(report.seen_at):
        what = "this content" if facts.wants(report.digest) else f"other content ({short(report.digest)})"
        return Rung(
            "verified",
            UNKNOWN,
            f"Its last report, of {what}, is too old to believe.",
            report.seen_at,
            next="Check now.",
            go="check",
        )
    if not facts.right and facts.wants(report.digest):
        what = "It reported this content before a push of another one left, and nothing since."
        return Rung("verified", UNKNOWN, what, report.seen_at, next="Check now.", go="check")
    if facts.right:
        digits = " (the first 16 digits of it: this service reports no more)" if len(report.digest) < 64 else ""
        return Rung("verified", REACHED, f"Read back: it reports the digest that was wanted{digits}.", report.seen_at)
    return not_there(facts, "verified", f"It reports other content ({short(report.digest)}).", report.seen_at)


def _serving(facts: Facts) -> Rung:
    served = facts.served
    if served is None:
        return Rung(
            "serving",
            UNSET,
            "No probe is set up here, so nobody asks whether the service answers.",
            next="An admin sets one up.",
            go="probe",
        )
    if served.held:
        what = (
            "The probe's sealed headers and body go only where a delivery was verified, and none was at this address."
        )
        return Rung("serving", UNKNOWN, what, next="Sync this instance.", go="sync")
    if served.word is None or served.at is None:
        return Rung(
            "serving", UNKNOWN, "The service has not been asked by this probe.", next="Probe it now.", go="probe-now"
        )
    if not facts.right or facts.report is None:
        return Rung(
            "serving",
            AHEAD,
            f"The probe found it {_found(served.word)}, but not proven to run this content.",
            served.at,
        )
    if served.at < max(facts.report.since, facts.pushed_at or facts.report.since):
        early = "this content was there" if served.at < facts.report.since else "the last push to it"
        return Rung(
            "serving",
            UNKNOWN,
            f"It was asked last before {early}.",
            served.at,
            next="Probe it now.",
            go="probe-now",
        )
    if facts.now - served.at > served.believed:
        what = f"The probe found it {_found(served.word)}, too long ago to believe."
        return Rung("serving", UNKNOWN, what, served.at, next="Probe it now.", go="probe-now")
    match served.word:
        case Service.SERVING:
            return Rung("serving", REACHED, "The service answered the probe as expected.", served.at)
        case Service.WRONG:
            look = "See its log, then probe it again; the webhook that is asked may have changed."
            return Rung("serving", STOPPED, served.detail, served.at, served.said, next=look, go="probe-now")
        case Service.NO_ANSWER:
            what = f"The service took no connection. {served.detail}"
            return Rung("serving", STOPPED, what, served.at, next="Is it running? Look at the host.", go="probe-now")
    return Rung("serving", UNKNOWN, served.detail, served.at, next="Probe it again.", go="probe-now")


def _found(word: str) -> str:
    return {Service.SERVING: "serving", Service.WRONG: "answering wrongly"}.get(Service(word), f"with {word}")
