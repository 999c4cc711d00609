"""What every verb of a change does to its rows: lock, keep a text, take the seal off."""

from __future__ import annotations

from webhook_agent import protocol

from configs_app import reasons
from configs_app.models import Change, ChangedDocument, Revision
from console.errors import Refused
from console.sealing import seal
from instances_app.models import Kind

LONGEST_TITLE, LONGEST_REASON = 200, 2000  # characters


def stamp(change: Change) -> str:
    """Changes with every save."""
    return change.updated_at.isoformat()


def digest_of(text: str) -> str:
    """Empty for a text that is not a document: it is kept all the same, nothing that was typed is lost."""
    try:
        return protocol.digest(protocol.parse(text))
    except protocol.ProtocolError:
        return ""


def digests(change: Change) -> dict[str, str]:
    """kind → digest, empty for what is no document, of the documents it has."""
    return dict(change.documents.values_list("kind", "digest"))


def keep(change: Change, kind: str, text: str, *, base: Revision | None) -> None:
    """Seal a text into the change, valid or not."""
    if kind not in Kind.values:
        raise Refused(f"There is no document named {kind!r}.")
    values = {"base": base, "content_sealed": seal(text), "digest": digest_of(text)}
    ChangedDocument.objects.update_or_create(change=change, kind=kind, defaults=values)


def unseal(change: Change) -> None:
    """Void what was proposed. First of all, because the database refuses to touch the texts under a seal."""
    change.seal = ""
    change.save(update_fields=["seal"])


def tell(change: Change, *, title: str | None = None, reason: str | None = None) -> None:
    """What it is called and why it is needed, where given."""
    before = (change.title, change.reason)
    if title is not None:
        change.title = reasons.tidy(title, what="title", longest=LONGEST_TITLE)
    if reason is not None:
        change.reason = reasons.tidy(reason, longest=LONGEST_REASON)
    if (change.title, change.reason) != before:
        refuse_secrets(change)


def refuse_secrets(change: Change) -> None:
    """Its title and reason stand in the audit trail and in the messages of revisions."""
    texts = reasons.beside_change(change)
    reasons.refuse_secrets(change.title, texts, what="title")
    reasons.refuse_secrets(change.reason, texts)


def locked(change: Change) -> Change:
    """As it is now, held until the transaction ends."""
    # Two queries: in one, a change whose last editor became another person while this waited for the lock would seem
    # to be gone, because Postgres looks again at the row but not at what it was joined with.
    Change.objects.select_for_update(no_key=True).only("pk").get(pk=change.pk)
    return Change.objects.select_related("environment", "author", "last_editor", "restores").get(pk=change.pk)


def need(condition: bool, message: str) -> None:
    if not condition:
        raise Refused(message)
