"""What pages share that follow work on many instances: a page of rows, and instances with the same trouble."""

from __future__ import annotations

from dataclasses import dataclass

from django.http import QueryDict

from console.http import whole

SHOWN = 100  # rows on a page
NAMED = 12  # instances of a group


@dataclass(frozen=True, slots=True)
class Group:
    """Instances with the same trouble; the first of their names."""

    state: str
    error: str
    number: int
    names: list[str]

    @property
    def more(self) -> int:
        return self.number - len(self.names)


def window(asked: QueryDict, number: int) -> tuple[int, int, slice]:
    """Which page of so many rows ?page= asks for, of how many, and its rows; one that is not there is the nearest."""
    pages = max(1, -(-number // SHOWN))
    page = min(max(whole(asked.get("page", "")) or 1, 1), pages)
    return page, pages, slice((page - 1) * SHOWN, page * SHOWN)
