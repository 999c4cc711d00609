"""Tampering is found: by the chain, and what the chain cannot tell, by the checkpoints."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from django.core.management import CommandError, call_command
from django.db import connection
from pytest_django import Settings

from console import audit, audit_proof, checkpoints, tasks, testing
from console.checkpoints import BadCheckpoint
from console.models import AuditEvent

pytestmark = pytest.mark.django_db

KEY = "c2l4dGVlbiBieXRlcyBhbmQgc2l4dGVlbiBtb3JlISE="
OTHER_KEY = "YW5vdGhlciBrZXkgb2YgdGhpcnR5IHR3byBieXRlcyE="


def as_superuser(*statements: str) -> None:
    """What somebody does who owns the table: triggers do not stop them."""
    with connection.cursor() as cursor:
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
        cursor.execute("ALTER TABLE console_auditevent DISABLE TRIGGER USER")
        for statement in statements:
            cursor.execute(statement)
        cursor.execute("ALTER TABLE console_auditevent ENABLE TRIGGER USER")


def insert_in_the_middle() -> None:
    """An event after the third, chained as well as it can be, the later ones moved up."""
    third = AuditEvent.objects.get(sequence=3)
    forged = {**audit.plain(third), "sequence": 4, "previous_hash": third.hash, "actor_name": "nobody"}
    digest = audit.chain_hash(forged)
    columns = [name for name in [*audit.CHAINED, "hash"] if name not in {"sequence", "actor_name"}]
    values = ", ".join({"previous_hash": f"'{third.hash}'", "hash": f"'{digest}'"}.get(name, name) for name in columns)
    as_superuser(
        "UPDATE console_auditevent SET sequence = -sequence - 1 WHERE sequence > 3",
        "UPDATE console_auditevent SET sequence = -sequence WHERE sequence < 0",
        f"INSERT INTO console_auditevent (sequence, actor_name, {', '.join(columns)}) "
        f"SELECT 4, 'nobody', {values} FROM console_auditevent WHERE sequence = 3",
    )


def rewrite_the_chain(*, since: int) -> None:
    """Another name in one event, and every hash from there on made to fit."""
    rows = list(audit.rows(AuditEvent.objects.filter(sequence__gte=since)))
    rows[0]["actor_name"] = "nobody"
    previous = rows[0]["previous_hash"]
    statements = [f"UPDATE console_auditevent SET actor_name = 'nobody' WHERE sequence = {since}"]
    for row in rows:
        row["previous_hash"] = previous
        digest = audit.chain_hash(row)
        statements.append(
            f"UPDATE console_auditevent SET previous_hash = '{previous}', hash = '{digest}' "
            f"WHERE sequence = {row['sequence']}"
        )
        previous = digest
    as_superuser(*statements)


@pytest.fixture
def folder(tmp_path: Path, settings: Settings) -> Path:
    settings.AUDIT_KEYS = [KEY]
    settings.CHECKPOINT_DIR = tmp_path / "checkpoints"
    return tmp_path / "checkpoints"


@pytest.fixture
def events(folder: Path) -> int:
    """Ten events, the eighth and the last with a checkpoint."""
    cast = testing.cast()
    for number in range(7):
        audit.record("test.done", actor=cast.olga, number=number)
    checkpoints.write(folder)
    for number in range(2):
        audit.record("test.done", actor=cast.olga, number=number)
    checkpoints.write(folder)
    assert sorted(path.name for path in folder.iterdir()) == ["000000000008.json", "000000000010.json"]
    return AuditEvent.objects.count()


def verify(*arguments: str) -> str:
    out = io.StringIO()
    call_command("audit", "verify", *arguments, stdout=out)
    return out.getvalue()


TAMPERINGS: dict[str, tuple[Callable[[], None], str]] = {
    "update": (
        lambda: as_superuser("UPDATE console_auditevent SET actor_name = 'nobody' WHERE sequence = 4"),
        "Event 4 is the first bad one: its content does not match its hash",
    ),
    "update of a time": (
        lambda: as_superuser("UPDATE console_auditevent SET at = at - interval '1 hour' WHERE sequence = 4"),
        "Event 4 is the first bad one: its content does not match its hash",
    ),
    "delete": (
        lambda: as_superuser("DELETE FROM console_auditevent WHERE sequence = 4"),
        "Event 5 is the first bad one: event 4 is missing",
    ),
    "insert in the middle": (
        insert_in_the_middle,
        "Event 5 is the first bad one: it does not continue the event before it",
    ),
    "truncate the tail": (
        lambda: as_superuser("DELETE FROM console_auditevent WHERE sequence > 6"),
        "Event 7 is the first bad one: the chain ends before it, but a checkpoint has event 10",
    ),
    "truncate all": (
        lambda: as_superuser("DELETE FROM console_auditevent"),
        "Event 1 is the first bad one: the chain ends before it, but a checkpoint has event 10",
    ),
    "rewrite the chain": (
        lambda: rewrite_the_chain(since=4),
        "Event 8 is the first bad one: its checkpoint has another hash, so events 1 to 8 were rewritten",
    ),
    "rewrite after a checkpoint": (
        lambda: rewrite_the_chain(since=9),
        "Event 10 is the first bad one: its checkpoint has another hash, so events 9 to 10 were rewritten",
    ),
}


@pytest.mark.parametrize("name", TAMPERINGS)
def test_what_a_superuser_of_the_database_alters_is_named(events: int, name: str) -> None:
    assert "10 events, the chain is whole" in verify()
    tamper, words = TAMPERINGS[name]
    tamper()
    with pytest.raises(CommandError) as refusal:
        verify()
    assert words in str(refusal.value)
    assert refusal.value.returncode == 2


def test_without_checkpoints_a_lost_end_and_a_rewritten_chain_go_unseen(events: int, settings: Settings) -> None:
    """Why checkpoints are kept where the database's owner does not reach."""
    settings.CHECKPOINT_DIR = settings.CHECKPOINT_DIR / "none"
    as_superuser("DELETE FROM console_auditevent WHERE sequence > 6")
    rewrite_the_chain(since=4)
    assert "6 events, the chain is whole" in verify()


