"""Everything that moves a Change: from the first edit to the bundle that it becomes.

Only this module assigns `Change.state`. Locks are taken in one order, everywhere: environment, change, audit.
"""

from __future__ import annotations

import textwrap
from collections.abc import Collection, Mapping, Sequence

from django.db import transaction
from webhook_agent import protocol

from configs_app import approvals, contents, contributors, documents, glass, merges, proposals, reach, sittings
from configs_app.decision_models import BrokenGlass
from configs_app.members import printable
from configs_app.models import (
    Approval,
    Bundle,
    Change,
    ChangedDocument,
    ChangeState,
    Revision,
    RevisionSource,
)
from configs_app.validation import Level
from console import audit
from console.errors import Refused, storable
from console.models import User
from console.sealing import seal
from instances_app.models import Environment, Instance, Kind
from instances_app.plans import Plan

NAMED = 200  # entries in one audit event
LONGEST_REASON = 2000  # characters


def open_draft(environment: Environment, *, actor: User, title: str = "") -> Change:
    """An empty change: it shows the current documents until somebody saves another text."""
    with transaction.atomic():
        change = Change.objects.create(environment=environment, title=title, author=actor, last_editor=actor)
        contributors.add(change, actor)
        audit.record("change.opened", actor=actor, target=change)
    return change


def begin(environment: Environment, *, actor: User) -> Change:
    """A draft to type into: this person's own one that nobody has typed into yet, else a new one."""
    untouched = Change.objects.filter(
        environment=environment,
        state=ChangeState.DRAFT,
        author=actor,
        last_editor=actor,
        title="",
        reason="",
        restores=None,
        documents=None,
    )
    return untouched.select_related("environment").first() or open_draft(environment, actor=actor)


def restore(revision: Revision, *, actor: User) -> Change:
    """A draft with an older revision's content, on today's base: published, it becomes a new revision."""
    environment, kind = revision.environment, revision.document.kind
    with transaction.atomic():
        current = documents.current(environment, kind)
        if current is not None and current.digest == revision.digest:
            raise Refused(f"{kind} r{revision.number} has the content that is current (r{current.number}).")
        change = open_draft(environment, actor=actor, title=f"Restore {kind} r{revision.number}")
        change.restores = revision
        change.save(update_fields=["restores"])
        _keep(change, kind, revision.text, base=current)
    return change


def save(
    change: Change,
    texts: Mapping[str, str],
    *,
    bases: Mapping[str, int | None],
    actor: User,
    title: str | None = None,
    reason: str | None = None,
    seen: str | None = None,
    autosave: bool = False,
) -> Change:
    """Keep what was typed, valid or not; the change is a draft again and its approvals are void.

    `bases` says which revision (its id) each text was typed over. `seen` is the `stamp` of the change that the
    editor showed: when somebody else saved since, this is refused and the caller still has the text.

    An `autosave` is nobody's decision: it voids no approval, and it is refused after any other save, also after
    one that the same person made on another page.
    """
    with transaction.atomic():
        change = _locked(change)
        _need(change.is_open, f"This change is {change.state} and can no longer be edited.")
        if autosave and change.state != ChangeState.DRAFT:
            voided = "" if change.state == ChangeState.REJECTED else " and voids its approvals"
            raise Refused(f"This change is {change.state}; saving makes it a draft again{voided}.")
        refuse_overtaken(change, seen, actor=actor, autosave=autosave)
        before = _digests(change)
        _unseal(change)
        for kind, text in texts.items():
            base_id = bases.get(kind)
            base = _base(change, kind, base_id) if base_id else None
            untouched = text == base.text if base is not None else text.strip() in {"", "{}"}
            if untouched:  # also the empty text that the editor shows for a document nobody has written yet
                change.documents.filter(kind=kind).delete()
            else:
                _keep(change, kind, text, base=base)
        if title is not None:
            change.title = title.strip()
        if reason is not None:
            change.reason = _typed(reason)
        reopened = change.state != ChangeState.DRAFT
        change.state, change.decision_reason = ChangeState.DRAFT, ""
        change.last_editor = actor
        change.save()
        contributors.add(change, actor)
        after = _digests(change)
        new = sittings.begins(change, actor=actor) if autosave else after != sittings.recorded(change, before)
        if reopened or new:
            entries = contents.entries_touched(change)
            audit.record("change.edited", actor=actor, target=change, digests=after, reopened=reopened, entries=entries)
    return change


def refuse_overtaken(change: Change, seen: str | None, *, actor: User, autosave: bool = False) -> None:
    """Refused when the change was saved since the editor showed it (`seen`): by somebody else, or from another page."""
    if seen == stamp(change) or (seen is None and not autosave):
        return
    if change.last_editor_id != actor.pk:
        raise Refused(
            f"{change.last_editor} saved this change while you were typing. Copy your text, reload, "
            "and put it together with theirs."
        )
    _need(
        not autosave,
        "This change was saved under your name since this page last heard of it: in another tab, or the answer got "
        "lost. “Save draft” puts this text in the place of that one.",
    )


