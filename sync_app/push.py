"""One worker's turn at a rollout: claim, send, read back, record, until nothing is due.

Network and database run side by side: the fleet's loop has a thread of its own, this one only waits for results
and writes them down in bulk.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import replace
from typing import NamedTuple

from django.conf import settings
from django.db.models import Q
from webhook_agent import protocol

from configs_app import proposals, reasons
from console import sealing
from instances_app.client import Fleet, Outcome, Push, Pushed, Reply, Result, Target
from instances_app.client.bodies import members
from instances_app.models import Instance, Kind, Observation
from instances_app.plans import Plan
from instances_app.transport_models import way
from sync_app import alone, deliveries, waves
from sync_app.deliveries import Claim
from sync_app.draining import Draining
from sync_app.models import Cause, Delivery, DeliveryState, Rollout

WINDOW = 1000  # deliveries that one worker waits for at once
NARROW = 400  # the same where a failure may stop the rollout: so many may be on their way by then
CHUNK = 250  # deliveries that are claimed together: the wire has work while the next ones are
SLOW_SECONDS = 1.0  # who takes longer than this counts no more in the window: a few that hang do not hold up the rest
MOST_HELD = 2000  # with those that hang: a connection each
REMEMBERED = 10  # earlier rollouts of which a push may still be under way; with older ones that have not ended yet
ON_THE_WIRE = (DeliveryState.SENDING, DeliveryState.UNKNOWN)
FLUSH_SECONDS = 0.25  # the longest a result waits for its batch
SEND_ORDER = (Kind.CONNECTIONS, Kind.WEBHOOKS)  # a webhook may name a connection, never the other way round


def run(rollout_id: int) -> bool:
    """Work on the rollout until nothing of it is due; whether anything was done."""
    rollout = Rollout.objects.select_related(
        "bundle__webhooks__document", "bundle__connections__document", "change", "environment"
    ).get(pk=rollout_id)
    plan = Plan.of(rollout.plan)
    careful = bool(plan.failure_limit or plan.drain or rollout.waves > 1)
    window = NARROW if careful else WINDOW
    claims = deliveries.claim(rollout_id, limit=CHUNK, at_once=plan.at_once)
    if not claims:
        return False
    draining = Draining(rollout, plan) if plan.drain else None
    payload = Payload(rollout, draining)
    held: dict[int, Claim] = {}
    since: dict[int, float] = {}  # when it was claimed, of time.monotonic()
    settled: list[Result] = []  # without being sent
    renewed = time.monotonic()
    with Fleet(connect_timeout=settings.CONNECT_SECONDS, read_timeout=settings.READ_SECONDS) as fleet:
        while claims or held:
            held.update((claim.id, claim) for claim in claims)
            since.update(dict.fromkeys((claim.id for claim in claims), time.monotonic()))
            jobs = payload.jobs(claims)
            fleet.submit(*(job for job in jobs if isinstance(job, Push)))
            settled += [job for job in jobs if isinstance(job, Pushed)]
            room = _room(since.values(), window)
            if claims and room >= CHUNK:  # first the wire, then the books
                claims = deliveries.claim(rollout_id, limit=CHUNK, at_once=plan.at_once)
                if claims:
                    continue
            claims = []
            results = settled + fleet.results(timeout=0 if settled else FLUSH_SECONDS)
            settled = []
            if results and len(results) < len(held):
                time.sleep(FLUSH_SECONDS / 10)  # let the batch fill; a result may wait this long, not longer
                results += fleet.results(timeout=0)
            done = [(held.pop(result.key), result) for result in results if isinstance(result, Pushed)]
            if done:
                rollout.refresh_from_db(fields=["state"])
                doubtful = deliveries.record(rollout, done, hide=payload.hide)
                if doubtful and careful:
                    waves.advance(rollout_id)  # it may halt here, before more is sent
            if draining is not None:
                draining.look()
            if time.monotonic() - renewed > settings.LEASE_SECONDS / 3:
                deliveries.renew(held.values())
                renewed = time.monotonic()
            since = {key: since[key] for key in held}
            room = _room(since.values(), window)
            if room >= window // 5:  # not a claim for every result
                claims = deliveries.claim(rollout_id, limit=min(room, CHUNK), at_once=plan.at_once)
    return True


def _room(since: Collection[float], window: int) -> int:
    """How many more may be claimed, when these were claimed then."""
    quick = sum(at > time.monotonic() - SLOW_SECONDS for at in since)
    return min(window - quick, MOST_HELD - len(since))


class _Addressee(NamedTuple):
    target: Target
    capabilities: frozenset[str]
    retired: bool


def _addressees(instance_ids: Iterable[int]) -> dict[int, _Addressee]:
    """By instance id. A model's row costs three times as much, most of it for a reply that nobody looks at here."""
    columns = ("pk", "base_url", "token_sealed", "identity", "info__capabilities", "retired_at")
    environment = ("environment__plain_http", "environment__trust")
    rows = Instance.objects.filter(pk__in=list(instance_ids))
    return {
        pk: _Addressee(
            Target(base_url, sealing.unseal(token), way=way(plain_http=plain_http, trust_id=trust), identity=place),
            frozenset(map(str, able)) if isinstance(able, list) else frozenset(),
            retired_at is not None,
        )
        for pk, base_url, token, place, able, retired_at, plain_http, trust in rows.values_list(*columns, *environment)
    }


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
        open_ = Delivery.objects.filter(state__in=ON_THE_WIRE, rollout__in=before).values_list("rollout", flat=True)
        last = before.order_by("-sequence").values_list("pk", flat=True)[:REMEMBERED]
        self._before = {*last, *open_.distinct()}  # once for all batches

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
        seen: dict[int, dict[str, str]] = {}
        for instance_id, kind, digest in Observation.objects.filter(instance_id__in=instances, until=None).values_list(
            "instance_id", "kind", "digest"
        ):
            seen.setdefault(instance_id, {})[kind] = digest
        differing = {claim.instance_id: self._differing(seen.get(claim.instance_id, {})) for claim in claims}
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

    def _differing(self, seen: dict[str, str]) -> tuple[str, ...]:
        """The documents that an instance does not run yet, as far as we know."""
        return tuple(kind for kind, digest in self.wanted.items() if not protocol.same(digest, seen.get(kind, "")))

    def _contested(self, instance_ids: set[int]) -> set[int]:
        """Where an older rollout's push may have arrived unread, or may still arrive: the last one that left was not
        verified. A look could find our documents and be overtaken by it; a push raises the agent's sequence, and then
        the older one is refused.
        """
        if self.rollout.cause == Cause.ROLLBACK:
            return instance_ids
        sent = Q(sent_at__isnull=False) | Q(state__in=ON_THE_WIRE)
        last = (
            Delivery.objects.filter(sent, instance_id__in=instance_ids, rollout__in=self._before)
            .order_by("instance_id", "-rollout__sequence")
            .distinct("instance_id")
        )
        return {pk for pk, state in last.values_list("instance_id", "state") if state != DeliveryState.VERIFIED}

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
