"""Two edits of one document put together: whatever both did, nothing is lost and nothing is decided silently.

CONSOLE_TEST_EXAMPLES sets the number of generated documents (150 unless given).
"""

from __future__ import annotations

import json
import os
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from webhook_agent import protocol

from configs_app import marks, merges, secrets
from configs_app.entry_diff import canonical
from configs_app.merges import Choice, merged

GIVEN = os.environ.get("CONSOLE_TEST_EXAMPLES")
ALL = settings(max_examples=int(GIVEN or 150), deadline=None, database=None, suppress_health_check=list(HealthCheck))
GONE: Any = object()

names = st.sampled_from(["a", "b", "c", "password", "ü", 'quo"te', "\u0000"])
scalars = st.sampled_from([0, 1, 1.0, True, None, "", "x", "hunter2", "{$VAR}", "‹", "\ud800", [], [1, {"a": 2}]])
values = st.recursive(scalars, lambda inner: st.dictionaries(names, inner, max_size=4), max_leaves=8)
entries = st.dictionaries(names, values, max_size=5)


@st.composite
def edited(draw: st.DrawFn, document: dict[str, Any]) -> dict[str, Any]:
    """What somebody made of it: entries kept, replaced, removed, edited inside, added, moved."""
    found: dict[str, Any] = {}
    for name, value in document.items():
        deed = draw(st.sampled_from(["keep", "keep", "keep", "replace", "remove", "inside"]))
        if deed == "inside" and isinstance(value, dict):
            found[name] = draw(edited(value))
        elif deed != "remove":
            found[name] = draw(values) if deed == "replace" else value
    found |= draw(st.dictionaries(names, values, max_size=1))
    return dict(draw(st.permutations(list(found.items())))) if draw(st.booleans()) else found


@st.composite
def written(draw: st.DrawFn, document: dict[str, Any]) -> str:
    """One of the ways to type it."""
    indent = draw(st.sampled_from([None, 2, "\t", 0]))
    text = json.dumps(document, indent=indent, ensure_ascii=draw(st.booleans())) + draw(st.sampled_from(["", "\n"]))
    return text.replace("\n", "\r\n") if draw(st.booleans()) else text


@st.composite
def triples(draw: st.DrawFn) -> tuple[str, str, str]:
    """Base, ours, theirs."""
    base = draw(entries)
    sides = [base, draw(edited(base)), draw(edited(base))]
    first, second, third = (draw(written(side)) for side in sides)
    return first, second, third


def reference(base: Any, ours: Any, theirs: Any, *, top: bool = True) -> Any:
    """The same merge over Python values, ours where both differ; an order of its own."""
    sides = (base, ours, theirs)
    if top or (all(isinstance(side, dict) for side in sides) and len({*map(key, sides)}) == 3):
        found = {
            name: reference(*(side.get(name, GONE) for side in sides), top=False) for name in {*base, *ours, *theirs}
        }
        return {name: value for name, value in found.items() if value is not GONE}
    return theirs if key(ours) == key(base) else ours


def key(value: Any) -> str:
    return "gone" if value is GONE else canonical(value)


def digest(text: str) -> str:
    return protocol.digest(protocol.parse(text))


@ALL
@given(triples())
def test_it_is_the_merge_of_the_values(sides: tuple[str, str, str]) -> None:
    base, ours, theirs = sides
    expected = reference(*(protocol.parse(side) for side in sides))
    assert digest(merged(base, ours, theirs).text) == protocol.digest(expected)


@ALL
@given(triples())
def test_where_theirs_did_not_move_ours_comes_back_byte_for_byte(sides: tuple[str, str, str]) -> None:
    base, ours, _ = sides
    assert merged(base, ours, base).text == ours


@ALL
@given(triples(), st.data())
def test_where_ours_only_wrote_it_anew_it_is_theirs(sides: tuple[str, str, str], data: st.DataObject) -> None:
    base, _, theirs = sides
    assert merged(base, base, theirs).text == theirs
    again = data.draw(written(protocol.parse(base)))
    found = merged(base, again, theirs)
    assert digest(found.text) == digest(theirs)
    assert not found.conflicts


