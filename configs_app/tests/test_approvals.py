"""How many approvals a change needs and from whom: counted when it matters, by the code and by the database."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import Group
from django.db import IntegrityError, connection, transaction
from django.db.models.deletion import ProtectedError
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from configs_app import approvals, changes, documents, reviews
from configs_app.models import Bundle, Change
from console import testing
from console.errors import Refused
from console.models import AuditEvent, Role, RoleBinding, User
from console.testing import Cast
from instances_app import rules
from instances_app.rules import Rules

pytestmark = pytest.mark.django_db

CLOSED = {"module": "log", "authorization": "Bearer {$TOKEN}"}
SAFE = testing.text({**testing.WEBHOOKS, "new": CLOSED})
RISKY = testing.text({"orders": {"module": "log"}, "new": CLOSED})  # refunds goes: a high risk


@pytest.fixture
def production() -> Cast:
    cast = testing.cast("production", protected=True)
    testing.bundle(cast.environment)
    return cast


def approver(cast: Cast, name: str, *groups: Group) -> User:
    person = testing.person(name)
    RoleBinding.objects.create(user=person, environment=cast.environment, role=Role.APPROVER)
    person.groups.add(*groups)
    return person


def hold(cast: Cast, held: Rules) -> None:
    rules.change(cast.environment, held, actor=cast.adam)
    cast.environment.refresh_from_db()


def proposed(cast: Cast, text: str = SAFE) -> Change:
    return changes.propose(testing.draft(cast.environment, actor=cast.olga, webhooks=text), actor=cast.olga)


def publish(change: Change, cast: Cast) -> Bundle:
    with transaction.atomic():
        return changes.publish(change, actor=cast.olga)


def page(change: Change, user: User) -> str:
    client = Client()
    client.force_login(user)
    return " ".join(client.get(reverse("configs:change", args=[change.pk])).content.decode().split())


def test_two_approvals_are_two_people(production: Cast) -> None:
    hold(production, Rules(True, 2, 2))
    change = proposed(production)
    for _ in range(2):
        change = changes.approve(change, actor=production.anna)
    assert (change.state, approvals.standing(change).words) == ("proposed", "1 of 2 approvals; still needed: 1 more")
    assert "These people can: adam." in page(change, production.anna)
    assert "Approve these contents" in page(change, production.adam)
    people = (production.anna, production.adam, production.olga)
    assert [person for person in people if change in reviews.waiting_for(person)] == [production.adam]
    change = changes.approve(change, actor=production.adam)
    assert change.state == "approved"
    publish(change, production)
    assert AuditEvent.objects.get(action="change.published").data["approvers"] == ["anna", "adam"]


def test_a_high_risk_asks_for_more(production: Cast) -> None:
    hold(production, Rules(True, 1, 2))
    assert changes.approve(proposed(production), actor=production.anna).state == "approved"
    risky = changes.approve(proposed(production, RISKY), actor=production.anna)
    assert risky.state == "proposed"
    assert "2 because of its high risk" in page(risky, production.anna)
    assert changes.approve(risky, actor=production.adam).state == "approved"


def test_one_has_to_come_from_the_group(production: Cast) -> None:
    group = Group.objects.create(name="payments-leads")
    lead = approver(production, "lea", group)
    hold(production, Rules(True, 2, 2, group))
    change = changes.approve(proposed(production), actor=production.anna)
    assert approvals.standing(change).words == "1 of 2 approvals; still needed: one of the group payments-leads"
    assert "These people can: lea." in page(change, production.olga)
    change = changes.approve(change, actor=production.adam)
    assert (change.state, approvals.standing(change).words) == (
        "proposed",
        "2 of 2 approvals; still needed: one of the group payments-leads",
    )
    change = changes.approve(change, actor=lead)
    assert change.state == "approved"
    lead.groups.clear()
    with pytest.raises(Refused, match="one of the group payments-leads"):
        publish(change, production)
    lead.groups.add(group)
    publish(change, production)


def test_a_group_is_not_deleted_while_a_rule_asks_for_it(production: Cast) -> None:
    group = Group.objects.create(name="payments-leads")
    hold(production, Rules(True, 1, 1, group))
    with pytest.raises(ProtectedError):
        group.delete()


def test_the_page_says_when_nobody_can(production: Cast) -> None:
    group = Group.objects.create(name="payments-leads")
    hold(production, Rules(True, 1, 1, group))
    assert "Nobody can: give somebody else the role and the group" in page(proposed(production), production.olga)


def test_stricter_rules_hold_for_what_is_approved_already_and_more_people_may_approve_it(production: Cast) -> None:
    change = changes.approve(proposed(production), actor=production.anna)
    hold(production, Rules(True, 2, 2))
    with pytest.raises(Refused, match="1 of 2 approvals; still needed: 1 more"):
        publish(change, production)
    assert "Publish…" not in page(change, production.olga)
    changes.approve(change, actor=production.adam)
    publish(change, production)


def test_an_approval_is_replaced_after_its_giver_lost_the_role(production: Cast) -> None:
    change = changes.approve(proposed(production), actor=production.anna)
    RoleBinding.objects.filter(user=production.anna).delete()
    assert "These people can: adam." in page(change, production.olga)
    changes.approve(change, actor=production.adam)
    publish(change, production)
    assert AuditEvent.objects.get(action="change.published").data["approvers"] == ["adam"]


@pytest.mark.parametrize("loosened", ["fewer", "the approver joins the group", "no group"])
def test_what_has_enough_approvals_by_todays_rules_is_published_without_another(
    production: Cast, loosened: str
) -> None:
    group = Group.objects.create(name="payments-leads")
    hold(production, Rules(True, 2, 2) if loosened == "fewer" else Rules(True, 1, 1, group))
    change = changes.approve(proposed(production), actor=production.anna)
    assert "Publish…" not in page(change, production.olga)
    if loosened == "the approver joins the group":
        production.anna.groups.add(group)
    else:
        rules.change(production.environment, Rules(True, 1, 1), reason="There are too few of us", actor=production.adam)
        change.environment.refresh_from_db()
    assert change.state == "proposed"
    assert "Publish…" in page(change, production.olga)
    assert "Waits to be published." in page(change, production.olga)
    assert change not in reviews.waiting_for(production.adam)
    publish(change, production)
    assert AuditEvent.objects.get(action="change.published").data["approvers"] == ["anna"]


def test_a_rejected_change_is_not_published_by_the_approvals_it_had(production: Cast) -> None:
    change = changes.approve(proposed(production), actor=production.anna)
    change = changes.reject(change, actor=production.adam, reason="Not on a Friday")
    assert approvals.standing(change).enough
    assert "Publish…" not in page(change, production.olga)
    with pytest.raises(Refused, match="another person has to approve"):
        publish(change, production)


def test_an_approved_change_that_lacks_an_approval_again_waits_for_who_can_give_it(production: Cast) -> None:
    group = Group.objects.create(name="payments-leads")
    lead = approver(production, "lea", group)
    change = changes.approve(proposed(production), actor=production.anna)
    signers = (production.anna, production.adam, lead)

    def waiting() -> list[str]:
        found = [person.username for person in signers if change in reviews.waiting_for(person)]
        change.environment.refresh_from_db()
        standing = approvals.standing(change)
        assert found == [name for name in ("anna", "adam", "lea") if name in standing.can and not standing.enough]
        return found

    assert waiting() == []
    hold(production, Rules(True, 2, 2))
    assert waiting() == ["adam", "lea"]
    hold(production, Rules(True, 2, 2, group))
    assert waiting() == ["lea"]  # the one that is missing has to come from the group
    hold(production, Rules(True, 3, 3, group))
    assert waiting() == ["adam", "lea"]
    rules.change(production.environment, Rules(True, 1, 1), reason="There are too few of us", actor=production.adam)
    assert waiting() == []
    RoleBinding.objects.filter(user=production.anna).delete()
    assert waiting() == ["adam", "lea"]


def test_a_list_of_what_waits_asks_a_fixed_number_of_queries(production: Cast) -> None:
    hold(production, Rules(True, 2, 2))
    counts = []
    for _ in range(3):
        changes.approve(proposed(production), actor=production.anna)
        with CaptureQueriesContext(connection) as asked:
            reviews.waiting_for(production.adam)
        counts.append(len(asked))
    assert len(reviews.waiting_for(production.adam)) == 3
    assert counts[1] == counts[2]


def test_the_database_counts_as_well(production: Cast) -> None:
    group = Group.objects.create(name="payments-leads")
    change = changes.approve(proposed(production, RISKY), actor=production.anna)
    bundle = documents.desired(production.environment)
    for held, words in ((Rules(True, 1, 2), "needs an approval"), (Rules(True, 1, 2, group), "from the group")):
        hold(production, held)
        with pytest.raises(IntegrityError, match=words), transaction.atomic():
            Change.objects.filter(pk=change.pk).update(state="published", bundle=bundle)
        changes.approve(change, actor=production.adam)
    approver(production, "lea", group)
    changes.approve(change, actor=User.objects.get(username="lea"))
    Change.objects.filter(pk=change.pk).update(state="published", bundle=bundle)
