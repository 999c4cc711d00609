"""Which lines of two long texts belong together, in time that grows with their length.

difflib alone takes minutes for documents of two megabytes: their lines repeat ("module": "log"), and every repetition
is compared with every other. Lines that stand once in both texts (names of entries do) are found first and kept in
order (patience diff, B. Cohen); difflib has only the gaps between them.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator, Sequence
from difflib import Match, SequenceMatcher

LARGEST_GAP = 200_000  # lines times lines that difflib may compare; a larger gap is shown as replaced


class LineMatcher(SequenceMatcher[str]):
    """difflib's matcher with other blocks; its opcodes and groups are difflib's own."""

    def __init__(self, a: Sequence[str], b: Sequence[str]) -> None:
        super().__init__(None, "", "", autojunk=False)
        self.a, self.b = a, b

    def get_matching_blocks(self) -> list[Match]:
        merged: list[Match] = []
        for i, j, size in _blocks(self.a, self.b, 0, len(self.a), 0, len(self.b)):
            last = merged[-1] if merged else None
            if last is not None and last.a + last.size == i and last.b + last.size == j:
                merged[-1] = Match(last.a, last.b, last.size + size)
            elif size:
                merged.append(Match(i, j, size))
        return [*merged, Match(len(self.a), len(self.b), 0)]


def _blocks(a: Sequence[str], b: Sequence[str], a0: int, a1: int, b0: int, b1: int) -> Iterator[tuple[int, int, int]]:
    """Matching runs within a[a0:a1] and b[b0:b1], in order."""
    head = _run(a, b, a0, a1, b0, b1)
    yield a0, b0, head
    a0, b0 = a0 + head, b0 + head
    tail = 0
    while a0 < a1 - tail and b0 < b1 - tail and a[a1 - 1 - tail] == b[b1 - 1 - tail]:
        tail += 1
    a1, b1 = a1 - tail, b1 - tail
    if a0 < a1 and b0 < b1:
        anchors = _anchors(a, b, a0, a1, b0, b1)
        if anchors:
            i, j = a0, b0
            for next_i, next_j in anchors:
                if next_i >= i:  # else it stands in the run of an earlier one
                    yield from _blocks(a, b, i, next_i, j, next_j)
                    size = _run(a, b, next_i, a1, next_j, b1)
                    yield next_i, next_j, size
                    i, j = next_i + size, next_j + size
            yield from _blocks(a, b, i, a1, j, b1)
        elif (a1 - a0) * (b1 - b0) <= LARGEST_GAP:
            gap = SequenceMatcher(None, a[a0:a1], b[b0:b1], autojunk=False)
            yield from ((a0 + match.a, b0 + match.b, match.size) for match in gap.get_matching_blocks())
    yield a1, b1, tail


def _run(a: Sequence[str], b: Sequence[str], a0: int, a1: int, b0: int, b1: int) -> int:
    """How many lines are the same from a0 and b0 on; by hundreds first, which is one comparison each."""
    size, most = 0, min(a1 - a0, b1 - b0)
    while size + 100 <= most and a[a0 + size : a0 + size + 100] == b[b0 + size : b0 + size + 100]:
        size += 100
    while size < most and a[a0 + size] == b[b0 + size]:
        size += 1
    return size


def _anchors(a: Sequence[str], b: Sequence[str], a0: int, a1: int, b0: int, b1: int) -> list[tuple[int, int]]:
    """Lines that stand once on either side, as the longest run of them that keeps its order."""
    here, there = a[a0:a1], b[b0:b1]
    times_a, times_b = Counter(here), Counter(there)
    place_a, place_b = dict(zip(here, range(a0, a1), strict=True)), dict(zip(there, range(b0, b1), strict=True))
    # A counter keeps the order in which lines come first, which is the only time for these.
    once = [line for line, times in times_a.items() if times == 1 and times_b[line] == 1]
    return [
        (place_a[once[number]], place_b[once[number]]) for number in longest_rising([place_b[line] for line in once])
    ]


def longest_rising(numbers: Sequence[int]) -> list[int]:
    """The indexes of a longest run of numbers that only rise (patience sorting)."""
    ends: list[int] = []  # the smallest last number of a run of each length
    last: list[int] = []  # the index it ends with
    before: list[int] = []  # the index before each one in its run
    for index, number in enumerate(numbers):
        length = bisect_left(ends, number)
        before.append(last[length - 1] if length else -1)
        ends[length : length + 1] = [number]
        last[length : length + 1] = [index]
    run: list[int] = []
    index = last[-1] if last else -1
    while index >= 0:
        run.append(index)
        index = before[index]
    return run[::-1]
