"""The diff is right for any two texts, names the fewest lines it can, and does not take minutes for large ones."""

from __future__ import annotations

import json
from difflib import SequenceMatcher

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from configs_app import diffs
from configs_app.line_diff import LineMatcher

lines = st.lists(st.sampled_from(["a", "b", "c", "d", "{", "}", "x1", "x2", "x3"]), max_size=30)


@settings(max_examples=300, deadline=None, database=None)
@given(old=lines, new=lines)
def test_the_new_text_follows_from_the_old_one_and_the_difference(old: list[str], new: list[str]) -> None:
    built: list[str] = []
    for tag, i1, i2, j1, j2 in LineMatcher(old, new).get_opcodes():
        if tag == "equal":
            assert old[i1:i2] == new[j1:j2]
        built += old[i1:i2] if tag == "equal" else new[j1:j2]
    assert built == new


def test_an_entry_that_is_added_is_all_that_is_shown() -> None:
    entry = {"data_type": "json", "module": "log"}
    old = json.dumps({f"w{n}": entry for n in range(50)}, indent=2)
    new = json.dumps({f"w{n}{'x' * (n == 25)}": entry for n in range(51)}, indent=2)
    shown = diffs.lines(old, new, show_secrets=True)
    added = [line.text.strip() for line in shown if line.mark == "added"]
    removed = [line.text.strip() for line in shown if line.mark == "removed"]
    assert removed == ['"w25": {']
    assert added[0] == '"w25x": {'
    assert sorted(added[1:]) == sorted(['"w50": {', '"data_type": "json",', '"module": "log"', "},"])


def test_moved_entries_are_found_again() -> None:
    entry = {"data_type": "json", "module": "log", "note": "x"}
    names = [f"w{n}" for n in range(40)]
    old = json.dumps(dict.fromkeys(names, entry), indent=2).splitlines()
    new = json.dumps(dict.fromkeys([*names[20:], *names[:20]], entry), indent=2).splitlines()
    same = sum(block.size for block in LineMatcher(old, new).get_matching_blocks())
    best = sum(block.size for block in SequenceMatcher(None, old, new, autojunk=False).get_matching_blocks())
    assert same >= 0.9 * best


@pytest.mark.parametrize("entries", [5000])
def test_two_megabytes_are_compared_while_somebody_waits(entries: int) -> None:
    """difflib alone took nine minutes here; the limit is only there to notice that again."""
    import time

    def document(changed: str) -> str:
        entry = {"data_type": "json", "module": "kafka", "module-config": {"forward_headers": False}, "note": "x" * 150}
        return json.dumps(
            {f"w{n}": {**entry, "note": changed} if n % 50 == 0 else entry for n in range(entries)}, indent=2
        )

    old, new = document("before"), document("after")
    started = time.process_time()
    shown = diffs.lines(old, new, show_secrets=True)
    assert time.process_time() - started < 5
    assert sum(line.mark == "added" for line in shown) == entries // 50
