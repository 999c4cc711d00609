"""What should be running: documents, their revisions, bundles, and the changes that lead to them."""

from __future__ import annotations

import json

from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import Q

from configs_app.decision_models import Proposal
from configs_app.discussion_models import Comment as Comment
from console import sealing
from instances_app.models import Environment, Instance, Kind


class Document(models.Model):
    """The webhooks or the connections file of one environment."""

    environment = models.ForeignKey(Environment, on_delete=models.PROTECT, related_name="documents")
    kind = models.CharField(max_length=20, choices=Kind.choices)

    class Meta:
        ordering = ["-kind"]  # webhooks first
        constraints = [
            models.UniqueConstraint(fields=["environment", "kind"], name="document_once"),
            models.CheckConstraint(condition=Q(kind__in=Kind.values), name="document_kind_known"),
        ]

    def __str__(self) -> str:
        return f"{self.environment} {self.kind}"


class RevisionSource(models.TextChoices):
    EDIT = "edit"
    IMPORT = "import"  # read from an instance, or seeded
    RESTORE = "restore"  # an older revision's content, again


class Revision(models.Model):
    """Immutable, numbered content of one document. A trigger refuses UPDATE and DELETE."""

    document = models.ForeignKey(Document, on_delete=models.PROTECT, related_name="revisions")
    number = models.PositiveIntegerField()
    digest = models.CharField(max_length=64)
    content_sealed = models.BinaryField()
    size = models.PositiveIntegerField()  # bytes of the text as typed, in UTF-8
    entries = models.PositiveIntegerField()
    source = models.CharField(max_length=20, choices=RevisionSource.choices)
    message = models.CharField(max_length=500, blank=True)
    author = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True, related_name="revisions")
    parent = models.ForeignKey("self", on_delete=models.PROTECT, null=True, related_name="children")
    restored_from = models.ForeignKey("self", on_delete=models.PROTECT, null=True, related_name="restorations")
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["-number"]
        constraints = [
            models.UniqueConstraint(fields=["document", "number"], name="revision_number_once"),
            models.CheckConstraint(condition=Q(digest__regex=r"^[0-9a-f]{64}$"), name="revision_digest_whole"),
            models.CheckConstraint(condition=Q(source__in=RevisionSource.values), name="revision_source_known"),
        ]

    def __str__(self) -> str:
        return f"{self.document.kind} r{self.number}"

    @property
    def text(self) -> str:
        """The document exactly as it was typed."""
        return sealing.unseal(self.content_sealed)

    @property
    def environment(self) -> Environment:
        return self.document.environment


class RevisionEntry(models.Model):
    """That a revision added, changed or removed one entry. Names and words only: no content, and no digest of any
    that could be guessed at. Written with its revision; a trigger refuses UPDATE and DELETE.
    """

    class Word(models.TextChoices):
        ADDED = "added"
        CHANGED = "changed"
        REMOVED = "removed"

    revision = models.ForeignKey(Revision, on_delete=models.PROTECT, related_name="touched")
    key = models.TextField()  # the entry's name as a JSON string: any name fits, also one that is no valid text
    word = models.CharField(max_length=10, choices=Word.choices)

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=Q(word__in=["added", "changed", "removed"]), name="revision_entry_word_known"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.key} {self.word} in {self.revision}"

    @property
    def name(self) -> str:
        return str(json.loads(self.key))


class RevisionNote(models.Model):
    """What people know about a revision and it does not say itself; the revision stays as it is."""

    revision = models.OneToOneField(Revision, on_delete=models.PROTECT, related_name="note")
    text = models.TextField(max_length=2000)
    editor = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    edited_at = models.DateTimeField(auto_now=True)

    def __str__(self) -> str:
        return f"note on {self.revision}"


class RevisionPin(models.Model):
    """A revision that stands first in its document's history."""

    revision = models.OneToOneField(Revision, on_delete=models.PROTECT, related_name="pin")
    by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    at = models.DateTimeField(auto_now_add=True)

    def __str__(self) -> str:
        return f"pin of {self.revision}"


