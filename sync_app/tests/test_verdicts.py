"""Only a read-back that shows our digests is success; what may have arrived is unknown until somebody looked."""

from __future__ import annotations

from typing import Any

import pytest

from instances_app.client import Outcome, Pushed, Reply
from sync_app.verdicts import Attempt, Verdict, decide

DIGEST = "a" * 64
OURS = Reply(Outcome.OK, 200, {"webhooks_version": DIGEST[:16]})
OTHERS = Reply(Outcome.OK, 200, {"webhooks_version": "b" * 16})
APPLIED = Reply(Outcome.OK, 200, {"status": "success", "outcome": "applied"})
TIMEOUT = Reply(Outcome.UNKNOWN, code="read_timeout", error="No answer within 10 seconds.")
REFUSED = Reply(Outcome.UNREACHABLE, code="refused", error="Connection refused.")
BUSY = Reply(Outcome.BUSY, 503, {}, "reloading", "busy", 40.0)
BROKEN = Reply(Outcome.SERVER_ERROR, 500, {}, "The instance failed (HTTP 500).", "server_error")
NO = Reply(Outcome.REJECTED, 422, {}, "Unknown module", "rejected")
STALE = Reply(Outcome.REJECTED, 409, {}, "older", "stale")
TOKEN = Reply(Outcome.UNAUTHORISED, 401, {}, "The instance refused our token (HTTP 401).", "unauthorised")
NO_AGENT = Reply(Outcome.WRONG_PROTOCOL, 404, {}, "Something answers there.", "not_found")
SAYS_ERROR = Reply(Outcome.OK, 200, {"status": "error", "error": "no"}, "no")


def verdict(
    *sent: Reply, looked: Reply | None = None, read_back: Reply | None = None, number: int = 1, **attempt: Any
) -> Verdict:
    pushed = Pushed(1, looked, sent, read_back, 1.0 if sent else None, 2.0)
    known = {"sent_before": False, "may_send": True, **attempt}
    return decide(pushed, Attempt(number, 3, {"webhooks": DIGEST}, **known), backoff=2)


CASES = [
    # what came back                                                           first try      last try
    ({"sent": [APPLIED], "read_back": OURS}, "verified", "verified"),
    ({"sent": [], "looked": OURS}, "verified", "verified"),
    ({"sent": [APPLIED], "read_back": OTHERS}, "retrying", "failed"),
    ({"sent": [APPLIED], "read_back": TIMEOUT}, "unknown", "unreachable"),
    ({"sent": [APPLIED], "read_back": BUSY}, "unknown", "failed"),
    ({"sent": [TIMEOUT]}, "unknown", "unreachable"),
    ({"sent": [BROKEN]}, "unknown", "failed"),
    ({"sent": [REFUSED]}, "retrying", "unreachable"),
    ({"sent": [BUSY]}, "retrying", "failed"),
    ({"sent": [NO]}, "rejected", "rejected"),
    ({"sent": [SAYS_ERROR]}, "rejected", "rejected"),
    ({"sent": [STALE]}, "failed", "failed"),
    ({"sent": [TOKEN]}, "failed", "failed"),
    ({"sent": [NO_AGENT]}, "failed", "failed"),
    ({"sent": [APPLIED, TIMEOUT]}, "unknown", "unreachable"),
    ({"sent": [APPLIED, BUSY]}, "unknown", "failed"),
    ({"sent": [], "looked": REFUSED}, "retrying", "unreachable"),
    ({"sent": [], "looked": TIMEOUT}, "retrying", "unreachable"),
    ({"sent": [], "looked": TOKEN}, "failed", "failed"),
    ({"sent": [], "looked": TIMEOUT, "sent_before": True}, "unknown", "unreachable"),
    ({"sent": [], "looked": REFUSED, "sent_before": True}, "unknown", "unreachable"),
    ({"sent": [REFUSED], "looked": OTHERS, "sent_before": True}, "unknown", "unreachable"),
]


@pytest.mark.parametrize(("came", "first", "last"), CASES)
def test_what_an_attempt_means_first_and_last(came: dict[str, Any], first: str, last: str) -> None:
    known = dict(came)
    sent = known.pop("sent")
    one, other = verdict(*sent, number=1, **known), verdict(*sent, number=3, **known)
    assert (one.state, other.state) == (first, last)
    if first in {"retrying", "unknown"}:
        assert one.delay is not None
        assert 0 <= one.delay <= 60
    assert other.delay is None
    for found in (one, other):
        assert bool(found.error) != (found.state == "verified")
        assert bool(found.evidence) == (found.state == "verified")


def test_nothing_but_a_read_back_is_success() -> None:
    for reply in (APPLIED, OURS):  # even a push answered with our very digests proves nothing yet
        assert verdict(reply, read_back=TIMEOUT).state == "unknown"


def test_an_ended_rollout_only_finds_out_what_arrived() -> None:
    assert verdict(looked=OURS, may_send=False, sent_before=True).state == "verified"
    assert verdict(looked=OTHERS, may_send=False, sent_before=True).state == "cancelled"
    assert verdict(looked=OTHERS, may_send=False, sent_before=True, unsent_as="superseded").state == "superseded"
    assert verdict(looked=TIMEOUT, may_send=False, sent_before=True).state == "unknown"


def test_a_refused_token_stops_the_instance_and_says_what_to_do() -> None:
    found = verdict(TOKEN)
    assert found.token_refused
    assert "Store the agent's current token" in found.error


def test_the_instance_may_ask_for_a_longer_pause_than_ours() -> None:
    assert verdict(BUSY).delay == 40.0


def test_how_we_know_is_said_in_words() -> None:
    assert verdict(APPLIED, read_back=OURS).evidence == "Read back after the push."
    assert verdict(looked=OURS, sent_before=True).evidence.endswith("Not sent again.")
    assert verdict(looked=OURS).evidence.endswith("Nothing was sent.")


def test_every_wanted_document_has_to_be_shown() -> None:
    pushed = Pushed(1, None, (APPLIED,), OURS, 1.0, 2.0)
    attempt = Attempt(1, 3, {"webhooks": DIGEST, "connections": "c" * 64}, sent_before=False, may_send=True)
    assert decide(pushed, attempt, backoff=2).state == "retrying"
