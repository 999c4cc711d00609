"""The glance of an instance repeats what the instance and its observations say, whoever changes them, in any order."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from datetime import datetime, timedelta

import pytest
from django.db import connection, transaction
from django.utils import timezone

from console import testing
from console.testing import Cast
from instances_app import observations, registry
from instances_app.models import Glance, Instance, Observation
from instances_app.observations import Sighting

NOW = datetime(2026, 5, 1, 12, 0, tzinfo=timezone.get_current_timezone())


def see(instance: Instance, digit: str, at: datetime) -> None:
    observations.record([Sighting(instance.pk, {"webhooks": digit * 64}, at)])


def begin() -> tuple[Cast, Instance]:
    cast = testing.cast()
    return cast, testing.instance(cast.environment)


def rebuilt() -> Sequence[object]:
    """What every glance would be if it were made anew from what it repeats."""
    with transaction.atomic():
        before = list(Glance.objects.order_by("pk").values_list())
        Glance.objects.all().delete()
        with connection.cursor() as cursor:
            cursor.execute("SELECT instances_app_glance(ARRAY(SELECT id FROM instances_app_instance))")
        after = list(Glance.objects.order_by("pk").values_list())
    assert before == after
    return after


@pytest.mark.django_db
def test_it_follows_every_change_of_an_instance_and_of_what_is_seen() -> None:
    cast, instance = begin()
    glance = Glance.objects.get()
    assert (glance.name, glance.webhooks_digest, glance.health) == ("one", None, "unknown")
    see(instance, "a", NOW)
    see(instance, "a", NOW + timedelta(seconds=30))
    glance.refresh_from_db()
    assert (glance.webhooks_digest, glance.webhooks_at) == ("a" * 64, NOW + timedelta(seconds=30))
    see(instance, "b", NOW + timedelta(seconds=40))
    registry.change(instance, name="Two", base_url="http://Two:1", labels={"Region": "EU"}, actor=cast.olga)
    glance.refresh_from_db()
    assert (glance.webhooks_digest, glance.name) == (None, "Two")  # nobody has been asked at the new address
    assert glance.text == "\ntwo\nhttp://two:1\nregion=eu\n"
    rebuilt()
    registry.retire(instance, actor=cast.olga)
    assert not Glance.objects.exists()
    see(instance, "c", NOW + timedelta(seconds=50))  # an answer that was on its way
    assert rebuilt() == []


@pytest.mark.django_db
def test_many_at_once_are_one_statement_and_all_right() -> None:
    cast, _ = begin()
    for index in range(20):
        testing.instance(cast.environment, f"n{index}")
    pks = list(Instance.objects.values_list("pk", flat=True))
    observations.record([Sighting(pk, {"webhooks": "a" * 64, "connections": "b" * 64}, NOW) for pk in pks])
    Instance.objects.filter(pk__in=pks[:10]).update(health="down", health_called="down", health_at=NOW)
    Observation.objects.filter(instance=pks[0]).delete()
    assert len(rebuilt()) == 21
    assert Glance.objects.filter(health="down").count() == 10
    assert Glance.objects.filter(webhooks_digest="a" * 64).count() == 20


@pytest.mark.django_db(transaction=True)
def test_writers_of_one_instance_follow_each_other() -> None:
    """One reports while another says how it is and a third renames it: the last glance has all of it."""
    _, instance = begin()
    barrier = threading.Barrier(4)

    def report(digit: str) -> None:
        for second in range(15):
            see(instance, digit, NOW + timedelta(seconds=second))

    def health() -> None:
        for second in range(15):
            Instance.objects.filter(pk=instance.pk).update(
                health="down", health_called="down", health_at=NOW + timedelta(seconds=second)
            )

    def rename() -> None:
        for index in range(15):
            Instance.objects.filter(pk=instance.pk).update(name=f"name-{index}")

    def run(work: object, *args: object) -> None:
        barrier.wait()
        try:
            work(*args)  # type: ignore[operator]
        finally:
            connection.close()

    threads = [threading.Thread(target=run, args=work) for work in ((report, "a"), (report, "b"), (health,), (rename,))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    glance = Glance.objects.get()
    assert (glance.name, glance.health, glance.health_at) == ("name-14", "down", NOW + timedelta(seconds=14))
    rebuilt()
