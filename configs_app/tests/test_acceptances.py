"""Living with a finding: a reason, an end, and nobody alone in production."""

from __future__ import annotations

from datetime import date, timedelta

import pytest
from django.db import transaction
from django.db.utils import IntegrityError
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from configs_app import acceptances, changes, contents
from configs_app.forms import value_of
from configs_app.models import Acceptance, Change
from console import testing
from console.errors import Refused
from console.models import AuditEvent, RoleBinding
from console.testing import Cast

pytestmark = pytest.mark.django_db

OPEN = testing.text({**testing.WEBHOOKS, "new": {"module": "log"}})  # A3, a warning: anybody may call it
WRONG = testing.text({**testing.WEBHOOKS, "new": {"module": "log", "authorization": ""}})  # A1, an error


@pytest.fixture
def production() -> Cast:
    cast = testing.cast("production", protected=True)
    testing.bundle(cast.environment)
    return cast


def draft(cast: Cast, webhooks: str = OPEN) -> Change:
    return testing.draft(cast.environment, actor=cast.olga, webhooks=webhooks)


def rules(change: Change) -> list[str]:
    return [finding.rule for finding in contents.obstacles(change)]


def test_a_new_warning_needs_a_decision_where_protected_and_nowhere_else(production: Cast) -> None:
    change = draft(production)
    assert rules(change) == ["A3"]
    with pytest.raises(Refused, match=r"'new' is open: .* Correct it, or accept it with a reason"):
        changes.propose(change, actor=production.olga)
    testing.accepted(change, actor=production.olga)
    changes.propose(change, actor=production.olga)

    staging = testing.cast("staging")
    testing.bundle(staging.environment)
    assert rules(draft(staging)) == []


def test_a_warning_that_the_base_has_already_needs_none(production: Cast) -> None:
    text = testing.text({**testing.WEBHOOKS, "refunds": {"module": "log", "authorization": "Bearer {$TOKEN}"}})
    assert rules(draft(production, text)) == []  # 'orders' is as open as before


def test_an_error_in_production_is_accepted_by_an_approver_who_had_no_part_in_it(production: Cast) -> None:
    change = draft(production, WRONG)
    (finding,) = contents.obstacles(change)
    assert [acceptances.may_settle(who, finding, change) for who in (production.olga, production.anna)] == [False, True]

    testing.accepted(change, actor=production.olga)
    assert rules(change) == ["A1"]
    testing.accepted(change, actor=production.anna)
    assert rules(change) == []
    RoleBinding.objects.filter(user=production.anna).delete()
    assert rules(change) == ["A1"]


def test_an_approver_does_not_settle_the_errors_of_a_change_they_edited(production: Cast) -> None:
    change = draft(production, WRONG)
    testing.accepted(change, actor=production.adam)
    assert rules(change) == []
    base = change.documents.get().base_id
    changes.save(change, {"webhooks": WRONG + "\n"}, bases={"webhooks": base}, actor=production.adam)
    change.refresh_from_db()
    assert rules(change) == ["A1"]


def test_an_acceptance_ends_on_its_day_or_when_it_is_taken_back(production: Cast) -> None:
    change = draft(production)
    (acceptance,) = testing.accepted(change, actor=production.olga)
    Acceptance.objects.update(expires_at=timezone.now() - timedelta(seconds=1))
    assert rules(change) == ["A3"]
    Acceptance.objects.update(expires_at=timezone.now() + timedelta(days=1))
    assert rules(change) == []
    acceptances.end(acceptance, actor=production.anna)
    assert rules(change) == ["A3"]
    with pytest.raises(Refused, match="ended already"):
        acceptances.end(acceptance, actor=production.anna)


@pytest.mark.parametrize(
    ("reason", "days", "said"),
    [
        ("  ", 1, "Say why"),
        ("because", -1, "is over"),
        ("because", 500, "a year at most"),
        ("because", None, "which day"),
    ],
)
def test_an_acceptance_has_a_reason_and_an_end(production: Cast, reason: str, days: int | None, said: str) -> None:
    found = contents.obstacles(draft(production))
    until = None if days is None else timezone.now().date() + timedelta(days=days)
    with pytest.raises(Refused, match=said):
        acceptances.accept(production.environment, found, reason=reason, until=until, actor=production.olga)
    assert not Acceptance.objects.exists()


def test_a_text_that_is_no_document_cannot_be_accepted(production: Cast) -> None:
    for text in ('{"half": ', '{"a": {"module": "log"}, "a": {"module": "log"}}'):
        found = contents.obstacles(draft(production, text))
        with pytest.raises(Refused, match="has to be fixed"):
            acceptances.accept(
                production.environment, found, reason="x", until=acceptances.usual_end(), actor=production.anna
            )


