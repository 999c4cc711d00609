"""A rung is reached by evidence of its own: fresh, newer than the last push, told by the instance or kept by us."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from sync_app import ladder
from sync_app.ladder_facts import Attempt, Facts, Report, Served, Told
from sync_app.models import DeliveryState

NOW = datetime(2026, 1, 31, 3, 0, tzinfo=UTC)
WANTED, OTHER = "a" * 64, "b" * 64
STALE = timedelta(seconds=120)


def ago(seconds: float) -> datetime:
    return NOW - timedelta(seconds=seconds)


# Sent 60 seconds ago and read back; asked 10 seconds ago what it is; probed 5 seconds ago.
REPORT = Report(WANTED, since=ago(58), seen_at=ago(10))
SENT = Attempt(
    rollout=7,
    number=3,
    by="olga",
    state=DeliveryState.VERIFIED,
    changed_at=ago(58),
    carries=True,
    sent_at=ago(60),
    finished_at=ago(58),
    attempts=1,
    evidence="Read back after the push.",
)
TOLD = Told(ago(10), True, digest=WANTED, on_disk=WANTED, reload_status="loaded", alive=4, loaded=4)
SERVED = Served(timedelta(seconds=400), "serving", ago(5))
FACTS = Facts("webhooks", WANTED, NOW, STALE, REPORT, (SENT,), TOLD, SERVED)


def states(facts: Facts) -> str:
    return ", ".join(rung.state for rung in ladder.climb(facts).rungs)


def stop(facts: Facts) -> tuple[str, str]:
    found = ladder.climb(facts).stop
    assert found is not None
    return found.name, found.state


def sent(state: str, **more: Any) -> Facts:
    """The last delivery ended so, and the instance still reports what it ran before."""
    before = Report(OTHER, since=ago(9000), seen_at=ago(10))
    told = replace(TOLD, at=ago(100), digest=OTHER, on_disk=OTHER)
    return replace(
        FACTS, report=before, told=told, attempts=(replace(SENT, **{"state": state, "evidence": "", **more}),)
    )


def test_all_five_rungs_are_reached_by_what_was_sent_and_what_was_answered_since() -> None:
    found = ladder.climb(FACTS)
    assert states(FACTS) == "reached, reached, reached, reached, reached"
    assert found.proven
    assert found.stop is None
    assert [rung.at for rung in found.rungs] == [ago(60), ago(10), ago(10), ago(10), ago(5)]
    assert found.rung("sent").attempt == SENT
    assert "All 4 worker processes" in found.rung("loaded").what


@pytest.mark.parametrize("rung", ["written", "loaded", "verified", "serving"])
def test_evidence_that_is_too_old_to_believe_reaches_nothing(rung: str) -> None:
    long_ago = ago(500)
    old = replace(
        FACTS,
        report=replace(REPORT, since=ago(9000), seen_at=long_ago),
        attempts=(replace(SENT, sent_at=ago(9000), finished_at=ago(8990)),),
        told=replace(TOLD, at=long_ago),
        served=replace(SERVED, at=long_ago),
    )
    found = ladder.climb(old).rung(rung)
    assert found.state in {"unknown", "not yet"}
    assert found.state == "unknown" or rung == "serving"  # it serves something, but nobody knows what
    assert stop(old) == ("written", "unknown")


def test_what_it_said_before_the_push_says_nothing_about_it() -> None:
    early = replace(FACTS, told=replace(TOLD, at=ago(70)), attempts=(replace(SENT, ran_already=None),))
    found = ladder.climb(early)
    assert found.rung("written").state == "unknown"
    assert "before the push" in found.rung("written").what
    assert found.rung("loaded").state == "reached"  # config-version came after it, and speaks for every process
    assert found.rung("loaded").at == ago(10)


def test_a_push_answered_with_success_is_evidence_until_that_is_too_old() -> None:
    before = replace(TOLD, at=ago(70), digest=OTHER, on_disk=OTHER)
    assert states(replace(FACTS, told=before)) == "reached, reached, reached, reached, reached"
    later = NOW + timedelta(seconds=100)
    report = replace(REPORT, seen_at=later - timedelta(seconds=1))
    found = ladder.climb(replace(FACTS, told=before, now=later, report=report))
    assert found.rung("written").state == "unknown"
    assert found.proven  # and so nothing stops


def test_an_instance_that_got_there_without_us_is_verified_and_was_not_sent_to() -> None:
    there = replace(FACTS, attempts=())
    assert states(there) == "not by us, reached, reached, reached, reached"
    assert ladder.climb(there).stop is None
    only_read = replace(SENT, sent_at=None, evidence="Read back: it ran this bundle already. Nothing was sent.")
    assert states(replace(FACTS, attempts=(only_read,))).startswith("not by us, reached")
    assert states(replace(FACTS, attempts=(replace(SENT, ran_already=True),))).startswith("not by us, ")
    assert states(replace(FACTS, attempts=(replace(SENT, ran_already=None),))).startswith("unknown, ")
    older = replace(SENT, rollout=1, sent_at=ago(5000))
    found = ladder.climb(replace(FACTS, attempts=(replace(SENT, ran_already=True), older)))
    assert found.rung("sent").attempt == older  # a later rollout did not send this document again


def test_a_service_with_three_endpoints_is_verified_and_tells_no_more() -> None:
    seed = replace(FACTS, report=replace(REPORT, digest=WANTED[:16]), told=Told(ago(10), False), served=None)
    assert states(seed) == "reached, not told, not told, reached, not set up"
    assert "first 16 digits" in ladder.climb(seed).rung("verified").what
    assert ladder.climb(seed).stop is None


def test_what_waits_says_what_it_waits_for() -> None:
    waiting = sent("pending", sent_at=None, finished_at=None, attempts=0)
    assert states(waiting) == "under way, not yet, not yet, not yet, not yet"
    (attempt,) = waiting.attempts
    assert "for a worker" in ladder.climb(waiting).rung("sent").what
    assert "is paused" in ladder.climb(replace(waiting, attempts=(replace(attempt, held="paused"),))).rung("sent").what
    assert "wave 2" in ladder.climb(replace(waiting, attempts=(replace(attempt, waits_for_wave=2),))).rung("sent").what


@pytest.mark.parametrize(
    ("facts", "where", "expected", "words"),
    [
        (sent("rejected", error="Unknown module"), "written", "stopped", "Unknown module"),
        (sent("failed", error="Token refused.", code="unauthorised"), "written", "stopped", "Token refused."),
        (sent("unknown", error="No answer within 10 seconds.", finished_at=None), "written", "unknown", "No answer"),
        (sent("retrying", error="Busy.", finished_at=None), "written", "unknown", "Busy."),
        (sent("unreachable", error="No proof after 5 attempts."), "written", "unknown", "No proof"),
        (sent("unreachable", error="Connection refused.", sent_at=None), "sent", "stopped", "Connection refused."),
        (sent("failed", error="Retired.", code="retired", sent_at=None), "sent", "stopped", "Retired."),
        (sent("cancelled", sent_at=None), "sent", "stopped", ""),
        (sent("skipped", sent_at=None), "sent", "stopped", ""),
        (sent("unknown", code="lease_expired", finished_at=None), "sent", "unknown", ""),
    ],
)
def test_a_delivery_that_did_not_arrive_stops_at_its_rung_with_the_reason_and_what_to_do(
    facts: Facts, where: str, expected: str, words: str
) -> None:
    found = ladder.climb(facts)
    assert stop(facts) == (where, expected)
    assert words in found.rung(where).said
    assert found.rung(where).next
    assert "reached" not in [
        rung.state for rung in found.rungs if rung.name in {"written", "loaded", "verified", "serving"}
    ]


def test_a_push_without_this_document_sent_it_nowhere_and_says_nothing_about_it() -> None:
    """The other document was sent; this one had been there before, and is too old to believe now."""
    old = replace(FACTS, report=replace(REPORT, since=ago(9000), seen_at=ago(500)), told=replace(TOLD, at=ago(500)))
    for state in ("verified", "rejected", "unreachable"):
        there = replace(old, attempts=(replace(SENT, state=state, ran_already=True, error="No."),))
        assert states(there) == "not by us, unknown, unknown, unknown, not yet", state
        assert "too old" in ladder.climb(there).rung("written").what
    assert states(replace(old, attempts=(replace(SENT, ran_already=None),))).startswith("unknown, ")


def test_a_push_that_was_seen_to_have_arrived_later_is_only_old() -> None:
    later = NOW + timedelta(hours=1)
    facts = sent("unreachable", error="No proof after 5 attempts.")
    facts = replace(facts, now=later, report=Report(WANTED, since=ago(30), seen_at=ago(10)), told=TOLD)
    assert states(facts) == "reached, unknown, unknown, unknown, not yet"
    assert "too old" in ladder.climb(facts).rung("written").what


def test_what_is_sent_again_may_have_arrived_before() -> None:
    again = sent("sending", attempts=5, finished_at=None)
    assert states(again) == "under way, unknown, unknown, not yet, not yet"
    assert "Attempt 5 is reading back" in ladder.climb(again).rung("sent").what
    back = sent("cancelled", evidence="Read back: the instance does not run this bundle.")
    assert states(back) == "reached, not yet, not yet, not yet, not yet"


def test_the_verdict_names_what_is_not_proven_before_what_does_not_serve() -> None:
    proven = ladder.climb(replace(FACTS, served=Served(timedelta(seconds=400))))
    waiting = ladder.climb(sent("pending", sent_at=None, finished_at=None, attempts=0))
    assert ladder.verdict([proven]).says == "It runs what it should; whether it serves is not known."
    assert ladder.verdict([proven, waiting]).word == "under way"
    refused = ladder.climb(sent("rejected", error="Unknown module"))
    assert (ladder.verdict([waiting, refused]).word, ladder.verdict([waiting, refused]).kind) == (
        "not right",
        "webhooks",
    )
    assert ladder.verdict([ladder.climb(FACTS)]).says == "It runs what it should, and serves."
    assert ladder.verdict([ladder.climb(replace(FACTS, served=None))]).says == "It runs what it should."


def test_a_timeout_is_never_told_as_a_failure() -> None:
    facts = sent("unknown", error="No answer within 10 seconds.", finished_at=None)
    assert "stopped" not in states(facts)


@pytest.mark.parametrize(
    ("told", "where", "words"),
    [
        ({"on_disk": OTHER, "reload_status": "changed"}, "written", "Somebody edited the file"),
        ({"on_disk": "", "problem": "It is not JSON."}, "written", "not one it can read"),
        ({"digest": OTHER, "reload_status": "failed", "words": "No such module."}, "loaded", "could not load"),
        ({"alive": 4, "loaded": 3}, "loaded", "1 of 4 worker processes has not"),
    ],
)
def test_what_it_says_of_itself_stops_a_rung_although_its_digest_was_read_back(
    told: dict[str, Any], where: str, words: str
) -> None:
    facts = replace(FACTS, told=replace(TOLD, **told))
    found = ladder.climb(facts)
    assert stop(facts) == (where, "stopped")
    assert words in found.rung(where).what
    assert found.rung("verified").state == "reached"


def test_processes_that_cannot_see_each_other_prove_no_load() -> None:
    assert states(replace(FACTS, told=replace(TOLD, alive=None, loaded=None))).split(", ")[2] == "unknown"


def test_what_was_proven_and_is_gone_leads_to_the_drift_desk() -> None:
    drifted = replace(
        FACTS,
        report=Report(OTHER, since=ago(20), seen_at=ago(10)),
        told=replace(TOLD, digest=OTHER, on_disk=OTHER),
    )
    found = ladder.climb(drifted)
    assert states(drifted) == "reached, stopped, stopped, stopped, not yet"
    assert found.rung("written").go == "drift"


def test_nobody_has_brought_it_yet() -> None:
    new = replace(
        FACTS, report=Report(OTHER, ago(500), ago(5)), attempts=(), told=replace(TOLD, digest=OTHER, on_disk=OTHER)
    )
    assert states(new) == "not yet, not yet, not yet, not yet, not yet"
    assert ladder.climb(new).rung("sent").go == "sync"
    assert ladder.climb(replace(new, in_maintenance=True)).rung("sent").go == "maintenance"
    silent = replace(FACTS, report=None, attempts=(), told=Told(None, False), served=None)
    assert states(silent) == "not yet, not yet, not yet, unknown, not set up"


@pytest.mark.parametrize(
    ("served", "expected"),
    [
        (replace(SERVED, word="answers wrongly", detail="It answered with HTTP 503.", said="no broker"), "stopped"),
        (replace(SERVED, word="no answer", detail="Connection refused."), "stopped"),
        (replace(SERVED, word="unknown", detail="No answer within 5 seconds."), "unknown"),
        (replace(SERVED, at=ago(59)), "unknown"),  # what it ran then was something else
        (replace(SERVED, at=ago(57), believed=timedelta(seconds=50)), "unknown"),
        (Served(timedelta(seconds=400)), "unknown"),
        (None, "not set up"),
    ],
)
def test_serving_is_what_a_fresh_probe_found_of_this_content(served: Served | None, expected: str) -> None:
    facts = replace(FACTS, served=served)
    assert states(facts) == f"reached, reached, reached, reached, {expected}"
    assert ladder.climb(facts).proven
    if expected == "not set up":
        assert ladder.climb(facts).stop is None
    else:
        assert stop(facts) == ("serving", expected)


def test_what_another_content_was_sent_over_is_no_evidence_of_this_one() -> None:
    """Published, then another one, then this one again by a rollback."""
    newer = replace(SENT, rollout=8, number=4, carries=False, sent_at=ago(4), finished_at=None, state="unknown")
    over = replace(FACTS, attempts=(newer, SENT))
    assert states(over) == "not yet, unknown, unknown, unknown, not yet"
    assert ladder.verdict([ladder.climb(over)]).word == "unknown"
    refused = replace(newer, state=DeliveryState.REJECTED)  # nothing of it is there
    assert states(replace(FACTS, attempts=(refused, SENT))) == "reached, unknown, reached, reached, unknown"
    back = replace(FACTS, attempts=(replace(newer, sent_at=ago(20), finished_at=ago(19)), SENT))
    assert states(back) == "not by us, reached, reached, reached, reached"  # told, read and asked since, sent by nobody
    there = replace(back, report=Report(OTHER, since=ago(19), seen_at=ago(10)), told=replace(TOLD, digest=OTHER))
    assert ladder.climb(there).rung("sent").state == "not yet"
    assert "something else has written" not in str(ladder.climb(there))  # we did


def test_an_answer_that_came_in_during_a_push_accuses_nobody_of_editing_files() -> None:
    during = replace(FACTS, told=replace(TOLD, at=ago(59), digest=OTHER, on_disk=OTHER))
    assert states(during) == "reached, reached, reached, reached, reached"
    after = replace(FACTS, told=replace(TOLD, on_disk=OTHER))
    assert stop(after) == ("written", "stopped")


def test_what_an_old_answer_promised_or_no_living_process_loaded_reaches_nothing() -> None:
    old = replace(FACTS, told=replace(TOLD, at=ago(500)))
    assert states(old) == "reached, unknown, unknown, reached, reached"
    assert ladder.climb(replace(FACTS, told=replace(TOLD, alive=0, loaded=0))).rung("loaded").state == "unknown"


def test_what_it_reports_goes_before_a_push_without_an_answer_and_a_held_rollout_brings_nothing() -> None:
    doubt = ladder.verdict([ladder.climb(sent("unreachable", error="No proof."))])
    assert (doubt.word, doubt.says) == ("not right", "It does not run the webhooks it should.")
    held = sent("pending", sent_at=None, finished_at=None, attempts=0, held="halted")
    assert ladder.verdict([ladder.climb(held)]).word == "not right"
    silent = replace(sent("rejected", error="No."), report=None)
    assert ladder.verdict([ladder.climb(silent)]).word == "unknown"
    assert "maintenance" in ladder.climb(replace(sent("skipped", sent_at=None), in_maintenance=True)).rung("sent").next
