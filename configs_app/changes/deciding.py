"""Proposing, approving, rejecting, giving up, publishing."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

from django.db import transaction

from configs_app import approvals, bundle_check, contents, contributors, documents, glass, proposals, reach, reasons
from configs_app.changes.rows import digests, locked, need, refuse_secrets, tell
from configs_app.decision_models import BrokenGlass
from configs_app.models import (
    Approval,
    Bundle,
    Change,
    ChangedDocument,
    ChangeState,
    RevisionSource,
)
from configs_app.validation import Level
from console import audit
from console.errors import Refused
from console.models import User
from instances_app.plans import Plan


def propose(change: Change, *, actor: User, reason: str | None = None) -> Change:
    """Keep contents, targets and plan as they are now, and ask for other people's approval of just these.

    What is proposed already is proposed again when something has moved since: an address, the plan, the fleet.
    `reason` replaces the one that the change has.
    """
    with transaction.atomic():
        change = locked(change)
        again = change.is_proposed
        need(change.state == ChangeState.DRAFT or again, f"This change is {change.state}, not a draft.")
        need(
            not again or proposals.differs(change, proposals.current(change)),
            "It is proposed already, and nothing has moved since.",
        )
        tell(change, reason=reason)
        need(
            bool(change.reason) or not change.environment.protected,
            "Say why this change is needed; whoever has to approve it reads that first.",
        )
        _check_content(change)
        need(
            change.targets is None or bool(reach.wanted(change)), "None of the chosen instances is left: choose others."
        )
        proposal = proposals.make(change, actor=actor)
        change.state, change.seal = ChangeState.PROPOSED, proposal.seal
        change.save()
        audit.record(
            "change.proposed",
            actor=actor,
            target=change,
            digests=digests(change),
            proposal=proposal.number,
            instances=len(proposal.targets),
            plan=proposal.plan,
            entries=contents.entries_touched(change),
        )
    return change


def approve(change: Change, *, actor: User, seal: str | None = None) -> Change:
    """Record one person's yes to the change as it is proposed; enough of them and it is approved.

    What is current then is looked at with today's rules, because a rollout of the change would be rolled back to it.
    `seal` is that of the proposal which the person saw; None where nobody looks, as in a command.
    """
    with transaction.atomic():
        change = locked(change)
        need(
            change.is_proposed,
            f"This change is {change.state}; only a proposed one is approved.",
        )
        need(
            seal is None or seal == change.seal,
            "The contents have changed since this page was shown. Look at them again, then approve.",
        )
        if actor.pk in contributors.of(change):
            raise Refused("Somebody who had no part in the change has to approve; you have edited it.")
        proposal = proposals.current(change)
        departed = proposals.departures(change, proposal)
        need(not departed, _void(departed))
        Approval.objects.get_or_create(
            change=change,
            approver=actor,
            seal=change.seal,
            defaults={"approver_name": actor.username, "proposal": proposal},
        )
        if change.state == ChangeState.PROPOSED and approvals.standing(change).enough:
            change.state = ChangeState.APPROVED
            change.save()
        before = documents.desired(
            change.environment
        )  # where it would be rolled back to, looked at while there is time
        audit.record(
            "change.approved",
            actor=actor,
            target=change,
            digests=digests(change),
            proposal=proposal.number if proposal else None,
            way_back=str(before) if before else "",
            way_back_errors=len(bundle_check.errors(before)) if before else 0,
        )
    return change


def reject(change: Change, *, actor: User, reason: str) -> Change:
    """A reviewer's no, with the reason the author needs. It stands until an edit answers it (see `editing.save`)."""
    reason = reasons.tidy(reason, missing="Say why, so that the author knows what to do.")
    with transaction.atomic():
        change = locked(change)
        need(
            change.is_proposed,
            f"This change is {change.state}; only a proposed or approved one can be rejected.",
        )
        reasons.refuse_secrets(reason, reasons.beside_change(change))
        change.state, change.decision_reason = ChangeState.REJECTED, reason
        change.save()
        audit.record("change.rejected", actor=actor, target=change, reason=change.decision_reason)
    return change


def withdraw(change: Change, *, actor: User) -> Change:
    """Give the change up. What was typed stays readable."""
    with transaction.atomic():
        change = locked(change)
        need(change.is_open, f"This change is already {change.state}.")
        change.state = ChangeState.WITHDRAWN
        change.save()
        audit.record("change.withdrawn", actor=actor, target=change)
    return change