def test_accepting_and_taking_back_are_audited(production: Cast) -> None:
    (acceptance,) = testing.accepted(draft(production), actor=production.olga)
    acceptances.end(acceptance, actor=production.anna)
    events = {event.action: event for event in AuditEvent.objects.filter(action__startswith="finding.")}
    accepted = events["finding.accepted"]
    assert (accepted.actor_name, accepted.environment) == ("olga", "production")
    assert (accepted.data["findings"], accepted.data["reason"]) == (["webhooks A3 warning new"], "a test")
    assert events["finding.acceptance_ended"].actor_name == "anna"


def test_the_database_holds_one_standing_acceptance_with_a_reason(production: Cast) -> None:
    (acceptance,) = testing.accepted(draft(production), actor=production.olga)
    for values in ({"pk": None}, {"pk": None, "reason": "", "entry": "other"}):
        for name, value in values.items():
            setattr(acceptance, name, value)
        with pytest.raises(IntegrityError), transaction.atomic():
            acceptance.save(force_insert=True)


def test_a_change_that_breaks_the_other_document_is_stopped() -> None:
    cast = testing.cast()
    webhooks = {"orders": {"module": "postgresql", "connection": "db", "authorization": "Bearer {$TOKEN}"}}
    testing.bundle(cast.environment, webhooks=webhooks)
    change = testing.draft(cast.environment, actor=cast.olga, connections="{}")
    (found,) = contents.obstacles(change)
    assert (found.document, found.rule, found.entry) == ("webhooks", "B4", "orders")
    both = testing.draft(cast.environment, actor=cast.olga, connections="{}", webhooks=testing.text(webhooks) + "\n")
    assert [finding.rule for finding in contents.obstacles(both)] == ["B4"]


def test_the_page_offers_the_decision_and_keeps_what_was_typed_when_it_is_refused(production: Cast) -> None:
    change = draft(production)
    page = Client()
    page.force_login(production.olga)
    assert (
        "To decide before it can be proposed" in page.get(reverse("configs:change", args=[change.pk])).content.decode()
    )
    url = reverse("configs:change-accept", args=[change.pk])
    ticked = [value_of(finding) for finding in contents.obstacles(change)]

    refused = page.post(url, {"findings": ticked, "reason": "the partner signs nothing", "until": "2001-01-01"})

    assert refused.status_code == 422
    body = refused.content.decode()
    assert "2001-01-01 is over" in body
    assert 'value="the partner signs nothing"' in body
    assert "checked" in body
    until = date.today() + timedelta(days=30)
    page.post(url, {"findings": ticked, "reason": "the partner signs nothing", "until": until.isoformat()})
    body = page.get(reverse("configs:change", args=[change.pk])).content.decode()
    assert f"Accepted by olga until {until}: the partner signs nothing" in body
    assert "Propose for approval" in body
    listed = page.get(reverse("configs:acceptances", args=["production"])).content.decode()
    assert "the partner signs nothing" in listed


def test_among_thousands_of_findings_a_new_one_stops_a_change_and_a_correction_is_not_stopped() -> None:
    """Pages name 500 findings of a rule and count the rest; what stops a change is told from all of them."""
    cast = testing.cast()
    wrong = {f"w{number:03}": {"module": "no_such"} for number in range(600)}
    testing.bundle(cast.environment, webhooks=wrong)
    corrected = {**wrong, "w100": {"module": "log"}}
    assert contents.obstacles(testing.draft(cast.environment, actor=cast.olga, webhooks=testing.text(corrected))) == []
    swapped = {**{name: entry for name, entry in wrong.items() if name != "w599"}, "zzz": {"module": "no_such"}}
    change = testing.draft(cast.environment, actor=cast.olga, webhooks=testing.text(swapped))
    assert [(finding.rule, finding.entry) for finding in contents.obstacles(change)] == [("B3", "zzz")]


def test_nothing_of_a_change_that_has_ended_is_accepted(production: Cast) -> None:
    change = draft(production)
    changes.withdraw(change, actor=production.olga)
    page = Client()
    page.force_login(production.olga)
    answer = page.post(reverse("configs:change-accept", args=[change.pk]), {"reason": "x", "until": "2030-01-01"})
    assert answer.status_code == 422
    assert "nothing of it is to be decided" in answer.content.decode()


def test_accepting_a_warning_does_not_cover_an_error_of_the_same_rule(production: Cast) -> None:
    def limited(value: object) -> str:
        limit = {"max_requests": value}
        closed = {"module": "log", "authorization": "Bearer {$TOKEN}", "rate_limit": limit}
        return testing.text({**testing.WEBHOOKS, "new": closed})

    change = draft(production, limited(0))
    (acceptance,) = testing.accepted(change, actor=production.anna)
    assert (acceptance.rule, acceptance.level) == ("B9", "warning")
    base = change.documents.get().base_id
    changes.save(change, {"webhooks": limited(-1)}, bases={"webhooks": base}, actor=production.olga)
    change.refresh_from_db()
    assert [(finding.rule, finding.level) for finding in contents.obstacles(change)] == [("B9", "error")]
