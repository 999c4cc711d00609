"""What an answer to a dry run means, and what of it is kept."""

from __future__ import annotations

import json
from typing import Any

import pytest

from configs_app import reasons
from instances_app.client import DryPushed, Outcome, Reply, replies
from sync_app.dry_verdicts import Verdict, decide

ABLE = Reply(Outcome.OK, 200, {"capabilities": ["batch", "digest", "dry_run", "readiness"]})
READY: dict[str, Any] = {
    "writable": True,
    "room": True,
    "free_bytes": 5_000_000,
    "needed_bytes": 1000,
    "validator": True,
    "placeholders": {"TOKEN": "yes", "REGION": "yes"},
    "placeholders_left_out": 0,
}


def validated(**readiness: Any) -> Reply:
    body = {"status": "success", "outcome": "validated", "readiness": {**READY, **readiness}}
    return Reply(Outcome.OK, 200, body)


def rejected(error: str = "Unknown module 'x'", **body: Any) -> Reply:
    return Reply(Outcome.REJECTED, 422, {"outcome": "rejected", **body}, error, "rejected")


def verdict(answer: Reply | None, info: Reply = ABLE) -> Verdict:
    return decide(DryPushed(1, info, answer), names=["TOKEN", "REGION"], hide=lambda words: words)


CASES: dict[str, tuple[Reply, Reply | None, str, str]] = {
    "it would take it": (ABLE, validated(), "ready", ""),
    "read-only": (ABLE, validated(writable=False), "not fit", "Nothing can be written there"),
    "a full disk": (ABLE, validated(room=False), "not fit", "The disk has no room"),
    "a variable that is not set": (
        ABLE,
        validated(placeholders={"TOKEN": "no", "REGION": "default"}),
        "not fit",
        "No value there for TOKEN.",
    ),
    "a validator's no": (ABLE, rejected(), "refused", "Unknown module 'x'"),
    "too large for it": (
        ABLE,
        Reply(Outcome.REJECTED, 413, {"x": 1}, "Over the limit.", "too_large"),
        "refused",
        "Over",
    ),
    "a refused token": (
        Reply(Outcome.UNAUTHORISED, 401, {}, "The instance refused our token (HTTP 401).", "unauthorised"),
        None,
        "failed",
        "Store the agent's current token",
    ),
    "no signature": (ABLE, Reply(Outcome.UNAUTHORISED, 401, {}, "Refused.", "bad_signature"), "failed", "Refused."),
    "no agent": (Reply(Outcome.WRONG_PROTOCOL, 404, {}, "Not an agent.", "not_found"), None, "failed", "Not an agent"),
    "nothing listens": (
        Reply(Outcome.UNREACHABLE, code="refused", error="Connection refused."),
        None,
        "unreachable",
        "Connection refused.",
    ),
    "a timeout": (Reply(Outcome.UNKNOWN, code="read_timeout", error="No answer."), None, "unknown", "No answer."),
    "gone in between": (
        ABLE,
        Reply(Outcome.UNREACHABLE, code="refused", error="Connection refused."),
        "unknown",
        "Connection refused.",
    ),
    "busy": (ABLE, Reply(Outcome.BUSY, 503, {}, "Another update is under way.", "busy"), "unknown", "Another update"),
    "an old agent": (Reply(Outcome.OK, 200, {"instance_id": "seed"}), None, "cannot be asked", "was sent nothing"),
    "it says that it applied it": (
        ABLE,
        Reply(Outcome.OK, 200, {"status": "success", "outcome": "applied"}),
        "failed",
        "Look at what it runs",
    ),
    "an answer without an outcome": (ABLE, Reply(Outcome.OK, 200, {"status": "success"}), "failed", "Look at what"),
}


@pytest.mark.parametrize(("info", "answer", "state", "words"), CASES.values(), ids=CASES.keys())
def test_every_answer_has_one_meaning(info: Reply, answer: Reply | None, state: str, words: str) -> None:
    found = verdict(answer, info)
    assert found.state == state
    assert words in found.error
    assert bool(found.error) == (state != "ready")


def test_only_names_that_were_sent_and_words_that_are_known_are_kept() -> None:
    said = {"TOKEN": "hunter2", "REGION": ["yes"], "<script>": "no", "PATH": "no"}
    found = verdict(validated(placeholders=said))
    assert found.checks.placeholders == {"unknown": ["TOKEN", "REGION"]}
    assert found.state == "ready"  # what nobody knows is no reason to say no; the page tells it


@pytest.mark.parametrize("said", [None, "yes", 7, [], {"placeholders": 7, "room": "yes", "free_bytes": -1}])
def test_a_readiness_that_is_anything_is_not_known(said: Any) -> None:
    body = {"status": "success", "outcome": "validated", "readiness": said}
    found = verdict(Reply(Outcome.OK, 200, body))
    checks = found.checks
    assert (found.state, checks.writable, checks.room, checks.free_bytes) == ("ready", None, None, None)
    assert checks.placeholders == {"unknown": ["TOKEN", "REGION"]}


def test_an_agent_that_lists_read_only_is_believed_without_a_readiness() -> None:
    info = Reply(Outcome.OK, 200, {"capabilities": ["batch", "dry_run", "read_only"]})
    found = verdict(Reply(Outcome.OK, 200, {"status": "success", "outcome": "validated"}), info)
    assert (found.state, found.checks.writable) == ("not fit", False)


def test_the_documents_secrets_are_taken_out_of_an_instances_words() -> None:
    answer = rejected("The password pw-of-the-database is too short")
    found = decide(
        DryPushed(1, ABLE, answer), names=[], hide=lambda words: words.replace("pw-of-the-database", "‹secret›")
    )
    assert found.error == "The password ‹secret› is too short"


PEM = "-----BEGIN PRIVATE KEY-----\nMIIEvQIBADANBgkq\nhkiG9w0BAQEFAASC\n-----END PRIVATE KEY-----"


@pytest.mark.parametrize(
    ("secret", "said"),
    [
        (PEM, f"no key: {PEM}"),
        ("S3cr3t" * 80, "no key: " + "S3cr3t" * 80),
        ("tail-of-a-secret-123", "x" * 285 + " tail-of-a-secret-123"),
        (PEM, "x" * 150 + f" Bearer {PEM} {PEM}"),
    ],
    ids=["several lines", "longer than the words", "cut off", "both"],
)
def test_a_secret_is_taken_out_also_when_the_words_were_shortened(secret: str, said: str) -> None:
    hide = reasons.hiding([json.dumps({"db": {"type": "kafka", "password": secret, "token": f"Bearer {secret}"}})])
    answer = replies.classify(422, {}, json.dumps({"error": said, "code": "rejected"}).encode(), started=0.0)
    error = decide(DryPushed(1, ABLE, answer), names=[], hide=hide).error
    assert error.endswith("‹secret›")
    assert secret[:8] not in error


def test_words_that_end_like_a_secret_begins_stay_when_that_is_short_or_not_the_end() -> None:
    hide = reasons.hiding([json.dumps({"db": {"type": "kafka", "password": "password-of-db"}})])
    for words in ("this is no passwor", "the password-of a host", "no password-off"):
        assert hide(words) == words
