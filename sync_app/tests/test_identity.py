"""Another agent behind an address: nothing is written there, nothing it says counts, and a person decides."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from urllib.parse import urlsplit

import pytest
from django.db import IntegrityError, transaction
from django.test import Client
from django.urls import reverse

from console import testing
from console.errors import Refused
from console.models import AuditEvent
from console.testing import ended
from console.testing_processes import Process, SampleInstance, until
from instances_app import identity, late_reviews, registry
from instances_app.client import DryPush, DryPushed, Fleet, Outcome, Push, Pushed, dry, places, single
from instances_app.models import Instance, Observation
from sync_app import checks, rollouts
from sync_app.models import Cause, Rollout

pytestmark = pytest.mark.django_db(transaction=True)

Start = Callable[..., list[SampleInstance]]
NEW = testing.text({"orders": {"module": "log"}, "new": {"module": "log"}})
REASON = "The disk of this host was replaced last night, ticket 4711."


class Address:
    """An address with one agent behind it, and another one as soon as somebody says so."""

    def __init__(self, behind: SampleInstance) -> None:
        self.behind = behind
        self._server = socket.create_server(("127.0.0.1", 0))
        self.base_url = f"http://127.0.0.1:{self._server.getsockname()[1]}"
        threading.Thread(target=self._serve, daemon=True).start()

    def close(self) -> None:
        self._server.close()

    def _serve(self) -> None:
        while True:
            try:
                client, _ = self._server.accept()
            except OSError:
                return
            threading.Thread(target=self._converse, args=(client,), daemon=True).start()

    def _converse(self, client: socket.socket) -> None:
        with client, socket.create_connection(_place(self.behind)) as agent:
            back = threading.Thread(target=_pass_on, args=(agent, client), daemon=True)
            back.start()
            _pass_on(client, agent)
            back.join()


def _place(agent: SampleInstance) -> tuple[str, int]:
    where = urlsplit(agent.base_url)
    return str(where.hostname), where.port or 80


def _pass_on(one: socket.socket, other: socket.socket) -> None:
    with suppress(OSError):
        while data := one.recv(65536):
            other.sendall(data)
    with suppress(OSError):
        other.shutdown(socket.SHUT_WR)


@contextmanager
def address(behind: SampleInstance) -> Iterator[Address]:
    made = Address(behind)
    try:
        yield made
    finally:
        made.close()


def on_disk(agent: SampleInstance) -> str:
    return (agent.folder / "webhooks.json").read_text()


def same_token(agents: list[SampleInstance], **environment: str) -> None:
    """A fleet with one token: nothing but the identity tells them apart."""
    for agent in agents[1:]:
        agent.kill()
        agent.environment = {**agent.environment, "CONFIG_ADMIN_TOKEN": agents[0].token, **environment}
        agent.start()
    for agent in agents:
        until(lambda agent=agent: _listens(agent), what="the agent")  # type: ignore[misc]


def _listens(agent: SampleInstance) -> bool:
    with suppress(OSError), socket.create_connection(_place(agent), timeout=1):
        return True
    return False


def test_a_stranger_behind_an_address_is_told_nothing_and_believed_nothing_until_a_person_decides(
    worker_process: Process, sample_instances: Start
) -> None:
    agents = sample_instances(3, SAMPLE_LASTING="1")
    same_token(agents[:2])
    expected, stranger, other = agents
    cast = testing.cast(protected=True)
    testing.bundle(cast.environment)
    with address(expected) as where:
        instance = testing.instance(cast.environment, "moved", where.base_url, expected.token)
        testing.instance(cast.environment, "other", other.base_url, other.token)
        for one in Instance.objects.all():
            registry.check(one, actor=cast.olga)
        instance.refresh_from_db()
        pinned = instance.identity
        assert places.FORM.fullmatch(pinned)
        seen = Observation.objects.get(instance=instance, kind="webhooks").seen_at
        before = on_disk(stranger)

        # Between the check and the push another agent takes over the address.
        where.behind = stranger
        rollout = sync(cast)
        until(lambda: ended(rollout), seconds=40, what="the rollout's end")
        states = dict(rollout.deliveries.values_list("instance__name", "state"))
        assert states == {"moved": "failed", "other": "verified"}
        delivery = rollout.deliveries.get(instance=instance)
        assert (delivery.code, delivery.attempts) == ("other_instance", 1)
        assert "nothing was written" in delivery.error
        assert (on_disk(stranger), on_disk(expected)) == (before, before)

        # Its words are not this instance's.
        checks.ask([Instance.objects.get(pk=instance.pk)])
        instance.refresh_from_db()
        got = instance.stranger
        assert places.FORM.fullmatch(got)
        assert got != pinned == instance.identity
        assert instance.health == "down"
        assert "Another instance answers at this address" in instance.health_detail
        assert Observation.objects.get(instance=instance, kind="webhooks").seen_at == seen
        (event,) = AuditEvent.objects.filter(action="instances.others_answer")
        assert event.data["instances"] == {"moved": {"expected": pinned, "got": got}}
        checks.ask([instance])  # told once
        assert AuditEvent.objects.filter(action="instances.others_answer").count() == 1

        # Nor does it hear a dry run, or lend its documents.
        target = Instance.objects.get(pk=instance.pk).target
        with Fleet(connect_timeout=2, read_timeout=5) as asking:
            asking.submit(DryPush(1, target, dry.body([("webhooks", "a" * 64, "{}")], request_id="r")))
            (result,) = asking.results(timeout=20)
        assert isinstance(result, DryPushed)
        assert (result.answer, result.info.code) == (None, "other_instance")
        assert single.document(target, "webhooks").code == "other_instance"

        # The pages say so, and a person decides, in the open.
        page = Client()
        page.force_login(cast.olga)
        assert "another instance" in page.get(reverse("sync:environment", args=["staging"])).content.decode()
        assert "Another instance answers" in page.get(reverse("sync:instance", args=[instance.pk])).content.decode()
        url = reverse("instances:instance-identity", args=[instance.pk])
        form = page.get(url).content.decode()
        assert pinned in form
        assert got in form
        assert page.post(url, {"seen": got, "reason": "short"}).status_code == 422
        assert page.post(url, {"seen": "0" * 32, "reason": REASON}).status_code == 422
        with pytest.raises(IntegrityError, match="open late review"), transaction.atomic():
            Instance.objects.filter(pk=instance.pk).update(identity=got, stranger="", stranger_at=None)
        assert page.post(url, {"seen": got, "reason": REASON}).status_code == 302
        assert "became" in late_reviews.open_ones(cast.anna)[0].subject
        instance.refresh_from_db()
        assert (instance.identity, instance.stranger, instance.health) == (got, "", "healthy")  # and was asked at once
        with pytest.raises(Refused, match="nothing to decide"):
            identity.pin_anew(instance, seen=got, reason=REASON, actor=cast.olga)
        rollout = sync(cast)
        until(lambda: ended(rollout), seconds=40, what="the second rollout's end")
        assert rollout.state == "succeeded"
        assert json.loads(on_disk(stranger)) == testing.WEBHOOKS
        assert on_disk(expected) == before


def test_an_old_agent_or_a_service_without_identity_in_its_place_gets_nothing_either(
    worker_process: Process, sample_instances: Start
) -> None:
    agents = sample_instances(1, SAMPLE_LASTING="1") + sample_instances(1, SAMPLE_LASTING="0")
    same_token(agents)
    expected, nameless = agents
    cast = testing.cast()
    testing.bundle(cast.environment)
    with address(expected) as where:
        instance = testing.instance(cast.environment, "a", where.base_url, expected.token)
        registry.check(instance, actor=cast.olga)
        where.behind = nameless
        rollout = sync(cast)
        until(lambda: ended(rollout), seconds=40, what="the rollout's end")
        assert rollout.deliveries.get().code == "other_instance"
        assert json.loads(on_disk(nameless)) == {}
        registry.check(instance, actor=cast.olga)
        instance.refresh_from_db()
        assert instance.stranger == places.NONE

        where.behind = expected  # it is back: nobody has to do anything
        registry.check(instance, actor=cast.olga)
        instance.refresh_from_db()
        assert (instance.stranger, instance.health) == ("", "healthy")
        assert AuditEvent.objects.filter(action="instances.expected_again").count() == 1

        # Redeployed for good without a lasting folder: pinned no more, and nothing is flagged from then on.
        where.behind = nameless
        registry.check(instance, actor=cast.olga)
        identity.pin_anew(instance, seen=places.NONE, reason="It runs in a container now.", actor=cast.olga)
        registry.check(instance, actor=cast.olga)
        instance.refresh_from_db()
        assert (instance.identity, instance.stranger, instance.health) == ("", "", "healthy")


def test_one_place_behind_two_addresses_is_said_at_both(sample_instances: Start) -> None:
    (agent,) = sample_instances(1, SAMPLE_LASTING="1")
    cast = testing.cast()
    with address(agent) as where:
        one = testing.instance(cast.environment, "one", agent.base_url, agent.token)
        two = testing.instance(cast.environment, "two", where.base_url, agent.token)
        for instance in (one, two):
            registry.check(instance, actor=cast.olga)
    one.refresh_from_db()
    assert [twin.name for twin in identity.twins(one)] == ["two"]
    page = Client()
    page.force_login(cast.olga)
    assert page.get(reverse("sync:environment", args=["staging"])).content.decode().count("same identity") == 2
    body = page.get(reverse("sync:instance", args=[one.pk])).content.decode()
    assert "the same identity as" in body
    assert "two" in body


def test_a_push_that_a_stranger_refuses_in_the_same_moment_is_the_agents_own_no(sample_instances: Start) -> None:
    """What no question before the push could rule out: the agents are swapped between two packets."""
    agents = sample_instances(1, SAMPLE_LASTING="1")
    cast = testing.cast()
    instance = testing.instance(cast.environment, "a", agents[0].base_url, agents[0].token)
    registry.check(instance, actor=cast.olga)
    target = Instance.objects.get(pk=instance.pk).target
    body = b'{"type":"webhooks","config":{"new":{"module":"log"}}}'
    with Fleet(connect_timeout=2, read_timeout=5) as asking:
        asking.submit(Push(1, replace(target, identity="0" * 32), (body,), look_first=False, wanted={}))
        (result,) = asking.results(timeout=20)
    assert isinstance(result, Pushed)
    assert [(reply.outcome, reply.status, reply.code) for reply in result.sent] == [
        (Outcome.REJECTED, 409, "other_instance")
    ]
    assert json.loads(on_disk(agents[0])) == {}


def sync(cast: testing.Cast) -> Rollout:
    return rollouts.start(cast.environment, actor=cast.olga, cause=Cause.SYNC)
