"""A difference names what happened to every entry, shows the lines, and never a secret."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from configs_app import diffs, secrets
from configs_app.json_text import JsonError
from configs_app.members import members

KAFKA: dict[str, Any] = {
    "module": "kafka",
    "connection": "bus",
    "topic": "orders",
    "authorization": "{$TOKEN}",
    "module-config": {"key": "id", "headers": True},
    "retry": {"enabled": True, "max_attempts": 3},
}


def text(document: object) -> str:
    return json.dumps(document, indent=2)


def test_an_entry_under_another_name_is_renamed_and_its_old_address_is_still_gone() -> None:
    found = diffs.entries(text({"a": KAFKA, "b": {"module": "log"}}), text({"b": {"module": "log"}, "c": KAFKA}))
    (pair,) = found.renamed
    assert (pair.old, pair.new, pair.keys) == ("a", "c", ())
    assert (found.appeared, found.vanished) == ([], [])
    assert (found.added, found.removed) == (["c"], ["a"])  # what counts addresses sees both


def test_a_renamed_entry_may_differ_a_little_and_not_much() -> None:
    nearly = diffs.entries(text({"a": KAFKA}), text({"c": {**KAFKA, "topic": "payments"}}))
    assert [(pair.old, pair.new, pair.keys) for pair in nearly.renamed] == [("a", "c", ("topic",))]
    other = diffs.entries(
        text({"a": KAFKA}), text({"c": {"module": "kafka", "connection": "bus", "topic": "payments"}})
    )
    assert not other.renamed
    assert (other.appeared, other.vanished) == (["c"], ["a"])


def test_of_several_candidates_the_most_alike_is_the_renamed_one() -> None:
    old = {"a": KAFKA, "b": {**KAFKA, "topic": "b"}}
    found = diffs.entries(text(old), text({"x": {**KAFKA, "topic": "b", "note": "new"}, "y": KAFKA}))
    assert {(pair.old, pair.new) for pair in found.renamed} == {("a", "y"), ("b", "x")}


def test_what_differs_inside_an_entry_is_named_by_its_path_without_values() -> None:
    new = {**KAFKA, "topic": "x", "module-config": {"key": "id", "headers": 1}, "extra": None}
    assert diffs.entries(text({"a": KAFKA}), text({"a": new})).keys["a"] == ("topic", "module-config.headers", "extra")
    chain = {"chain": [{"module": "log"}, {"module": "kafka"}]}
    longer = {"chain": [{"module": "log"}, {"module": "s3"}]}
    assert diffs.entries(text({"a": chain}), text({"a": longer})).keys["a"] == ("chain[1].module",)


def test_only_the_order_of_keys_or_only_the_formatting_is_said_to_be_that() -> None:
    turned = dict(reversed(list(KAFKA.items())))
    found = diffs.entries(text({"a": KAFKA}), text({"a": turned}))
    assert (found.key_order, found.changed, found.formatting, bool(found)) == (["a"], [], [], False)
    found = diffs.entries(text({"a": KAFKA}), json.dumps({"a": KAFKA}))
    assert (found.formatting, found.key_order, bool(found), found.differ) == (["a"], [], False, True)
    found = diffs.entries('{"a": {"t": "\\u00fc"}}', '{"a": {"t": "ü"}}')
    assert found.formatting == ["a"]


def test_the_fewest_entries_are_said_to_have_moved() -> None:
    names = [f"w{number}" for number in range(20)]
    moved = [*names[:5], *names[6:], names[5]]
    found = diffs.entries(text(dict.fromkeys(names, KAFKA)), text(dict.fromkeys(moved, KAFKA)))
    assert found.moved == ["w5"]
    assert found.reordered


def test_every_entry_of_the_summary_leads_to_a_line_of_it() -> None:
    old = {"a": KAFKA, "b": KAFKA, "c": KAFKA, "gone": {"module": "log", "n": 1}, "f": KAFKA}
    new = {
        "new": {"module": "s3"},
        "a": KAFKA,
        "b": {**KAFKA, "topic": "b"},
        "c": dict(reversed(KAFKA.items())),
        "f": KAFKA,
    }
    difference = diffs.between(text(old), text(new))
    places = {line.anchor: line for line in difference.lines if line.anchor}
    assert set(difference.anchors) == {"new", "b", "c", "gone"}
    assert places[difference.anchors["new"]].mark == "added"
    assert places[difference.anchors["gone"]].mark == "removed"
    assert '"topic"' in places[difference.anchors["b"]].text


def test_the_part_of_a_line_that_changed_is_emphasised() -> None:
    (old, new) = [
        line for line in diffs.lines('{"a": {\n"topic": "orders"\n}}', '{"a": {\n"topic": "refunds"\n}}') if line.parts
    ]
    assert old.parts == ('"topic": "', "orders", '"')
    assert new.parts == ('"topic": "', "refunds", '"')


def test_two_columns_show_the_same_lines_as_one() -> None:
    difference = diffs.between(text({"a": KAFKA}), text({"a": {**KAFKA, "topic": "x", "note": "y"}, "b": {}}))
    rows = list(difference.rows)
    left = [row.left for row in rows if row.left and row.left.mark == "removed"]
    right = [row.right for row in rows if row.right and row.right.mark == "added"]
    assert left == [line for line in difference.lines if line.mark == "removed"]
    assert right == [line for line in difference.lines if line.mark == "added"]
    assert all(row.left is row.right for row in rows if row.left and row.left.mark in {"same", "gap"})


def test_folded_lines_are_counted_and_can_be_seen() -> None:
    old = text({f"w{number}": KAFKA for number in range(30)})
    new = old.replace('"w15"', '"w15b"')
    folded = diffs.between(old, new)
    kept = sum(line.mark in {"same", "removed"} for line in folded.lines)
    gaps = [int(line.text.split(" ")[0]) for line in folded.lines if line.mark == "gap"]
    assert kept + sum(gaps) == len(old.splitlines())
    unfolded = diffs.between(old, new, context=None)
    assert [line.text for line in unfolded.lines if line.mark in {"same", "removed"}] == old.splitlines()


def test_a_huge_difference_is_cut_and_says_how_much_is_left() -> None:
    old, new = text({f"w{n}": {"a": n} for n in range(5000)}), text({f"w{n}": {"a": -n - 1} for n in range(5000)})
    cut = diffs.between(old, new)
    assert len(cut.lines) == diffs.MOST_LINES
    assert len(cut.lines) + cut.more == len(diffs.between(old, new, most=None).lines)
    assert cut.entries is not None
    assert len(cut.entries.changed) == 5000  # the summary counts all of them


def test_a_text_that_is_not_json_still_has_a_difference_and_shows_nothing() -> None:
    difference = diffs.between(text({"a": {"password": "hunter2-hunter2"}}), '{"a": {"password": "hunter2-hunter2"')
    assert difference.entries is None
    assert difference.lines
    assert "hunter2" not in str(difference)


LOOSE = ["NaN", "1e999", "[" * 150 + "]" * 150, "[" * 900 + "]" * 900, "1" * 2000, '1, "n": 2']


@pytest.mark.parametrize("value", LOOSE, ids=lambda value: value[:4] + str(len(value)))
@pytest.mark.parametrize(
    "shape", ['{{"a": {{"password": "s3cret-1",\n"n": {}}}}}', '{{"n": {},\n"a": {{"password": "s3cret-1"}}}}']
)
def test_a_draft_that_is_nearly_json_shows_no_secret_either(shape: str, value: str) -> None:
    draft = shape.format(value)
    for old, new in ((None, draft), (draft, draft.replace("-1", "-2")), (text({"a": KAFKA}), draft)):
        shown = diffs.between(old, new, context=None)
        assert "s3cret" not in str(shown)
        assert shown.lines or old == draft.replace("-2", "-1")  # two texts that are not shown look the same


def test_very_long_lines_are_cut_until_asked_for() -> None:
    long = json.dumps({"a": {"password": "hunter2-hunter2", "note": "x" * 10_000}})
    (line,) = diffs.between(None, long).lines
    assert line.text.endswith("more characters")
    assert len(line.text) < 2_100
    (line,) = diffs.between(None, long, most=None).lines
    assert len(line.text) > 10_000
    assert "hunter2" not in line.text


SECRETS = st.sampled_from(["s3cret-one", "s3cret\u2028two", "s3cret\\three", 's3cret"four', "s3cret\x0cfive"])
LOGIN = {"password": SECRETS, "jwt": st.fixed_dictionaries({"secret": SECRETS})}
ENTRIES = st.dictionaries(
    st.sampled_from(["a", "b", "password", "ü"]),
    st.fixed_dictionaries({"module": st.sampled_from(["log", "kafka"])}, optional=LOGIN),
    max_size=4,
)
STYLES = st.sampled_from([{"indent": 2}, {}, {"indent": 1, "ensure_ascii": False}, {"separators": (",", ":")}])


@settings(max_examples=200, deadline=None, database=None)
@given(old=ENTRIES, new=ENTRIES, styles=st.tuples(STYLES, STYLES), context=st.sampled_from([0, 3, None]))
def test_no_difference_shows_a_secret(
    old: dict[str, Any], new: dict[str, Any], styles: tuple[dict[str, Any], dict[str, Any]], context: int | None
) -> None:
    before, after = json.dumps(old, **styles[0]), json.dumps(new, **styles[1])
    shown = diffs.between(before, after, context=context)
    assert "s3cret" not in str(shown)
    whole = secrets.masked(after).split("\n")
    for line in shown.lines:
        if line.new is not None:
            assert line.text == whole[line.new - 1]  # as the whole text would be masked, line by line


@pytest.mark.parametrize(
    "broken", ["", "[]", "{", '{"a": 1,}', '{"a" 1}', '{"a": 1} x', "{1: 2}", "\ufeff{}", "[" * 5000]
)
def test_a_text_that_is_no_object_has_no_entries(broken: str) -> None:
    with pytest.raises(JsonError):
        list(members(broken))
