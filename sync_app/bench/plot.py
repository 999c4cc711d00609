"""Seconds against instances as an SVG picture, both axes logarithmic: for docs/performance.md."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

WIDTH, HEIGHT = 720, 420
LEFT, RIGHT, TOP, BOTTOM = 70, 130, 30, 50
APART = 16  # between two names
SERIES = (  # name, colour, dashes: told apart without colours too
    ("Webhook Console", "#1d6fb8", ""),
    ("curl, POST only", "#5b6572", "2 4"),
    ("seed, POST only", "#b3541e", "8 5"),
)
STYLE = (
    "text{font:13px system-ui,sans-serif;fill:#39424e}.grid{stroke:#d5dae1}"
    "@media(prefers-color-scheme:dark){text{fill:#c6ced8}.grid{stroke:#3a4350}}"
)

Point = tuple[float, float]


def svg(runs: Sequence[dict[str, Any]]) -> str:
    """The clean runs of `measure.measure`; a reference that was not run has no point."""
    clean = [run for run in runs if not run["hang_percent"] and not run["reject_percent"]]
    lines: list[list[Point]] = [
        [(run["instances"], run["wall_s"]) for run in clean],
        [(run["instances"], run["reference"]["curl"]["wall_s"]) for run in clean if run["reference"]["curl"]],
        [(run["instances"], run["reference"]["seed"]["wall_s"]) for run in clean if run["reference"]["seed"]],
    ]
    points = [point for line in lines for point in line] or [(1.0, 1.0)]
    across = _decades(x for x, _ in points)
    up = _decades(y for _, y in points)

    def place(point: Point) -> Point:
        x = (math.log10(point[0]) - across[0]) / (across[-1] - across[0])
        y = (math.log10(point[1]) - up[0]) / (up[-1] - up[0])
        return LEFT + x * (WIDTH - LEFT - RIGHT), HEIGHT - BOTTOM - y * (HEIGHT - TOP - BOTTOM)

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img">',
        "<title>Seconds from publish to the last proof, by number of instances</title>",
        f"<style>{STYLE}</style>",
    ]
    for power in across:
        x, _ = place((10.0**power, 10.0 ** up[0]))
        parts += [_grid(x, TOP, x, HEIGHT - BOTTOM), _text(x, HEIGHT - BOTTOM + 20, f"{10**power:,.0f}", "middle")]
    for power in up:
        _, y = place((10.0 ** across[0], 10.0**power))
        parts += [_grid(LEFT, y, WIDTH - RIGHT, y), _text(LEFT - 8, y + 4, f"{10.0**power:g} s", "end")]
    parts.append(_text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 8, "instances", "middle"))
    labels: list[float] = []
    for (name, colour, dashes), line in zip(SERIES, lines, strict=True):
        if line:
            placed = [place(point) for point in line]
            path = " ".join(f"{x:.1f},{y:.1f}" for x, y in placed)
            look = f'fill="none" stroke="{colour}" stroke-width="2" stroke-dasharray="{dashes}"'
            parts.append(f'<polyline points="{path}" {look}/>')
            parts += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3.5" fill="{colour}"/>' for x, y in placed]
            beside = placed[-1][1] + 4
            while any(abs(beside - other) < APART for other in labels):
                beside += 2  # below what stands there already
            labels.append(beside)
            parts.append(_text(placed[-1][0] + 8, beside, name, "start"))
    return "\n".join([*parts, "</svg>", ""])


def _decades(values: Iterable[float]) -> list[int]:
    """The powers of ten from below the least value to above the greatest."""
    logs = [math.log10(value) for value in values]
    first = math.floor(min(logs))
    return list(range(first, max(math.ceil(max(logs)), first + 1) + 1))


def _grid(x1: float, y1: float, x2: float, y2: float) -> str:
    return f'<line class="grid" x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"/>'


def _text(x: float, y: float, words: str, anchor: str) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{words}</text>'
