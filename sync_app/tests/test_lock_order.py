"""Everyday deeds that meet do not deadlock: who has recorded can commit, whoever waits for the audit trail meanwhile.

Foreign keys are checked at commit, behind the audit lock. A row that somebody else has locked with its key, while
waiting for that lock, would be a deadlock.
"""

from __future__ import annotations

import threading
from contextlib import closing
from functools import partial

import pytest
from django.db import OperationalError, connection, transaction
from django.utils import timezone

from configs_app import changes, comments
from configs_app.tests.test_races import Deed, overlapping
from console import people, testing
from console.errors import Refused
from console.models import User
from console.testing_processes import until
from instances_app import identity, observations, registry, rosters, rules, transport
from instances_app.models import Instance
from instances_app.observations import Sighting
from instances_app.plans import Plan
from sync_app import deliveries, rollouts
from sync_app.models import Cause
from sync_app.tests.attempts import attempt
from sync_app.tests.attempts import change as changed

pytestmark = pytest.mark.django_db(transaction=True)

CLOSED = {"module": "log", "authorization": "Bearer {$TOKEN}"}


def site_admin(name: str) -> User:
    found = testing.person(name)
    found.is_superuser = True
    found.save()
    return found


def queueing(row: Instance, first: Deed, second: Deed) -> tuple[str, str]:
    """Begin both, one after the other, while somebody has locked the row, and let it go when both have come as far as
    they can; what each was refused with, or how it broke.
    """
    told = ["", ""]

    def go(place: int, deed: Deed) -> None:
        with closing(connection):
            try:
                with transaction.atomic():
                    deed()
            except (Refused, OperationalError) as error:
                told[place] = str(error)

    threads = [threading.Thread(target=go, args=pair) for pair in ((0, first), (1, second))]
    try:
        with transaction.atomic():
            Instance.objects.select_for_update().get(pk=row.pk)
            for number, thread in enumerate(threads, start=1):
                thread.start()
                until(partial(has_come_far, thread, number), what="it to wait or to end")
    finally:
        for thread in threads:
            if thread.ident is not None:
                thread.join()
    return told[0], told[1]


