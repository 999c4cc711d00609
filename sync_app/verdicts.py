"""What one attempt at one delivery means. Pure: replies in, the delivery's next state out."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass

from webhook_agent import protocol

from instances_app import observations
from instances_app.client import Outcome, Pushed, Reply
from sync_app.models import DeliveryState

LONGEST_DELAY = 60.0
AFTER_PUSH = "Read back after the push."  # all of it was answered with success; the ladder knows it by these words
ONLY_READ = "Read back: it runs this bundle. It was only read, and the push of an older rollout may still arrive."
OVERTAKEN = "It runs this, but the push of an older rollout may still arrive. Sent again once this one goes on."

OTHER = "Another instance answers at this address; nothing was written there. The instance's page says what to do."


@dataclass(frozen=True, slots=True)
class Attempt:
    """What the worker knew when it sent: `number` counts from 1; `sent_before`: an earlier push may have arrived."""

    number: int
    of: int
    wanted: Mapping[str, str]
    sent_before: bool
    may_send: bool  # false while the rollout is held, and once it was cancelled or superseded: it only reads back
    unsent_as: str = DeliveryState.CANCELLED  # what a delivery becomes that has not arrived and may not be sent


@dataclass(frozen=True, slots=True)
class Verdict:
    state: str
    code: str = ""
    error: str = ""
    evidence: str = ""
    delay: float | None = None  # seconds until the next attempt
    token_refused: bool = False


def decide(pushed: Pushed, attempt: Attempt, *, backoff: float) -> Verdict:
    """The delivery's next state.

    Only a read-back that shows our digests is `verified`. Whatever may have arrived without being read back is
    `unknown`, and the next attempt reads before it sends. Where an older push may still arrive, a look alone proves
    nothing to come: a rollout that is held has yet to push, and one that has ended says that it only read.
    """
    proof = pushed.read_back or (pushed.looked if not pushed.sent else None)
    if proof is not None and proof.outcome == Outcome.OK:
        if runs(proof, attempt.wanted):
            if pushed.contested and not pushed.sent:
                if attempt.unsent_as == DeliveryState.PENDING:
                    return Verdict(DeliveryState.RETRYING, "contested", OVERTAKEN)
                return Verdict(DeliveryState.VERIFIED, evidence=ONLY_READ)
            return Verdict(DeliveryState.VERIFIED, evidence=_evidence(pushed, attempt))
        if not attempt.may_send:
            return Verdict(attempt.unsent_as, evidence="Read back: the instance does not run this bundle.")
        text = "The instance accepted the documents but reports others. Does something else write its files?"
        return _again(attempt, DeliveryState.RETRYING, "other_digest", text, backoff=backoff)
    reply = _decisive(pushed)
    maybe_there = attempt.sent_before or bool(pushed.sent and reply is not pushed.sent[0]) or _may_have_arrived(pushed)
    if reply.outcome == Outcome.REJECTED or _says_error(reply):
        if reply.code == protocol.STALE:
            text = "A newer rollout has reached this instance already; this one is not sent over it."
            return Verdict(DeliveryState.FAILED, reply.code, text)
        if reply.code == protocol.OTHER_INSTANCE:
            return Verdict(DeliveryState.FAILED, reply.code, OTHER)
        return Verdict(DeliveryState.REJECTED, reply.code, reply.error or "The instance gave no reason.")
    if reply.outcome == Outcome.UNAUTHORISED:
        text = f"{reply.error} Store the agent's current token on the instance's page, then retry."
        return Verdict(DeliveryState.FAILED, reply.code, text[:500], token_refused=True)
    if reply.outcome == Outcome.WRONG_PROTOCOL:
        return Verdict(DeliveryState.FAILED, reply.code, reply.error)
    state = DeliveryState.UNKNOWN if maybe_there else DeliveryState.RETRYING
    if reply.outcome in {Outcome.BUSY, Outcome.SERVER_ERROR} and not pushed.read_back:
        state = DeliveryState.UNKNOWN if reply.outcome == Outcome.SERVER_ERROR and pushed.sent else state
    return _again(attempt, state, reply.code, reply.error, backoff=backoff, retry_after=reply.retry_after, last=reply)


def runs(reply: Reply, wanted: Mapping[str, str]) -> bool:
    """Whether a config-version answer shows every wanted digest."""
    reported = observations.reported_digests(reply)
    return all(protocol.same(digest, reported.get(kind, "")) for kind, digest in wanted.items())


def _decisive(pushed: Pushed) -> Reply:
    """The reply that ended the attempt; a job always has at least one."""
    for reply in (pushed.read_back, pushed.sent[-1] if pushed.sent else None, pushed.looked):
        if reply is not None:
            return reply
    raise AssertionError("a push ended without any reply")


def _may_have_arrived(pushed: Pushed) -> bool:
    return pushed.read_back is not None or any(
        reply.outcome in {Outcome.OK, Outcome.UNKNOWN, Outcome.SERVER_ERROR} for reply in pushed.sent
    )


def _says_error(reply: Reply) -> bool:
    """The seed's protocol may say "error" in a 200."""
    return reply.outcome == Outcome.OK and reply.body.get("status") == "error"


def _evidence(pushed: Pushed, attempt: Attempt) -> str:
    if pushed.sent:
        return AFTER_PUSH
    if attempt.sent_before:
        return "Read back: an earlier push had arrived. Not sent again."
    return "Read back: it ran this bundle already. Nothing was sent."


def _again(
    attempt: Attempt,
    state: str,
    code: str,
    error: str,
    *,
    backoff: float,
    retry_after: float | None = None,
    last: Reply | None = None,
) -> Verdict:
    error = error or "No answer."
    if attempt.number < attempt.of:
        # Exponential with full jitter, so that a fleet which failed together does not come back together.
        delay = random.uniform(0, min(LONGEST_DELAY, backoff * 2 ** (attempt.number - 1)))  # noqa: S311
        return Verdict(state, code, error, delay=max(delay, retry_after or 0.0))
    if (last is not None and last.status is None) or (state == DeliveryState.UNKNOWN and last is None):
        doubt = " It is not known whether the last push arrived." if state == DeliveryState.UNKNOWN else ""
        text = f"No proof after {attempt.of} attempts. Last: {error}{doubt}"
        return Verdict(DeliveryState.UNREACHABLE, code, text[:500])
    return Verdict(DeliveryState.FAILED, code, f"Given up after {attempt.of} attempts. Last: {error}"[:500])