def test_a_chain_that_contradicts_the_last_checkpoint_is_not_signed(events: int, folder: Path) -> None:
    rewrite_the_chain(since=10)
    audit.record("test.done", actor=None)
    with pytest.raises(BadCheckpoint, match="Event 10 is the first bad one"):
        checkpoints.write(folder)
    tasks.checkpoint()
    assert len(list(folder.iterdir())) == 2


def test_a_checkpoint_is_made_only_when_something_is_new_and_never_over_another(events: int, folder: Path) -> None:
    before = {path.name: path.read_text() for path in folder.iterdir()}
    assert checkpoints.write(folder) is None
    audit.record("test.done", actor=None)
    tasks.checkpoint()
    made = checkpoints.newest(folder)
    assert made is not None
    assert (made.sequence, made.count, made.hash) == (11, 11, AuditEvent.objects.get(sequence=11).hash)
    assert {name: (folder / name).read_text() for name in before} == before
    assert "11 events, the chain is whole.\n3 of 3 checkpoints met; they vouch for 11 of the events." in verify()


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("hash", "0" * 64, "altered"),
        ("sequence", 9, "altered"),
        ("count", 11, "altered"),
        ("signature", "00", "altered"),
        ("signature", "no hexadecimal", "altered"),
        ("public_key", "ab" * 32, "not a key of ours"),
        ("at", None, "not a checkpoint"),
        ("more", 1, "not a checkpoint"),
    ],
)
def test_an_altered_checkpoint_is_named(events: int, folder: Path, name: str, value: Any, words: str) -> None:
    path = folder / "000000000010.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), name: value}))
    with pytest.raises(CommandError, match=f"000000000010.json .*{words}"):
        verify()


@pytest.mark.parametrize("kind", ["unsigned", "of another key", "altered", "no checkpoint"])
def test_what_somebody_drops_into_the_folder_neither_vouches_for_events_nor_stops_the_signing(
    events: int, folder: Path, settings: Settings, kind: str
) -> None:
    ours = checkpoints.newest(folder)
    assert ours is not None
    later = asdict(replace(ours, sequence=events + 5, count=events + 5, hash="0" * 64))
    foreign = folder / f"{events + 5:012}.json"
    match kind:
        case "unsigned":
            foreign.write_text(json.dumps({**later, "signature": ""}))
        case "of another key":
            other = Ed25519PrivateKey.generate()
            claim = checkpoints.Checkpoint(**{**later, "public_key": other.public_key().public_bytes_raw().hex()})
            foreign.write_text(json.dumps({**asdict(claim), "signature": other.sign(claim.signed()).hex()}))
        case "no checkpoint":
            foreign.write_text("[]")
        case _:
            foreign.write_text(json.dumps({**later, "hash": ours.hash}))
    assert checkpoints.newest(folder) == ours
    with pytest.raises(CommandError, match=foreign.name):
        verify()
    audit.record("test.done", actor=None)
    tasks.checkpoint()
    assert (made := checkpoints.newest(folder)) is not None
    assert made.sequence == events + 1
    for _ in range(4):
        audit.record("test.done", actor=None)
    with pytest.raises(BadCheckpoint, match=foreign.name):  # it has the name that the next one would have
        checkpoints.write(folder)
    audit.record("test.done", actor=None)
    assert checkpoints.write(folder) is not None
    foreign.unlink()
    assert f"{events + 6} events, the chain is whole" in verify()


def test_a_copy_under_a_later_name_hides_none_of_those_between(events: int, folder: Path) -> None:
    (folder / "000000000099.json").write_text((folder / "000000000008.json").read_text())
    last = checkpoints.newest(folder)
    assert last is not None
    assert last.sequence == 10


def test_without_a_key_no_file_counts_as_ours(events: int, folder: Path, settings: Settings) -> None:
    settings.AUDIT_KEYS = []
    assert checkpoints.newest(folder) is None


