"""What an open page has on it, so that a live answer brings only the rows that have changed.

The page sends back what it was given: a mark of which rows it shows, and one of each row's contents. The same rows:
those whose mark differs are sent. Other rows, or other ones in between: all of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import blake2b

WIDTH = 8  # hexadecimal digits of a mark


class Seen:
    """The marks of the rows on one page: id on the page → everything that the row shows."""

    def __init__(self, rows: Mapping[str, object]) -> None:
        self.marks = {key: _mark(shown) for key, shown in rows.items()}
        self._which = _mark(tuple(rows))

    def __str__(self) -> str:
        """For the address of the page's next question."""
        return self._which + "".join(self.marks.values())

    def changed(self, sent: str) -> frozenset[str] | None:
        """The rows that differ from what a page has that sent this; None: it shows other rows."""
        if not sent.startswith(self._which) or len(sent) != len(str(self)):
            return None
        had = [sent[at : at + WIDTH] for at in range(WIDTH, len(sent), WIDTH)]
        return frozenset(key for (key, mark), old in zip(self.marks.items(), had, strict=True) if mark != old)


def _mark(shown: object) -> str:
    return blake2b(repr(shown).encode(), digest_size=WIDTH // 2).hexdigest()
