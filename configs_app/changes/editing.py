"""From the first edit on: drafts, saves, where a change goes, and what happens when its base moves."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from django.db import transaction

from configs_app import contents, contributors, documents, merges, sittings
from configs_app.changes.rows import digests, keep, locked, need, stamp, tell, unseal
from configs_app.members import printable
from configs_app.models import (
    Change,
    ChangeState,
    Revision,
)
from console import audit
from console.errors import Refused
from console.models import User
from instances_app.models import Environment, Instance
from instances_app.plans import Plan

NAMED = 200  # entries in one audit event


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
        keep(change, kind, revision.text, base=current)
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

    A rejected one stays rejected while its texts and its reason are those that were rejected.

    `bases` says which revision (its id) each text was typed over. `seen` is the `stamp` of the change that the
    editor showed: when somebody else saved since, this is refused and the caller still has the text.

    An `autosave` is nobody's decision: it voids no approval, and it is refused after any other save, also after
    one that the same person made on another page.
    """
    with transaction.atomic():
        change = locked(change)
        need(change.is_open, f"This change is {change.state} and can no longer be edited.")
        if autosave and change.state != ChangeState.DRAFT:
            voided = "" if change.state == ChangeState.REJECTED else " and voids its approvals"
            raise Refused(f"This change is {change.state}; saving makes it a draft again{voided}.")
        refuse_overtaken(change, seen, actor=actor, autosave=autosave)
        before = digests(change)
        refused = _said(change) if change.state == ChangeState.REJECTED else None
        unseal(change)
        for kind, text in texts.items():
            base_id = bases.get(kind)
            base = _base(change, kind, base_id) if base_id else None
            untouched = text == base.text if base is not None else text.strip() in {"", "{}"}
            if untouched:  # also the empty text that the editor shows for a document nobody has written yet
                change.documents.filter(kind=kind).delete()
            else:
                keep(change, kind, text, base=base)
        tell(change, title=title, reason=reason)
        reopened = change.state != ChangeState.DRAFT and (refused is None or _said(change) != refused)
        if reopened:
            change.state, change.decision_reason = ChangeState.DRAFT, ""
        change.last_editor = actor
        change.save()
        contributors.add(change, actor)
        after = digests(change)
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
    need(
        not autosave,
        "This change was saved under your name since this page last heard of it: in another tab, or the answer got "
        "lost. “Save draft” puts this text in the place of that one.",
    )


def aim(change: Change, *, targets: Collection[int] | None, plan: Plan | None, actor: User) -> Change:
    """Say which instances it goes to (None: every managed one) and by which plan (None: the environment's).

    The change is a draft again and its approvals are void, as after any edit.
    """
    with transaction.atomic():
        change = locked(change)
        need(change.is_open, f"This change is {change.state} and can no longer be edited.")
        managed = Instance.objects.managed().filter(environment=change.environment)
        chosen = None if targets is None else sorted(managed.filter(pk__in=targets).values_list("pk", flat=True))
        need(chosen is None or bool(chosen), "Choose at least one instance, or all of them.")
        before = {"targets": change.targets, "plan": change.plan}
        after = {"targets": chosen, "plan": plan.data if plan else None}
        if before == after:
            return change
        unseal(change)
        change.state, change.decision_reason, change.last_editor = ChangeState.DRAFT, "", actor
        change.targets, change.plan = chosen, after["plan"]
        change.save()
        contributors.add(change, actor)
        audit.record("change.aimed", actor=actor, target=change, before=before, after=after)
    return change


def rebase(change: Change, *, actor: User) -> Change:
    """Keep the text, compare it with today's revisions: the diff then shows what publishing would undo.

    It is a draft again and its approvals are void. A rejected change stays rejected: only an edit answers a no.
    """
    with transaction.atomic():
        change = locked(change)
        need(change.is_open, f"This change is {change.state} and can no longer be edited.")
        unseal(change)
        for document in change.documents.all():
            document.base = documents.current(change.environment, document.kind)
            document.save(update_fields=["base"])
        _reopen_unless_rejected(change)
        change.last_editor = actor
        change.save()
        contributors.add(change, actor)
        audit.record("change.rebased", actor=actor, target=change)
    return change


def merge(
    change: Change, *, actor: User, choices: Mapping[str, Mapping[merges.Keys, merges.Choice]], seen: str | None = None
) -> Change:
    """Put the change together with what was published meanwhile, on today's base: a draft again, approvals void.

    A rejected change stays rejected: what others published is no answer to a no, only an edit is.
    Every conflict needs a choice (kind → place → choice). `seen` is the `merge_stamp` of the sides that the person saw.
    """
    with transaction.atomic():
        change = locked(change)
        need(change.is_open, f"This change is {change.state} and can no longer be edited.")
        need(
            seen is None or seen == merge_stamp(change),
            "The change, or what is current, was saved since this page was shown. Look at both sides again.",
        )
        merged = contents.merged(change, choices)
        need(bool(merged), "Nothing has moved on since this change was begun: there is nothing to merge.")
        for document, _, result in merged:
            _refuse_undecided(document.kind, result)
        unseal(change)
        _reopen_unless_rejected(change)
        change.last_editor = actor
        change.save()
        contributors.add(change, actor)
        told = {}
        for document, now, result in merged:
            keep(change, document.kind, result.text, base=now)
            told[document.kind] = {"onto": now.number if now else 0} | _told(result, choices.get(document.kind, {}))
        audit.record("change.merged", actor=actor, target=change, digests=digests(change), merged=told)
    return change


def merge_stamp(change: Change) -> str:
    """Changes with every save of the change and with every revision that it would be merged with."""
    return " ".join([stamp(change), *(f"{doc.kind}:{now.pk if now else 0}" for doc, now in contents.stale(change))])


def _reopen_unless_rejected(change: Change) -> None:
    if change.state != ChangeState.REJECTED:
        change.state = ChangeState.DRAFT


def _said(change: Change) -> tuple[str, dict[str, str]]:
    """What a reviewer reads: the reason, and kind → text of what it changes."""
    return change.reason, {document.kind: document.text for document in contents.changed_documents(change)}


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


def _base(change: Change, kind: str, pk: int) -> Revision:
    of_document = Revision.objects.filter(document__environment=change.environment, document__kind=kind)
    base = of_document.filter(pk=pk).first()
    if base is None:
        raise Refused(
            f"The {kind} revision that this was typed over is not one of {change.environment}. Reload the page."
        )
    return base
