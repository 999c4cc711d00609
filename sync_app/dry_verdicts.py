"""What the answer to a dry run means. Pure: replies in, the end of one answer out."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from typing import Any

from webhook_agent import protocol, readiness

from instances_app.client import DryPushed, Outcome, Reply
from sync_app.dry_run_models import DryAnswerState

NAMED = 5
MOST_BYTES = 2**62


@dataclass(frozen=True, slots=True)
class Checks:
    """What was found out beside the verdict; None where nobody knows."""

    reached: bool | None = None
    admitted: bool | None = None
    validator: bool | None = None
    writable: bool | None = None
    room: bool | None = None
    free_bytes: int | None = None
    placeholders: dict[str, list[str]] = field(default_factory=dict)  # "no", "default", "unknown" → names


@dataclass(frozen=True, slots=True)
class Verdict:
    state: DryAnswerState
    code: str
    error: str
    checks: Checks


def decide(result: DryPushed, *, names: Sequence[str], hide: Callable[[str], str]) -> Verdict:
    """`names` are the placeholders that were sent: nothing else that an answer names is kept. `hide` takes the
    documents' secrets out of an instance's words.
    """
    info, answer = result.info, result.answer
    if info.outcome != Outcome.OK:
        return _no_verdict(info, hide, Checks(reached=_reached(info), admitted=_admitted(info)))
    if answer is None:
        text = "Its agent knows no dry runs, so it was sent nothing. A rollout can reach it all the same."
        return Verdict(DryAnswerState.UNABLE, "no_dry_run", text, Checks(reached=True, admitted=True))
    checks = _checks(info, answer, names)
    if answer.outcome == Outcome.REJECTED and answer.body.get("outcome") in (None, protocol.REJECTED):
        return Verdict(DryAnswerState.REFUSED, answer.code, hide(answer.error), checks)
    if answer.outcome != Outcome.OK:
        return _no_verdict(answer, hide, checks)
    if answer.body.get("outcome") != protocol.VALIDATED or answer.body.get("status") != "success":
        text = "It did not answer as to a dry run. Look at what it runs, and at its agent."
        return Verdict(DryAnswerState.FAILED, "not_dry", text, checks)
    unfit = _unfit(checks)
    return Verdict(DryAnswerState.UNFIT if unfit else DryAnswerState.READY, "", unfit[:500], checks)


def _no_verdict(reply: Reply, hide: Callable[[str], str], checks: Checks) -> Verdict:
    error = hide(reply.error) or "No answer."
    if reply.outcome == Outcome.UNAUTHORISED:
        text = f"{error} Store the agent's current token on the instance's page."
        return Verdict(DryAnswerState.FAILED, reply.code, text[:500], checks)
    if reply.outcome in {Outcome.WRONG_PROTOCOL, Outcome.REJECTED}:
        return Verdict(DryAnswerState.FAILED, reply.code, error, checks)
    unreachable = reply.outcome == Outcome.UNREACHABLE and not checks.reached
    return Verdict(DryAnswerState.UNREACHABLE if unreachable else DryAnswerState.UNKNOWN, reply.code, error, checks)


def _reached(reply: Reply) -> bool | None:
    if reply.status is not None:
        return True
    return False if reply.outcome == Outcome.UNREACHABLE else None


def _admitted(reply: Reply) -> bool | None:
    return False if reply.outcome == Outcome.UNAUTHORISED else None


def _checks(info: Reply, answer: Reply, names: Sequence[str]) -> Checks:
    said: Any = answer.body.get("readiness")
    said = said if isinstance(said, dict) else {}
    listed: Any = info.body.get("capabilities")
    writable = False if "read_only" in listed else _bool(said.get("writable"))
    return Checks(
        reached=True,
        admitted=answer.outcome != Outcome.UNAUTHORISED,
        validator=_bool(said.get("validator")),
        writable=writable,
        room=_bool(said.get("room")),
        free_bytes=_bytes(said.get("free_bytes")),
        placeholders=_placeholders(said.get("placeholders"), names),
    )


def _placeholders(said: Any, names: Sequence[str]) -> dict[str, list[str]]:
    told = said if isinstance(said, dict) else {}
    found: dict[str, list[str]] = {}
    for name in names:
        word = told.get(name)
        if word != readiness.YES:
            word = word if word in (readiness.NO, readiness.DEFAULT) else readiness.UNKNOWN
            found.setdefault(word, []).append(name)
    return found


def _unfit(checks: Checks) -> str:
    """Why documents that nobody refuses would not work there; the same words wherever it is for the same reason."""
    found = []
    if checks.writable is False:
        found.append("Nothing can be written there: an update would be refused.")
    if checks.room is False:
        found.append("The disk has no room for the documents and their copies.")
    missing = checks.placeholders.get(readiness.NO, [])
    if missing:
        found.append(f"No value there for {_some(missing)}.")
    return " ".join(found)


def _some(names: Collection[str]) -> str:
    shown = list(names)[:NAMED]
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return f"{', '.join(shown)}{more}"


def _bool(value: Any) -> bool | None:
    return value if isinstance(value, bool) else None


def _bytes(value: Any) -> int | None:
    return value if type(value) is int and 0 <= value <= MOST_BYTES else None
