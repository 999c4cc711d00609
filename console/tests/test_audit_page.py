"""Finding events: filters, pages, who sees what, and taking a copy away."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.core.management import call_command
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from console import audit, audit_export, audit_search, testing
from console.audit_search import Sight
from console.audit_sentences import SENTENCES, sentence
from console.bootstrap import ROOT
from console.forms import AuditFilter
from console.models import AuditEvent, User

pytestmark = pytest.mark.django_db


def client_of(person: User) -> Client:
    client = Client()
    client.force_login(person)
    return client


def shown(client: Client, **asked: str | int) -> list[int]:
    """The sequence numbers on the page."""
    answer = client.get(reverse("audit"), asked)
    assert answer.status_code == 200
    return [event.sequence for event in answer.context["page"].events]


def test_people_see_the_events_of_their_environments_and_their_own_only() -> None:
    cast, lab = testing.cast(), testing.cast("secret-lab")
    cast.victor.role_bindings.filter(environment=lab.environment).delete()
    with_stella = audit.record("test.done", actor=cast.stella, environment="secret-lab")
    own = audit.record("test.done", actor=cast.victor, environment="secret-lab")
    somewhere = audit.record("test.done", actor=None)
    in_staging = audit.record("test.done", actor=None, target=cast.environment)
    numbers = {event.sequence for event in (with_stella, own, somewhere, in_staging)}
    visible = [
        (cast.victor, {own.sequence, in_staging.sequence}),
        (cast.stella, {with_stella.sequence}),
        (cast.ida, numbers),
    ]
    for who, expected in visible:
        assert set(shown(client_of(who))) & numbers == expected
        for number in numbers:
            answer = client_of(who).get(reverse("audit-event", args=[number]))
            assert answer.status_code == (200 if number in expected else 404)
    assert "secret-lab" not in client_of(cast.stella).get(reverse("audit"), {"who": "victor"}).content.decode()


def test_pages_lead_to_older_and_newer_ones_without_loss_or_repetition() -> None:
    cast = testing.cast()
    for number in range(130):
        audit.record("test.done", actor=cast.olga, target=cast.environment, number=number)
    for person in (cast.ida, cast.victor):  # sees everything; sees one environment
        client = client_of(person)
        pages: list[list[int]] = []
        asked: dict[str, int] = {}
        while True:
            page = client.get(reverse("audit"), asked).context["page"]
            pages.append([event.sequence for event in page.events])
            if page.older is None:
                break
            asked = {"before": page.older}
        everything = [number for numbers in pages for number in numbers]
        assert everything == list(range(AuditEvent.objects.count(), 0, -1))
        back = [pages[-1]]
        while page.newer is not None:
            page = client.get(reverse("audit"), {"after": page.newer}).context["page"]
            back.insert(0, [event.sequence for event in page.events])
        assert sorted(number for numbers in back for number in numbers) == sorted(everything)


def test_a_page_beside_the_ends_leads_back() -> None:
    cast = testing.cast()
    client = client_of(cast.ida)
    last = AuditEvent.objects.count()
    assert shown(client, before=1) == []
    assert client.get(reverse("audit"), {"before": 1}).context["page"].newer == 0
    assert shown(client, after=0) == list(range(last, 0, -1))
    assert shown(client, after=last) == []
    assert client.get(reverse("audit"), {"after": last}).context["page"].older == last + 1
    assert shown(client, before="no number") == list(range(last, 0, -1))


@pytest.fixture
def varied() -> dict[str, AuditEvent]:
    cast = testing.cast()
    olga, anna, environment = cast.olga, cast.anna, cast.environment
    instance = testing.instance(environment, "alpha-1")
    token = audit.origin.set(audit.Origin(address="10.0.0.7", request_id="r1", session=lambda: "0123456789ab"))
    made = {
        "approved": audit.record("change.approved", actor=anna, target=environment, digests={"webhooks": "1e5abcdef0"}),
        "changer": audit.record("changer.did", actor=anna, environment="elsewhere", path="/one/two_three/?x=4"),
    }
    audit.origin.reset(token)
    made["checked"] = audit.record("instance.checked", actor=olga, target=instance, outcome="Größe unbekannt")
    return made


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ({"who": "Anna"}, ["approved", "changer"]),
        ({"who": "ann"}, []),
        ({"action": "change.approved"}, ["approved"]),
        ({"action": "change.*"}, ["approved"]),
        ({"action": "change."}, ["approved"]),
        ({"action": "Change"}, ["approved"]),
        ({"action": "chang"}, []),
        ({"environment": "elsewhere"}, ["changer"]),
        ({"address": "10.0.0.7"}, ["approved", "changer"]),
        ({"session": "0123456789ab", "who": "anna"}, ["approved", "changer"]),
        ({"target": "alpha-1"}, ["checked"]),
        ({"target": "alph"}, ["checked"]),
        ({"target": "alpha%"}, []),
        ({"target": "instance:{instance}"}, ["checked"]),
        ({"target": "instance:0"}, []),
        ({"text": "approved"}, ["approved"]),
        ({"text": "approved 1e5ab"}, ["approved"]),
        ({"text": "approve 1e5ab"}, []),
        ({"text": "approved checked"}, []),
        ({"text": "ap"}, []),
        ({"text": "two_three"}, ["changer"]),
        ({"text": "ELSEWHERE"}, ["changer"]),
        ({"text": "Größe"}, ["checked"]),
        ({"text": "alpha-1 olga"}, ["checked"]),
        ({"text": "it's & | ! <-> :* ('"}, []),
        ({"who": "anna", "text": "elsewhere", "action": "changer.did", "address": "10.0.0.7"}, ["changer"]),
    ],
)
def test_filters_narrow(varied: dict[str, AuditEvent], asked: dict[str, str], expected: list[str]) -> None:
    asked = {name: value.format(instance=varied["checked"].target_id) for name, value in asked.items()}
    client = client_of(User.objects.get(username="ida"))
    found = set(shown(client, **asked)) & {event.sequence for event in varied.values()}
    assert found == {varied[name].sequence for name in expected}


@pytest.mark.parametrize("near", [3, 1000])
def test_words_are_found_far_away_as_well_as_near(near: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """The nearest events are looked through first; what is not among them the index of words knows."""
    monkeypatch.setattr(audit_search, "NEAR", near)
    monkeypatch.setattr(audit_search, "PAGE_SIZE", 2)
    cast = testing.cast()
    far = [
        audit.record("test.done", actor=cast.olga, target=cast.environment, word="needle").sequence for _ in range(5)
    ]
    for _ in range(20):
        audit.record("test.done", actor=cast.olga, target=cast.environment)
    audit.record("test.done", actor=cast.anna, environment="elsewhere", word="needle")
    far.append(AuditEvent.objects.latest("sequence").sequence)
    for person, expected in [(cast.ida, far), (cast.victor, far[:-1])]:
        client, found, asked = client_of(person), [], {"text": "needle"}
        while True:
            page = client.get(reverse("audit"), asked).context["page"]
            found += [event.sequence for event in page.events]
            if page.older is None:
                break
            asked = {"text": "needle", "before": page.older}
        assert found == expected[::-1]
        assert shown(client, text="needle", after=far[0]) == far[2:0:-1]


def test_words_that_fill_an_event_stop_nothing() -> None:
    for text in ("x" * 100_000, "ä" * 5_000, "a b " * 20_000, "\\u0000 \"quoted\" 'it' {} :* & |", ""):
        audit.record("test.done", actor=None, text=text)
    assert audit.first_bad(audit.rows()) is None


def test_moments_bound_and_are_jumped_to() -> None:
    cast = testing.cast()
    base = AuditEvent.objects.earliest("sequence").at
    with connection.cursor() as cursor:  # a day apart each; what is looked for is the time, not the proof
        cursor.execute("ALTER TABLE console_auditevent DISABLE TRIGGER audit_append_only")
        for number in range(5):
            event = audit.record("test.done", actor=cast.olga)
            at = (base + timedelta(days=number + 1)).replace(hour=12, minute=30, second=15)
            cursor.execute("UPDATE console_auditevent SET at = %s WHERE sequence = %s", [at, event.sequence])
        cursor.execute("ALTER TABLE console_auditevent ENABLE TRIGGER audit_append_only")
    days = list(AuditEvent.objects.filter(action="test.done").order_by("sequence"))

    def typed(event: AuditEvent, format_: str) -> str:
        return datetime.strftime(event.at, format_)

    client = client_of(cast.ida)
    numbers = [event.sequence for event in days]
    assert shown(client, since=typed(days[3], "%Y-%m-%d")) == numbers[:2:-1]
    assert shown(client, since=typed(days[3], "%Y-%m-%dT%H:%M:%S")) == numbers[:2:-1]
    assert shown(client, since=typed(days[3], "%Y-%m-%d %H:31")) == numbers[4:]
    between = {"since": typed(days[1], "%Y-%m-%dT%H:%M"), "until": typed(days[2], "%Y-%m-%dT%H:%M")}
    assert shown(client, **between) == [numbers[2], numbers[1]]  # the whole minute that was typed last
    assert shown(client, since=typed(days[1], "%Y-%m-%d"), until=typed(days[1], "%Y-%m-%d")) == [numbers[1]]
    assert shown(client, at=typed(days[2], "%Y-%m-%d"))[:2] == [numbers[2], numbers[1]]
    assert shown(client, since="2999-01-01") == []
    assert shown(client, until="1999-01-01") == []
    assert shown(client, at="nonsense")[0] == numbers[-1]


@pytest.mark.parametrize(
    "asked",
    [{"since": "2030-02-01", "until": "2030-01-01"}, {"since": "yesterday"}, {"text": "?!"}, {"who": "x" * 151}],
)
def test_a_filter_that_makes_no_sense_is_explained_and_kept(asked: dict[str, str]) -> None:
    client = client_of(testing.cast().ida)
    answer = client.get(reverse("audit"), asked)
    page = answer.content.decode()
    assert answer.status_code == 422
    assert "Correct the filter" in page
    assert 'class="error"' in page
    assert all(value[:10] in page for value in asked.values())
    assert client.post(reverse("audit-export"), asked).status_code == 422


def test_the_number_of_queries_does_not_depend_on_the_number_of_events() -> None:
    cast = testing.cast()
    testing.cast("other")
    asked: list[dict[str, str | int]] = [
        {},
        {"who": "olga"},
        {"before": 40},
        {"after": 3},
        {"text": "test", "action": "test.*", "environment": "staging", "since": "2020-01-01", "until": "2099-01-01"},
    ]

    def counts() -> list[int]:
        found = []
        for person in (cast.ida, cast.victor):
            client = client_of(person)
            client.get(reverse("audit"))
            for one in asked:
                with CaptureQueriesContext(connection) as queries:
                    client.get(reverse("audit"), one)
                found.append(len(queries))
        return found

    few = counts()
    for _ in range(300):
        audit.record("test.done", actor=cast.olga, target=cast.environment)
    assert counts() == few
    assert max(few) <= 9  # three of them are the sign-in's: the session, its person, and that it is in use
    page = client_of(cast.ida)
    with CaptureQueriesContext(connection) as queries:
        page.get(reverse("audit-event", args=[300]))
    assert len(queries) <= 6


def test_an_event_is_a_sentence_and_one_without_a_sentence_is_told_by_its_name() -> None:
    cast = testing.cast()
    testing.bundle(cast.environment)
    for action in SENTENCES:
        audit.record(action, actor=cast.olga, target=cast.environment)  # facts are missing: it must not fail
    texts = [sentence(event) for event in AuditEvent.objects.all()]
    assert all(texts)
    assert "made what was in a test the first revisions" in texts
    strange = audit.record("test.was_done", actor=cast.olga, target=cast.environment, text="<b>" * 200)
    assert sentence(strange) == "test was done: staging"
    page = client_of(cast.ida).get(reverse("audit-event", args=[strange.sequence])).content.decode()
    assert "<b><b>" not in page
    long = audit.record("change.rejected", actor=cast.olga, target=cast.environment, reason="no " * 500)
    assert len(sentence(long)) == 300


def test_every_action_that_is_recorded_has_a_sentence() -> None:
    sources = [
        path for app in ("console", "instances_app", "configs_app", "sync_app") for path in (ROOT / app).rglob("*.py")
    ]
    recorded = {
        action
        for path in sources
        if "tests" not in path.parts
        for action in re.findall(r"audit\.record\(\s*\"([a-z_.]+)\"", path.read_text())
    }
    assert len(recorded) > 40
    assert recorded - set(SENTENCES) == set()


def test_an_event_shows_everything_that_its_action_caused_in_order() -> None:
    cast = testing.cast()
    token = audit.origin.set(audit.Origin(request_id="one-request"))
    together = [
        audit.record("test.done", actor=cast.olga, target=cast.environment),
        audit.record("test.done", actor=cast.olga, environment="elsewhere"),
        audit.record("test.done", actor=cast.olga, target=cast.environment),
    ]
    audit.origin.reset(token)
    audit.record("test.done", actor=cast.olga, target=cast.environment)
    for event in together:
        for person, sees in [(cast.ida, together), (cast.olga, together), (cast.victor, together[::2])]:
            answer = client_of(person).get(reverse("audit-event", args=[event.sequence]))
            if event in sees:
                numbers = [other.sequence for other in answer.context["caused"]]
                assert numbers == sorted(other.sequence for other in sees)
            else:
                assert answer.status_code == 404


def test_the_page_says_up_to_where_the_trail_is_signed(settings: Any, tmp_path: Any) -> None:
    cast = testing.cast()
    settings.CHECKPOINT_DIR, settings.AUDIT_KEYS = tmp_path, ["c2l4dGVlbiBieXRlcyBhbmQgc2l4dGVlbiBtb3JlISE="]
    client = client_of(cast.ida)
    assert "No signed checkpoint has been made yet" in client.get(reverse("audit")).content.decode()
    call_command("audit", "checkpoint", stdout=io.StringIO())
    last = AuditEvent.objects.count()
    assert f"up to event {last}" in client.get(reverse("audit")).content.decode()
    assert f"checkpoint of event {last}" in client.get(reverse("audit-event", args=[1])).content.decode()
    (tmp_path / "999999999999.json").write_text("damaged")
    assert client.get(reverse("audit")).status_code == 200


def exported(person: User, make: Callable[..., Any], **asked: str) -> str:
    """What somebody would download, without the web server between."""
    form = cleaned(asked)
    sight = Sight(person.pk, everything=person.auditor, environments=("staging",))
    return "".join(make(audit_search.batches(audit_search.narrow(form), sight, until=10**9)))


def cleaned(asked: dict[str, str]) -> dict[str, Any]:
    form = AuditFilter(asked)
    assert form.is_valid()
    return form.cleaned_data


def test_an_export_has_every_event_of_the_filter_and_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audit_search, "BATCH", 7)
    cast = testing.cast()
    for number in range(30):
        audit.record("test.done", actor=cast.olga, target=cast.environment, number=number)
    audit.record("test.done", actor=cast.anna, environment="elsewhere")
    for person in (cast.ida, cast.victor):
        rows = [
            json.loads(line) for line in exported(person, audit_export.lines, action="test.*", who="olga").splitlines()
        ]
        assert [row["data"]["number"] for row in rows] == list(range(30))
        assert rows == [row for row in audit.rows() if row["actor_name"] == "olga"]
    assert len(exported(cast.victor, audit_export.lines, action="test.done").splitlines()) == 30
    assert len(exported(cast.ida, audit_export.lines, action="test.done").splitlines()) == 31


def test_no_cell_of_a_csv_export_is_a_formula() -> None:
    cast = testing.cast()
    nasty = ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1"]
    for text in nasty:
        with_name = User.objects.create(username=text)
        audit.record("session.refused", actor=with_name, typed=text)
    rows = list(
        csv.DictReader(io.StringIO(exported(cast.ida, audit_export.table, action="session.refused"), newline=""))
    )
    assert [row["actor_name"] for row in rows] == [f"'{text}" for text in nasty]
    assert not any(cell.startswith(audit_export.FORMULA) for row in rows for cell in row.values())
    assert rows[0]["hash"] == AuditEvent.objects.get(actor_name="=1+1").hash


def test_exporting_is_a_post_and_recorded_with_its_filter_before_the_first_byte() -> None:
    cast = testing.cast()
    client = client_of(cast.victor)
    assert client.get(reverse("audit-export")).status_code == 405
    last = AuditEvent.objects.count()
    answer = client.post(reverse("audit-export"), {"format": "csv", "who": "olga", "action": ""})
    assert answer["Content-Disposition"].startswith('attachment; filename="audit-')
    event = AuditEvent.objects.latest("sequence")
    assert (event.action, event.actor_name) == ("audit.exported", "victor")
    assert event.data == {"format": "csv", "filters": {"who": "olga"}, "until": last}
    assert client.post(reverse("audit-export"), {"format": "exe"}).status_code == 422
    strict = Client(enforce_csrf_checks=True)
    strict.force_login(cast.victor)
    assert strict.post(reverse("audit-export"), {"format": "csv"}).status_code == 403
    assert AuditEvent.objects.count() == last + 1
    answer.close()  # last: the request ends with it, and the connection
