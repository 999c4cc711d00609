"""Plans: the waves that they make, and the words for a wrong one."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from console.errors import Refused
from instances_app.plans import Plan, Unreachable, waves


@dataclass(frozen=True)
class Fake:
    pk: int
    name: str
    labels: dict[str, str] = field(default_factory=dict)


FLEET = [Fake(n, f"web-{n}", {"region": "eu" if n % 2 else "us"}) for n in range(1, 21)]

WAVE = st.one_of(
    st.integers(1, 40).map(str), st.integers(1, 100).map("{}%".format), st.sampled_from(["region=eu", "region=mars"])
)


def sizes(*amounts: str) -> list[int]:
    return [len(wave) for wave in waves(Plan.of({"waves": amounts}), FLEET)]


def test_amounts_are_cumulative() -> None:
    assert sizes("1", "10%", "100%") == [1, 1, 18]
    assert sizes("50%", "10%", "100%") == [10, 10]


def test_a_label_takes_its_instances_and_the_last_wave_the_rest() -> None:
    made = waves(Plan.of({"waves": ["region=us", "1"]}), FLEET)
    assert [{one.labels["region"] for one in wave} for wave in made] == [{"us"}, {"eu"}]  # "1" is reached already
    made = waves(Plan.of({"waves": ["region=us", "15"]}), FLEET)
    assert [len(wave) for wave in made] == [10, 10]
    assert {one.labels["region"] for one in made[0]} == {"us"}


def test_what_no_wave_names_stands_in_the_last_also_when_its_label_fits_nobody() -> None:
    assert sizes("1", "region=mars") == [1, 19]
    assert sizes("region=mars") == [20]


def test_canaries_stand_first() -> None:
    made = waves(Plan.of({"waves": ["2", "100%"], "canaries": [17, 4]}), FLEET)
    assert {one.pk for one in made[0]} == {4, 17}


@given(st.lists(WAVE, min_size=1, max_size=6), st.sets(st.integers(1, 20)), st.randoms())
def test_every_instance_stands_in_one_wave_whatever_the_order_they_come_in(
    amounts: list[str], present: set[int], random: object
) -> None:
    plan = Plan.of({"waves": amounts})
    fleet = [one for one in FLEET if one.pk in present]
    made = waves(plan, fleet)
    assert sorted(one.pk for wave in made for one in wave) == sorted(present)
    assert all(made)
    random.shuffle(fleet)  # type: ignore[attr-defined]
    assert waves(plan, fleet) == made


def test_a_plan_comes_back_from_its_own_json() -> None:
    plan = Plan.of({"waves": ["1", "100%"], "soak_seconds": 60, "failure_limit": "5%", "unreachable": "tolerate",
                    "tolerate": 2, "at_once": 50, "canaries": [9, 3]})  # fmt: skip
    assert Plan.of(plan.data) == plan
    assert plan.unreachable == Unreachable.TOLERATE
    assert plan.words == (
        "waves of 1, 100%; 60 s of soak between them; halts above 5% failed; up to 2 unreachable tolerated; 50 at once"
    )
    assert Plan.of({}).words == "all at once"


def test_limits_are_counted_of_the_instances() -> None:
    assert Plan.of({}).failures_allowed(100) is None
    assert Plan.of({"failure_limit": "0"}).failures_allowed(100) == 0
    assert Plan.of({"failure_limit": "5%"}).failures_allowed(70) == 3


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ({"waves": []}, "1 to 20 waves"),
        ({"waves": ["0"]}, "'0' is no wave"),
        ({"waves": ["101%"]}, "from 1% to 100%"),
        ({"waves": ["all of them"]}, "is no wave"),
        ({"failure_limit": "some"}, "failure limit is a number"),
        ({"failure_limit": "200%"}, "failure limit is a number"),
        ({"soak_seconds": -1}, "soak is between"),
        ({"soak_seconds": "soon"}, "whole numbers"),
        ({"at_once": -1}, "not negative"),
        ({"unreachable": "ignore"}, "whole numbers"),
        ({"wave": ["1"]}, "A plan has no 'wave'"),
    ],
)
def test_a_wrong_plan_says_what_is_wrong(data: dict[str, object], words: str) -> None:
    with pytest.raises(Refused, match=words):
        Plan.of(data)
