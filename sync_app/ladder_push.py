"""What deliveries tell of a document on one instance: whether it left, and what came of that. Part of `ladder`."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from webhook_agent import protocol

from sync_app.ladder_facts import AHEAD, ELSEWHERE, REACHED, STOPPED, UNKNOWN, WAITING, Attempt, Facts, Rung
from sync_app.models import FINAL, WITH_REASON, DeliveryState

IN_DOUBT = (DeliveryState.SENDING, DeliveryState.UNKNOWN, DeliveryState.RETRYING, DeliveryState.UNREACHABLE)


def sent(facts: Facts) -> Rung:
    last = facts.attempt
    if facts.right:
        pushed = [one for one in facts.tries if one.sent_at and one.code != "lease_expired"]
        for one in pushed:
            if one.ran_already is False:
                return Rung(
                    "sent",
                    REACHED,
                    "It had not reported this content before, so the push had it.",
                    one.sent_at,
                    attempt=one,
                )
        if any(one.ran_already is None for one in pushed):
            what = (
                "Pushes left, but what it ran before them is not kept any more: which one brought this cannot be told."
            )
            return Rung("sent", UNKNOWN, what, pushed[-1].sent_at, attempt=pushed[-1])
        what = "It reports this content, and no push of ours brought it. Verified by reading it back."
        return Rung("sent", ELSEWHERE, what, facts.report.since if facts.report else None)
    if last is None:
        what, since = "No rollout was to bring this content here.", facts.overwritten
        if since is not None:
            what = "No rollout was to bring this content here since another one was sent."
        if facts.in_maintenance:
            what = f"It is in maintenance: rollouts leave it out. {what}"
        found = Rung("sent", AHEAD, what, attempt=since, next="Sync this instance.", go="sync")
    else:
        found = _last_sent(last)
    if facts.in_maintenance and found.go == "sync":
        return replace(found, next="End its maintenance, then sync it.", go="maintenance")
    return found


def _last_sent(last: Attempt) -> Rung:
    def rung(
        state: str, what: str, *, at: datetime | None = None, said: str = "", next: str = "", go: str = ""
    ) -> Rung:
        return Rung("sent", state, what, at or last.changed_at, said, last, next, go)

    match last.state:
        case DeliveryState.PENDING:
            if last.held:
                return rung(
                    STOPPED,
                    f"It waits: the rollout is {last.held}.",
                    next="Resume, continue or cancel it.",
                    go="rollout",
                )
            if last.waits_for_wave:
                return rung(WAITING, f"It waits for wave {last.waits_for_wave}, which is not open yet.", go="rollout")
            return rung(WAITING, "It waits for a worker.", next="Nothing; it is next.", go="rollout")
        case DeliveryState.SENDING:
            first = (
                "It is being sent." if last.attempts < 2 else f"Attempt {last.attempts} is reading back what arrived."
            )
            return rung(WAITING, first, next="Nothing; this takes seconds.")
        case DeliveryState.SKIPPED | DeliveryState.CANCELLED | DeliveryState.SUPERSEDED if last.sent_at is None:
            why = "went into maintenance" if last.state == DeliveryState.SKIPPED else f"rollout was {last.state}"
            who = "It" if last.state == DeliveryState.SKIPPED else "The"
            return rung(STOPPED, f"{who} {why} before anything was sent.", next="Sync this instance.", go="sync")
    if last.code == "lease_expired" and last.state not in FINAL:
        return rung(
            UNKNOWN,
            "The worker stopped while sending. Nobody knows whether the push left.",
            next="Wait: it is read back first.",
        )
    if last.sent_at is not None:
        if last.ran_already:
            what = "It reported this content before the push left, which carries only what differs."
            return rung(ELSEWHERE, what, at=last.sent_at)
        if last.ran_already is None:
            return rung(UNKNOWN, "A push left; whether this document was in it is not kept any more.", at=last.sent_at)
        return rung(REACHED, f"A push left, attempt {last.attempts}.", at=last.sent_at)
    if last.state == DeliveryState.VERIFIED:
        return rung(ELSEWHERE, "It ran this content already then. Nothing was sent.", at=last.finished_at)
    if last.state in WITH_REASON:
        after = after_failure(last)
        return rung(STOPPED, "Nothing was sent.", said=last.error, next=after["next"], go=after["go"])
    return rung(WAITING, f"Attempt {last.attempts} sent nothing.", said=last.error, next="Wait: it is tried again.")


def of_the_push(name: str, last: Attempt) -> Rung:
    first = name == "written"
    if last.sent_at is None:
        return Rung(name, AHEAD, "Nothing was sent.")
    if last.state in IN_DOUBT:
        what = "A push left, and nobody knows whether it arrived."
        if last.state == DeliveryState.UNREACHABLE:
            return Rung(name, UNKNOWN, what, last.sent_at, last.error if first else "", last, **after_failure(last))
        wait = "Wait: it is read back before anything is sent again."
        return Rung(name, UNKNOWN, what, last.sent_at, last.error if first else "", last, wait)
    if last.state == DeliveryState.FAILED:
        state = STOPPED if first else AHEAD
        return Rung(
            name, state, "The push failed.", last.finished_at, last.error if first else "", last, **after_failure(last)
        )
    return Rung(name, AHEAD, last.evidence or "It was read back and had not arrived.", last.finished_at)


def not_there(facts: Facts, name: str, what: str, at: datetime | None) -> Rung:
    """It says that it has another content; why, as far as the last delivery tells."""
    last = facts.attempt
    if last is None or last.state not in FINAL:
        return Rung(name, AHEAD, what, at)
    if last.state in WITH_REASON:
        return Rung(name, STOPPED, what, at, last.error, last, **after_failure(last))
    if last.state == DeliveryState.VERIFIED:
        what = f"{what} It was there once: something else has written since."
        return Rung(name, STOPPED, what, at, attempt=last, next="Compare and decide at the drift desk.", go="drift")
    return Rung(name, AHEAD, what, at, attempt=last)


def after_failure(last: Attempt) -> dict[str, str]:
    """What to do about a delivery that ended badly."""
    if last.state == DeliveryState.REJECTED:
        return {
            "next": "Correct the document as a change and publish it; the others may have refused it, too.",
            "go": "rollout",
        }
    if last.state == DeliveryState.UNREACHABLE:
        return {"next": "Is the host up and the address right? Check now, then sync.", "go": "check"}
    if last.code in {"unauthorised", "forbidden", "bad_signature"}:
        return {"next": "Store the agent's current token, check, then sync.", "go": "edit"}
    if last.code == protocol.STALE:
        return {"next": "A newer rollout was there first. See what it left.", "go": "rollout"}
    return {"next": "See its words, then sync again.", "go": "sync"}


def short(digest: str) -> str:
    return digest[:12] if digest else "none"
