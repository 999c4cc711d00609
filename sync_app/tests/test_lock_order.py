"""Everyday deeds that meet do not deadlock: who has recorded can commit, whoever waits for the audit trail meanwhile.

Foreign keys are checked at commit, behind the audit lock. A row that somebody else has locked with its key, while
waiting for that lock, would be a deadlock.
"""

from __future__ import annotations

import pytest

from configs_app import changes, comments
from configs_app.tests.test_races import overlapping
from console import people, testing
from console.models import User
from instances_app import registry, rules
from instances_app.plans import Plan
from sync_app import rollouts
from sync_app.tests.attempts import change as changed

pytestmark = pytest.mark.django_db(transaction=True)

CLOSED = {"module": "log", "authorization": "Bearer {$TOKEN}"}


def site_admin(name: str) -> User:
    found = testing.person(name)
    found.is_superuser = True
    found.save()
    return found


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
