"""Documents, their revisions, and the bundle an environment should run."""

from __future__ import annotations

from collections.abc import Mapping

from django.db import transaction
from django.db.models import Max
from webhook_agent import protocol

from configs_app import entry_history, validation
from configs_app.models import Bundle, Document, Revision, RevisionSource
from console import audit
from console.errors import Refused
from console.models import User
from console.sealing import seal
from instances_app.models import Environment, Kind


def desired(environment: Environment) -> Bundle | None:
    """What the environment should run now; None before its first import or publish."""
    return (
        Bundle.objects.filter(environment=environment)
        .select_related("webhooks__document", "connections__document")
        .defer("webhooks__content_sealed", "connections__content_sealed")  # most pages ask for numbers and digests only
        .order_by("-number")
        .first()
    )


def current(environment: Environment, kind: str) -> Revision | None:
    """The revision of one document that the environment should run now."""
    bundle = desired(environment)
    return bundle.revision(kind) if bundle else None


def pair(environment: Environment) -> dict[str, Revision | None]:
    """The same of both documents, by kind."""
    bundle = desired(environment)
    return {kind: bundle.revision(kind) if bundle else None for kind in Kind.values}


def lock(environment: Environment) -> Environment:
    """Hold the environment's row until the transaction ends: whoever publishes or starts a rollout takes it first.

    Rows that refer to it may come meanwhile (`no_key`): whoever holds a change and adds to it does not wait, or both
    would wait for each other.
    """
    return Environment.objects.select_for_update(no_key=True).get(pk=environment.pk)


def add_revision(
    environment: Environment,
    kind: str,
    *,
    text: str,
    source: RevisionSource,
    author: User | None,
    message: str,
    restored_from: Revision | None = None,
) -> Revision:
    """The document's next revision. The caller holds the environment's lock and has validated the text."""
    document, _ = Document.objects.get_or_create(environment=environment, kind=kind)
    parent = document.revisions.order_by("-number").first()
    content = protocol.parse(text)
    revision = Revision.objects.create(
        document=document,
        number=parent.number + 1 if parent else 1,
        digest=protocol.digest(content),
        content_sealed=seal(text),
        size=len(text.encode("utf-8", "surrogatepass")),
        entries=len(content),
        source=source,
        message=message[:500],
        author=author,
        parent=parent,
        restored_from=restored_from,
    )
    entry_history.record(revision, before=parent.text if parent else None, after=text)
    return revision


def add_bundle(environment: Environment, revisions: Mapping[str, Revision], *, author: User | None) -> Bundle:
    """The next desired state: these revisions, and the old bundle's where there is no new one."""
    before = desired(environment)
    pair = {kind: revisions.get(kind) or (before.revision(kind) if before else None) for kind in Kind.values}
    last = Bundle.objects.filter(environment=environment).aggregate(last=Max("number"))["last"] or 0
    return Bundle.objects.create(
        environment=environment,
        number=last + 1,
        webhooks=pair[Kind.WEBHOOKS],
        connections=pair[Kind.CONNECTIONS],
        author=author,
    )


def need_document(kind: str, text: str, *, origin: str) -> None:
    """Refuse a text that no service could read, with its place."""
    try:
        protocol.parse(text)
    except protocol.ProtocolError:
        found = validation.findings(kind, text)
        where = f", line {found[0].line}, column {found[0].column}: {found[0].message}" if found else "."
        raise Refused(f"{kind} from {origin} is not a document{where}") from None


def import_first(environment: Environment, texts: Mapping[str, str], *, actor: User | None, origin: str) -> Bundle:
    """Take documents as they already run somewhere as the first revisions; refused where a bundle exists.

    What runs is taken as it is: rules that the service does not hold do not stop an import, broken JSON does.
    """
    with transaction.atomic():
        environment = lock(environment)
        if desired(environment) is not None:
            raise Refused(f"{environment} has revisions already. Make the import a change of its documents instead.")
        revisions: dict[str, Revision] = {}
        for kind, text in texts.items():
            need_document(kind, text, origin=origin)
            revisions[kind] = add_revision(
                environment,
                kind,
                text=text,
                source=RevisionSource.IMPORT,
                author=actor,
                message=f"Imported from {origin}",
            )
        if not revisions:
            raise Refused(f"{origin} has no documents to import.")
        bundle = add_bundle(environment, revisions, author=actor)
        audit.record("documents.imported", actor=actor, target=environment, origin=origin, digests=bundle.digests())
    return bundle
