"""Whatever a document holds: masked, edited in one place and saved, it differs by exactly that edit.

CONSOLE_TEST_EXAMPLES sets the number of generated documents (200 unless given, 40 of them through the page).
"""

from __future__ import annotations

import json
import os
from typing import Any

import pytest
from django.db import transaction
from django.urls import reverse
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from webhook_agent import protocol

from configs_app import changes, documents, marks, secrets
from configs_app.json_text import Place, scan
from configs_app.models import Change
from configs_app.tests.test_pages import fields, page_of
from configs_app.tests.test_sample_findings import pairs
from console import testing

GIVEN = os.environ.get("CONSOLE_TEST_EXAMPLES")
ALL = settings(max_examples=int(GIVEN or 200), deadline=None, database=None, suppress_health_check=list(HealthCheck))
THROUGH_THE_PAGE = settings(ALL, max_examples=int(GIVEN or 40))
PAIRS = pairs()

letters = st.characters(codec="utf-8", exclude_characters="\x00\r")
texts = st.text(letters, max_size=12)
SECRETS = [
    "hunter2",
    "pä/ss",
    "Bearer s3cr3t",
    "{$DB_PASS:hunter2}",
    "{$vault:a/b#c:hunter2}",
    "amqp://user:p/w@host/vhost",
    "a://b:c@d,a://e:f@g",
    "‹secret 3f9a2c81d04b›",
    "‹secret 3f9a2c81d04b·broken›",
    '"quoted"',
    "back\\slash",
    "</textarea><script>",
    "&quot;&amp;",
    "line\nend\ttab\r",
    "😀\u2028\x7f",
]
REFERENCES = ["{$DB_PASS}", "Bearer {$T}", "{$vault:a#b}", "{$X:}"]
values = st.one_of(
    texts, st.sampled_from(SECRETS), st.sampled_from(REFERENCES), st.integers(), st.booleans(), st.none()
)
names = st.one_of(
    texts,
    st.sampled_from("password authorization headers credentials token_type key module module-config url note".split()),
)
entries = st.recursive(
    st.dictionaries(names, values, max_size=4),
    lambda inner: st.dictionaries(
        names, st.one_of(values, inner, st.lists(st.one_of(values, inner), max_size=3)), max_size=4
    ),
    max_leaves=8,
)


@st.composite
def document_texts(draw: st.DrawFn) -> str:
    """A valid document in one of the ways to write it: escapes, spaces, line ends."""
    document = draw(st.dictionaries(texts, entries, min_size=1, max_size=4))
    pick = draw(st.randoms(use_true_random=False))
    end: str = draw(st.sampled_from(["\n", "\r\n", " ", ""]))

    def string(value: str) -> str:
        written = json.dumps(value, ensure_ascii=pick.random() < 0.3)
        if pick.random() < 0.2:
            written = written.replace("/", "\\/").replace("s", "\\u0073")
        return written

    def space() -> str:
        return ["", " ", end, f"{end}\t"][pick.randrange(4)]

    def write(value: object) -> str:
        if isinstance(value, dict):
            inner = ",".join(f"{space()}{string(k)}{space()}:{space()}{write(v)}{space()}" for k, v in value.items())
            return f"{{{inner}{space()}}}"
        if isinstance(value, list):
            return f"[{','.join(space() + write(item) + space() for item in value)}]"
        return string(value) if isinstance(value, str) else json.dumps(value)

    return f"{space()}{write(document)}{space()}"


