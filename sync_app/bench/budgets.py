"""What the figures of several rollouts mean for the budgets of docs/performance.md."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

Figures = dict[str, Any]  # as measure.measure gives them


def judged(runs: Sequence[Figures]) -> list[Figures]:
    """Every budget that these runs can tell of: [{"budget", "value", "at_most" or "at_least", "met"}]."""
    clean = {run["instances"]: run for run in runs if not run["hang_percent"] and not run["reject_percent"]}
    thousand, most = clean.get(1000), clean.get(10_000)
    found: list[Figures] = []
    if thousand and thousand["ratio_to_curl"]:
        found.append(_at_most("1,000 instances: wall against curl", thousand["ratio_to_curl"], 2.0))
    if thousand and thousand["times_faster_than_seed"]:
        name, times = "1,000 instances: times faster than the seed", thousand["times_faster_than_seed"]
        found.append({"budget": name, "value": times, "at_least": 25.0, "met": times >= 25.0})
    if thousand and most:
        found.append(_at_most("10,000 instances: wall against 1,000", most["wall_s"] / thousand["wall_s"], 11.0))
        memory = most["peak_worker_mb"] / thousand["peak_worker_mb"]
        found.append(_at_most("10,000 instances: worker's memory against 1,000", memory, 1.3))
    for run in runs:
        same = clean.get(run["instances"])
        if same and same is not run:
            name = f"{run['hang_percent']:g} % hang, {run['reject_percent']:g} % refuse: the others against clean"
            found.append(_at_most(name, run["last_verified_s"] / same["last_verified_s"], 1.2))
    return found


def _at_most(name: str, value: float, limit: float) -> Figures:
    return {"budget": name, "value": round(value, 2), "at_most": limit, "met": value <= limit}
