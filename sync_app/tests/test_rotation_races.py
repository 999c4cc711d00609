"""Rotations and several connections at once: nobody is turned twice, and no typed token is dropped."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import closing
from datetime import timedelta

import pytest
from django.db import connection, transaction
from django.utils import timezone

from console import testing
from console.errors import Refused
from console.testing import Cast
from instances_app import exchanges, registry, rotation
from instances_app.client import End, Outcome, Reply, Turned
from instances_app.models import Exchange, ExchangeState, Instance, Rotation

pytestmark = pytest.mark.django_db(transaction=True)


def at_once(*deeds: Callable[[], object]) -> list[object]:
    """What each of them came to, or the refusal."""
    ready, came = threading.Barrier(len(deeds)), dict[int, object]()

    def run(number: int, deed: Callable[[], object]) -> None:
        with closing(connection):
            ready.wait()
            try:
                came[number] = deed()
            except Refused as refusal:
                came[number] = refusal

    threads = [threading.Thread(target=run, args=(number, deed)) for number, deed in enumerate(deeds)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    return [came[number] for number in range(len(deeds))]


def world(number: int) -> tuple[Cast, list[int]]:
    cast = testing.cast()
    return cast, [testing.instance(cast.environment, f"i{index}").pk for index in range(number)]


def proven(cast: Cast, ids: list[int]) -> Rotation:
    """A rotation whose old tokens may be dropped now."""
    found = rotation.start(cast.environment, ids, actor=cast.olga)
    claims = exchanges.claim(found.pk, limit=len(ids))
    exchanges.record(found, [(one, Turned(one.id, End.PROVEN, Reply(Outcome.OK), sent=True)) for one in claims])
    exchanges.stamp(found.pk)
    Exchange.objects.update(settled_at=timezone.now() - timedelta(minutes=5))
    return found


def test_several_workers_share_the_instances_and_stay_below_the_limit_together(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exchanges, "AT_ONCE", 5)
    cast, ids = world(8)
    begun = at_once(*[lambda: rotation.start(cast.environment, ids, actor=cast.olga)] * 2)
    assert sum(isinstance(one, Refused) for one in begun) == 1
    found = Rotation.objects.get()
    claimed = at_once(*[lambda: exchanges.claim(found.pk, limit=4)] * 3)
    taken = [claim.instance_id for claims in claimed if isinstance(claims, list) for claim in claims]
    assert (len(taken), len(set(taken))) == (5, 5)
    assert found.exchanges.filter(state=ExchangeState.GIVING).count() == 5


def test_a_drop_that_is_taken_while_somebody_types_a_token_waits_for_it_and_lets_it_be() -> None:
    cast, ids = world(1)
    found = proven(cast, ids)
    (one,) = Instance.objects.all()
    claimed: list[object] = []

    def claim() -> None:
        with closing(connection):
            claimed.extend(exchanges.claim(found.pk, limit=1))

    worker = threading.Thread(target=claim)
    with transaction.atomic():
        registry.change(one, name="i0", base_url=one.base_url, labels={}, token="typed", actor=cast.olga)
        worker.start()
        worker.join(0.3)
        assert worker.is_alive()  # it waits for the row
    worker.join(20)
    assert claimed == []
    assert Exchange.objects.get().state == ExchangeState.GIVEN_UP
    assert Instance.objects.get().target.token == "typed"


def test_of_a_drop_and_a_typed_token_at_once_one_is_first_and_the_other_sees_it() -> None:
    cast, ids = world(6)
    found = proven(cast, ids)
    made = list(Instance.objects.order_by("pk"))

    def type_all() -> list[str]:
        refused = []
        for one in made:
            try:
                registry.change(one, name=one.name, base_url=one.base_url, labels={}, token="typed", actor=cast.olga)
            except Refused:
                refused.append(one.name)
        return refused

    refused, claims = at_once(type_all, lambda: [one for _ in range(6) for one in exchanges.claim(found.pk, limit=1)])
    assert isinstance(claims, list)
    dropping = {Instance.objects.get(pk=claim.instance_id).name for claim in claims}
    assert set(refused) == dropping  # type: ignore[call-overload]
    typed = {one.name for one in Instance.objects.all() if one.target.token == "typed"}
    assert typed == {one.name for one in made} - dropping