@st.composite
def edits(draw: st.DrawFn, text: str, shown: str) -> tuple[str, str]:
    """One edit in a text and the same one in the text with marks: a new value, a mark moved, or a space."""
    plain, masked = scan(text).every, scan(shown).every
    assert [path for path, _ in plain] == [path for path, _ in masked]
    hidden = {secret.start: secret for secret in secrets.hidden(text)}
    number = draw(st.integers(min_value=0, max_value=len(plain) - 1))
    kind = draw(st.sampled_from(["value", "value", "mark", "space"]))
    place, there = plain[number][1], masked[number][1]
    if kind == "space" or number == len(plain) - 1:  # the last is the document itself
        return f"{text} ", f"{shown} "
    if kind == "mark" and place.start in hidden:
        secret = hidden[draw(st.sampled_from(sorted(hidden)))]
        moved = put(text, place, text[secret.start : secret.end])
        if any(after.start == place.start for after in secrets.hidden(moved)):  # else it is refused
            return moved, put(shown, there, secret.mark)
    value = draw(st.sampled_from(['"typed"', "42", '{"password": "new"}', '"\\u00e9\\/"']))
    return put(text, place, value), put(shown, there, value)


def put(text: str, place: Place, value: str) -> str:
    return text[: place.start] + value + text[place.end :]


@ALL
@given(data=st.data())
def test_one_edit_between_marks_is_one_edit_in_the_document(data: Any) -> None:
    text = data.draw(document_texts())
    shown = secrets.masked(text)
    expected, typed = data.draw(edits(text, shown))
    found = marks.unmasked(typed, marks.known([text]))
    assert found.problems == ()
    assert found.text == expected


@ALL
@given(data=st.data())
def test_a_document_with_a_sign_too_few_is_masked_and_comes_back(data: Any) -> None:
    text = data.draw(document_texts())
    signs = [number for number, sign in enumerate(text) if sign in '{}[]:,"\\']
    cut = data.draw(st.sampled_from(signs))
    broken = text[:cut] + text[cut + 1 :]
    found = marks.unmasked(secrets.masked(broken), marks.known([broken]))
    assert found.problems == ()
    assert found.text == broken


@pytest.mark.django_db
@THROUGH_THE_PAGE
@given(data=st.data())
def test_one_edit_on_the_page_is_one_edit_in_the_document(data: Any) -> None:
    text = data.draw(document_texts())
    through_the_page(text, lambda plain, shown: data.draw(edits(plain, shown)))


@pytest.mark.django_db
@pytest.mark.parametrize("name", PAIRS)
def test_one_edit_in_a_real_document_is_one_edit(name: str) -> None:
    for kind, text in PAIRS[name].items():
        through_the_page(text, lambda plain, shown: (add_entry(plain), add_entry(shown)), kind=kind)


def add_entry(text: str) -> str:
    """One more entry, in front of the others."""
    start = text.index("{") + 1
    comma = "" if text[start:].lstrip().startswith("}") else ","
    return f'{text[:start]}\n  "added": {{"module": "log", "password": "typed"}}{comma}{text[start:]}'


def through_the_page(text: str, edit: Any, *, kind: str = "webhooks") -> None:
    """Import, open the editor, make the edit there, save: what is stored, against the same edit in the text itself."""
    with transaction.atomic():
        cast = testing.cast()
        documents.import_first(cast.environment, {kind: text}, actor=None, origin="a test")
        change = changes.open_draft(cast.environment, actor=cast.olga)
        page, url = page_of(cast.olga), reverse("configs:change-edit", args=[change.pk])
        sent = fields(page.get(url).content.decode())
        shown = sent[kind].replace("\r\n", "\n")
        for path, place in scan(shown).every:
            value = json.loads(shown[place.start : place.end])
            if isinstance(value, str):
                assert not secrets.is_secret(path, value) or value.startswith("‹secret ")
        expected, typed = edit(text.replace("\r\n", "\n"), shown)
        answer = page.post(url, {**sent, kind: typed.replace("\n", "\r\n"), "save": "1"})
        assert answer.status_code == 302, (text, typed)
        kept = Change.objects.get(pk=change.pk).documents.filter(kind=kind).first()
        base = documents.current(cast.environment, kind)
        stored = kept.text if kept else base.text if base else ""
        assert stored == (expected.replace("\n", "\r\n") if "\r\n" in text else expected)
        assert protocol.digest(protocol.parse(stored)) == protocol.digest(protocol.parse(expected))
        transaction.set_rollback(True)