class RevisionTag(models.Model):
    """A short word for one revision of a document, like good-monday; it can be put on another one."""

    document = models.ForeignKey(Document, on_delete=models.PROTECT, related_name="tags")
    revision = models.ForeignKey(Revision, on_delete=models.PROTECT, related_name="tags")
    name = models.CharField(max_length=40)
    by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    at = models.DateTimeField(auto_now=True)

    class Meta:
        ordering = ["name"]
        constraints = [models.UniqueConstraint(fields=["document", "name"], name="revision_tag_once")]

    def __str__(self) -> str:
        return self.name


class Bundle(models.Model):
    """The pair of revisions an environment should run. The highest number is its desired state. Immutable."""

    environment = models.ForeignKey(Environment, on_delete=models.PROTECT, related_name="bundles")
    number = models.PositiveIntegerField()
    webhooks = models.ForeignKey(Revision, on_delete=models.PROTECT, null=True, related_name="+")
    connections = models.ForeignKey(Revision, on_delete=models.PROTECT, null=True, related_name="+")
    author = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True, related_name="+")
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["-number"]
        constraints = [
            models.UniqueConstraint(fields=["environment", "number"], name="bundle_number_once"),
            models.CheckConstraint(
                condition=Q(webhooks__isnull=False) | Q(connections__isnull=False), name="bundle_not_empty"
            ),
        ]

    def __str__(self) -> str:
        return " + ".join(str(revision) for revision in self.revisions())

    def revision(self, kind: str) -> Revision | None:
        return self.webhooks if kind == Kind.WEBHOOKS else self.connections

    def revisions(self) -> list[Revision]:
        return [revision for revision in (self.webhooks, self.connections) if revision is not None]

    def digests(self) -> dict[str, str]:
        """kind → 64 hex digits, for the documents this bundle has."""
        return {revision.document.kind: revision.digest for revision in self.revisions()}


class Import(models.Model):
    """Documents read from files or from an instance, waiting for a person to say what becomes of them."""

    environment = models.ForeignKey(Environment, on_delete=models.PROTECT, related_name="imports")
    origin = models.CharField(max_length=150)  # for people: "backup.zip", or the instance's name
    instance = models.ForeignKey(Instance, on_delete=models.PROTECT, null=True, related_name="+")
    texts_sealed = models.BinaryField()
    author = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    created_at = models.DateTimeField(auto_now_add=True)

    def __str__(self) -> str:
        return f"import from {self.origin}"

    @property
    def texts(self) -> dict[str, str]:
        """kind → the text exactly as it was read; one document or both."""
        texts: dict[str, str] = json.loads(sealing.unseal(self.texts_sealed))
        return texts


class ChangeState(models.TextChoices):
    DRAFT = "draft"  # being edited
    PROPOSED = "proposed"  # waiting for another person's approval
    APPROVED = "approved"  # may be published as it stands; any edit makes it a draft again
    PUBLISHED = "published"  # became revisions, a bundle and a rollout. Final.
    REJECTED = "rejected"  # a reviewer said no, with a reason; the author may edit on
    WITHDRAWN = "withdrawn"  # given up. Final.


STANDS_PROPOSED = (ChangeState.PROPOSED, ChangeState.APPROVED)


class Change(models.Model):
    """A change request: proposed content for one or both documents, on named base revisions."""

    environment = models.ForeignKey(Environment, on_delete=models.PROTECT, related_name="changes")
    title = models.CharField(max_length=200, blank=True)
    reason = models.TextField(max_length=2000, blank=True)  # why it is needed; several lines
    state = models.CharField(max_length=20, choices=ChangeState.choices, default=ChangeState.DRAFT)
    author = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="changes")
    last_editor = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)
    decision_reason = models.CharField(max_length=500, blank=True)  # why it was rejected
    seal = models.CharField(max_length=64, blank=True)  # of its proposal; an edit empties it
    restores = models.ForeignKey(Revision, on_delete=models.PROTECT, null=True, related_name="+")
    plan = models.JSONField(null=True)  # null: the environment's
    targets = ArrayField(models.BigIntegerField(), null=True)  # instance ids; null: every active one when proposed
    bundle = models.OneToOneField(Bundle, on_delete=models.PROTECT, null=True, related_name="change")

    class Meta:
        ordering = ["-updated_at"]
        constraints = [
            models.CheckConstraint(condition=Q(state__in=ChangeState.values), name="change_state_known"),
            models.CheckConstraint(
                condition=~Q(state=ChangeState.PUBLISHED) | Q(bundle__isnull=False),
                name="change_published_has_bundle",
            ),
            models.CheckConstraint(
                condition=~Q(state=ChangeState.REJECTED) | ~Q(decision_reason=""),
                name="change_rejection_has_reason",
            ),
        ]

    def __str__(self) -> str:
        return self.title or f"Change {self.pk}"

    @property
    def is_open(self) -> bool:
        return self.state not in {ChangeState.PUBLISHED, ChangeState.WITHDRAWN}

    @property
    def is_proposed(self) -> bool:
        """It stands before people. Whether their approvals are enough is counted anew each time, by today's rules."""
        return self.state in STANDS_PROPOSED


