"""A dry run is of one text and one aim, asks each instance once, and what came of it stays as it was."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from contextlib import closing
from datetime import timedelta
from typing import Any

import pytest
from django.db import IntegrityError, connection, transaction
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from configs_app import changes
from configs_app.models import Change
from console import testing
from console.errors import Refused
from console.models import AuditEvent
from console.testing import Cast
from instances_app import registry
from instances_app.client import DryPushed, Outcome, Reply, dry
from sync_app import dry_answers, dry_run_page, dry_run_turn, dry_runs
from sync_app.dry_answers import Claim
from sync_app.dry_run_models import DryAnswer, DryAnswerState, DryRun
from sync_app.dry_run_turn import Question
from sync_app.tests.test_dry_verdicts import ABLE, rejected, validated

pytestmark = pytest.mark.django_db

CLOSED = {"module": "log", "authorization": "Bearer {$WC_TOKEN}", "note": "{$WC_REGION:eu}"}
GONE = Reply(Outcome.UNREACHABLE, code="refused", error="Connection refused.")
Answers = Callable[[str], Reply | None]


def world(number: int = 3, *, protected: bool = False) -> tuple[Cast, Change]:
    """A change that adds a webhook with two placeholders, and instances i0, i1, …"""
    cast = testing.cast("production" if protected else "staging", protected=protected)
    testing.bundle(cast.environment)
    for index in range(number):
        testing.instance(cast.environment, f"i{index}")
    texts = testing.text({**testing.WEBHOOKS, "new": CLOSED})
    return cast, testing.draft(cast.environment, actor=cast.olga, webhooks=texts)


def well(name: str) -> Reply | None:
    return validated(placeholders={"WC_TOKEN": "yes", "WC_REGION": "default"})


def answer(run: DryRun, claims: list[Claim], how: Answers = well) -> None:
    """What these instances say."""
    question = Question(run)
    names = dict(DryAnswer.objects.filter(pk__in=[c.id for c in claims]).values_list("pk", "instance__name"))
    done = []
    for claim in claims:
        said = how(names[claim.id])
        result = DryPushed(claim.id, GONE if said is GONE else ABLE, None if said is GONE else said)
        done.append((claim, ("connections", "webhooks"), question.verdict(("connections", "webhooks"), result)))
    dry_answers.record(run, done)


def finished(cast: Cast, change: Change, how: Answers = well) -> DryRun:
    run = dry_runs.start(change, actor=cast.olga)
    answer(run, dry_answers.claim(run.pk, limit=250), how)
    dry_answers.close(run.pk)
    run.refresh_from_db()
    return run


def states(run: DryRun) -> dict[str, str]:
    return dict(run.answers.values_list("instance__name", "state"))


def page(cast: Cast, who: Any, name: str, *args: object) -> str:
    client = Client()
    client.force_login(who)
    return client.get(reverse(name, args=args)).content.decode()


def test_it_asks_those_that_the_change_is_aimed_at_and_is_audited_without_texts() -> None:
    cast, change = world()
    chosen = cast.environment.instances.get(name="i1").pk
    changes.aim(change, targets={chosen}, plan=None, actor=cast.olga)
    change.refresh_from_db()
    run = finished(cast, change)
    assert states(run) == {"i1": "ready"}
    begun, ended = AuditEvent.objects.filter(action__startswith="change.dry_run").order_by("sequence")
    assert (begun.actor_name, begun.data["instances"], begun.data["placeholders"]) == ("olga", 1, 2)
    assert ended.data["answers"] == {"ready": 1}
    assert "WC_TOKEN" not in json.dumps([begun.data, ended.data])


def test_a_proposed_change_asks_the_instances_that_were_proposed() -> None:
    cast, change = world(2, protected=True)
    change = changes.propose(change, actor=cast.olga)
    testing.instance(cast.environment, "newcomer")
    registry.retire(cast.environment.instances.get(name="i0"), actor=cast.olga)
    run = dry_runs.start(change, actor=cast.anna)
    assert states(run) == {"i1": "pending"}


def published(cast: Cast, change: Change) -> None:
    changes.withdraw(change, actor=cast.olga)


def nothing_changed(cast: Cast, change: Change) -> None:
    change.documents.all().delete()


def no_document(cast: Cast, change: Change) -> None:
    bases = {document.kind: document.base_id for document in change.documents.all()}
    changes.save(change, {"webhooks": "{,"}, bases=bases, actor=cast.olga)


def nobody(cast: Cast, change: Change) -> None:
    for instance in cast.environment.instances.all():
        registry.retire(instance, actor=cast.olga)


def another(cast: Cast, change: Change) -> None:
    dry_runs.start(change, actor=cast.anna)


@pytest.mark.parametrize(
    ("before", "words"),
    [
        (published, "nothing left to try"),
        (nothing_changed, "Nothing is changed"),
        (no_document, "not valid JSON"),
        (nobody, "no instance"),
        (another, "under way"),
    ],
)
def test_it_refuses_what_cannot_be_tried(before: Callable[[Cast, Change], None], words: str) -> None:
    cast, change = world(1)
    before(cast, change)
    with pytest.raises(Refused, match=words):
        dry_runs.start(Change.objects.get(pk=change.pk), actor=cast.olga)


def test_an_environment_has_a_few_at_once() -> None:
    cast, change = world(1)
    for index in range(dry_runs.MOST_RUNNING):
        other = testing.draft(cast.environment, actor=cast.olga, webhooks=testing.text({f"w{index}": CLOSED}))
        dry_runs.start(other, actor=cast.olga)
    with pytest.raises(Refused, match="3 dry runs are under way in staging"):
        dry_runs.start(change, actor=cast.olga)


def test_workers_together_ask_no_more_than_a_hundred_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dry_answers, "AT_ONCE", 3)
    cast, change = world(5)
    run = dry_runs.start(change, actor=cast.olga)
    first = dry_answers.claim(run.pk, limit=2)
    assert [len(first), len(dry_answers.claim(run.pk, limit=5))] == [2, 1]
    assert dry_answers.claim(run.pk, limit=5) == []
    answer(run, first)
    assert len(dry_answers.claim(run.pk, limit=5)) == 2


def test_an_instance_is_asked_again_after_its_worker_died_and_the_late_answer_is_not_heard() -> None:
    cast, change = world(1)
    run = dry_runs.start(change, actor=cast.olga)
    lost = dry_answers.claim(run.pk, limit=1)
    assert dry_answers.resume() == [run.pk]
    assert dry_answers.claim(run.pk, limit=1) == []  # its lease has not ended
    DryAnswer.objects.update(lease_until=timezone.now() - timedelta(hours=1))
    assert dry_answers.resume() == [run.pk]
    again = dry_answers.claim(run.pk, limit=1)
    answer(run, lost, lambda name: rejected())
    assert states(run) == {"i0": "asking"}
    answer(run, again)
    answer(run, again, lambda name: rejected())  # twice is once
    dry_answers.close(run.pk)
    dry_answers.close(run.pk)
    assert states(run) == {"i0": "ready"}
    assert AuditEvent.objects.filter(action="change.dry_run_finished").count() == 1
    assert dry_answers.resume() == []


def test_workers_that_die_each_time_end_it_as_unknown() -> None:
    cast, change = world(1)
    run = dry_runs.start(change, actor=cast.olga)
    for _ in range(dry_answers.MOST_ATTEMPTS):
        dry_answers.resume()
        assert dry_answers.claim(run.pk, limit=1)
        DryAnswer.objects.update(lease_until=timezone.now() - timedelta(hours=1))
    dry_answers.resume()
    dry_run_turn.run(run.pk)
    run.refresh_from_db()
    assert (states(run), run.state) == ({"i0": "unknown"}, "finished")


def test_a_run_does_not_end_while_somebody_is_being_asked() -> None:
    cast, change = world(2)
    run = dry_runs.start(change, actor=cast.olga)
    answer(run, dry_answers.claim(run.pk, limit=1))
    dry_answers.claim(run.pk, limit=1)
    dry_answers.close(run.pk)
    run.refresh_from_db()
    assert run.is_running


def test_the_documents_that_moved_on_are_not_sent() -> None:
    cast, change = world(2)
    run = dry_runs.start(change, actor=cast.olga)
    bases = {document.kind: document.base_id for document in change.documents.all()}
    changes.save(change, {"webhooks": testing.text({"other": CLOSED})}, bases=bases, actor=cast.olga)
    dry_run_turn.run(run.pk)
    run.refresh_from_db()
    assert (run.state, set(states(run).values())) == ("stopped", {"not asked"})
    assert "were changed before" in run.ended_because


def test_a_change_that_is_given_up_is_not_asked_about_any_more() -> None:
    cast, change = world(1)
    run = dry_runs.start(change, actor=cast.olga)
    changes.withdraw(change, actor=cast.olga)
    dry_run_turn.run(run.pk)
    run.refresh_from_db()
    assert (run.state, states(run)) == ("stopped", {"i0": "not asked"})
    assert "Ask them again" not in page(cast, cast.olga, "configs:change", change.pk)


def test_formatting_alone_does_not_make_it_outdated_and_everything_else_does() -> None:
    cast, change = world(2)
    run = finished(cast, change)
    bases = {document.kind: document.base_id for document in change.documents.all()}
    webhooks = json.dumps({**testing.WEBHOOKS, "new": CLOSED})
    change = changes.save(change, {"webhooks": webhooks}, bases=bases, actor=cast.olga)
    run.change = change
    assert dry_runs.departures(run) == []
    instance = cast.environment.instances.get(name="i0")
    registry.retire(instance, actor=cast.olga)
    assert dry_runs.departures(run) == ["The instances that it goes to have changed since, or their addresses."]
    change = changes.save(change, {"webhooks": testing.text({"a": CLOSED})}, bases=bases, actor=cast.olga)
    run.change = change
    assert dry_runs.departures(run)[0] == "webhooks was edited since."
    assert "This is outdated" in page(cast, cast.anna, "configs:change", change.pk)
    assert "This is outdated" in page(cast, cast.anna, "sync:dry-run", run.pk)


def forged(state: str) -> Callable[[DryRun], Any]:
    return lambda run: run.answers.update(state=state, error="x", lease_until=timezone.now())


@pytest.mark.parametrize(
    "deed",
    [
        forged("ready"),
        forged("pending"),
        lambda run: run.answers.update(placeholders={}),
        lambda run: run.answers.all().delete(),
        lambda run: DryRun.objects.update(state="running", finished_at=None),
        lambda run: DryRun.objects.update(digests={}),
        lambda run: DryAnswer.objects.create(run=run, instance=testing.instance(run.change.environment, "x")),
    ],
)
def test_what_has_ended_stays_as_it_was(deed: Callable[[DryRun], Any]) -> None:
    cast, change = world(1)
    run = finished(cast, change)
    with pytest.raises(IntegrityError), transaction.atomic():
        deed(run)


def test_a_run_with_open_answers_cannot_be_called_finished() -> None:
    cast, change = world(1)
    dry_runs.start(change, actor=cast.olga)
    with pytest.raises(IntegrityError, match="when every instance has its answer"), transaction.atomic():
        DryRun.objects.update(state="finished", finished_at=timezone.now())


@pytest.mark.django_db(transaction=True)
def test_two_people_start_one() -> None:
    cast, change = world(1)
    told: list[str] = []

    def begin() -> None:
        with closing(connection):
            try:
                dry_runs.start(Change.objects.get(pk=change.pk), actor=cast.olga)
            except Refused as refusal:
                told.append(str(refusal))

    people = [threading.Thread(target=begin) for _ in range(3)]
    for one in people:
        one.start()
    for one in people:
        one.join()
    assert DryRun.objects.count() == 1
    assert len(told) == 2
    assert all("under way" in words for words in told)


def test_nothing_but_a_dry_run_is_ever_sent() -> None:
    cast, change = world(1)
    run = dry_runs.start(change, actor=cast.olga)
    question = Question(run)
    about, jobs, done = question.asks(dry_answers.claim(run.pk, limit=5))
    sent = json.loads(jobs[0].body)
    assert sent["dry_run"] is True
    assert not {"type", "config", "sequence"} & sent.keys()  # a service without dry runs would take those for an update
    assert [part["type"] for part in sent["configs"]] == ["connections", "webhooks"]
    assert (list(about.values()), done) == ([("connections", "webhooks")], [])
    assert json.loads(dry.body([], request_id="x"))["dry_run"] is True


def test_an_instance_is_asked_about_what_a_rollout_would_send_it() -> None:
    cast, change = world(2)
    i0 = cast.environment.instances.get(name="i0")
    run = dry_runs.start(change, actor=cast.olga)
    i0.observations.create(
        kind="connections", digest=run.digests["connections"], since=timezone.now(), seen_at=timezone.now()
    )
    about, _, _ = Question(run).asks(dry_answers.claim(run.pk, limit=5))
    assert {claim.instance_id == i0.pk: kinds for claim, kinds in about.items()} == {
        True: ("webhooks",),
        False: ("connections", "webhooks"),
    }


def test_an_instance_that_was_retired_meanwhile_is_not_asked() -> None:
    cast, change = world(1)
    run = dry_runs.start(change, actor=cast.olga)
    registry.retire(cast.environment.instances.get(), actor=cast.olga)
    dry_run_turn.run(run.pk)
    run.refresh_from_db()
    assert (states(run), run.state) == ({"i0": "not asked"}, "finished")


def test_the_page_says_it_in_words_first_then_groups_then_every_instance() -> None:
    cast, change = world(50)
    change = Change.objects.get(pk=change.pk)
    said: dict[str, Reply | None] = {"i3": GONE, "i4": GONE, "i7": rejected("Unknown module 'log' in webhook 'new'")}
    said["i9"] = validated(placeholders={"WC_TOKEN": "no", "WC_REGION": "yes"})
    said["i11"] = validated(placeholders={"WC_TOKEN": "no", "WC_REGION": "yes"})
    run = finished(cast, change, lambda name: said.get(name, well(name)))
    for who in (cast.anna, cast.victor):
        shown = page(cast, who, "configs:change", change.pk)
        assert "45 of 50 would accept it · 2 not reachable · 1 refuses it · 2 not fit for it" in shown
        assert "Unknown module &#x27;log&#x27; in webhook &#x27;new&#x27;" in shown
        assert "2 instances: i3, i4" in shown
        assert "No value there for WC_TOKEN." in shown
        assert "2 instances: i11, i9" in shown
        assert "45 instances: The default is used for WC_REGION" in shown
        assert ("Ask them again" in shown) == (who == cast.anna)
    answers = page(cast, cast.victor, "sync:dry-run", run.pk)
    assert answers.count("<tr>") == 51
    assert "1 of 2 have a value; default for WC_REGION" in answers
    assert "writable, 4.8" in answers
    only = page(cast, cast.victor, "sync:dry-run-progress", run.pk)
    assert "hx-get" not in only  # it has ended: its last version asks for no other


def test_an_instances_words_are_escaped_cut_and_free_of_the_documents_secrets() -> None:
    cast, change = world(1)
    secret = str(testing.WEBHOOKS["refunds"]["authorization"]).removeprefix("Bearer ")
    evil = rejected(f"<script>alert(1)</script> Bearer {secret} is wrong")
    run = finished(cast, change, lambda name: evil)
    for shown in (page(cast, cast.anna, "configs:change", change.pk), page(cast, cast.anna, "sync:dry-run", run.pk)):
        assert "<script>alert" not in shown
        assert secret not in shown.replace("Bearer ‹secret›", "")
    assert secret not in run.answers.get().error


def test_a_page_of_two_thousand_asks_the_database_little(django_assert_max_num_queries: Any) -> None:
    cast, change = world(1)
    run = dry_runs.start(change, actor=cast.olga)
    sample = cast.environment.instances.get()
    made = type(sample).objects.bulk_create(
        [
            type(sample)(environment=cast.environment, name=f"n{n}", base_url=f"http://n{n}", token_sealed=b"x")
            for n in range(2000)
        ]
    )
    DryAnswer.objects.bulk_create([DryAnswer(run=run, instance=one) for one in made])
    DryAnswer.objects.exclude(instance=sample).update(
        state=DryAnswerState.UNREACHABLE, error="Connection refused.", reached=False
    )
    with django_assert_max_num_queries(20):
        context = dry_run_page.section(Change.objects.select_related("environment").get(pk=change.pk), cast.olga)
    assert context["words"] == "0 of 2,001 would accept it · 2,000 not reachable"
    assert [(group.number, len(group.names), group.more) for group in context["groups"]] == [(2000, 12, 1988)]