def aim(change: Change, *, targets: Collection[int] | None, plan: Plan | None, actor: User) -> Change:
    """Say which instances it goes to (None: every active one) and by which plan (None: the environment's).

    The change is a draft again and its approvals are void, as after any edit.
    """
    with transaction.atomic():
        change = _locked(change)
        _need(change.is_open, f"This change is {change.state} and can no longer be edited.")
        active = Instance.objects.active().filter(environment=change.environment)
        chosen = None if targets is None else sorted(active.filter(pk__in=targets).values_list("pk", flat=True))
        _need(chosen is None or bool(chosen), "Choose at least one instance, or all of them.")
        before = {"targets": change.targets, "plan": change.plan}
        after = {"targets": chosen, "plan": plan.data if plan else None}
        if before == after:
            return change
        _unseal(change)
        change.state, change.decision_reason, change.last_editor = ChangeState.DRAFT, "", actor
        change.targets, change.plan = chosen, after["plan"]
        change.save()
        contributors.add(change, actor)
        audit.record("change.aimed", actor=actor, target=change, before=before, after=after)
    return change


def propose(change: Change, *, actor: User, reason: str | None = None) -> Change:
    """Keep contents, targets and plan as they are now, and ask for other people's approval of just these.

    What is proposed already is proposed again when something has moved since: an address, the plan, the fleet.
    `reason` replaces the one that the change has.
    """
    with transaction.atomic():
        change = _locked(change)
        again = change.state in {ChangeState.PROPOSED, ChangeState.APPROVED}
        _need(change.state == ChangeState.DRAFT or again, f"This change is {change.state}, not a draft.")
        _need(
            not again or proposals.differs(change, proposals.current(change)),
            "It is proposed already, and nothing has moved since.",
        )
        if reason is not None:
            change.reason = _typed(reason)
        _need(
            bool(change.reason) or not change.environment.protected,
            "Say why this change is needed; whoever has to approve it reads that first.",
        )
        _check_content(change)
        _need(
            change.targets is None or bool(reach.wanted(change)), "None of the chosen instances is left: choose others."
        )
        proposal = proposals.make(change, actor=actor)
        change.state, change.seal = ChangeState.PROPOSED, proposal.seal
        change.save()
        audit.record(
            "change.proposed",
            actor=actor,
            target=change,
            digests=_digests(change),
            proposal=proposal.number,
            instances=len(proposal.targets),
            plan=proposal.plan,
            entries=contents.entries_touched(change),
        )
    return change


def approve(change: Change, *, actor: User, seal: str | None = None) -> Change:
    """Record one person's yes to the change as it is proposed; enough of them and it is approved.

    `seal` is that of the proposal which the person saw; None where nobody looks, as in a command.
    """
    with transaction.atomic():
        change = _locked(change)
        _need(
            change.state in {ChangeState.PROPOSED, ChangeState.APPROVED},
            f"This change is {change.state}; only a proposed one is approved.",
        )
        _need(
            seal is None or seal == change.seal,
            "The contents have changed since this page was shown. Look at them again, then approve.",
        )
        if actor.pk in contributors.of(change):
            raise Refused("Somebody who had no part in the change has to approve; you have edited it.")
        proposal = proposals.current(change)
        departed = proposals.departures(change, proposal)
        _need(not departed, _void(departed))
        Approval.objects.get_or_create(
            change=change,
            approver=actor,
            seal=change.seal,
            defaults={"approver_name": actor.username, "proposal": proposal},
        )
        if change.state == ChangeState.PROPOSED and approvals.standing(change).enough:
            change.state = ChangeState.APPROVED
            change.save()
        audit.record(
            "change.approved",
            actor=actor,
            target=change,
            digests=_digests(change),
            proposal=proposal.number if proposal else None,
        )
    return change


def reject(change: Change, *, actor: User, reason: str) -> Change:
    """A reviewer's no, with the reason the author needs; editing makes it a draft again."""
    reason = storable(reason).strip()
    _need(bool(reason), "Say why, so that the author knows what to do.")
    with transaction.atomic():
        change = _locked(change)
        _need(
            change.state in {ChangeState.PROPOSED, ChangeState.APPROVED},
            f"This change is {change.state}; only a proposed or approved one can be rejected.",
        )
        change.state, change.decision_reason = ChangeState.REJECTED, reason[:500]
        change.save()
        audit.record("change.rejected", actor=actor, target=change, reason=change.decision_reason)
    return change


