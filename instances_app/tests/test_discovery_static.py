"""A typed list: lines, names, labels, ranges."""

from __future__ import annotations

import pytest

from instances_app.discovery import static
from instances_app.discovery.found import Found, SourceError


def find(text: str) -> list[Found]:
    return list(static.find({"addresses": text}, secret=""))


def test_a_line_is_an_address_a_name_and_labels() -> None:
    told = find("# ours\n\nhttp://a:1\n  http://b:2 bee region=eu tier=a=b \n")
    assert told == [Found("http://a:1"), Found("http://b:2", "bee", {"region": "eu", "tier": "a=b"})]


def test_ranges_count_with_their_zeros_and_combine() -> None:
    assert [one.base_url for one in find("http://h[08-10]:80")] == ["http://h08:80", "http://h09:80", "http://h10:80"]
    assert [one.base_url for one in find("http://[1-2].r[1-2]")] == [
        "http://1.r1",
        "http://1.r2",
        "http://2.r1",
        "http://2.r2",
    ]
    assert [one.base_url for one in find("http://[2001:db8::1]:8000")] == ["http://[2001:db8::1]:8000"]
    assert len(find("http://h[0001-5000]")) == 5000


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("http://a b c", "Line 1: an address, then at most one name"),
        ("http://a\nhttp://h[5-1]", "Line 2: .5-1. counts down"),
        ("http://h[1-999999]", "makes more than 10,000"),
        ("http://[1-999].[1-999].[1-999]", "makes more than 10,000"),
    ],
)
def test_what_cannot_be_read_is_refused_with_its_line(text: str, says: str) -> None:
    with pytest.raises(SourceError, match=says):
        find(text)
    form = static.Settings({"at-addresses": text}, prefix="at")
    assert not form.is_valid()


def test_many_lines_of_ranges_are_refused_before_they_are_kept() -> None:
    form = static.Settings({"at-addresses": "http://a[0001-6000]\nhttp://b[0001-6000]"}, prefix="at")
    assert "more than 10,000" in str(form.errors)
