"""Which place an instance is: pinned with its first answer, held against every later one.

Only what an agent keeps in its state folder is pinned. Names change with containers, and a flag after each deployment
would soon be clicked away unread. While another place answers, its words are nobody's: they prove nothing and are not
this instance's health.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from django.db import connection, transaction
from django.db.models import QuerySet
from django.utils import timezone

from console import audit
from console.errors import Refused
from console.models import User
from instances_app import late_reviews
from instances_app.client import Looked, Outcome, places
from instances_app.models import Environment, Instance

NAMED = 200  # instances in one audit event


@dataclass(frozen=True, slots=True)
class Place:
    """What is known of one instance's place, before a check or after it."""

    pinned: str
    stranger: str  # what answers there instead; empty: nobody
    monitored_only: bool = False


def hold(ids: Sequence[int]) -> dict[int, Place]:
    """Lock these instances, in the order in which everybody does."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT id, identity, stranger, monitored_only FROM instances_app_instance WHERE id = ANY(%s) ORDER BY id"
            " FOR NO KEY UPDATE",
            [list(ids)],
        )
        return {pk: Place(*known) for pk, *known in cursor.fetchall()}


def judge(looks: Iterable[Looked], before: Mapping[int, Place]) -> tuple[list[Looked], dict[int, Place]]:
    """The checks without the words of strangers, and what is known of each place after them."""
    judged: list[Looked] = []
    after: dict[int, Place] = {}
    for look in looks:
        place = before.get(look.key, Place("", ""))
        if look.versions.outcome == Outcome.OK:
            got = places.told(look.versions)
            if not place.pinned:
                place = Place("" if got == places.NONE else got, "")
            elif got == place.pinned:
                place = Place(place.pinned, "")
            else:
                place = Place(place.pinned, got)
                reply = places.other(place.pinned, got)
                look = replace(look, versions=reply, info=reply, certificate_until=None)
        judged.append(look)
        after[look.key] = place
    return judged, after


def tell(before: Mapping[int, Place], after: Mapping[int, Place]) -> None:
    """Record whom strangers answer for from now on, and who is itself again. Comes last: the trail's lock is."""
    came = [pk for pk, place in after.items() if place.stranger not in {"", before.get(pk, place).stranger}]
    went = [pk for pk, place in after.items() if not place.stranger and before.get(pk, place).stranger]
    for action, ids in (("instances.others_answer", came), ("instances.expected_again", went)):
        by_environment: dict[int, list[Instance]] = {}
        for one in Instance.objects.filter(pk__in=ids).select_related("environment").order_by("name"):
            by_environment.setdefault(one.environment_id, []).append(one)
        for some in by_environment.values():
            for start in range(0, len(some), NAMED):
                part = some[start : start + NAMED]
                told: dict[str, Any] = {one.name: _data(after[one.pk]) for one in part}
                audit.record(action, actor=None, target=part[0].environment, count=len(part), instances=told)


def pin_anew(instance: Instance, *, seen: str, reason: str, actor: User) -> Instance:
    """It is the same place for us: what answers there (`seen`) is this instance from now on.

    In a protected environment that opens a late review: documents and token go there then.
    """
    with transaction.atomic():
        environment = Environment.objects.select_for_update(no_key=True).get(pk=instance.environment_id)
        instance = Instance.objects.select_for_update(no_key=True, of=("self",)).get(pk=instance.pk)
        if instance.retired_at is not None:
            raise Refused(f"{instance} is retired; nothing is sent to it anyway.")
        if not instance.stranger:
            raise Refused("The expected instance answers there again. There is nothing to decide.")
        if instance.stranger != seen:
            raise Refused("Yet another one answers there by now. Look who it is, then decide.")
        reason = reason.strip()[:500]
        if not reason:
            raise Refused("Say how you know that it is the same place; the reason stays in the audit trail.")
        before, after = instance.identity, "" if instance.stranger == places.NONE else instance.stranger
        looser = [f"{instance} at {instance.base_url} is another place now: {_short(before)} became {_short(after)}."]
        review: dict[str, Any] = {"reason": reason}
        if environment.protected:
            review = late_reviews.open_if_looser(environment, looser, reason=reason, actor=actor)
        now = timezone.now()
        instance.identity, instance.identity_at = after, now if after else None
        instance.stranger, instance.stranger_at = "", None
        instance.moved_at = now  # what was proven before was proven elsewhere
        instance.save(update_fields=["identity", "identity_at", "stranger", "stranger_at", "moved_at"])
        audit.record(
            "instance.pinned_anew",
            actor=actor,
            target=instance,
            before=before,
            after=after or places.NONE,
            base_url=instance.base_url,
            **review,
        )
    return instance


def twins(instance: Instance) -> QuerySet[Instance]:
    """Other active instances with the same identity: one place behind two addresses, or a folder that was copied."""
    if not instance.identity:
        return Instance.objects.none()
    return Instance.objects.active().filter(identity=instance.identity).exclude(pk=instance.pk)


def _data(place: Place) -> dict[str, str]:
    return {"expected": place.pinned} | ({"got": place.stranger} if place.stranger else {})


def _short(identity: str) -> str:
    return identity[:12] or places.NONE