def withdraw(change: Change, *, actor: User) -> Change:
    """Give the change up. What was typed stays readable."""
    with transaction.atomic():
        change = _locked(change)
        _need(change.is_open, f"This change is already {change.state}.")
        change.state = ChangeState.WITHDRAWN
        change.save()
        audit.record("change.withdrawn", actor=actor, target=change)
    return change


def rebase(change: Change, *, actor: User) -> Change:
    """Keep the text, compare it with today's revisions: the diff then shows what publishing would undo."""
    with transaction.atomic():
        change = _locked(change)
        _need(change.is_open, f"This change is {change.state} and can no longer be edited.")
        _unseal(change)
        for document in change.documents.all():
            document.base = documents.current(change.environment, document.kind)
            document.save(update_fields=["base"])
        change.state, change.last_editor = ChangeState.DRAFT, actor
        change.save()
        contributors.add(change, actor)
        audit.record("change.rebased", actor=actor, target=change)
    return change


def merge(
    change: Change, *, actor: User, choices: Mapping[str, Mapping[merges.Keys, merges.Choice]], seen: str | None = None
) -> Change:
    """Put the change together with what was published meanwhile, on today's base: a draft again, approvals void.

    Every conflict needs a choice (kind → place → choice). `seen` is the `merge_stamp` of the sides that the person saw.
    """
    with transaction.atomic():
        change = _locked(change)
        _need(change.is_open, f"This change is {change.state} and can no longer be edited.")
        _need(
            seen is None or seen == merge_stamp(change),
            "The change, or what is current, was saved since this page was shown. Look at both sides again.",
        )
        merged = contents.merged(change, choices)
        _need(bool(merged), "Nothing has moved on since this change was begun: there is nothing to merge.")
        for document, _, result in merged:
            _refuse_undecided(document.kind, result)
        _unseal(change)
        change.state, change.decision_reason = ChangeState.DRAFT, ""
        change.last_editor = actor
        change.save()
        contributors.add(change, actor)
        told = {}
        for document, now, result in merged:
            _keep(change, document.kind, result.text, base=now)
            told[document.kind] = {"onto": now.number if now else 0} | _told(result, choices.get(document.kind, {}))
        audit.record("change.merged", actor=actor, target=change, digests=_digests(change), merged=told)
    return change


def merge_stamp(change: Change) -> str:
    """Changes with every save of the change and with every revision that it would be merged with."""
    return " ".join([stamp(change), *(f"{doc.kind}:{now.pk if now else 0}" for doc, now in contents.stale(change))])


def publish(change: Change, *, actor: User, glass_reason: str | None = None) -> Bundle:
    """Turn the change into revisions and the environment's next bundle.

    Refused while it has errors, changes nothing, is stale, or (where protected) lacks approvals that still count:
    roles, groups and what was proposed are looked up now, not when somebody clicked. With `glass_reason` an admin
    does not wait for approvals, and for nothing else. The rollout is the caller's, in the same transaction.
    """
    if not transaction.get_connection().in_atomic_block:
        raise RuntimeError("changes.publish belongs into the transaction of its rollout.")
    environment = documents.lock(change.environment)
    change = _locked(change)
    _need(change.is_open, f"This change is already {change.state}.")
    approvers: list[str] = []
    broken = None
    if glass_reason is not None:
        broken = _break_glass(change, reason=glass_reason, actor=actor)
    elif environment.protected:
        approvers = _approvers(change)
    else:
        _need(change.state != ChangeState.REJECTED, "Edit it first.")
    _check_content(change)
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
        for document in contents.changed_documents(change)
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


def message_of(change: Change) -> str:
    """What its revisions say of it: the title, and why, on one line of up to 500 characters."""
    words = f"{change}: {change.reason}" if change.title and change.reason else change.reason or str(change)
    return textwrap.shorten(words, 500, placeholder="…")


def targets_of(change: Change) -> list[int] | None:
    """The instances that it goes to, by id: where protected the approved ones that are left. None: every active one."""
    proposal = proposals.current(change) if change.environment.protected else None
    return [instance.pk for instance in reach.left(proposal)] if proposal else change.targets


def stamp(change: Change) -> str:
    """Changes with every save."""
    return change.updated_at.isoformat()


def _approvers(change: Change) -> list[str]:
    """Their names, when there are enough of them; nobody takes their roles until the transaction ends."""
    _need(
        change.state == ChangeState.APPROVED,
        f"{change.environment} is protected: another person has to approve these very contents first.",
    )
    standing = approvals.held(change)
    _need(not standing.void, _void(standing.void))
    _need(
        standing.enough,
        f"There are {standing.words}. An approver may have lost the role since, or the rules ask for more now.",
    )
    return [approval.approver_name for approval in standing.given]


