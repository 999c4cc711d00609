"""An approval is of texts, targets and plan, as they were proposed; what moves since makes it void, in words."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import DatabaseError, connection, transaction
from django.test import Client
from django.urls import reverse

from configs_app import approvals, changes, proposals, reach
from configs_app.models import Approval, Change
from console import testing
from console.errors import Refused
from console.models import AuditEvent
from console.testing import Cast
from instances_app import plans, registry
from instances_app.models import Instance
from instances_app.plans import Plan
from sync_app import rollouts
from sync_app.models import Cause

pytestmark = pytest.mark.django_db

CLOSED = {"module": "log", "authorization": "Bearer {$TOKEN}"}
NEW = testing.text({**testing.WEBHOOKS, "new": CLOSED})
NEWER = testing.text({**testing.WEBHOOKS, "newer": CLOSED})


@pytest.fixture
def production() -> Cast:
    cast = testing.cast("production", protected=True)
    testing.bundle(cast.environment)
    for name in ("eu-1", "eu-2"):
        testing.instance(cast.environment, name)
    return cast


def proposed(cast: Cast) -> Change:
    change = testing.draft(cast.environment, actor=cast.olga, webhooks=NEW)
    return changes.propose(change, actor=cast.olga)


def approved(cast: Cast) -> Change:
    return changes.approve(proposed(cast), actor=cast.anna)


def moved(cast: Cast, name: str, url: str) -> None:
    instance = Instance.objects.get(name=name)
    registry.change(instance, name=name, base_url=url, labels={}, token="theirs", actor=cast.olga)


def test_it_goes_to_the_instances_it_was_approved_for_and_to_no_newcomer(production: Cast) -> None:
    change = approved(production)
    testing.instance(production.environment, "eu-3")
    page = Client()
    page.force_login(production.olga)
    body = page.get(reverse("sync:publish", args=[change.pk])).content.decode()
    assert "1 instance was registered since; sync it afterwards." in body
    assert 'name="instance"' not in body
    chosen = Instance.objects.get(name="eu-3").pk
    page.post(reverse("sync:publish", args=[change.pk]), {"instance": chosen})
    change.refresh_from_db()
    rollout = change.rollouts.get()
    assert sorted(rollout.deliveries.values_list("instance__name", flat=True)) == ["eu-1", "eu-2"]


def test_an_instance_that_was_retired_is_dropped_and_the_approval_stands(production: Cast) -> None:
    change = approved(production)
    registry.retire(Instance.objects.get(name="eu-2"), actor=production.olga)
    page = Client()
    page.force_login(production.olga)
    assert "nothing is sent there: eu-2" in page.get(reverse("configs:change", args=[change.pk])).content.decode()
    rollout = rollouts.publish(change, actor=production.olga)
    assert list(rollout.deliveries.values_list("instance__name", flat=True)) == ["eu-1"]


def test_another_address_makes_the_approval_void_and_it_is_proposed_again(production: Cast) -> None:
    change = approved(production)
    moved(production, "eu-1", "http://127.0.0.1:2/elsewhere")
    with pytest.raises(Refused, match=r"The address of eu-1 was changed since\. Approvals of it are void"):
        rollouts.publish(change, actor=production.olga)
    assert approvals.standing(change).given == []
    page = Client()
    page.force_login(production.olga)
    body = page.get(reverse("configs:change", args=[change.pk])).content.decode()
    assert "Approvals are void" in body
    assert "Publish…" not in body
    page.post(reverse("configs:change-act", args=[change.pk, "propose"]))
    change.refresh_from_db()
    assert (change.state, proposals.current(change).number) == ("proposed", 2)  # type: ignore[union-attr]
    with pytest.raises(Refused, match="another person"):
        rollouts.publish(change, actor=production.olga)
    changes.approve(change, actor=production.anna)
    rollouts.publish(change, actor=production.olga)


def in_waves(cast: Cast, *waves: str) -> Change:
    """Approved for three instances, of which only eu-1 is labelled a canary."""
    testing.instance(cast.environment, "eu-3")
    labelled(cast, "eu-1")
    change = testing.draft(cast.environment, actor=cast.olga, webhooks=NEW)
    changes.aim(change, targets=None, plan=Plan.of({"waves": list(waves)}), actor=cast.olga)
    changes.propose(change, actor=cast.olga)
    return changes.approve(change, actor=cast.anna)


def labelled(cast: Cast, name: str, **labels: str) -> None:
    one = Instance.objects.get(name=name)
    registry.change(one, name=name, base_url=one.base_url, labels=labels or {"canary": "yes"}, actor=cast.olga)


def test_a_label_moves_no_instance_into_another_wave_than_was_approved(production: Cast) -> None:
    change = in_waves(production, "canary=yes", "100%")
    assert {one.name: one.wave for one in proposals.current(change).aimed_at} == {  # type: ignore[union-attr]
        "eu-1": 1,
        "eu-2": 2,
        "eu-3": 2,
    }
    labelled(production, "eu-2", rack="7")  # decides nothing
    assert approvals.standing(change).enough
    for name in ("eu-2", "eu-3"):
        labelled(production, name)
    with pytest.raises(
        Refused, match=r"eu-2, eu-3 would be in another wave now: .* labels .* Approvals of it are void"
    ):
        rollouts.publish(change, actor=production.olga)
    change = changes.propose(change, actor=production.olga)
    changes.approve(change, actor=production.anna)
    rollout = rollouts.publish(change, actor=production.olga)
    assert set(rollout.deliveries.values_list("wave", flat=True)) == {1}


def test_a_name_moves_no_instance_into_another_wave_than_was_approved(production: Cast) -> None:
    change = in_waves(production, "1", "100%")
    (first,) = plans.waves(reach.plan(change), Instance.objects.all())[0]
    spare = Instance.objects.exclude(pk=first.pk).first()
    assert spare is not None
    for number in range(100):  # until the hash of the name comes before that of the first
        registry.change(spare, name=f"eu-9-{number}", base_url=spare.base_url, labels={}, actor=production.olga)
        if plans.waves(reach.plan(change), Instance.objects.all())[0] == [spare]:
            break
    with pytest.raises(Refused, match="would be in another wave now"):
        rollouts.publish(change, actor=production.olga)


def test_retiring_the_canary_sends_nothing_to_everybody_at_once(production: Cast) -> None:
    change = in_waves(production, "canary=yes", "100%")
    registry.retire(Instance.objects.get(name="eu-1"), actor=production.olga)
    with pytest.raises(Refused, match="eu-2, eu-3 would be in another wave now"):
        rollouts.publish(change, actor=production.olga)


def test_a_label_set_in_the_moment_of_publishing_undoes_the_publishing(
    production: Cast, monkeypatch: pytest.MonkeyPatch
) -> None:
    change = in_waves(production, "canary=yes", "100%")
    real = changes.publish

    def publish_and_label(*args: Any, **kwargs: Any) -> Any:
        made = real(*args, **kwargs)
        labelled(production, "eu-2")  # as if it was committed by somebody else just now
        return made

    monkeypatch.setattr(changes, "publish", publish_and_label)
    with pytest.raises(Refused, match="changed at this very moment"):
        rollouts.publish(change, actor=production.olga)
    change.refresh_from_db()
    assert (change.state, change.rollouts.count()) == ("approved", 0)


def test_what_was_proposed_before_waves_were_kept_is_proposed_again(production: Cast) -> None:
    change = approved(production)
    with connection.cursor() as cursor:
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
        cursor.execute("ALTER TABLE configs_app_proposal DISABLE TRIGGER USER")
        cursor.execute(
            "UPDATE configs_app_proposal SET targets = (SELECT jsonb_agg(one - 'wave') FROM"
            " jsonb_array_elements(targets) one)"
        )
        cursor.execute("ALTER TABLE configs_app_proposal ENABLE TRIGGER USER")
    with pytest.raises(Refused, match="before approvals covered which instance is in which wave"):
        rollouts.publish(change, actor=production.olga)
    changes.propose(change, actor=production.olga)
    changes.approve(change, actor=production.anna)
    rollouts.publish(change, actor=production.olga)


def test_the_environments_plan_is_part_of_what_was_approved_where_the_change_follows_it(production: Cast) -> None:
    change = approved(production)
    production.environment.plan = {"waves": ["1", "100%"]}
    production.environment.save()
    with pytest.raises(Refused, match=r"The plan of production was changed since: from “all at once” to “waves of 1"):
        rollouts.publish(change, actor=production.olga)
    changes.propose(change, actor=production.olga)
    changes.approve(change, actor=production.anna)
    production.environment.plan = {"waves": ["1", "100%"], "soak_seconds": 0}  # the same plan, spelled otherwise
    production.environment.save()
    rollouts.publish(change, actor=production.olga)
    change.refresh_from_db()
    assert changes.plan_of(change).waves == ("1", "100%")


def test_the_same_contents_proposed_again_need_new_approvals(production: Cast) -> None:
    change = approved(production)
    base = change.documents.get().base_id
    changes.save(change, {"webhooks": NEWER}, bases={"webhooks": base}, actor=production.olga)
    changes.save(change, {"webhooks": NEW}, bases={"webhooks": base}, actor=production.olga)
    change = changes.propose(change, actor=production.olga)
    assert approvals.standing(change).given == []
    with pytest.raises(Refused, match="another person"):
        rollouts.publish(change, actor=production.olga)


def test_what_is_proposed_is_not_proposed_again_while_nothing_moves(production: Cast) -> None:
    change = approved(production)
    with pytest.raises(Refused, match="nothing has moved since"):
        changes.propose(change, actor=production.olga)
    testing.instance(production.environment, "eu-3")
    changes.propose(change, actor=production.olga)
    assert [len(proposal.targets) for proposal in change.proposals.all()] == [2, 3]


def test_each_proposal_is_kept_sealed_and_an_approval_names_its_own(production: Cast) -> None:
    change = approved(production)
    proposal = change.proposals.get()
    assert proposal.texts == {"webhooks": NEW}
    assert b"orders" not in bytes(proposal.texts_sealed)
    assert [target.name for target in proposal.aimed_at] == ["eu-1", "eu-2"]
    assert Approval.objects.get().proposal == proposal
    event = AuditEvent.objects.get(action="change.proposed")
    assert (event.data["proposal"], event.data["instances"]) == (1, 2)


def test_superseding_brings_nothing_to_instances_that_were_not_approved(production: Cast) -> None:
    change = approved(production)
    testing.instance(production.environment, "eu-3")
    rollouts.start(production.environment, actor=production.olga, cause=Cause.SYNC)
    with pytest.raises(Refused, match="not finished with eu-3, which this change was not approved for"):
        rollouts.publish(change, actor=production.olga, supersede=True)


def test_in_an_unprotected_environment_the_choice_stays() -> None:
    cast = testing.cast()
    testing.bundle(cast.environment)
    one, _ = (testing.instance(cast.environment, name) for name in ("one", "two"))
    change = testing.draft(cast.environment, actor=cast.olga, webhooks=NEW)
    page = Client()
    page.force_login(cast.olga)
    assert 'name="instance"' in page.get(reverse("sync:publish", args=[change.pk])).content.decode()
    rollout = rollouts.publish(change, actor=cast.olga, instances=[one.pk])
    assert rollout.deliveries.get().instance == one


def test_the_database_puts_no_old_seal_on_new_contents(production: Cast) -> None:
    change = approved(production)
    seal, base = change.seal, change.documents.get().base_id
    changes.save(change, {"webhooks": NEWER}, bases={"webhooks": base}, actor=production.olga)
    with pytest.raises(DatabaseError, match="not put on again"), transaction.atomic():
        Change.objects.filter(pk=change.pk).update(seal=seal, state="approved")


def test_a_choice_of_which_nothing_is_left_is_not_proposed(production: Cast) -> None:
    change = testing.draft(production.environment, actor=production.olga, webhooks=NEW)
    one = Instance.objects.get(name="eu-1")
    changes.aim(change, targets=[one.pk], plan=None, actor=production.olga)
    registry.retire(one, actor=production.olga)
    with pytest.raises(Refused, match="None of the chosen instances is left"):
        changes.propose(change, actor=production.olga)


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE configs_app_changeddocument SET content_sealed = 'x'",
        "DELETE FROM configs_app_changeddocument",
        "UPDATE configs_app_change SET plan = '{}'",
        "UPDATE configs_app_change SET targets = '{1}'",
        "UPDATE configs_app_proposal SET plan = '{}'",
        "INSERT INTO configs_app_approval (change_id, approver_id, approver_name, seal, created_at)"
        " SELECT c.id, u.id, 'anna', c.seal, now() FROM configs_app_change c, console_user u WHERE u.username = 'anna'",
    ],
)
def test_the_database_lets_nothing_change_under_a_seal(production: Cast, statement: str) -> None:
    proposed(production)
    with (
        pytest.raises(DatabaseError, match=r"stand still|stands still|append-only|names the proposal"),
        transaction.atomic(),
        connection.cursor() as cursor,
    ):
        cursor.execute(statement)