@ALL
@given(triples())
def test_without_conflicts_it_does_not_matter_who_was_first(sides: tuple[str, str, str]) -> None:
    base, ours, theirs = sides
    one, other = merged(base, ours, theirs), merged(base, theirs, ours)
    assert {conflict.path for conflict in one.conflicts} == {conflict.path for conflict in other.conflicts}
    if not one.conflicts:
        assert digest(one.text) == digest(other.text)


@ALL
@given(triples())
def test_every_entry_is_one_sides_or_named_as_put_together(sides: tuple[str, str, str]) -> None:
    base, ours, theirs = (protocol.parse(side) for side in sides)
    found = merged(*sides)
    result, parts = protocol.parse(found.text), {part.name: part for part in found.parts}
    for name in {*base, *ours, *theirs}:
        mine, yours, now = (key(side.get(name, GONE)) for side in (ours, theirs, result))
        if now not in (mine, yours) or (mine != yours and key(base.get(name, GONE)) not in (mine, yours)):
            assert parts[name].ours or parts[name].theirs or parts[name].both or parts[name].conflicts
        elif now != key(base.get(name, GONE)):
            assert name in parts
    assert set(result) <= {*ours, *theirs}


@ALL
@given(triples(), st.randoms(use_true_random=False))
def test_each_decision_is_carried_out_and_no_mask_is_ever_stored(sides: tuple[str, str, str], pick: Any) -> None:
    base, ours, theirs = sides
    conflicts = merged(base, ours, theirs).conflicts
    wanted: dict[merges.Keys, str] = {conflict.path: pick.choice(["ours", "theirs"]) for conflict in conflicts}
    choices: dict[merges.Keys, Choice] = {}
    for conflict in conflicts:
        text = conflict.ours if wanted[conflict.path] == "ours" else conflict.theirs
        typed = merges.shown(conflict.path, text) if pick.random() < 0.5 else None
        side: merges.Side = "ours" if wanted[conflict.path] == "ours" else "theirs"
        choices[conflict.path] = Choice(side) if typed is None else Choice("edit", typed)
    known = marks.known([base, ours, theirs])
    found = merged(base, ours, theirs, choices, known=known)
    assert not found.undecided
    if found.problems:  # a mark that could stand for two secrets, or a text that looks like one: refused, in words
        return
    assert not any(mark in found.text for mark in known)
    result = protocol.parse(found.text)
    for path, name in wanted.items():
        assert key(at(result, path)) == key(at(protocol.parse(ours if name == "ours" else theirs), path))


def at(value: Any, path: merges.Keys) -> Any:
    for name in path:
        value = value.get(name, GONE) if isinstance(value, dict) else GONE
    return value


BASE = """{
  "orders": {"module": "kafka", "module-config": {"topic": "orders", "acks": 1}, "authorization": "Bearer s3cret"},

  "refunds": {"module": "log"},
  "old": {"module": "log"}
}
"""


def test_both_edits_of_one_entry_are_put_together_key_by_key_and_the_layout_stays() -> None:
    ours = BASE.replace('"acks": 1', '"acks":   2').replace(',\n  "old": {"module": "log"}', "")
    theirs = BASE.replace('"topic": "orders"', '"topic": "orders-v2"').replace(
        '"old": {"module": "log"}', '"old": {"module": "log"},\n  "new": {"module":"log"}'
    )
    found = merged(BASE, ours, theirs)
    assert found.text == ours.replace('"orders", "acks"', '"orders-v2", "acks"').replace(
        '"refunds": {"module": "log"}', '"refunds": {"module": "log"},\n\n  "new": {"module":"log"}'
    )
    orders, old, new = found.parts
    assert (orders.name, orders.ours, orders.theirs) == ("orders", ["module-config.acks"], ["module-config.topic"])
    assert (old.name, old.word, old.what) == ("old", "ours", "removed")
    assert (new.name, new.word, new.what) == ("new", "theirs", "added")