def test_a_rotated_key_still_confirms_what_it_signed(events: int, folder: Path, settings: Settings) -> None:
    old_public = checkpoints.public_keys()[0]
    settings.AUDIT_KEYS = [OTHER_KEY, KEY]
    audit.record("test.done", actor=None)
    checkpoints.write(folder)
    assert "3 of 3 checkpoints met" in verify()
    settings.AUDIT_KEYS = [OTHER_KEY]
    with pytest.raises(CommandError, match="not a key of ours"):
        verify()
    assert "3 of 3" in verify("--public-key", old_public, "--public-key", checkpoints.public_keys()[0])


def exported(path: Path, rows: list[dict[str, Any]] | None = None) -> str:
    chosen = list(audit.rows()) if rows is None else rows
    path.write_text("".join(json.dumps(row) + "\n" for row in chosen))
    return str(path)


def test_an_exported_file_is_verified_without_the_database(
    events: int, folder: Path, tmp_path: Path, settings: Settings
) -> None:
    key = checkpoints.public_keys()[0]
    out = io.StringIO()
    call_command("audit", "export", stdout=out)
    file = tmp_path / "audit.jsonl"
    file.write_text(out.getvalue())
    settings.AUDIT_KEYS = []
    as_superuser("DELETE FROM console_auditevent")
    with_checkpoints = (str(file), "--checkpoints", str(folder))
    assert verify(str(file)) == "10 events, the chain is whole.\n"
    assert "2 of 2 checkpoints met; they vouch for 10 of the events.\n" in verify(
        *with_checkpoints, "--public-key", key
    )
    assert f"Their key, {key}, was not checked" in verify(*with_checkpoints)
    assert "1 of 1" in verify(str(file), "--checkpoints", str(folder / "000000000010.json"), "--public-key", key)

    lines = file.read_text().splitlines(keepends=True)
    file.write_text("".join(lines[:6]))
    assert "6 events, the chain is whole" in verify(str(file))
    with pytest.raises(CommandError, match="Event 7 is the first bad one: the file ends before it"):
        verify(*with_checkpoints)
    assert "0 of 2 checkpoints met" in verify(*with_checkpoints, "--older")

    file.write_text("".join(lines).replace('"number": 3', '"number": 4'))
    with pytest.raises(CommandError, match="Event 5 is the first bad one: its content"):
        verify(str(file))


def test_a_filtered_export_proves_its_rows_and_names_its_gaps(events: int, folder: Path, tmp_path: Path) -> None:
    rows = list(audit.rows())
    some = [rows[index] for index in (1, 2, 5, 6, 7, 8)]  # events 2, 3, 6, 7, 8, 9
    file = exported(tmp_path / "some.jsonl", some)
    assert verify(file) == "6 events, each matches its hash. Not the whole chain: 2 gaps (1, 4 to 5).\n"
    # The checkpoint of event 8 vouches for 6, 7 and 8: they continue each other. What stands alone could be made up.
    assert "1 of 2 checkpoints met; they vouch for 3 of the events" in verify(file, "--checkpoints", str(folder))
    some[1] = {**some[1], "actor_name": "nobody"}
    with pytest.raises(CommandError, match="Event 3 is the first bad one"):
        verify(exported(tmp_path / "some.jsonl", some))
    swapped = [rows[1], rows[5], rows[2]]
    with pytest.raises(CommandError, match="Event 3 is the first bad one: it stands after event 6"):
        verify(exported(tmp_path / "some.jsonl", swapped))
    one_more = [{**rows[0], "note": "added"}]
    with pytest.raises(CommandError, match="does not match its hash"):
        verify(exported(tmp_path / "some.jsonl", one_more))


@pytest.mark.parametrize("line", ["{", "[]", '{"sequence": "1"}', '{"sequence": 1, "hash": "x"}'])
def test_a_line_that_is_no_event_is_named(tmp_path: Path, line: str) -> None:
    (tmp_path / "x.jsonl").write_text(line)
    with pytest.raises(CommandError, match="line 1 is not a line of an export"):
        verify(str(tmp_path / "x.jsonl"))


def test_many_gaps_are_counted_and_the_first_named() -> None:
    cast = testing.cast()
    for _ in range(60):
        audit.record("test.done", actor=cast.olga)
    proof = audit_proof.examine(list(audit.rows())[::2], {}, whole=False)
    assert (proof.gap_count, len(proof.gaps)) == (30, audit_proof.NAMED)


def test_the_command_signs_and_says_with_which_key(folder: Path) -> None:
    testing.cast()
    out = io.StringIO()
    call_command("audit", "checkpoint", stdout=out)
    assert checkpoints.public_keys()[0] in out.getvalue()
    out = io.StringIO()
    call_command("audit", "checkpoint", stdout=out)
    assert out.getvalue().startswith("Nothing is new")


def test_without_a_key_nothing_is_signed(folder: Path, settings: Settings) -> None:
    testing.cast()
    settings.AUDIT_KEYS = []
    tasks.checkpoint()
    assert not folder.exists()
    with pytest.raises(CommandError, match="CONSOLE_AUDIT_KEY is not set"):
        call_command("audit", "checkpoint")
    settings.AUDIT_KEYS = ["too short"]
    with pytest.raises(CommandError, match="32 bytes"):
        call_command("audit", "checkpoint")