class ChangedDocument(models.Model):
    """One document's proposed text within a change, as typed, valid or not."""

    change = models.ForeignKey(Change, on_delete=models.CASCADE, related_name="documents")
    kind = models.CharField(max_length=20, choices=Kind.choices)
    base = models.ForeignKey(Revision, on_delete=models.PROTECT, null=True, related_name="+")
    content_sealed = models.BinaryField()
    digest = models.CharField(max_length=64, blank=True)  # empty while the text is not a valid document

    class Meta:
        ordering = ["-kind"]
        constraints = [
            models.UniqueConstraint(fields=["change", "kind"], name="changed_document_once"),
            models.CheckConstraint(condition=Q(kind__in=Kind.values), name="changed_document_kind_known"),
        ]

    def __str__(self) -> str:
        return f"{self.kind} of change {self.change_id}"

    @property
    def text(self) -> str:
        return sealing.unseal(self.content_sealed)

    @property
    def is_changed(self) -> bool:
        return self.base is None or self.digest != self.base.digest or self.text != self.base.text


class Approval(models.Model):
    """One person's yes to one proposal; any edit makes it void. A trigger refuses those who had a part, and edits."""

    change = models.ForeignKey(Change, on_delete=models.PROTECT, related_name="approvals")
    approver = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="approvals")
    approver_name = models.CharField(max_length=150)
    seal = models.CharField(max_length=64)  # the change's seal when they said yes
    proposal = models.ForeignKey(Proposal, on_delete=models.PROTECT, null=True, related_name="approvals")
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["created_at"]
        constraints = [
            models.UniqueConstraint(fields=["change", "approver", "seal"], name="approval_once"),
        ]

    def __str__(self) -> str:
        return f"{self.approver_name} approved change {self.change_id}"


class Acceptance(models.Model):
    """A decision to live with what one rule finds in one entry: with a reason, and until a day.

    It stands while nobody has ended it and its day has not come. Whether it counts for a change: `acceptances.counts`.
    """

    environment = models.ForeignKey(Environment, on_delete=models.PROTECT, related_name="acceptances")
    kind = models.CharField(max_length=20, choices=Kind.choices)
    rule = models.CharField(max_length=10)
    level = models.CharField(max_length=10)  # some rules have two; the milder one does not cover the graver
    entry = models.CharField(max_length=500)
    reason = models.CharField(max_length=500)
    author = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="acceptances")
    created_at = models.DateTimeField(auto_now_add=True)
    expires_at = models.DateTimeField()
    ended_at = models.DateTimeField(null=True)  # taken back, or replaced by a newer one

    class Meta:
        ordering = ["-created_at"]
        constraints = [
            models.UniqueConstraint(
                fields=["environment", "kind", "rule", "level", "entry"],
                condition=Q(ended_at__isnull=True),
                name="acceptance_one_standing",
            ),
            models.CheckConstraint(condition=Q(kind__in=Kind.values), name="acceptance_kind_known"),
            models.CheckConstraint(condition=~Q(reason=""), name="acceptance_has_reason"),
        ]

    def __str__(self) -> str:
        return f"{self.rule} ({self.level}) in {self.kind} {self.entry}"