def test_a_removal_against_an_edit_is_a_conflict() -> None:
    ours = json.dumps({"refunds": {"module": "log"}, "old": {"module": "log"}})
    theirs = BASE.replace('"acks": 1', '"acks": 0')
    (conflict,) = merged(BASE, ours, theirs).conflicts
    assert (conflict.path, conflict.ours) == (("orders",), None)
    assert "orders" not in protocol.parse(merged(BASE, ours, theirs, {("orders",): Choice("ours")}).text)
    kept = protocol.parse(merged(BASE, ours, theirs, {("orders",): Choice("theirs")}).text)
    assert kept["orders"]["module-config"]["acks"] == 0


def test_two_new_entries_of_one_name_are_not_mixed() -> None:
    found = merged("{}", '{"a": {"x": 1}}', '{"a": {"y": 2}}')
    assert [conflict.path for conflict in found.conflicts] == [("a",)]


def test_a_typed_value_gets_its_secrets_back_and_a_mark_that_would_be_readable_is_refused() -> None:
    ours = BASE.replace("Bearer s3cret", "Bearer ours")
    theirs = BASE.replace("Bearer s3cret", "Bearer theirs")
    (conflict,) = merged(BASE, ours, theirs).conflicts
    mark = merges.shown(conflict.path, conflict.theirs)
    assert mark is not None
    assert "theirs" not in mark
    known = marks.known([BASE, ours, theirs])
    assert merged(BASE, ours, theirs, {conflict.path: Choice("edit", mark)}, known=known).text == theirs

    def problem(path: merges.Keys, typed: str, one: str, other: str) -> str:
        return merged(BASE, one, other, {path: Choice("edit", typed)}, known=known).problems[0][1]

    one, other = BASE.replace('"orders", "acks"', '"x", "acks"'), BASE.replace('"orders", "acks"', '"y", "acks"')
    path = ("orders", "module-config", "topic")
    assert problem(path, mark, one, other) == marks.READABLE
    assert problem(path, '"‹secret 000000000000›"', one, other) == marks.UNKNOWN
    assert "double quotes" in problem(path, "orders", one, other)
    assert "more text" in problem(path, '"a", "b": 1', one, other)
    assert "twice" in problem(path, '{"a": 1, "a": 2}', one, other)
    assert "take one of the two sides" in problem(path, " ", one, other)


def test_an_order_that_only_theirs_changed_is_taken_and_a_contested_one_is_told() -> None:
    base, theirs = '{"a": 1, "b": 2, "c": 3}', '{"c": 3, "a": 1, "b": 2}'
    found = merged(base, '{"a": 1, "b": 9, "c": 3, "d": 4}', theirs)
    assert list(protocol.parse(found.text)) == ["c", "d", "a", "b"]
    assert found.order == "theirs"
    assert merged(base, '{"b": 2, "a": 1, "c": 3}', theirs).order == "conflict"
    assert merged(base, theirs, theirs).order == ""


@pytest.mark.parametrize("ours", ["{}", "{ }\n", '{"a": 1}', '{\n  "a": 1\n}\n'])
def test_the_smallest_documents_can_be_written_into(ours: str) -> None:
    assert protocol.parse(merged('{"a": 1}', ours, '{"a": 1, "b": {"c": 2}}').text) == {
        **protocol.parse(ours),
        "b": {"c": 2},
    }
    assert protocol.parse(merged(None, ours, None).text) == protocol.parse(ours)


def test_a_secret_of_a_conflict_is_masked_as_in_its_document() -> None:
    text = '{"db": {"password": {"value": "hunter2"}, "host": "h"}}'
    inner = '{"value": "hunter2"}'
    value = merges.shown(("db", "password"), inner)
    assert value is not None
    assert "hunter2" not in value
    assert value in secrets.masked(text)
