"""The page of a rotation says how far it is, what comes next and what a person has to do; nothing of it is secret."""

from __future__ import annotations

import re
from datetime import timedelta

import pytest
from django.test import Client
from django.utils import timezone

from console import sealing, testing
from console.errors import Refused
from console.models import User
from instances_app import exchanges, rosters, rotation
from instances_app.models import Exchange, ExchangeState, Instance, Rotation
from sync_app import onboarding, rollouts
from sync_app.models import Cause, Delivery
from sync_app.tests.live_agents import Agents, agents, configured
from sync_app.tests.test_rotation import turn, world

__all__ = ["agents"]
pytestmark = pytest.mark.django_db


def page(user: User, path: str, **sent: object) -> tuple[int, str]:
    client = Client()
    client.force_login(user)
    answer = client.post(path, sent, follow=True) if sent else client.get(path)
    status = answer.redirect_chain[0][1] if sent and answer.redirect_chain else answer.status_code
    return status, re.sub(r"\s+", " ", answer.content.decode())


def test_it_is_begun_with_chosen_instances_watched_stopped_and_told_of(agents: Agents) -> None:
    cast, (one, two) = world(agents, 2)
    testing.instance(cast.environment, "old-agent", agents.add("old", allow_rotation=False), configured("old"))
    status, body = page(cast.olga, "/e/staging/selected/rotate/?all=yes")
    assert (status, "Rotate the tokens of 3 instances of staging" in body) == (200, True)
    ids = ",".join(str(pk) for pk in Instance.objects.values_list("pk", flat=True))
    status, body = page(cast.olga, "/e/staging/selected/rotate/", ids=ids)
    found = Rotation.objects.get()
    assert (status, "0 of 3 have only their new token · 3 wait" in body) == (302, True)
    assert f'hx-get="/rotations/{found.pk}/progress/?"' in body
    assert "Token rotation 1</a> is under way, started by olga" in page(cast.victor, "/e/staging/")[1]
    status, body = page(cast.olga, "/e/staging/selected/rotate/", ids=ids)
    assert (status, "Token rotation 1 of staging is under way. Stop it, or wait for its end." in body) == (422, True)

    turn(found)
    exchanges.stamp(found.pk)
    body = page(cast.victor, f"/rotations/{found.pk}/progress/")[1]
    assert "0 of 3 have only their new token · 1 by hand · 2 use the new one, and still take the old one" in body
    assert re.search(r"Old tokens are dropped from \d\d:\d\d:\d\d UTC on", body)
    assert "How to rotate a token by hand" in body
    assert "Type its new token" not in body  # that is not a viewer's to do
    assert (
        f'href="/instances/{Instance.objects.get(name="old-agent").pk}/edit/"'
        in page(cast.olga, f"/rotations/{found.pk}/")[1]
    )
    status, body = page(cast.adam, f"/rotations/{found.pk}/stop/", sure="yes")
    assert (status, "Nobody else is begun with; those that were given a token come to the end" in body) == (302, True)
    turn(found, settled=True)
    body = page(cast.victor, f"/rotations/{found.pk}/")[1]
    assert "2 of 3 have only their new token · 1 by hand" in body
    assert "stopped by adam" in body
    assert "hx-get" not in body.split('id="rotation"')[1].split(">")[0]
    told = body + page(cast.ida, "/audit/")[1]
    assert "ended token rotation 1 of staging: by hand: 1, old dropped: 2" in told
    for secret in (one.target.token, two.target.token, configured("i0")):
        assert secret not in told


def test_it_names_what_the_drop_waits_for_and_offers_another_try_for_what_failed(agents: Agents) -> None:
    cast, made = world(agents, 2)
    testing.bundle(cast.environment)
    agents.broken["i1", "instance-info"] = 401
    found = rotation.start(cast.environment, [one.pk for one in made], actor=cast.olga)
    turn(found)
    exchanges.stamp(found.pk)
    rollouts.start(cast.environment, actor=cast.olga, cause=Cause.SYNC)
    Delivery.objects.filter(instance=made[0]).update(
        state="sending",
        lease_until=timezone.now() + timedelta(minutes=1),
        changed_at=timezone.now() - timedelta(minutes=1),
    )
    body = page(cast.olga, f"/rotations/{found.pk}/")[1]
    assert "The old token of i0 is kept until what is being sent there has ended." in body
    assert "The instance refused our token (HTTP 401). The old token stays in use." in body
    Delivery.objects.all().update(state="pending", lease_until=None)
    turn(found, settled=True)
    body = page(cast.olga, f"/rotations/{found.pk}/?state=failed")[1]
    assert f'name="ids" value="{made[1].pk}"' in body
    assert (Exchange.objects.get(instance=made[1]).state, body.count("<tr>")) == (ExchangeState.FAILED, 2)


def test_a_typed_token_is_asked_with_before_it_replaces_the_one_there_is(agents: Agents) -> None:
    cast, (one,) = world(agents)
    path = f"/instances/{one.pk}/edit/"
    fields = {"name": "i0", "base_url": one.base_url, "labels": ""}
    assert "unproven" not in page(cast.olga, path)[1]
    status, body = page(cast.olga, path, **fields, token="a-token-that-is-none")
    assert (status, "The instance refuses this token. Nothing is saved" in body, 'name="unproven"' in body) == (
        422,
        True,
        True,
    )
    one.refresh_from_db()
    assert one.target.token == configured("i0")
    agents.broken["i0", "config-version"] = "off"
    status, body = page(cast.olga, path, **fields, token="the-next")
    assert (status, "It could not be asked with this token." in body) == (422, True)
    status, _ = page(cast.olga, path, **fields, token="the-next", unproven="on")
    assert (status, sealing.unseal(Instance.objects.get().token_sealed)) == (302, "the-next")
    agents.broken.clear()
    status, _ = page(cast.olga, path, **fields, token=configured("i0"))
    assert (status, sealing.unseal(Instance.objects.get().token_sealed)) == (302, configured("i0"))


def test_who_has_no_agent_is_not_named_and_a_file_or_a_new_token_undoes_no_rotation_unnoticed(agents: Agents) -> None:
    cast, (one, two) = world(agents, 2)
    Instance.objects.filter(pk=two.pk).update(monitored_only=True)
    body = page(cast.olga, f"/e/staging/selected/rotate/?ids={one.pk},{two.pk}")[1]
    assert ("Rotate the tokens of 1 instance of" in body, "i1" in body) == (True, False)
    turn(rotation.start(cast.environment, [one.pk, two.pk], actor=cast.olga))
    with pytest.raises(Refused, match="has answered with the token"):
        onboarding.new_token(one, actor=cast.olga)
    (line,) = rosters.read(cast.environment, f"name,base_url,token\ni0,{one.base_url},{configured('i0')}\n")
    assert line.what == "token, instead of the one that a rotation gave it"
