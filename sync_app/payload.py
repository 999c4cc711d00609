"""What a rollout says to whom: the request bodies, and for each claimed delivery the job that a worker carries out."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from typing import NamedTuple

from django.db import connection
from webhook_agent import protocol

from configs_app import proposals, reasons
from console import sealing
from instances_app.client import Outcome, Push, Pushed, Reply, Target
from instances_app.client.bodies import members
from instances_app.models import Kind
from instances_app.transport_models import way
from sync_app import alone
from sync_app.deliveries import Claim
from sync_app.draining import Draining
from sync_app.models import Cause, Delivery, DeliveryState, Rollout

REMEMBERED = 10  # earlier rollouts of which a push may still be under way; with older ones that have not ended yet
ON_THE_WIRE = (DeliveryState.SENDING, DeliveryState.UNKNOWN)
SEND_ORDER = (Kind.CONNECTIONS, Kind.WEBHOOKS)  # a webhook may name a connection, never the other way round


class _Addressee(NamedTuple):
    target: Target
    capabilities: frozenset[str]
    retired: bool
    seen: dict[str, str | None]  # kind → digest, as far as we know


def _addressees(instance_ids: Iterable[int]) -> dict[int, _Addressee]:
    """By instance id. Written out, for every batch waits for it: as models, rows cost three times as much."""
    with connection.cursor() as cursor:
        cursor.execute(
            """
            SELECT i.id, i.base_url, i.token_sealed, i.identity, i.retired_at IS NOT NULL, i.info -> 'capabilities',
                e.plain_http, e.trust_id, g.webhooks_digest, g.connections_digest
            FROM instances_app_instance i
            JOIN instances_app_environment e ON e.id = i.environment_id
            LEFT JOIN instances_app_glance g ON g.instance_id = i.id
            WHERE i.id = ANY(%s)
            """,
            [list(instance_ids)],
        )
        return {
            pk: _Addressee(
                Target(base_url, sealing.unseal(token), way=way(plain_http=plain, trust_id=trust), identity=place),
                _capabilities(able),
                retired,
                {Kind.WEBHOOKS: webhooks, Kind.CONNECTIONS: connections},
            )
            for pk, base_url, token, place, retired, able, plain, trust, webhooks, connections in cursor.fetchall()
        }


@lru_cache(maxsize=32)
def _capabilities(reported: str | None) -> frozenset[str]:
    """Of what an agent said that it can do, as JSON: agents of one version say the same."""
    able = json.loads(reported) if reported else None
    return frozenset(map(str, able)) if isinstance(able, list) else frozenset()


class Payload:
    """The request bodies of one rollout: each is built once, whatever the number of instances."""

    def __init__(self, rollout: Rollout, draining: Draining | None = None) -> None:
        self.rollout = rollout
        self.draining = draining
        self.wanted = rollout.bundle.digests()
        self.texts = {revision.document.kind: revision.text for revision in rollout.bundle.revisions()}
        self._bodies: dict[tuple[tuple[str, ...], bool], tuple[bytes, ...]] = {}
        self._approved = _approved_addresses(rollout)
        self._hide: Callable[[str], str] | None = None
        before = Rollout.objects.filter(environment=rollout.environment_id, sequence__lt=rollout.sequence)
        on_the_wire = Delivery.objects.order_by().filter(state__in=ON_THE_WIRE, rollout__in=before)
        open_ = on_the_wire.values_list("rollout", flat=True).distinct()
        last = before.order_by("-sequence").values_list("pk", flat=True)[:REMEMBERED]
        self._before = {*last, *open_}  # once for all batches

    def hide(self, words: str) -> str:
        """An instance's words without the secrets of these documents, which its validator may quote."""
        if self._hide is None:
            self._hide = reasons.hiding(self.texts.values())
        return self._hide(words)

    def jobs(self, claims: Sequence[Claim]) -> list[Push | Pushed]:
        """What to do for each claim: which documents to send, and whether to look before sending.

        Or its end already, where nothing may be sent.
        """
        if not claims:
            return []
        instances = _addressees(claim.instance_id for claim in claims)
        differing = {pk: self._differing(instance.seen) for pk, instance in instances.items()}
        contested = self._contested(set(instances))
        for instance_id in contested:
            differing[instance_id] = tuple(self.wanted)  # half of it could stand beside the other half of the older one
        looks = {c.instance_id for c in claims if c.sent_before or c.attempt > 1 or not differing[c.instance_id]}
        looks -= contested
        jobs = [
            self._gone(claim, instances[claim.instance_id])
            or self._job(
                claim,
                instances[claim.instance_id],
                differing[claim.instance_id],
                look=claim.instance_id in looks,
                contested=claim.instance_id in contested,
            )
            for claim in claims
        ]
        if self.draining is None:
            return jobs
        pushed = {job.key for job in jobs if isinstance(job, Push)}
        able = {pk: instance.capabilities for pk, instance in instances.items()}
        drains = self.draining.intend((claim for claim in claims if claim.id in pushed), able)
        return [replace(job, drain=drains[job.key]) if isinstance(job, Push) else job for job in jobs]

    def _gone(self, claim: Claim, instance: _Addressee) -> Pushed | None:
        """Refused where the instance was retired, or has another address than the one that was approved: hours may lie
        between waves, and whoever answers there now may belong to somebody else.
        """
        approved = self._approved.get(claim.instance_id, instance.target.base_url)
        if instance.retired:
            code, text = "retired", "It was retired meanwhile: it is sent nothing more, and not asked either."
        elif approved != instance.target.base_url:
            code = "address_changed"
            text = (
                f"Its address was changed after it was approved as {approved}. Nothing is sent there; propose it again."
            )
        else:
            return None
        refused = Reply(Outcome.WRONG_PROTOCOL, error=text, code=code)
        return Pushed(claim.id, looked=refused, sent=(), read_back=None, sent_at=None, finished_at=time.time())

    def _differing(self, seen: Mapping[str, str | None]) -> tuple[str, ...]:
        """The documents that an instance does not run yet, as far as we know."""
        return tuple(kind for kind, digest in self.wanted.items() if not protocol.same(digest, seen.get(kind) or ""))

    def _contested(self, instance_ids: set[int]) -> set[int]:
        """Where an older rollout's push may have arrived unread, or may still arrive: the last one that left was not
        verified. A look could find our documents and be overtaken by it; a push raises the agent's sequence, and then
        the older one is refused.
        """
        if self.rollout.cause == Cause.ROLLBACK:
            return instance_ids
        with connection.cursor() as cursor:
            cursor.execute(
                """
                SELECT instance_id FROM (
                    SELECT DISTINCT ON (d.instance_id) d.instance_id, d.state
                    FROM sync_app_delivery d JOIN sync_app_rollout r ON r.id = d.rollout_id
                    WHERE d.instance_id = ANY(%s) AND d.rollout_id = ANY(%s)
                        AND (d.sent_at IS NOT NULL OR d.state = ANY(%s))
                    ORDER BY d.instance_id, r.sequence DESC
                ) AS last WHERE state <> 'verified'
                """,
                [list(instance_ids), list(self._before), list(map(str, ON_THE_WIRE))],
            )
            return {pk for (pk,) in cursor.fetchall()}

    def _job(
        self, claim: Claim, instance: _Addressee, differing: tuple[str, ...], *, look: bool, contested: bool
    ) -> Push:
        kinds = differing or tuple(self.wanted)
        return Push(
            key=claim.id,
            target=instance.target,
            bodies=self._serialised(kinds, batch="batch" in instance.capabilities) if claim.may_send else (),
            look_first=look or not claim.may_send,
            wanted=self.wanted,
            contested=contested,
        )

    def _serialised(self, kinds: tuple[str, ...], *, batch: bool) -> tuple[bytes, ...]:
        if (kinds, batch) not in self._bodies:
            parts = [members(kind, self.wanted[kind], self.texts[kind]) for kind in SEND_ORDER if kind in kinds]
            common = (
                f'"source":"webhook-console","sequence":{self.rollout.sequence},'
                f'"request_id":"rollout-{self.rollout.pk}"'
            )
            bodies = (
                [f'{{"configs":[{",".join(f"{{{part}}}" for part in parts)}],{common}}}']
                if batch
                else [f"{{{part},{common}}}" for part in parts]
            )
            self._bodies[kinds, batch] = tuple(body.encode() for body in bodies)
        return self._bodies[kinds, batch]


def _approved_addresses(rollout: Rollout) -> dict[int, str]:
    """instance → the address that these documents were approved for; empty where nothing has to be approved.

    Whatever the rollout's cause: a retry or a sync after publishing goes no further than that.
    """
    if not rollout.environment.protected:
        return {}
    change = rollout.change or alone.published_by(rollout.bundle)
    if change is None:
        return {}
    proposal = proposals.current(change)
    return {target.id: target.base_url for target in proposal.aimed_at} if proposal else {}
