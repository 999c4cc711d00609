"""What the pages say of times, numbers and states; untrusted words are escaped wherever a tag touches them."""

from __future__ import annotations

import re
from datetime import timedelta

import pytest
from django.template import Context, Template
from django.utils import timezone

from sync_app.models import DeliveryState, RolloutState


def rendered(source: str, **context: object) -> str:
    return Template("{% load console_tags %}" + source).render(Context(context))


def test_a_time_is_an_age_with_the_exact_time_for_machines() -> None:
    text = rendered("{{ at|ago }}", at=timezone.now() - timedelta(minutes=5))
    assert "<time" in text
    assert "datetime=" in text
    assert "5 min" in text


@pytest.mark.parametrize("nothing", [None, ""])
def test_a_time_that_is_not_there_is_never(nothing: object) -> None:
    assert rendered("{{ at|ago }}", at=nothing) == "never"


@pytest.mark.parametrize("word", [*DeliveryState.values, *RolloutState.values, "in sync", "drifted", "healthy", "down"])
def test_every_state_is_a_word_with_a_shape_and_a_colour_of_its_own(word: str) -> None:
    text = rendered("{% state word %}", word=word)
    assert f">{word}<" in text or f" {word}<" in text
    assert "class=" in text


def test_a_state_nobody_knows_is_escaped() -> None:
    assert "<b>" not in rendered("{% state word %}", word="<b>bold</b>")


def segments(counts: dict[str, int]) -> dict[str, int]:
    """Tone → its share of the bar, in thousandths."""
    found = re.findall(
        r'<rect class="segment (\w+)" x="\d+" y="0" width="(\d+)"', rendered("{% progress c %}", c=counts)
    )
    return {tone: int(width) for tone, width in found}


def test_progress_is_full_only_when_everything_is_proven() -> None:
    assert segments({"verified": 5000}) == {"good": 1000}
    shares = segments({"verified": 4999, "unknown": 1})
    assert shares["good"] + shares["doubt"] == 1000
    assert shares["doubt"] >= 10  # one among thousands still shows
    assert segments({}) == {}


def test_things_are_counted_in_words() -> None:
    assert rendered('{{ 1|counted:"instance" }}') == "1 instance"
    assert rendered('{{ 2|counted:"instance" }}') == "2 instances"
    assert (
        rendered('{{ 2|counted:"entry" }}, {{ 2|counted:"day" }}, {{ 2|counted:"key" }}') == "2 entries, 2 days, 2 keys"
    )
