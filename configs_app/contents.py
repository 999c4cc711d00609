"""What a change would make of the documents: which of them it touches, what is found in them, and what stops it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from itertools import islice

from configs_app import acceptances, documents, entry_diff, marks, merges, validation
from configs_app.json_text import JsonError
from configs_app.members import printable
from configs_app.models import Change, ChangedDocument, Revision
from configs_app.validation import Level
from console.errors import Refused
from instances_app.models import OTHER, Kind

NAMED = 100  # entries of one document in an audit event
Current = Mapping[str, Revision | None]  # by kind, as `documents.pair` has it
Merging = tuple[ChangedDocument, Revision | None, merges.Merged]  # of a stale document: it, what is current, the merge


def changed_documents(change: Change) -> list[ChangedDocument]:
    """The documents whose content differs from their base, webhooks first."""
    kept = change.documents.select_related("base__document", "base__author").order_by("-kind")
    return [document for document in kept if document.is_changed]


def entries_touched(change: Change) -> dict[str, list[str]]:
    """kind → names of the entries that differ from the base, the first ones; nothing of a text that is not JSON."""
    found: dict[str, list[str]] = {}
    for document in changed_documents(change):
        with suppress(JsonError):
            names = entry_diff.touched(document.base.text if document.base else None, document.text)
            found[document.kind] = [printable(name) for name, _ in islice(names, NAMED)]
    return found


def stale(change: Change) -> list[tuple[ChangedDocument, Revision | None]]:
    """The documents whose base is no longer current, each with what is."""
    return moved_on(changed_documents(change), documents.pair(change.environment))


def moved_on(changed: Sequence[ChangedDocument], current: Current) -> list[tuple[ChangedDocument, Revision | None]]:
    """The same of these documents, for who has asked already."""
    pairs = [(document, current[document.kind]) for document in changed]
    return [(document, now) for document, now in pairs if (now.pk if now else None) != document.base_id]


def merged(change: Change, choices: Mapping[str, Mapping[merges.Keys, merges.Choice]]) -> list[Merging]:
    """Each stale document put together with the current one; `choices` by kind, for what both sides changed.

    Refused for a text that is not a document: it has no entries to put together.
    """
    found = stale(change)
    for document, _ in found:
        if not document.digest:
            raise Refused(
                f"{document.kind} is not valid JSON as this change has it, so its entries cannot be merged. "
                "Correct it in the editor first, or keep the text and compare it with the current one."
            )
    sides = [
        (document, now, (document.base.text if document.base else None, document.text, now.text if now else None))
        for document, now in found
    ]
    known: Mapping[str, str | None] = {}
    if any("‹secret" in choice.typed for decided in choices.values() for choice in decided.values()):
        known = marks.known({text for _, _, texts in sides for text in texts if text is not None})
    return [
        (document, now, merges.merged(*texts, choices.get(document.kind), known=known))
        for document, now, texts in sides
    ]


def texts(change: Change) -> dict[str, str | None]:
    """kind → its text once the change is published: its own, else the current one; None when there is none."""
    return _current(change) | {document.kind: document.text for document in changed_documents(change)}


def digests(change: Change) -> dict[str, str]:
    """kind → digest of the same pair; empty for what is no document."""
    desired = documents.desired(change.environment)
    own = {document.kind: document.digest for document in changed_documents(change)}
    return {**(desired.digests() if desired else {}), **own}


def findings(document: ChangedDocument) -> list[validation.Finding]:
    """Everything to know about one document of a change, beside the other one; what is accepted says so."""
    found = validation.findings(document.kind, document.text, beside=texts(document.change)[OTHER[document.kind]])
    return acceptances.marked(found, acceptances.standing(document.change.environment, document.kind))


def obstacles(change: Change) -> list[validation.Finding]:
    """What stops this change: errors that it brings, and in a protected environment warnings, until they are accepted.

    A change to one document may break the other (a webhook whose connection is gone), so both are looked at. What is
    found on the base as well runs somewhere already, and stops no other correction.
    """
    return hindering(change, changed_documents(change), documents.pair(change.environment))


def hindering(change: Change, documents_: Sequence[ChangedDocument], revisions: Current) -> list[validation.Finding]:
    """The same of these documents, for who has asked already."""
    changed = {document.kind: document for document in documents_}
    if not changed:
        return []
    current = _texts(revisions)
    before = current | {kind: document.base.text if document.base else None for kind, document in changed.items()}
    after = current | {kind: document.text for kind, document in changed.items()}
    found = [finding for kind in Kind.values for finding in _grave(change, kind, after)]
    known = {
        (finding.document, finding.rule, finding.path, finding.message)
        for kind in {finding.document for finding in found}
        for finding in validation.findings(kind, before[kind] or "{}", beside=before[OTHER[kind]], most=None)
    }
    new = [f for f in found if (f.document, f.rule, f.path, f.message) not in known]
    return [finding for kind in Kind.values for finding in _unsettled(change, kind, new)]


def _current(change: Change) -> dict[str, str | None]:
    return _texts(documents.pair(change.environment))


def _texts(revisions: Current) -> dict[str, str | None]:
    return {kind: revision.text if revision else None for kind, revision in revisions.items()}


def _grave(change: Change, kind: str, texts: Mapping[str, str | None]) -> list[validation.Finding]:
    text = texts[kind]
    if text is None:
        return []
    levels = {Level.ERROR, Level.WARNING} if change.environment.protected else {Level.ERROR}
    found = validation.findings(kind, text, beside=texts[OTHER[kind]], most=None)
    return [finding for finding in found if finding.level in levels]


def _unsettled(change: Change, kind: str, found: Iterable[validation.Finding]) -> list[validation.Finding]:
    """What nobody has accepted in a way that counts for this change; what does not count says so."""
    accepted = acceptances.standing(change.environment, kind)
    return [
        finding
        for finding in acceptances.marked((one for one in found if one.document == kind), accepted)
        if not acceptances.counts(accepted.get(acceptances.key_of(finding)), finding, change)
    ]
