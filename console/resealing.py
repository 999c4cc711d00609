"""Sealing everything with the first of CONSOLE_SEAL_KEYS, so that older ones can be forgotten.

Every column whose name ends in `_sealed` takes part, whichever app it belongs to, and MEMBERS of JSON columns that are
not ours to name.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from django.apps import apps
from django.db import connection, models, transaction
from django.db.models import F, Func, JSONField, Value

from console import audit, sealing

BATCH = 50  # rows read at once; a document may have megabytes
MEMBERS = [("mfa.Authenticator", "data", member) for member in ("secret", "seed")]  # of apps and of recovery codes


@dataclass(slots=True)
class Column:
    """One sealed column, or one member of a JSON column, and how far it is: rows seen, rows under an older key, rows
    that no key opens."""

    model: type[models.Model]
    name: str
    member: str = ""
    total: int = 0
    seen: int = 0
    older: int = 0
    broken: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        return ".".join(filter(None, (self.model._meta.model_name, self.name, self.member)))

    def rows(self) -> models.QuerySet[models.Model]:
        found = self.model._base_manager.all()
        wanted = {f"{self.name}__has_key": self.member} if self.member else {f"{self.name}__isnull": False}
        return found.filter(**wanted)

    @property
    def path(self) -> str:
        return f"{self.name}__{self.member}" if self.member else self.name

    def stored(self, sealed: bytes) -> bytes | str:
        """A seal as this column holds it: JSON holds text."""
        return sealed.decode("ascii") if self.member else sealed

    def changed(self, sealed: bytes) -> object:
        """What an UPDATE sets the column to."""
        if not self.member:
            return sealed
        seal = Value(sealed.decode("ascii"), output_field=JSONField())
        return Func(F(self.name), Value(f"{{{self.member}}}"), seal, function="jsonb_set", output_field=JSONField())


Progress = Callable[[Column], None]


def count(progress: Progress) -> list[Column]:
    """How many rows still need an older key; nothing is changed."""
    return [_each(column, progress, _note) for column in _columns()]


def reseal(progress: Progress) -> list[Column]:
    """Seal every row again that the first key does not open. `older` counts the rows that were changed.

    Each row is a transaction of its own, so a run that was ended is simply started again, and nobody waits. A row that
    somebody else sealed meanwhile is left as it is.
    """
    done = [_each(column, progress, _reseal_row) for column in _columns()]
    changed = {str(column): column.older for column in done if column.older}
    if changed:
        with transaction.atomic():
            audit.record("secrets.resealed", actor=None, rows=changed)
    return done


def _columns() -> Iterator[Column]:
    for model in apps.get_models():
        for column in model._meta.concrete_fields:
            if isinstance(column, models.BinaryField) and column.name.endswith("_sealed"):
                yield _counted(Column(model, column.name))
    for label, name, member in MEMBERS:
        yield _counted(Column(apps.get_model(label), name, member))


def _counted(column: Column) -> Column:
    column.total = column.rows().count()
    return column


def _each(column: Column, progress: Progress, change: Callable[[Column, int, bytes], bool]) -> Column:
    last = 0
    while rows := _batch(column, last):
        for last, sealed in rows:
            column.seen += 1
            if not sealing.is_current(sealed):
                try:
                    column.older += change(column, last, sealed)
                except sealing.SealBroken:
                    column.broken.append(f"{column.model._meta.model_name} {last}")
        progress(column)
    return column


def _batch(column: Column, last: int) -> list[tuple[int, bytes]]:
    rows = column.rows().filter(pk__gt=last).order_by("pk").values_list("pk", column.path)[:BATCH]
    return [(pk, sealed.encode() if isinstance(sealed, str) else bytes(sealed)) for pk, sealed in rows]


def _note(column: Column, pk: int, sealed: bytes) -> bool:
    sealing.unseal(sealed)
    return True


def _reseal_row(column: Column, pk: int, sealed: bytes) -> bool:
    new = sealing.reseal(sealed)
    with transaction.atomic(), connection.cursor() as cursor:
        # Revisions are immutable: their trigger lets a transaction that says so change the seal, and nothing else.
        cursor.execute("SELECT set_config('console.resealing', 'on', true)")
        unchanged = column.rows().filter(pk=pk, **{column.path: column.stored(sealed)})
        return unchanged.update(**{column.name: column.changed(new)}) == 1