def _break_glass(change: Change, *, reason: str, actor: User) -> BrokenGlass:
    """Whatever is published is a proposal: one is made of the change as it is, unless it stands proposed so."""
    glass.need(change, actor=actor)
    _need(change.state != ChangeState.REJECTED, "A reviewer has rejected it. Edit it first.")
    _check_content(change)
    proposal = proposals.current(change)
    if proposal is None or proposals.departures(change, proposal):
        proposal = proposals.make(change, actor=actor)
        change.state, change.seal = ChangeState.PROPOSED, proposal.seal
        change.save()
    return glass.broke(change, proposal, reason=reason, actor=actor)


def _refuse_undecided(kind: str, result: merges.Merged) -> None:
    for path, message in result.problems:
        raise Refused(f"{kind}, {'.'.join(path)}: {message}")
    if result.undecided:
        places = ", ".join(".".join(path) for path in result.undecided[:5])
        more = f" and {len(result.undecided) - 5} more" if len(result.undecided) > 5 else ""
        raise Refused(f"{kind}: both sides changed {places}{more}. Choose one side, or type the value.")


def _told(result: merges.Merged, choices: Mapping[merges.Keys, merges.Choice]) -> dict[str, object]:
    """What the audit trail keeps of a merge: names of entries, and who of the two was chosen where; no values."""
    words: dict[str, list[str]] = {}
    for part in result.parts:
        word = part.word or ("conflict" if (part.name,) in part.conflicts else "keys")
        words.setdefault(word, []).append(printable(part.name))
    return {word: names[:NAMED] for word, names in words.items()} | {
        "choices": {printable(".".join(path)): choice.side for path, choice in list(choices.items())[:NAMED]}
    }


def _check_content(change: Change) -> None:
    kept = contents.changed_documents(change)
    _need(bool(kept), "Nothing is changed yet: the text is the one that is current.")
    found = contents.obstacles(change)
    if found:
        first, others = found[0], len(found) - 1
        more = f" (and {others} more)" if others else ""
        mend = " Correct it, or accept it with a reason." if first.level == Level.WARNING else ""
        raise Refused(f"{first.document}, line {first.line}: {first.message}{more}{mend}")
    for document, now in contents.stale(change):
        base = f"r{document.base.number}" if document.base else "nothing"
        who = f", {now.author or 'an import'}: {now.message}" if now else ""
        raise Refused(
            f"{document.kind} has moved on since this change was begun: it was based on {base}, "
            f"current is r{now.number if now else 0}{who}. Merge it with what is current."
        )


def _void(departed: Sequence[str]) -> str:
    return f"{' '.join(departed)} Approvals of it are void: propose it again."


def _unseal(change: Change) -> None:
    """Void what was proposed. First of all, because the database refuses to touch the texts under a seal."""
    change.seal = ""
    change.save(update_fields=["seal"])


def _restores(change: Change, document: ChangedDocument) -> bool:
    return change.restores is not None and change.restores.digest == document.digest


def _base(change: Change, kind: str, pk: int) -> Revision:
    of_document = Revision.objects.filter(document__environment=change.environment, document__kind=kind)
    base = of_document.filter(pk=pk).first()
    if base is None:
        raise Refused(
            f"The {kind} revision that this was typed over is not one of {change.environment}. Reload the page."
        )
    return base


def _keep(change: Change, kind: str, text: str, *, base: Revision | None) -> None:
    if kind not in Kind.values:
        raise Refused(f"There is no document named {kind!r}.")
    values = {"base": base, "content_sealed": seal(text), "digest": digest_of(text)}
    ChangedDocument.objects.update_or_create(change=change, kind=kind, defaults=values)


def digest_of(text: str) -> str:
    """Empty for a text that is not a document: it is kept all the same, nothing that was typed is lost."""
    try:
        return protocol.digest(protocol.parse(text))
    except protocol.ProtocolError:
        return ""


def _typed(reason: str) -> str:
    reason = storable(reason).replace("\r\n", "\n").strip()
    _need(
        len(reason) <= LONGEST_REASON,
        f"A reason has up to {LONGEST_REASON:,} characters; this one has {len(reason):,}.",
    )
    return reason


def _digests(change: Change) -> dict[str, str]:
    return dict(change.documents.values_list("kind", "digest"))


def _locked(change: Change) -> Change:
    # Two queries: in one, a change whose last editor became another person while this waited for the lock would seem
    # to be gone, because Postgres looks again at the row but not at what it was joined with.
    Change.objects.select_for_update().only("pk").get(pk=change.pk)
    return Change.objects.select_related("environment", "author", "last_editor", "restores").get(pk=change.pk)


def _need(condition: bool, message: str) -> None:
    if not condition:
        raise Refused(message)
