"""Seal keys are rotated: afterwards the new one opens everything, and revisions are what they were."""

from __future__ import annotations

import io
from typing import Any

import pytest
from cryptography.fernet import Fernet
from django.core.management import CommandError, call_command
from django.db import DatabaseError, connection, transaction

from configs_app import changes
from configs_app.decision_models import Proposal
from configs_app.models import ChangedDocument, Revision
from console import resealing, testing
from console.models import AuditEvent
from instances_app import exchanges, rotation
from instances_app.client import End, Outcome, Reply, Turned
from instances_app.models import DiscoverySource, Instance

pytestmark = pytest.mark.django_db


@pytest.fixture
def older_and_newer(settings: Any) -> tuple[str, str]:
    """Two revisions, a changed document, its proposal and a token under the older key; the newer one comes first."""
    older, newer = Fernet.generate_key().decode(), Fernet.generate_key().decode()
    settings.SEAL_KEYS = [older]
    cast = testing.cast()
    testing.bundle(cast.environment)
    testing.instance(cast.environment)
    change = testing.draft(cast.environment, actor=cast.olga, webhooks=testing.text({"a": {"module": "log"}}))
    changes.propose(change, actor=cast.olga)
    settings.SEAL_KEYS = [newer, older]
    return older, newer


def contents() -> list[Any]:
    texts = [(revision.pk, revision.digest, revision.text) for revision in Revision.objects.order_by("pk")]
    proposed = ChangedDocument.objects.get().text, Proposal.objects.get().texts
    return [texts, proposed, Instance.objects.get().target.token]


def reseal(*arguments: str) -> str:
    out = io.StringIO()
    call_command("reseal", *arguments, stdout=out)
    return out.getvalue()


def test_after_resealing_the_new_key_alone_opens_everything_as_it_was(
    settings: Any, older_and_newer: tuple[str, str]
) -> None:
    before = contents()
    with pytest.raises(CommandError, match="5 rows still need an older key"):
        reseal("--check")
    said = reseal()
    assert "revision.content_sealed: 2 of 2 rows" in said
    assert said.endswith("5 rows, 5 sealed again with the first key.\n")
    settings.SEAL_KEYS = [older_and_newer[1]]
    assert contents() == before
    assert "need only the first key" in reseal("--check")
    event = AuditEvent.objects.get(action="secrets.resealed")
    assert event.data["rows"] == {
        "instance.token_sealed": 1,
        "revision.content_sealed": 2,
        "changeddocument.content_sealed": 1,
        "proposal.texts_sealed": 1,
    }


def test_columns_that_may_be_empty_are_resealed_where_they_are_not(
    settings: Any, older_and_newer: tuple[str, str]
) -> None:
    """The tokens of a rotation that is under way, and the source that has none."""
    (instance,) = Instance.objects.select_related("environment")
    found = rotation.start(instance.environment, [instance.pk], actor=testing.person("olga"))
    DiscoverySource.objects.create(environment=instance.environment, name="a list", kind="static", settings={})
    (claim,) = exchanges.claim(found.pk, limit=1)
    reseal()
    settings.SEAL_KEYS = [older_and_newer[1]]
    assert "need only the first key" in reseal("--check")
    turned = Turned(claim.id, End.PROVEN, Reply(Outcome.OK), sent=True)
    exchanges.record(found, [(claim, turned)])
    assert Instance.objects.get().target.token == claim.job.new.token  # and it goes on in the middle


def test_a_run_that_was_ended_is_started_again_and_a_second_one_changes_nothing(
    settings: Any, older_and_newer: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resealing, "BATCH", 1)

    def end(column: resealing.Column) -> None:
        if column.name == "content_sealed":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        resealing.reseal(end)
    older = sum(column.older for column in resealing.count(lambda column: None))
    assert 0 < older < 5
    assert f"5 rows, {older} sealed again" in reseal()
    assert "5 rows, 0 sealed again" in reseal()
    assert AuditEvent.objects.filter(action="secrets.resealed").count() == 1


def test_what_no_key_opens_is_named_and_the_rest_is_sealed_again(
    settings: Any, older_and_newer: tuple[str, str]
) -> None:
    _, newer = older_and_newer
    Instance.objects.update(token_sealed=Fernet(Fernet.generate_key()).encrypt(b"lost"))
    with pytest.raises(CommandError, match=rf"opens instance {Instance.objects.get().pk}\."):
        reseal()
    settings.SEAL_KEYS = [newer]
    assert all(revision.text for revision in Revision.objects.all())


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE configs_app_revision SET message = 'x'",
        "UPDATE configs_app_revision SET content_sealed = 'x', digest = repeat('a', 64)",
        "DELETE FROM configs_app_revision",
        "UPDATE configs_app_proposal SET texts_sealed = 'x', seal = repeat('a', 64)",
    ],
)
def test_resealing_opens_revisions_to_no_other_change(statement: str, older_and_newer: tuple[str, str]) -> None:
    for setting in ("off", "on"):
        announced = f"SELECT set_config('console.resealing', '{setting}', true); {statement}"
        with pytest.raises(DatabaseError, match="append-only"), transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(announced)


def test_the_seal_of_a_revision_is_only_changed_by_who_says_so(older_and_newer: tuple[str, str]) -> None:
    with pytest.raises(DatabaseError, match="append-only"), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("UPDATE configs_app_revision SET content_sealed = 'x'")