def publish(change: Change, *, actor: User, glass_reason: str | None = None) -> Bundle:
    """Turn the change into revisions and the environment's next bundle.

    Refused while it has errors, changes nothing, is stale, or (where protected) lacks approvals that still count:
    roles, groups and what was proposed are looked up now, not when somebody clicked. With `glass_reason` an admin
    does not wait for approvals, and for nothing else. The rollout is the caller's, in the same transaction.
    """
    if not transaction.get_connection().in_atomic_block:
        raise RuntimeError("changes.publish belongs into the transaction of its rollout.")
    environment = documents.lock(change.environment)
    change = locked(change)
    need(change.is_open, f"This change is already {change.state}.")
    approvers: list[str] = []
    broken = None
    if glass_reason is not None:
        broken = _break_glass(change, reason=glass_reason, actor=actor)
    elif environment.protected:
        approvers = _approvers(change)
    else:
        need(change.state != ChangeState.REJECTED, "Edit it first.")
    changed = _check_content(change)
    revisions = {
        document.kind: documents.add_revision(
            environment,
            document.kind,
            text=document.text,
            source=RevisionSource.RESTORE if _restores(change, document) else RevisionSource.EDIT,
            author=change.last_editor,
            message=message_of(change),
            restored_from=change.restores if _restores(change, document) else None,
        )
        for document in changed
    }
    bundle = documents.add_bundle(environment, revisions, author=actor)
    change.state, change.bundle = ChangeState.PUBLISHED, bundle
    change.save()
    if broken is not None:
        glass.record(broken, actor=actor)
    audit.record(
        "change.published",
        actor=actor,
        target=change,
        bundle=str(bundle),
        digests=bundle.digests(),
        approvers=approvers,
        glass_broken=broken is not None,
    )
    return bundle


def plan_of(change: Change) -> Plan:
    """The plan that its rollout follows: where protected the approved one, else its own or the environment's."""
    proposal = proposals.current(change) if change.environment.protected else None
    return Plan.of(proposal.plan) if proposal else reach.plan(change)


def targets_of(change: Change) -> list[int] | None:
    """The instances that it goes to, by id: where protected the approved ones that are left. None: every active one."""
    proposal = proposals.current(change) if change.environment.protected else None
    return [instance.pk for instance in reach.left(proposal)] if proposal else change.targets


def waves_of(change: Change) -> dict[int, int] | None:
    """Instance id → the number of its wave, as it was approved; None where nothing has to be."""
    proposal = proposals.current(change) if change.environment.protected else None
    return {one.id: one.wave for one in proposal.aimed_at} if proposal else None


def message_of(change: Change) -> str:
    """What its revisions say of it: the title, and why, on one line of up to 500 characters."""
    words = f"{change}: {change.reason}" if change.title and change.reason else change.reason or str(change)
    return textwrap.shorten(words, 500, placeholder="…")


def _approvers(change: Change) -> list[str]:
    """Their names, when there are enough of them; nobody takes their roles until the transaction ends."""
    first = f"{change.environment} is protected: another person has to approve these very contents first."
    need(change.is_proposed, first)
    standing = approvals.held(change)
    need(not standing.void, _void(standing.void))
    since = "An approver may have lost the role since, or the rules ask for more now."
    why = since if change.state == ChangeState.APPROVED else first
    need(standing.enough, f"There are {standing.words}. {why}")
    return [approval.approver_name for approval in standing.given]


def _break_glass(change: Change, *, reason: str, actor: User) -> BrokenGlass:
    """Whatever is published is a proposal: one is made of the change as it is, unless it stands proposed so."""
    glass.need(change, actor=actor)
    need(change.state != ChangeState.REJECTED, "A reviewer has rejected it. Edit it first.")
    _check_content(change)
    proposal = proposals.current(change)
    if proposal is None or proposals.departures(change, proposal):
        proposal = proposals.make(change, actor=actor)
        change.state, change.seal = ChangeState.PROPOSED, proposal.seal
        change.save()
    return glass.broke(change, proposal, reason=reason, actor=actor)


def _check_content(change: Change) -> list[ChangedDocument]:
    """The documents that it changes, which nothing stands in the way of."""
    kept, current = contents.changed_documents(change), documents.pair(change.environment)
    need(bool(kept), "Nothing is changed yet: the text is the one that is current.")
    found = contents.hindering(change, kept, current)
    if found:
        first, others = found[0], len(found) - 1
        more = f" (and {others} more)" if others else ""
        mend = " Correct it, or accept it with a reason." if first.level == Level.WARNING else ""
        raise Refused(f"{first.document}, line {first.line}: {first.message}{more}{mend}")
    for document, now in contents.moved_on(kept, current):
        base = f"r{document.base.number}" if document.base else "nothing"
        who = f", {now.author or 'an import'}: {now.message}" if now else ""
        raise Refused(
            f"{document.kind} has moved on since this change was begun: it was based on {base}, "
            f"current is r{now.number if now else 0}{who}. Merge it with what is current."
        )
    refuse_secrets(change)  # a document may have got one after the words were typed
    return kept


def _void(departed: Sequence[str]) -> str:
    return f"{' '.join(departed)} Approvals of it are void: propose it again."


def _restores(change: Change, document: ChangedDocument) -> bool:
    return change.restores is not None and change.restores.digest == document.digest
