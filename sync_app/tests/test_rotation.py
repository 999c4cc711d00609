"""One instance's way from its old token to a new one: never without a token that opens, whatever dies or is lost."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta

import pytest
from django.db import IntegrityError, transaction
from django.utils import timezone
from webhook_agent.http import Receive, Scope, Send

from console import sealing, testing
from console.errors import Refused
from console.models import AuditEvent
from console.testing import Cast
from instances_app import client, exchanges, registry, rotation
from instances_app.client import Fleet, Target, Turned, Way
from instances_app.models import Exchange, ExchangeState, Instance, Rotation, RotationState
from sync_app import rollouts, rotation_turn
from sync_app.bench.agents import agent
from sync_app.management.commands import seed_demo
from sync_app.models import Cause, Delivery
from sync_app.tests.live_agents import Agents, agents, configured

__all__ = ["agents"]
pytestmark = pytest.mark.django_db
WAITING, PROVEN, DROPPED, UNKNOWN = (
    ExchangeState.WAITING,
    ExchangeState.PROVEN,
    ExchangeState.DROPPED,
    ExchangeState.UNKNOWN,
)


def world(agents: Agents, number: int = 1, **options: object) -> tuple[Cast, list[Instance]]:
    cast = testing.cast()
    return cast, [
        testing.instance(cast.environment, name, agents.add(name, **options), configured(name))
        for name in (f"i{index}" for index in range(number))
    ]


def begun(cast: Cast) -> Rotation:
    return rotation.start(cast.environment, cast.environment.instances.values_list("pk", flat=True), actor=cast.olga)


def turn(found: Rotation, *, settled: bool = False) -> None:
    """What a worker does when it is woken; `settled`: a lease after the switch."""
    exchanges.resume()
    if settled:
        exchanges.stamp(found.pk)
        past = timezone.now() - timedelta(minutes=2)
        Exchange.objects.filter(settled_at__isnull=False).update(settled_at=past)
    Exchange.objects.update(next_attempt_at=None)
    rotation_turn.run(found.pk)
    found.refresh_from_db()


def opens(instance: Instance) -> tuple[bool, bool]:
    """Whether the configured token opens, and the one that the console has."""
    instance.refresh_from_db()
    old = client.versions(Target(instance.base_url, configured(instance.name), way=Way(plain_http=True)))
    return old.status == 200, client.versions(instance.target).status == 200


def type_it(instance: Instance, token: str, cast: Cast) -> None:
    facts = {"name": instance.name, "base_url": instance.base_url, "token": token}
    registry.change(instance, **facts, labels={}, actor=cast.olga)


def at(instance: Instance) -> Exchange:
    return Exchange.objects.filter(instance=instance).latest("pk")


def test_the_new_token_is_kept_then_given_proven_used_and_only_then_is_the_old_one_dropped(agents: Agents) -> None:
    cast, (one,) = world(agents)
    found = begun(cast)
    (claim,) = exchanges.claim(found.pk, limit=5)
    kept = at(one)
    assert (kept.state, agents.asked) == (ExchangeState.GIVING, [])  # nothing was sent, and it is there
    new = sealing.unseal(kept.token_next_sealed or b"")
    assert new == claim.job.new.token
    Exchange.objects.update(lease_until=timezone.now() - timedelta(days=1))
    turn(found)
    assert (at(one).state, opens(one)) == (PROVEN, (True, True))
    assert one.target.token == new
    turn(found)
    assert at(one).state == PROVEN  # somebody may still be on the way with the old one
    turn(found, settled=True)
    assert (at(one).state, opens(one)) == (DROPPED, (False, True))
    assert (found.state, at(one).token_old_sealed, at(one).token_next_sealed) == (RotationState.FINISHED, None, None)
    events = list(AuditEvent.objects.filter(action__regex="^rotation|token").order_by("sequence"))
    assert [event.action for event in events] == [
        "rotation.started",
        "instance.token_switched",
        "instance.token_dropped",
        "rotation.finished",
    ]
    assert events[-1].data["exchanges"] == {"old dropped": 1}
    told = " ".join(str(event.data) for event in AuditEvent.objects.all())
    assert new not in told
    assert configured("i0") not in told


@pytest.mark.parametrize("phase", ["give", "drop"])
@pytest.mark.parametrize("when", ["before it sent", "after it sent", "after the answer was lost"])
def test_a_worker_that_dies_at_any_step_leaves_what_the_next_one_brings_to_its_end(
    agents: Agents, phase: str, when: str
) -> None:
    cast, (one,) = world(agents)
    found = begun(cast)
    if phase == "drop":
        turn(found)
        exchanges.stamp(found.pk)
        Exchange.objects.update(settled_at=timezone.now() - timedelta(minutes=2))
    (claim,) = exchanges.claim(found.pk, limit=5)
    late: list[Turned] = []
    if when != "before it sent":
        if when == "after the answer was lost":
            agents.broken["i0", "tokens"] = 500
        with Fleet() as fleet:
            fleet.submit(claim.job)
            late = [one for one in fleet.results(timeout=10) if isinstance(one, Turned)]
        agents.broken.clear()
    # and here it dies: nothing is recorded
    assert exchanges.claim(found.pk, limit=5) == []  # its lease holds
    Exchange.objects.update(lease_until=timezone.now() - timedelta(days=1))
    assert exchanges.resume() == [found.pk]
    assert (at(one).state, at(one).code) == (UNKNOWN, "lease_expired")
    assert opens(one)[1]  # the console is let in at every moment
    turn(found)
    turn(found, settled=True)
    assert (at(one).state, opens(one), found.state) == (DROPPED, (False, True), RotationState.FINISHED)
    exchanges.record(found, [(claim, turned) for turned in late])  # who was taken for dead is not heard any more
    assert at(one).state == DROPPED


def test_an_answer_that_is_lost_is_unknown_until_both_tokens_were_asked_with(agents: Agents) -> None:
    cast, (one,) = world(agents)
    found = begun(cast)
    agents.broken["i0", "tokens"] = 500
    turn(found)
    assert (at(one).state, opens(one), one.target.token) == (UNKNOWN, (True, True), configured("i0"))
    agents.broken["i0", "tokens"] = "off"  # it is not needed again: the new one opens
    turn(found)
    assert at(one).state == PROVEN
    agents.broken["i0", "tokens"] = 500
    turn(found, settled=True)
    assert (at(one).state, opens(one), found.is_going) == (UNKNOWN, (False, True), True)
    agents.broken.clear()
    with pytest.raises(Refused, match="being dropped just now"):  # it may still wait there, and would drop a typed one
        type_it(one, "another-token", cast)
    turn(found)
    assert at(one).state == DROPPED


def test_one_that_never_answers_ends_in_time_and_it_is_said_which_token_is_in_use(agents: Agents) -> None:
    cast, (one, two, three) = world(agents, 3)
    found = begun(cast)
    for name, endpoint in (("i0", "instance-info"), ("i1", "tokens")):
        agents.broken[name, endpoint] = "off" if name == "i0" else 500
    turn(found)
    assert [at(each).state for each in (one, two, three)] == [WAITING, UNKNOWN, PROVEN]
    agents.broken |= {(name, "config-version"): "off" for name in ("i1", "i2")}
    past = timezone.now() - timedelta(minutes=11)
    Exchange.objects.update(begun_at=past)
    exchanges.stamp(found.pk)
    Exchange.objects.filter(settled_at__isnull=False).update(settled_at=past, next_attempt_at=None)
    turn(found)
    said = [at(each).error for each in (one, two, three)]
    assert said[0].endswith("The old token stays in use.")
    assert said[1].endswith("It is not known whether its agent also takes the new one, which nobody has.")
    assert said[2].startswith("The new token is in use. It is not known whether the old one still opens.")
    assert (found.state, rotation.counts(found)) == (RotationState.FINISHED, {ExchangeState.FAILED: 3})
    agents.broken.clear()
    assert [opens(each)[1] for each in (one, two, three)] == [True, True, True]


def test_a_drop_that_was_held_up_for_long_is_tried_for_as_long_as_any_other(agents: Agents) -> None:
    cast, (one,) = world(agents)
    found = begun(cast)
    turn(found)
    Exchange.objects.update(begun_at=timezone.now() - timedelta(hours=2) if at(one).begun_at else None)
    exchanges.stamp(found.pk)
    Exchange.objects.update(settled_at=timezone.now() - timedelta(hours=1))
    agents.broken["i0", "config-version"] = "off"
    turn(found)
    assert (at(one).state, found.is_going) == (PROVEN, True)
    agents.broken.clear()
    turn(found)
    assert at(one).state == DROPPED


def test_a_token_that_is_echoed_is_neither_kept_nor_shown(agents: Agents) -> None:
    cast, (one,) = world(agents)
    real = agents.apps["i0"]

    async def echoing(scope: Scope, receive: Receive, send: Send) -> None:
        if not scope["path"].endswith("/tokens"):
            await real(scope, receive, send)
            return
        body = (await receive())["body"].decode()
        said = json.dumps({"error": f"{dict(scope['headers'])} {body} {body}", "code": "shape"}).encode()
        await send({"type": "http.response.start", "status": 400, "headers": []})
        await send({"type": "http.response.body", "body": said})

    agents.apps["i0"] = echoing
    found = begun(cast)
    (claim,) = exchanges.claim(found.pk, limit=5)
    Exchange.objects.update(lease_until=timezone.now() - timedelta(days=1))
    turn(found)
    told = at(one).error + " ".join(str(event.data) for event in AuditEvent.objects.all())
    assert at(one).state == ExchangeState.FAILED
    assert told.count("‹token›") > 2
    assert not any(part in told for part in (configured("i0"), claim.job.new.token[:10]))


def test_an_agent_that_cannot_is_told_of_as_one_for_a_person(agents: Agents, monkeypatch: pytest.MonkeyPatch) -> None:
    cast, (one,) = world(agents, allow_rotation=False)
    two = testing.instance(cast.environment, "closed", agents.add("closed"), configured("closed"))

    def closed(*_: object, **__: object) -> None:
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr("webhook_agent.files.write", closed)
    found = begun(cast)
    turn(found)
    assert {at(each).state for each in (one, two)} == {ExchangeState.BY_HAND}
    assert (
        at(one).error
        == "Its agent takes no other token: it is too old for that, or told not to. The old token stays in use."
    )
    assert at(two).error == "The tokens of this instance cannot be kept here. The old token stays in use."
    assert (found.state, opens(one), opens(two)) == (RotationState.FINISHED, (True, True), (True, True))
    assert not any(name == "i0" and endpoint == "tokens" for name, endpoint in agents.asked)


def test_several_services_behind_one_address_lock_nobody_out(agents: Agents) -> None:
    cast, (one,) = world(agents)
    services = [agents.apps["i0"], agent(agents.folder / "another state folder", "i0")]

    async def balanced(scope: Scope, receive: Receive, send: Send) -> None:
        services.reverse()
        await services[0](scope, receive, send)

    agents.apps["i0"] = balanced
    found = begun(cast)
    turn(found)
    assert (at(one).state, one.target.token) == (ExchangeState.FAILED, configured("i0"))
    assert "Do several services answer at that address?" in at(one).error


def test_an_agent_that_forgets_the_new_token_is_asked_with_the_old_one_again(agents: Agents) -> None:
    cast, (one,) = world(agents)
    found = begun(cast)
    turn(found)
    (agents.folder / "i0" / ".webhook_agent.tokens").unlink()  # a container that comes up anew
    turn(found, settled=True)
    assert (at(one).state, opens(one)) == (ExchangeState.FAILED, (True, True))
    assert at(one).error.endswith("The old token is in use again.")


def test_a_delivery_or_dry_run_on_its_way_with_the_old_token_holds_up_the_drop_and_a_later_one_does_not(
    agents: Agents,
) -> None:
    cast, (one,) = world(agents)
    testing.bundle(cast.environment)
    rollouts.start(cast.environment, actor=cast.olga, cause=Cause.SYNC)
    found = begun(cast)
    turn(found)
    exchanges.stamp(found.pk)
    Exchange.objects.update(settled_at=timezone.now() - timedelta(minutes=2))
    lease = timezone.now() + timedelta(minutes=1)
    before = timezone.now() - timedelta(minutes=5)
    Delivery.objects.update(state="sending", lease_until=lease, changed_at=before)
    assert rotation_turn.on_their_way(found) == [one.pk]
    turn(found)
    assert at(one).state == PROVEN
    Delivery.objects.update(changed_at=timezone.now())  # claimed again since: it has read the new one
    turn(found)
    assert at(one).state == DROPPED


def test_a_token_that_somebody_types_ends_the_exchange_and_is_never_dropped_with_the_old_one(agents: Agents) -> None:
    cast, (one, two, three) = world(agents, 3)
    found = begun(cast)
    type_it(one, configured(one.name), cast)  # before it was begun with
    turn(found)
    assert (at(one).state, at(two).state, opens(one)) == (ExchangeState.GIVEN_UP, PROVEN, (True, True))
    exchanges.stamp(found.pk)
    type_it(two, configured(two.name), cast)  # between the switch and the drop
    Exchange.objects.filter(state=PROVEN).update(settled_at=timezone.now() - timedelta(minutes=2))
    (claim,) = exchanges.claim(found.pk, limit=5)
    assert claim.instance_id == three.pk
    with pytest.raises(Refused, match="being dropped just now"):
        type_it(three, configured(three.name), cast)
    with Fleet() as fleet:
        fleet.submit(claim.job)
        (turned,) = fleet.results(timeout=10)
    assert isinstance(turned, Turned)
    exchanges.record(found, [(claim, turned)])
    rotation.close(found.pk)
    found.refresh_from_db()
    assert [at(each).state for each in (one, two, three)] == [ExchangeState.GIVEN_UP] * 2 + [DROPPED]
    assert (found.state, opens(two), opens(three)) == (RotationState.FINISHED, (True, True), (False, True))
    type_it(three, configured(three.name), cast)  # and now it may be typed, refused or not


def test_a_drop_whose_time_is_over_is_not_sent(agents: Agents) -> None:
    """A worker that was frozen: somebody may have typed another token since, and its drop would take that."""
    cast, (one,) = world(agents)
    found = begun(cast)
    turn(found)
    exchanges.stamp(found.pk)
    Exchange.objects.update(settled_at=timezone.now() - timedelta(minutes=2))
    (claim,) = exchanges.claim(found.pk, limit=5)
    job = claim.job
    assert isinstance(job, client.Drop)
    with Fleet() as fleet:
        fleet.submit(client.Drop(job.key, job.old, job.new, until=0.0))
        (turned,) = fleet.results(timeout=10)
    assert isinstance(turned, Turned)
    exchanges.record(found, [(claim, turned)])
    assert (at(one).state, opens(one)) == (PROVEN, (True, True))


def be_monitored(instance: Instance, *, actor: object) -> Instance:
    """However that came about: the page refuses it while a rotation is open."""
    Instance.objects.filter(pk=instance.pk).update(monitored_only=True)
    return instance


@pytest.mark.parametrize("when", ["waiting", "proven"])
@pytest.mark.parametrize("leave", [registry.retire, be_monitored])
def test_an_instance_that_is_retired_or_has_no_agent_meanwhile_is_asked_nothing_more(
    agents: Agents, when: str, leave: Callable[..., Instance]
) -> None:
    cast, (one, _) = world(agents, 2)
    found = begun(cast)
    if when == "proven":
        turn(found)
    leave(one, actor=cast.olga)
    asked = len([name for name, _ in agents.asked if name == "i0"])
    turn(found)
    turn(found, settled=True)
    assert at(one).state == ExchangeState.GIVEN_UP
    assert len([name for name, _ in agents.asked if name == "i0"]) == asked
    assert found.state == RotationState.FINISHED


def test_stopping_begins_with_nobody_else_and_leaves_nobody_with_two_tokens(
    agents: Agents,
) -> None:
    cast, made = world(agents, 4)
    found = begun(cast)
    claims = exchanges.claim(found.pk, limit=2)
    rotation.stop(found, actor=cast.anna)
    assert rotation.counts(found) == {ExchangeState.GIVING: 2, ExchangeState.STOPPED: 2}
    with pytest.raises(Refused, match="is not running any more"):
        rotation.stop(found, actor=cast.anna)
    agents.broken["i1", "instance-info"] = "off"  # this one was not given anything yet
    with Fleet() as fleet:
        fleet.submit(*(claim.job for claim in claims))
        results: list[Turned] = []
        while len(results) < 2:
            results += [one for one in fleet.results(timeout=10) if isinstance(one, Turned)]
    by_id = {claim.id: claim for claim in claims}
    exchanges.record(found, [(by_id[one.key], one) for one in results])
    turn(found)
    turn(found, settled=True)
    assert (found.state, found.stopped_by) == (RotationState.STOPPED, cast.anna)
    assert [at(one).state for one in made] == [DROPPED, *[ExchangeState.STOPPED] * 3]
    assert [opens(one) for one in made] == [(False, True), *[(True, True)] * 3]
    assert AuditEvent.objects.filter(action="rotation.stopped").count() == 1


def test_one_rotation_of_an_environment_and_one_of_an_instance_at_a_time(agents: Agents) -> None:
    cast, (one,) = world(agents)
    found = begun(cast)
    with pytest.raises(Refused, match="Token rotation 1 of staging is under way"):
        begun(cast)
    with pytest.raises(Refused, match="No instance is chosen"):
        rotation.start(registry.add_environment("other", protected=False, actor=None), [one.pk], actor=cast.olga)
    with pytest.raises(IntegrityError, match="rotation_one_going"), transaction.atomic():
        Rotation.objects.create(environment=cast.environment, number=9, author=cast.olga)
    ended = Rotation.objects.create(
        environment=cast.environment, number=9, author=cast.olga, state="finished", finished_at=timezone.now()
    )
    with pytest.raises(IntegrityError, match="exchange_one_open"), transaction.atomic():
        Exchange.objects.create(rotation=ended, instance=one)
    ended.delete()
    with pytest.raises(Refused, match="is being rotated"):
        registry.change(one, name="i0", base_url="http://elsewhere:8000", labels={}, actor=cast.olga)
    turn(found)
    turn(found, settled=True)
    again = begun(cast)
    turn(again)
    turn(again, settled=True)
    assert (again.number, at(one).state, opens(one)) == (2, DROPPED, (False, True))


def test_the_demo_that_is_started_again_keeps_the_token_of_a_rotation(agents: Agents) -> None:
    cast, (one,) = world(agents)
    found = begun(cast)
    turn(found)
    turn(found, settled=True)
    planned = {"name": "i0", "environment": "staging", "base_url": one.base_url, "token": configured("i0")}
    seed_demo._instance(cast.environment, planned)
    assert opens(one) == (False, True)


def test_the_demo_that_is_started_again_on_other_ports_follows_in_production_too() -> None:
    """Nobody is there who could type the token, which is sent to no other host by itself."""
    cast = testing.cast("production", protected=True)
    one = testing.instance(cast.environment, "p1", "http://127.0.0.1:1111", "planned-token")
    planned = {"name": "p1", "environment": "production", "base_url": "http://127.0.0.1:2222", "token": "planned-token"}
    seed_demo._instance(cast.environment, planned)
    one.refresh_from_db()
    assert (one.base_url, one.target.token) == ("http://127.0.0.1:2222", "planned-token")
