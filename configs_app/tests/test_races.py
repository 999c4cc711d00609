"""Two people at once, in transactions that really overlap: never is unapproved content published.

`overlapping` keeps the first transaction open until the second one waits for it. So both orders of every pair are
tried, and a lock that is missing shows as a second transaction that does not wait.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import closing

import pytest
from django.contrib.auth.models import Group
from django.db import connection, transaction

from configs_app import approvals, changes, contributors, documents
from configs_app.models import Bundle, Change, ChangeState
from console import audit, testing
from console.errors import Refused
from console.models import AuditEvent, RoleBinding
from console.testing import Cast
from console.testing_processes import until
from instances_app import rules
from instances_app.rules import Rules

pytestmark = pytest.mark.django_db(transaction=True)

CLOSED = {"module": "log", "authorization": "Bearer {$TOKEN}"}
NEW = testing.text({**testing.WEBHOOKS, "new": CLOSED})
NEWER = testing.text({**testing.WEBHOOKS, "newer": CLOSED})

Deed = Callable[[], object]


@pytest.fixture
def production() -> Iterator[Cast]:
    cast = testing.cast("production", protected=True)
    testing.bundle(cast.environment)
    yield cast
    for change in Change.objects.filter(state=ChangeState.PUBLISHED):
        assert_was_approved(change)


def assert_was_approved(change: Change) -> None:
    """What runs is what one proposal said, and enough people who had no part in it approved that proposal."""
    proposal = change.proposals.get(seal=change.seal)
    revisions = change.bundle.revisions() if change.bundle else []
    assert {r.document.kind: r.text for r in revisions if r.document.kind in proposal.texts} == proposal.texts
    by = set(proposal.approvals.values_list("approver_id", flat=True))
    assert len(by - contributors.of(change)) >= change.environment.approvals


def overlapping(first: Deed, second: Deed, *, waits: bool = True) -> tuple[str, str]:
    """Run the second deed while the first one's transaction is open; what each was refused with, empty when it was not.

    The first commits as soon as the second waits for a lock, or with `waits` False as soon as the second has ended.
    """
    told = ["", ""]
    done, commit, begin = threading.Event(), threading.Event(), threading.Event()

    def go(place: int, deed: Deed) -> None:
        with closing(connection):
            try:
                with transaction.atomic():
                    if place:
                        begin.wait(20)
                    deed()
                    if not place:
                        begin.set()
                        assert commit.wait(20)
            except Refused as refusal:
                told[place] = str(refusal)
            finally:
                begin.set()
                if place:
                    done.set()

    threads = [threading.Thread(target=go, args=pair) for pair in ((0, first), (1, second))]
    for thread in threads:
        thread.start()
    try:
        assert begin.wait(20)
        until(somebody_waits if waits else done.is_set, what="the second transaction's wait" if waits else "its end")
    finally:
        commit.set()
        for thread in threads:
            thread.join()
    return told[0], told[1]


def somebody_waits() -> bool:
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()")
        return cursor.fetchone() is not None


def proposed(cast: Cast, text: str = NEW) -> Change:
    return changes.propose(testing.draft(cast.environment, actor=cast.olga, webhooks=text), actor=cast.olga)


def approved(cast: Cast, text: str = NEW) -> Change:
    return changes.approve(proposed(cast, text), actor=cast.anna)


def publishing(change: Change, cast: Cast) -> Callable[[], Bundle]:
    def deed() -> Bundle:
        with transaction.atomic():
            return changes.publish(change, actor=cast.olga)

    return deed


def editing(change: Change, cast: Cast) -> Deed:
    base = documents.current(cast.environment, "webhooks")
    bases = {"webhooks": base.pk if base else None}
    return lambda: changes.save(change, {"webhooks": NEWER}, bases=bases, actor=cast.olga)


def approving(change: Change, cast: Cast) -> Deed:
    return lambda: changes.approve(change, actor=cast.anna, seal=change.seal)


def taking(what: str, cast: Cast) -> Deed:
    """Take the role, the group or the account from anna, and say so in the trail, whose order is that of commits."""

    def deed() -> None:
        if what == "role":
            RoleBinding.objects.filter(user=cast.anna).delete()
        elif what == "group":
            cast.anna.groups.clear()
        else:
            cast.anna.is_active = False
            cast.anna.save(update_fields=["is_active"])
        audit.record("test.taken", actor=None)

    return deed


def sequence(action: str) -> int:
    return AuditEvent.objects.get(action=action).sequence


def state(change: Change) -> str:
    change.refresh_from_db()
    return change.state


def test_an_edit_during_an_approval_voids_it(production: Cast) -> None:
    change = proposed(production)
    assert overlapping(approving(change, production), editing(change, production)) == ("", "")
    assert (state(change), approvals.standing(change).given) == ("draft", [])
    with pytest.raises(Refused, match="another person"):
        publishing(change, production)()


def test_an_approval_during_an_edit_is_refused(production: Cast) -> None:
    change = proposed(production)
    edited, given = overlapping(editing(change, production), approving(change, production))
    assert (edited, given) == ("", "This change is draft; only a proposed one is approved.")
    changes.propose(change, actor=production.olga)
    with pytest.raises(Refused, match="another person"):
        publishing(change, production)()


def test_an_edit_during_a_publication_is_refused(production: Cast) -> None:
    change = approved(production)
    told = overlapping(publishing(change, production), editing(change, production))
    assert told == ("", "This change is published and can no longer be edited.")
    assert state(change) == "published"


def test_a_publication_during_an_edit_is_refused(production: Cast) -> None:
    change = approved(production)
    edited, published = overlapping(editing(change, production), publishing(change, production))
    assert edited == ""
    assert "another person has to approve" in published
    assert state(change) == "draft"
    assert Bundle.objects.count() == 1


def test_the_same_change_is_published_once(production: Cast) -> None:
    change = approved(production)
    told = overlapping(publishing(change, production), publishing(change, production))
    assert told == ("", "This change is already published.")
    assert Bundle.objects.count() == 2


def test_of_two_approved_changes_the_second_is_stale(production: Cast) -> None:
    one, other = approved(production), approved(production, NEWER)
    first, second = overlapping(publishing(one, production), publishing(other, production))
    assert first == ""
    assert "has moved on" in second
    assert (state(one), state(other)) == ("published", "approved")


@pytest.mark.parametrize("approval_first", [True, False])
def test_an_approval_given_while_the_role_is_taken_does_not_count(production: Cast, approval_first: bool) -> None:
    change = proposed(production)
    deeds = [approving(change, production), taking("role", production)]
    # Both write the audit trail, which one of them waits for; the approval itself is in nobody's way.
    assert overlapping(*(deeds if approval_first else reversed(deeds))) == ("", "")
    assert approvals.standing(change).given == []
    with pytest.raises(Refused, match="still needed"):
        publishing(change, production)()


@pytest.mark.parametrize("what", ["role", "group", "account"])
def test_what_is_taken_during_a_publication_is_taken_after_it(production: Cast, what: str) -> None:
    grouped(production)
    change = approved(production)
    assert overlapping(publishing(change, production), taking(what, production)) == ("", "")
    assert state(change) == "published"
    assert sequence("change.published") < sequence("test.taken")


@pytest.mark.parametrize("what", ["role", "group", "account"])
def test_a_publication_waits_for_what_is_being_taken_and_is_refused(production: Cast, what: str) -> None:
    grouped(production)
    change = approved(production)
    taken, published = overlapping(taking(what, production), publishing(change, production))
    assert taken == ""
    assert "still needed" in published
    assert state(change) == "approved"


def grouped(cast: Cast) -> None:
    """One approval has to come from anna's group."""
    group = Group.objects.create(name="payments-leads")
    cast.anna.groups.add(group)
    rules.change(cast.environment, Rules(True, 1, 1, group), actor=cast.adam)


