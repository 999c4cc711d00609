"""What comes back from the editor: texts as people see and type them, with marks in place of secrets."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

from configs_app import carried, changes, documents, marks, validation
from configs_app.json_text import Lines
from configs_app.models import Change, Revision
from configs_app.validation import Finding, Level
from console.errors import Refused
from console.models import User
from instances_app.models import OTHER, Environment, Kind

EMPTY = "{}\n"  # of a document that nobody has written yet
RULE, STORED = "J4", "A23"  # a mark without its secret: as it is typed, and in a document


def standing(change: Change) -> dict[str, tuple[str, Revision | None]]:
    """kind → the text as the change has it now, its own or the current one, and the revision it was typed over."""
    kept = {document.kind: document for document in change.documents.select_related("base")}
    found: dict[str, tuple[str, Revision | None]] = {}
    for kind in Kind.values:
        base = kept[kind].base if kind in kept else documents.current(change.environment, kind)
        found[kind] = (kept[kind].text if kind in kept else base.text if base else EMPTY, base)
    return found


def unmasked(
    typed: Mapping[str, str],
    environment: Environment,
    *,
    change: Change | None = None,
    bases: Iterable[int | None] = (),
    pages: str = "",
) -> dict[str, marks.Unmasked]:
    """kind → the text with its secrets.

    Marks may come from the environment's current documents, from what the change keeps and from its bases; `bases`
    are the ids of the revisions that the texts were typed over, `pages` what the editor carried. Both documents
    count: people copy from one to the other.
    """
    texts: set[str] = set()
    if any("‹secret" in text for text in typed.values()):
        bundle = documents.desired(environment)
        revisions = bundle.revisions() if bundle else []
        revisions += Revision.objects.filter(document__environment=environment, pk__in=[pk for pk in bases if pk])
        for kept in change.documents.select_related("base") if change is not None else ():
            texts.add(kept.text)
            revisions += [kept.base] if kept.base is not None else []
        texts |= {revision.text for revision in {revision.pk: revision for revision in revisions}.values()}
    known = marks.known(texts)
    for mark, literal in carried.unpacked(change, pages).items() if change is not None else ():
        if known.setdefault(mark, literal) != literal:
            known[mark] = None
    return {kind: marks.unmasked(text, known) for kind, text in typed.items()}


def restored(
    typed: Mapping[str, str],
    change: Change,
    *,
    bases: Mapping[str, int | None],
    actor: User,
    seen: str | None,
    pages: str = "",
) -> dict[str, str]:
    """kind → the text to keep; refused while one of them has a mark that stands for nothing, or stands wrong."""
    found = unmasked(typed, change.environment, change=change, bases=bases.values(), pages=pages)
    problems = [(kind, problem) for kind, text in found.items() for problem in text.problems]
    if problems:
        changes.refuse_overtaken(change, seen, actor=actor)  # that explains a mark better
        kind, first = problems[0]
        line, column = Lines(typed[kind]).at(first.offset)
        more = f" (and {len(problems) - 1} more marks)" if len(problems) > 1 else ""
        raise Refused(f"{kind}, line {line}, column {column}: {first.message}{more}")
    return {kind: text.text for kind, text in found.items()}


def findings(kind: str, typed: Mapping[str, str], found: Mapping[str, marks.Unmasked]) -> list[Finding]:
    """What there is to say about the document itself, at the places of the text that the person sees."""
    text = found[kind]
    about = validation.findings(kind, text.text, beside=found[OTHER[kind]].text)
    document, shown = Lines(text.text), Lines(typed[kind])
    placed = []
    for finding in about:
        if text.problems and finding.rule == STORED:
            continue  # they say it better
        offset = document.starts[finding.line - 1] + finding.column - 1
        column = text.offset_with_marks(offset) - shown.starts[finding.line - 1] + 1
        placed.append(replace(finding, column=column))
    for problem in text.problems:
        line, column = shown.at(problem.offset)
        placed.append(Finding(RULE, Level.ERROR, str(kind), "", line, column, problem.message))
    return sorted(placed, key=lambda finding: (finding.line, finding.column))
