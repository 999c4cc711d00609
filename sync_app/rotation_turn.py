"""One worker's turn at a rotation of tokens: claim, give or drop, record, until nobody is due."""

from __future__ import annotations

import time
from collections.abc import Sequence

from django.conf import settings
from django.db.models import Exists, OuterRef

from instances_app import exchanges, rotation
from instances_app.client import Fleet, Turned
from instances_app.exchanges import AT_ONCE, Claim
from instances_app.models import Exchange, ExchangeState, Rotation
from sync_app.dry_run_models import DryAnswer, DryAnswerState
from sync_app.models import Delivery, DeliveryState
from sync_app.push import FLUSH_SECONDS


def run(rotation_id: int) -> None:
    """Turn until nobody is due, and end the rotation when everybody is through. By several workers at once, too."""
    found = Rotation.objects.select_related("environment").get(pk=rotation_id)
    claims = _due(found, limit=AT_ONCE)
    if claims:
        _turn(found, claims)
    rotation.close(rotation_id)


def on_their_way(found: Rotation) -> list[int]:
    """Instances to which somebody is still on the way with a token that was read before theirs was switched.

    A delivery or a dry run reads the token after it was claimed, so whoever was claimed after `settled_at` has the new
    one. Whatever asks without a lease (checks, undraining, a person's question) reads the token just before, and its
    request arrives within its timeouts, well below what every exchange waits as well (`exchanges.kept_for`).
    """
    sending = Delivery.objects.filter(
        instance=OuterRef("instance"), state=DeliveryState.SENDING, changed_at__lte=OuterRef("settled_at")
    )
    asking = DryAnswer.objects.filter(
        instance=OuterRef("instance"), state=DryAnswerState.ASKING, changed_at__lte=OuterRef("settled_at")
    )
    waiting = Exchange.objects.filter(rotation=found, state=ExchangeState.PROVEN, settled_at__isnull=False)
    return list(waiting.filter(Exists(sending) | Exists(asking)).values_list("instance_id", flat=True))


def _due(found: Rotation, *, limit: int) -> list[Claim]:
    exchanges.stamp(found.pk)
    return exchanges.claim(found.pk, limit=limit, held=on_their_way(found))


def _turn(found: Rotation, claims: Sequence[Claim]) -> None:
    held: dict[int, Claim] = {}
    renewed = time.monotonic()
    with Fleet(connect_timeout=settings.CONNECT_SECONDS, read_timeout=settings.READ_SECONDS) as fleet:
        while claims or held:
            held.update((claim.id, claim) for claim in claims)
            fleet.submit(*(claim.job for claim in claims))
            results = [one for one in fleet.results(timeout=FLUSH_SECONDS) if isinstance(one, Turned)]
            if results and len(results) < len(held):
                time.sleep(FLUSH_SECONDS / 10)  # let the batch fill
                results += [one for one in fleet.results(timeout=0) if isinstance(one, Turned)]
            exchanges.record(found, [(held.pop(one.key), one) for one in results])
            if time.monotonic() - renewed > settings.LEASE_SECONDS / 3:
                exchanges.renew(held.values())
                renewed = time.monotonic()
            claims = _due(found, limit=AT_ONCE - len(held)) if len(held) <= AT_ONCE // 2 else []
