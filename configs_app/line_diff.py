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
    head = 0
    while a0 + head < a1 and b0 + head < b1 and a[a0 + head] == b[b0 + head]:
        head += 1
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
            for next_i, next_j in [*anchors, (a1, b1)]:
                yield from _blocks(a, b, i, next_i, j, next_j)
                i, j = next_i, next_j
        elif (a1 - a0) * (b1 - b0) <= LARGEST_GAP:
            gap = SequenceMatcher(None, a[a0:a1], b[b0:b1], autojunk=False)
            yield from ((a0 + match.a, b0 + match.b, match.size) for match in gap.get_matching_blocks())
    yield a1, b1, tail


def _anchors(a: Sequence[str], b: Sequence[str], a0: int, a1: int, b0: int, b1: int) -> list[tuple[int, int]]:
    """Lines that stand once on either side, as the longest run of them that keeps its order."""
    once_a, once_b = Counter(a[a0:a1]), Counter(b[b0:b1])
    place_b = {b[j]: j for j in range(b0, b1) if once_b[b[j]] == 1}
    pairs = [(i, place_b[a[i]]) for i in range(a0, a1) if once_a[a[i]] == 1 and a[i] in place_b]
    return [pairs[number] for number in longest_rising([j for _, j in pairs])]


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
