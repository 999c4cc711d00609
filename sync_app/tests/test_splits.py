"""How long a fleet was split, against a reference that asks every instance at every second step."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from django.conf import settings
from django.db import connection, transaction
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from webhook_agent import protocol

from configs_app import documents
from configs_app.models import Bundle, Revision, RevisionSource
from console import testing
from instances_app import observations
from instances_app.models import Environment, Instance
from instances_app.observations import Sighting
from sync_app import history, splits

pytestmark = pytest.mark.django_db

START = datetime(2026, 3, 1, 12, tzinfo=UTC)
STEP = settings.STALE_SECONDS // 3
FOREIGN = "f" * 64


def time(step: int) -> datetime:
    return START + timedelta(seconds=step * STEP)


def see(instance: Instance, digest: str, *steps: int) -> None:
    for step in steps:
        observations.record([Sighting(instance.pk, {"webhooks": digest}, time(step))])


def an_instance(environment: Environment, name: str, *, came: int = 0, went: int | None = None) -> Instance:
    made = testing.instance(environment, name)
    Instance.objects.filter(pk=made.pk).update(created_at=time(came), retired_at=None if went is None else time(went))
    made.refresh_from_db()
    return made


def a_revision(environment: Environment, word: str) -> Revision:
    text = testing.text({word: {"module": "log"}})
    source = RevisionSource.EDIT
    return documents.add_revision(environment, "webhooks", text=text, source=source, author=None, message="")


def publish(environment: Environment, revision: Revision, step: int) -> Bundle:
    return a_bundle(environment, revision, time(step))


def a_bundle(environment: Environment, revision: Revision, at: datetime) -> Bundle:
    """A bundle of that time; only the database can make one of the past."""
    number = Bundle.objects.filter(environment=environment).count() + 1
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO configs_app_bundle (environment_id, number, webhooks_id, created_at) VALUES (%s, %s, %s, %s)",
            [environment.pk, number, revision.pk, at],
        )
    return Bundle.objects.get(environment=environment, number=number)


def told(environment: Environment, since: int, until: int) -> list[tuple[int, int, int, int]]:
    """From, until, most instances at a time, unknown at its end; in steps, oldest first."""

    def step(at: datetime) -> int:
        return round((at - START).total_seconds() / STEP)

    found = splits.splits(environment, time(since), time(until), now=time(until))
    return [(step(one.since), step(one.until), one.peak, one.unknown_at_end) for one in reversed(found)]


def test_a_publication_splits_the_fleet_until_the_last_instance_has_it() -> None:
    environment = testing.cast().environment
    one, two = an_instance(environment, "one"), an_instance(environment, "two")
    old, new = a_revision(environment, "old"), a_revision(environment, "new")
    publish(environment, old, 1)
    for instance in (one, two):
        see(instance, old.digest, 1, 2, 3)
    bundle = publish(environment, new, 4)
    see(one, protocol.short(new.digest), 5, 6, 7, 8)
    see(two, old.digest, 5, 6)
    see(two, new.digest, 7, 8)
    (split,) = splits.splits(environment, time(0), time(9), now=time(9))
    assert (split.since, split.until, split.peak, split.still) == (time(4), time(7), 2, False)
    assert split.seconds == 3 * STEP
    assert split.digests == {protocol.short(old.digest), protocol.short(new.digest)}
    assert split.desired == [protocol.short(new.digest)]
    spread = splits.spread(bundle)
    assert (spread.instances, spread.proven, spread.complete) == (2, 2, True)
    assert (spread.first_seconds, spread.last_seconds) == (STEP, 3 * STEP)
    newer, older = splits.spreads(environment, time(0), time(9), newest=5)
    assert (newer, older.complete, older.last_seconds, older.ended_at) == (spread, True, 0, time(4))


def test_a_period_shows_what_began_before_it_and_what_goes_on_after_it() -> None:
    environment = testing.cast().environment
    publish(environment, a_revision(environment, "ours"), 0)
    see(an_instance(environment, "one"), FOREIGN, *range(10))
    (split,) = splits.splits(environment, time(3), time(6), now=time(9))
    assert (split.since, split.until, split.began_before, split.still) == (time(3), time(6), True, True)


def test_a_split_that_ends_in_silence_says_so() -> None:
    environment = testing.cast().environment
    ours = a_revision(environment, "ours")
    publish(environment, ours, 0)
    see(an_instance(environment, "one"), ours.digest, *range(1, 10))
    see(an_instance(environment, "two"), FOREIGN, 1, 2)
    assert told(environment, 0, 9) == [(1, 2, 1, 1)]


def test_a_retired_instance_splits_nothing_and_is_not_waited_for() -> None:
    environment = testing.cast().environment
    old, new = a_revision(environment, "old"), a_revision(environment, "new")
    publish(environment, old, 0)
    see(an_instance(environment, "gone", went=4), old.digest, 1, 2, 3)
    see(an_instance(environment, "stays"), old.digest, 1, 2)
    bundle = publish(environment, new, 2)
    see(Instance.objects.get(name="stays"), new.digest, 3, 4, 5)
    assert told(environment, 0, 6) == [(2, 4, 2, 0)]
    an_instance(environment, "came-later", came=5)
    assert (splits.spread(bundle).instances, splits.spread(bundle).proven) == (1, 1)


def test_before_the_first_documents_a_fleet_is_split_when_its_instances_differ() -> None:
    environment = testing.cast().environment
    see(an_instance(environment, "one"), FOREIGN, 1, 2, 3, 4)
    see(an_instance(environment, "two"), "e" * 64, 2, 3)
    see(an_instance(environment, "two-"), "e" * 64, 2, 3)
    see(Instance.objects.get(name="two"), FOREIGN, 4)
    see(Instance.objects.get(name="two-"), FOREIGN, 4)
    assert told(environment, 0, 5) == [(2, 4, 1, 0)]


sights = st.lists(st.tuples(st.integers(1, 5), st.sampled_from(["old", "new", "foreign"])), max_size=6)
one_instance = st.tuples(st.integers(0, 3), st.none() | st.integers(4, 18), sights)


@hypothesis_settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(instances=st.lists(one_instance, max_size=4), second=st.integers(1, 12), since=st.integers(0, 5))
def test_splits_and_counts_are_those_of_asking_every_instance_at_every_moment(
    db: None, instances: list[tuple[int, int | None, list[tuple[int, str]]]], second: int, since: int
) -> None:
    now = 20
    with transaction.atomic():
        environment = testing.cast().environment
        revisions = {word: a_revision(environment, word) for word in ("old", "new")}
        digests = {word: revision.digest for word, revision in revisions.items()} | {"foreign": FOREIGN}
        publish(environment, revisions["old"], 0)
        publish(environment, revisions["new"], second)
        for number, (came, went, reports) in enumerate(instances):
            instance = an_instance(environment, f"n{number}", came=came, went=went)
            step = came
            for gap, word in reports:
                step += gap
                if step <= now and (went is None or step < went):
                    see(instance, digests[word], step)

        split = []
        for step in range(since, now):
            # In the middle of a step: what changes, changes on a step.
            moment = time(step) + timedelta(seconds=STEP / 2)
            fleet = history.fleet_at(environment, moment, now=time(now))
            assert all(part.total == fleet.instances for part in fleet.parts)
            part = fleet.parts[0]
            running = [protocol.short(group.digest) for group in part.groups for _ in group.members]
            running += [protocol.short(member.ran.sight.digest) for member in part.changing]
            wanted = part.desired
            assert wanted is not None
            if set(running) - {protocol.short(wanted.digest)}:
                split.append(step)

        found = splits.splits(environment, time(since), time(now), now=time(now))
        covered = [s for s in range(since, now) if any(one.since <= time(s) < one.until for one in found)]
        assert covered == split
        transaction.set_rollback(True)
