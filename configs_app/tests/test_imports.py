"""Documents from elsewhere: shown with what is wrong, started with where there is nothing, else a change like any."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from configs_app import changes, documents, imports
from configs_app.models import Acceptance, Change, Import, Revision
from configs_app.tests.test_archives import packed
from configs_app.tests.test_sample_findings import pairs, read
from console import testing
from console.errors import Refused
from console.models import AuditEvent, User
from console.testing import Cast
from console.testing_processes import SampleInstance
from instances_app import registry
from instances_app.models import Instance

pytestmark = pytest.mark.django_db

CHOOSE = "/e/staging/import/"
GOOD = {"webhooks": b'{"a": {"module": "log"}}\r\n', "connections": b"{ }"}


def page_of(user: User) -> Client:
    page = Client()
    page.force_login(user)
    return page


def file(name: str, content: bytes) -> SimpleUploadedFile:
    return SimpleUploadedFile(name, content)


def send_files(page: Client, **contents: bytes) -> str:
    """Upload; the address of the page that shows what was read."""
    sent = {kind: file(f"{kind}.json", content) for kind, content in contents.items()}
    answer = page.post(CHOOSE, {"source": "files", **sent})
    assert answer.status_code == 302, answer.content.decode()
    return str(answer["Location"])


@pytest.fixture
def cast() -> Cast:
    return testing.cast()


def texts(cast: Cast) -> dict[str, str]:
    bundle = documents.desired(cast.environment)
    return {revision.document.kind: revision.text for revision in bundle.revisions()} if bundle else {}


def test_two_files_are_shown_and_become_the_first_revisions_byte_for_byte(cast: Cast) -> None:
    page = page_of(cast.olga)
    preview = send_files(page, **GOOD)
    body = page.get(preview).content.decode()
    assert "1 webhook added: a" in body
    assert "0 errors, 1 warning" in body
    assert not Revision.objects.exists()

    assert page.post(preview, {"do": "start"}).status_code == 302

    assert texts(cast) == {kind: content.decode() for kind, content in GOOD.items()}
    assert not Import.objects.exists()
    (acceptance,) = Acceptance.objects.all()  # what was wrong in it is accepted, and says why
    assert (acceptance.rule, acceptance.entry, acceptance.author) == ("A3", "a", cast.olga)
    assert acceptance.reason == "It was so in what was imported from webhooks.json and connections.json."
    event = AuditEvent.objects.get(action="documents.imported")
    assert (event.actor_name, event.data["origin"]) == ("olga", "webhooks.json and connections.json")


def test_an_archive_is_read_the_same_way(cast: Cast) -> None:
    page = page_of(cast.olga)
    content = packed(*((f"config/{kind}.json", content) for kind, content in GOOD.items()))
    preview = page.post(CHOOSE, {"source": "archive", "archive": file("backup.zip", content)})["Location"]
    assert "Import from backup.zip" in page.get(preview).content.decode()
    page.post(preview, {"do": "start"})
    assert texts(cast) == {kind: content.decode() for kind, content in GOOD.items()}


def test_where_there_are_revisions_an_import_becomes_a_change(cast: Cast) -> None:
    testing.bundle(cast.environment)
    page = page_of(cast.olga)
    preview = send_files(page, **GOOD)
    body = page.get(preview).content.decode()
    assert "2 webhooks removed" in body
    assert "Start with" not in body
    assert "already" in page.post(preview, {"do": "start"}, follow=True).content.decode()

    answer = page.post(preview, {"do": "change"})

    change = Change.objects.get()
    assert answer["Location"] == reverse("configs:change", args=[change.pk])
    assert change.title == "Import from webhooks.json and connections.json"
    assert {document.kind: document.text.encode() for document in change.documents.all()} == GOOD
    assert Revision.objects.count() == 2  # nothing is published by it
    assert not Import.objects.exists()


def test_broken_json_is_refused_with_its_place_for_a_first_import_and_kept_as_a_draft_otherwise(cast: Cast) -> None:
    page = page_of(cast.olga)
    broken = b'{\n "a": {"module": "log",}\n}'
    sent = {"source": "files", "webhooks": file("webhooks.json", broken)}
    refused = page.post(CHOOSE, sent)
    assert refused.status_code == 422
    assert "is not a document, line 2, column 23: A comma before" in refused.content.decode()
    assert not Import.objects.exists()

    testing.bundle(cast.environment)
    preview = send_files(page, webhooks=broken)
    assert "A comma before" in page.get(preview).content.decode()
    page.post(preview, {"do": "change"})
    assert Change.objects.get().documents.get().text == broken.decode()


def test_in_a_protected_environment_an_import_needs_an_approval_also_of_what_an_instance_runs() -> None:
    cast = testing.cast("production", protected=True)
    guarded = {"webhooks": b'{"a": {"module": "log", "authorization": "{$TOKEN}"}}'}
    held = imports.hold(cast.environment, guarded, origin="files", actor=cast.olga)
    page = page_of(cast.olga)
    url = reverse("configs:import-preview", args=[held.pk])
    assert 'value="start"' not in page.get(url).content.decode()
    with pytest.raises(Refused, match="is protected"):
        imports.start(held, actor=cast.olga)
    change = imports.as_change(held, actor=cast.olga)
    changes.propose(change, actor=cast.olga, reason="It runs so elsewhere")
    assert Change.objects.get().state == "proposed"

    instance = testing.instance(cast.environment)
    read_there = imports.hold(cast.environment, GOOD, origin="one", instance=instance, actor=cast.olga)
    with pytest.raises(Refused, match="another person approves"):  # the instance may be the importer's own
        imports.start(read_there, actor=cast.olga)


def test_an_import_that_nobody_decided_on_is_gone_after_a_day(cast: Cast) -> None:
    held = imports.hold(cast.environment, GOOD, origin="files", actor=cast.olga)
    Import.objects.update(created_at=timezone.now() - imports.KEPT)
    url = reverse("configs:import-preview", args=[held.pk])
    assert page_of(cast.olga).get(url).status_code == 404
    assert page_of(cast.olga).post(url, {"do": "start"}).status_code == 404
    other = testing.cast("other")
    imports.hold(other.environment, GOOD, origin="files", actor=other.olga)
    assert [one.environment for one in Import.objects.all()] == [other.environment]


def test_what_an_instance_runs_is_shown_first_and_later_adopted_as_a_change(
    cast: Cast, sample_instances: Callable[..., list[SampleInstance]]
) -> None:
    (running,) = sample_instances(1)
    instance = testing.instance(cast.environment, "one", running.base_url, running.token)
    page = page_of(cast.olga)
    preview = page.post(CHOOSE, {"source": "instance", "instance": instance.pk})["Location"]
    page.post(preview, {"do": "start"})
    assert texts(cast) == {"webhooks": "{}", "connections": "{}"}

    (running.folder / "webhooks.json").write_text('{"by_hand": {"module": "log"}}')
    preview = page.post(reverse("sync:instance-import", args=[instance.pk]))["Location"]
    assert "1 webhook added: by_hand" in page.get(preview).content.decode()
    page.post(preview, {"do": "change"})
    assert [document.kind for document in Change.objects.get().documents.all()] == ["webhooks"]


def test_an_import_of_what_is_there_changes_nothing(cast: Cast) -> None:
    testing.bundle(cast.environment)
    page = page_of(cast.olga)
    preview = send_files(page, **{kind: text.encode() for kind, text in texts(cast).items()})
    assert "there is nothing to import" in page.get(preview).content.decode()
    answer = page.post(preview, {"do": "change"}, follow=True)
    assert "has what is current" in answer.content.decode()
    assert not Change.objects.exists()
    page.post(preview, {"do": "discard"})
    assert not Import.objects.exists()


@pytest.mark.parametrize(
    ("contents", "words"),
    [
        ({}, "has no documents to import"),
        ({"webhooks": b"\xff\xfe{}"}, "is not UTF-8"),
        ({"webhooks": b"\xef\xbb\xbf{}"}, "byte order mark"),
        ({"webhooks": b""}, "The document is empty"),
        ({"webhooks": b"[]"}, "must be an object"),
        ({"webhooks": b'{"a": "' + b"x" * 5_000_000 + b'"}'}, "the limit is"),
    ],
    ids=lambda value: str(value)[:20],
)
def test_what_cannot_be_taken_is_refused_in_words(cast: Cast, contents: dict[str, bytes], words: str) -> None:
    sent = {kind: file(f"{kind}.json", content) for kind, content in contents.items()}
    answer = page_of(cast.olga).post(CHOOSE, {"source": "files", **sent})
    assert answer.status_code == 422
    assert words in answer.content.decode()
    assert not Import.objects.exists()


def test_the_other_sources_refuse_in_words_too(cast: Cast) -> None:
    page = page_of(cast.olga)
    no_zip = page.post(CHOOSE, {"source": "archive", "archive": file("x.zip", b"x")})
    assert "x.zip is no zip archive" in no_zip.content.decode()
    assert "This field is required" in page.post(CHOOSE, {"source": "archive"}).content.decode()
    silent = testing.instance(cast.environment)
    answer = page.post(CHOOSE, {"source": "instance", "instance": silent.pk})
    assert "did not hand over its webhooks document" in answer.content.decode()
    registry.retire(silent, actor=cast.olga)
    with pytest.raises(Refused, match="is retired"):
        imports.read_instance(Instance.objects.get(pk=silent.pk), actor=cast.olga)
    elsewhere = testing.instance(testing.cast("other").environment, "two")
    assert page.post(CHOOSE, {"source": "instance", "instance": elsewhere.pk}).status_code == 422
    assert page.post(CHOOSE, {"source": "nothing"}).status_code == 422


def test_an_import_shows_no_secret_and_is_sealed(cast: Cast) -> None:
    page = page_of(cast.olga)
    preview = send_files(page, webhooks=b'{"a": {"module": "log", "authorization": "Bearer hunter2-hunter2"}}')
    assert "hunter2" not in page.get(preview).content.decode()
    assert b"hunter2" not in bytes(Import.objects.get().texts_sealed)
    assert page_of(cast.victor).get(preview).status_code == 403
    assert page_of(cast.stella).get(preview).status_code == 404


def test_an_import_that_nobody_decided_on_goes_with_the_next_one(cast: Cast) -> None:
    old = imports.hold(cast.environment, GOOD, origin="old", actor=cast.olga)
    Import.objects.filter(pk=old.pk).update(created_at=timezone.now() - imports.KEPT - timedelta(minutes=1))
    imports.hold(cast.environment, GOOD, origin="new", actor=cast.olga)
    assert [held.origin for held in Import.objects.all()] == ["new"]


def test_real_files_are_taken_with_exactly_the_findings_of_the_table() -> None:
    known = read()
    for number, (name, contents) in enumerate(pairs().items()):
        cast = testing.cast(f"sample-{number}")
        archive = {kind: text.encode() for kind, text in contents.items()}
        held = imports.hold(cast.environment, archive, origin=name, actor=cast.olga)
        lines = [
            f"{part.kind}:{f.line}:{f.column} {f.level} {f.rule} {f.path}"
            for part in imports.parts(held)
            for f in part.findings
        ]
        assert lines == known[name], name
        imports.start(held, actor=cast.olga)
        assert texts(cast) == contents, name


def test_errors_that_were_imported_do_not_stop_a_correction_of_something_else(cast: Cast) -> None:
    held = imports.hold(
        cast.environment,
        {"webhooks": b'{"bad": {"module": "nothing"}, "good": {"module": "log"}}'},
        origin="x",
        actor=cast.olga,
    )
    (part,) = imports.parts(held)
    assert part.errors
    imports.start(held, actor=cast.olga)
    fixed = testing.text({"bad": {"module": "nothing"}, "good": {"module": "log", "note": "better"}})
    changes.publish(testing.draft(cast.environment, actor=cast.olga, webhooks=fixed), actor=cast.olga)
    assert texts(cast)["webhooks"] == fixed