def test_a_withdrawal_during_a_publication_is_refused(production: Cast) -> None:
    change = approved(production)
    withdraw = lambda: changes.withdraw(change, actor=production.olga)  # noqa: E731
    assert overlapping(publishing(change, production), withdraw) == ("", "This change is already published.")


def test_a_publication_during_a_withdrawal_is_refused(production: Cast) -> None:
    change = approved(production)
    withdraw = lambda: changes.withdraw(change, actor=production.olga)  # noqa: E731
    assert overlapping(withdraw, publishing(change, production)) == ("", "This change is already withdrawn.")
    assert Bundle.objects.count() == 1


def test_stricter_rules_during_a_publication_hold_for_the_next_one(production: Cast) -> None:
    change = approved(production)
    stricter = lambda: rules.change(production.environment, Rules(True, 2, 2), actor=production.adam)  # noqa: E731
    told = overlapping(stricter, publishing(change, production))
    assert told[0] == ""
    assert "1 of 2 approvals" in told[1]


def test_everything_at_once_publishes_nothing_unapproved(production: Cast) -> None:
    """No order is forced: whatever happens, the fixture's last look finds only approved content."""
    for number in range(4):
        change = approved(production, testing.text({**testing.WEBHOOKS, f"new-{number}": CLOSED}))
        deeds = [
            publishing(change, production),
            editing(change, production),
            publishing(change, production),
            lambda change=change: changes.withdraw(change, actor=production.olga),  # type: ignore[misc]
            approving(change, production),
        ]
        together = threading.Barrier(len(deeds))

        def go(deed: Deed, together: threading.Barrier = together) -> None:
            with closing(connection):
                together.wait(20)
                try:
                    deed()
                except Refused:
                    return

        threads = [threading.Thread(target=go, args=[deed]) for deed in deeds]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
