"""What nobody sends alone in a protected environment: past a gate that said no, and beyond what was approved.

Publishing asks for approvals itself. This is about the ways that lead on from there: sync, retry, roll back.
"""

from __future__ import annotations

from collections.abc import Collection

from configs_app import contributors, proposals
from configs_app.models import Bundle, Change
from console import access
from console.errors import Refused
from console.models import User
from instances_app.models import Environment, Instance
from sync_app.models import Cause, Rollout

NAMED = 3


def published_by(bundle: Bundle) -> Change | None:
    """The change that made this bundle the desired state; None for an import or a rollback."""
    return Change.objects.filter(bundle=bundle).select_related("environment").first()


def refuse(
    bundle: Bundle, *, environment: Environment, cause: str, actor: User | None, chosen: Collection[int]
) -> None:
    """For a sync, a retry or a repair of what is desired; self-heal, which is nobody, repairs only what was proven.

    The caller holds the environment's lock.
    """
    if not environment.protected or cause not in {Cause.SYNC, Cause.RETRY, Cause.REPAIR} or actor is None:
        return
    last = Rollout.objects.filter(environment=environment, bundle=bundle).order_by("-number").first()
    if last is not None and last.halt_reason and last.author_id == actor.pk:
        raise Refused(
            f"Rollout {last.number} halted: {last.halt_reason} {environment} is protected, so somebody other than "
            f"{actor} has to decide to go on. These people can: {_names('rollout.continue', environment, actor)}."
        )
    change = published_by(bundle)
    proposal = proposals.current(change) if change is not None else None
    if change is None or proposal is None:
        return
    approved = {target.id for target in proposal.aimed_at}
    older = Instance.objects.filter(pk__in=set(chosen) - approved, created_at__lte=proposal.at)
    beyond = sorted(older.values_list("name", flat=True))
    if not beyond:
        return
    if actor.pk in contributors.of(change) or not access.allows(actor, "change.review", environment):
        more = f" and {len(beyond) - NAMED} more" if len(beyond) > NAMED else ""
        raise Refused(
            f"{bundle} was not approved for {', '.join(beyond[:NAMED])}{more}. Somebody who may approve, and had no "
            "part in the change, has to send it there; or leave them out."
        )


def refuse_roll_back(rollout: Rollout, *, actor: User) -> None:
    """One step back is for whoever stands there at night; from there on it takes somebody who may approve."""
    environment = rollout.environment
    if environment.protected and rollout.cause == Cause.ROLLBACK:
        if access.allows(actor, "change.review", environment):
            return
        raise Refused(
            f"Rollout {rollout.number} is a rollback itself. To go further back takes somebody who may approve: "
            f"{_names('change.review', environment, actor)}. Or restore a revision, as a change."
        )


def _names(verb: str, environment: Environment, actor: User) -> str:
    return ", ".join(name for name in access.who_can(verb, environment) if name != actor.username) or "nobody"
