"""The way back: the content of the bundle before, as new revisions, to exactly the instances that were touched.

Nothing is undone in the history. Whoever may start a rollout may roll one back, in a protected environment too: what
it brings was the environment's desired state before, by its rules. It is looked at with today's rules first.
"""

from __future__ import annotations

from dataclasses import dataclass

from django.db import transaction
from django.db.models import Q, QuerySet

from configs_app import bundle_check, contents, documents, reasons
from configs_app.models import Bundle, Change, Revision, RevisionSource
from console import audit
from console.errors import Refused
from console.models import User
from instances_app.models import Environment
from instances_app.plans import Plan
from sync_app import alone, blocklist, rollouts
from sync_app.blocklist import Pair
from sync_app.models import WAITING, Cause, Delivery, DeliveryState, Rollout

SHOWN = 5  # errors


@dataclass(frozen=True, slots=True)
class Way:
    """Where a rollout can be rolled back to. `refusal` is empty when it can."""

    bundle: Bundle | None
    refusal: str
    errors: tuple[str, ...] = ()  # that today's rules find in it, in words
    ran: bool = False  # an instance has proven to run it

    @property
    def ready(self) -> bool:
        return not self.refusal


def way_back(rollout: Rollout) -> Way:
    """Where rolling this back leads, and whether today's rules have anything against it.

    An error is no obstacle in a content that an instance has read back to us: it was there when it ran.
    """
    earlier = Bundle.objects.filter(number__lt=rollout.bundle.number)
    bundle = _newest(earlier, rollout.environment, other_than=blocklist.pair(rollout.bundle))
    if bundle is None:
        return Way(None, "there is no earlier bundle to go back to")
    desired = documents.desired(rollout.environment)
    if desired is not None and desired.pk != rollout.bundle_id:
        return Way(bundle, f"{rollout.environment} should run {desired} by now; roll that back, or restore a revision")
    dropped = [kind for kind in rollout.bundle.digests() if kind not in bundle.digests()]
    if dropped:
        return Way(bundle, f"{bundle} had no {dropped[0]} yet; write the ones that are wanted as a change")
    return _judged(bundle)


def way_back_from(change: Change) -> Way:
    """Where a rollout of this change could be rolled back to, were it published now."""
    digests = contents.digests(change)
    pair = digests.get("webhooks", ""), digests.get("connections", "")
    bundle = _newest(Bundle.objects.all(), change.environment, other_than=pair)
    if bundle is None:
        return Way(None, "there is no bundle to go back to; this would be the first")
    added = [kind for kind in digests if kind not in bundle.digests()]
    if added:
        return Way(bundle, f"{bundle} has no {added[0]} yet")
    return _judged(bundle)


def _judged(bundle: Bundle) -> Way:
    errors = bundle_check.errors(bundle)
    ran = Delivery.objects.filter(rollout__bundle__in=_same(bundle), state=DeliveryState.VERIFIED).exists()
    if errors and not ran:
        return Way(bundle, f"{bundle} has errors by today's rules and never ran: {errors[0]}", errors)
    return Way(bundle, "", errors, ran)


def touched(rollout: Rollout) -> QuerySet[Delivery]:
    """Where something of this rollout's bundle was or may have been sent, by whichever rollout, or runs already."""
    return Delivery.objects.filter(rollout__bundle_id=rollout.bundle_id, instance__retired_at=None).filter(
        Q(sent_at__isnull=False) | Q(state__in=[DeliveryState.SENDING, DeliveryState.UNKNOWN, DeliveryState.VERIFIED])
    )


def roll_back(rollout: Rollout, *, actor: User, reason: str) -> Rollout:
    """Make the bundle before the desired state again, block this one, and send the old content where this one was.

    The new rollout takes the place of one that has not ended, and only of its touched instances.
    """
    reason = reasons.tidy(reason, missing="Say why it is rolled back; the bundle stays blocked with that reason.")
    with transaction.atomic():
        environment = documents.lock(rollout.environment)
        going = rollouts.lock_going(environment)  # before the audit trail is held
        if going is not None:  # nobody takes one of these from here on, so that `touched` is all there is
            list(going.deliveries.filter(state__in=WAITING).select_for_update(no_key=True).values_list("pk", flat=True))
        alone.refuse_roll_back(rollout, actor=actor)
        way = way_back(rollout)
        if way.bundle is None or not way.ready:
            raise Refused(f"Rollout {rollout.number} cannot be rolled back: {way.refusal}.")
        reasons.refuse_secrets(reason, reasons.beside_bundles(rollout.bundle, way.bundle))
        chosen = set(touched(rollout).values_list("instance_id", flat=True))
        if not chosen:
            raise Refused(
                f"Nothing of rollout {rollout.number} has been sent, so there is nothing to roll back. Cancel it; "
                "to change what is desired, restore the old revision."
            )
        revisions = {
            old.document.kind: documents.add_revision(
                environment,
                old.document.kind,
                text=old.text,
                source=RevisionSource.RESTORE,
                author=actor,
                message=f"Roll back rollout {rollout.number}: {reason}",
                restored_from=old,
            )
            for old in way.bundle.revisions()
            if not _is_current(environment, old)
        }
        bad = str(rollout.bundle)
        bundle = documents.add_bundle(environment, revisions, author=actor)
        blocklist.block(rollout, actor=actor, reason=reason)
        started = rollouts.start(
            environment,
            actor=actor,
            cause=Cause.ROLLBACK,
            instances=chosen,
            retries=rollout,
            plan=Plan(at_once=Plan.of(rollout.plan).at_once),
            supersede=True,
            carry=False,
        )
        audit.record(
            "rollout.rolled_back",
            actor=actor,
            target=rollout,
            by=started.number,
            bundle=bad,
            to=str(bundle),
            content_of=str(way.bundle),
            digests=bundle.digests(),
            errors=len(way.errors),
            instances=len(chosen),
            reason=reason,
        )
    return started


def _newest(bundles: QuerySet[Bundle], environment: Environment, *, other_than: Pair) -> Bundle | None:
    """The newest of these with another content that was never blocked.

    Also not after its block was lifted: that lets the content come by the ordinary ways, with approvals.
    """
    found = (
        bundles.filter(environment=environment)
        .select_related("webhooks__document", "connections__document")
        .defer("webhooks__content_sealed", "connections__content_sealed")
        .order_by("-number")
    )
    unwanted = blocklist.ever(environment) | {other_than}
    return next((one for one in found.iterator(chunk_size=20) if blocklist.pair(one) not in unwanted), None)


def _same(bundle: Bundle) -> QuerySet[Bundle]:
    """Every bundle of the environment with this content."""
    wanted: dict[str, object] = {"environment_id": bundle.environment_id}
    for kind, revision in (("webhooks", bundle.webhooks), ("connections", bundle.connections)):
        wanted |= {f"{kind}__digest": revision.digest} if revision else {kind: None}
    return Bundle.objects.filter(**wanted)


def _is_current(environment: Environment, revision: Revision) -> bool:
    current = documents.current(environment, revision.document.kind)
    return current is not None and current.digest == revision.digest