def has_come_far(thread: threading.Thread, number: int) -> bool:
    """It has ended, or so many transactions wait for locks that it is one of them."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_stat_clear_snapshot()")
        cursor.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
        )
        return not thread.is_alive() or cursor.fetchone()[0] == number


def test_a_comment_and_an_approval() -> None:
    cast = testing.cast("production", protected=True)
    testing.bundle(cast.environment)
    testing.instance(cast.environment)
    webhooks = testing.text({**testing.WEBHOOKS, "new": CLOSED})
    change = testing.draft(cast.environment, actor=cast.olga, webhooks=webhooks)
    changes.propose(change, actor=cast.olga)
    assert overlapping(
        lambda: comments.write(change, text="Hello there", actor=cast.victor),
        lambda: changes.approve(change, actor=cast.anna),
    ) == ("", "")


def test_a_new_draft_and_a_new_plan() -> None:
    cast = testing.cast("production", protected=True)
    testing.bundle(cast.environment)
    assert overlapping(
        lambda: changes.open_draft(cast.environment, actor=cast.olga),
        lambda: rules.set_plan(cast.environment, Plan.of({"waves": ["1", "100%"]}), actor=cast.adam),
    ) == ("", "")


def test_a_publication_and_the_switching_off_of_who_publishes() -> None:
    cast = testing.cast()
    testing.bundle(cast.environment)
    testing.instance(cast.environment)
    root, change = site_admin("root"), changed(cast)
    assert overlapping(
        lambda: rollouts.publish(change, actor=cast.olga), lambda: people.switch(cast.olga, on=False, actor=root)
    ) == ("", "")


def test_a_publication_and_another_name_for_an_instance() -> None:
    cast = testing.cast()
    testing.bundle(cast.environment)
    one, change = testing.instance(cast.environment), changed(cast)
    assert overlapping(
        lambda: rollouts.publish(change, actor=cast.olga),
        lambda: registry.change(one, name="other", base_url=one.base_url, labels={}, actor=cast.olga),
    ) == ("", "")


def test_a_deed_of_a_site_admin_and_the_switching_off_of_somebody_else() -> None:
    cast = testing.cast()
    testing.bundle(cast.environment)
    root, boss = site_admin("root"), site_admin("boss")
    assert overlapping(
        lambda: changes.open_draft(cast.environment, actor=boss),
        lambda: people.switch(cast.victor, on=False, actor=root),
    ) == ("", "")


def reports(*instances: Instance) -> list[Sighting]:
    return [Sighting(one.pk, {"webhooks": "a" * 64}) for one in instances]


def test_an_imported_fleet_in_another_order_and_a_round_of_questions() -> None:
    cast = testing.cast()
    a, b = (testing.instance(cast.environment, name) for name in "ab")
    file = f"name,base_url,labels\nb,{b.base_url},x=1\na,{a.base_url},x=1\n"
    assert queueing(
        a,
        lambda: observations.record(reports(a, b)),
        lambda: rosters.carry_out(cast.environment, file, actor=cast.olga),
    ) == ("", "")
    assert {one.labels["x"] for one in cast.environment.instances.all()} == {"1"}


def test_an_imported_fleet_in_another_order_and_another_name_for_one_of_it() -> None:
    cast = testing.cast()
    a, b = (testing.instance(cast.environment, name) for name in "ab")
    file = f"name,base_url,labels\nb,{b.base_url},x=1\na,{a.base_url},x=1\n"
    told = queueing(
        a,
        lambda: registry.change(a, name="c", base_url=a.base_url, labels={}, actor=cast.olga),
        lambda: rosters.carry_out(cast.environment, file, actor=cast.olga),
    )
    assert told == ("", f"Line 3, a: {a.base_url} is managed already, under another name.")
    b.refresh_from_db()
    assert b.labels == {}


def test_an_imported_fleet_and_one_of_it_that_is_registered_by_hand() -> None:
    cast = testing.cast()
    a = testing.instance(cast.environment, "a")
    file = f"name,base_url,token,labels\nnew,http://new,t,\na,{a.base_url},,x=1\nother,http://other,t,\n"
    told = queueing(
        a,
        lambda: rosters.carry_out(cast.environment, file, actor=cast.olga),
        lambda: testing.instance(cast.environment, "other", "http://other"),
    )
    assert told == ("", "staging has an instance named other already.")  # the environment's row orders them
    assert set(cast.environment.instances.values_list("name", flat=True)) == {"a", "new", "other"}


def test_a_batch_with_a_refused_token_and_a_round_of_questions() -> None:
    cast = testing.cast()
    testing.bundle(cast.environment)
    refusing, fine = (testing.instance(cast.environment, name) for name in ("refusing", "fine"))
    rollout = rollouts.start(cast.environment, actor=cast.olga, cause=Cause.SYNC)
    digests = rollout.bundle.digests()
    results = [
        (claim, attempt(claim, digests, "failed" if claim.instance_id == refusing.pk else "verified"))
        for claim in deliveries.claim(rollout.pk, limit=2)
    ]
    assert queueing(
        refusing,
        lambda: observations.record(reports(refusing, fine)),
        lambda: deliveries.record(rollout, results),
    ) == ("", "")
    refusing.refresh_from_db()
    assert refusing.token_refused_at is not None


def test_forbidding_plain_http_and_an_address_over_it_see_each_other() -> None:
    cast, other = testing.cast(), testing.cast("other")
    told = overlapping(
        lambda: testing.instance(cast.environment, "a", "http://a.example"),
        lambda: transport.set_plain_http(cast.environment, False, actor=cast.adam),
    )
    assert told[0] == ""
    assert "a would not be reached any more" in told[1]
    told = overlapping(
        lambda: transport.set_plain_http(other.environment, False, actor=other.adam),
        lambda: testing.instance(other.environment, "b", "http://b.example"),
    )
    assert told[0] == ""
    assert "Plain http:// is not allowed in other" in told[1]


def test_two_who_pin_the_same_stranger_decide_once() -> None:
    cast = testing.cast()
    instance = testing.instance(cast.environment, "a")
    facts = {"identity": "a" * 32, "stranger": "b" * 32, "stranger_at": timezone.now()}
    Instance.objects.update(**facts)
    pin = partial(identity.pin_anew, instance, seen="b" * 32, reason="Its disk was replaced.")
    told = overlapping(partial(pin, actor=cast.olga), partial(pin, actor=cast.adam))
    assert told == ("", "The expected instance answers there again. There is nothing to decide.")
    instance.refresh_from_db()
    assert (instance.identity, instance.stranger) == ("b" * 32, "")
