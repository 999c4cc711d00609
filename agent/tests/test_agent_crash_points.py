"""Killed at any step of an update: the pair on disk is the old one or the new one, and the report says which.

The steps are not listed here. An uncut update records them; then each of them, by number, is where one dies.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import shutil
import urllib.error
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.parts import NEW, OLD, held, lay, pair, single
from tests.processes import CLOSED, FILES, MOUNTS, PLAIN, NotStarted, Process, can_mount
from webhook_agent import protocol

GONE = (urllib.error.URLError, http.client.HTTPException, ConnectionError)
FORMS = {"single": single("webhooks", NEW["webhooks"], sequence=9), "batch": pair(sequence=9)}


class Place:
    """A folder of its own for every try."""

    def __init__(self, base: Path, mount: str) -> None:
        self.base, self.mount = base, mount
        self.folder = base / "documents"
        self.folder.mkdir(parents=True)
        (base / "state").mkdir()
        lay(self.folder)

    def process(self, **environment: str) -> Process:
        return Process(self.folder, workers=1, mount=self.mount, SAMPLE_STATE=str(self.base / "state"), **environment)


def steps_of(base: Path, mount: str, form: str, *, refuse: bool) -> list[str]:
    place = Place(base, mount)
    environment = {"SAMPLE_REJECT": "no"} if refuse else {}
    with place.process(WEBHOOK_AGENT_STEPS_TO=str(base / "steps"), **environment) as process:
        outcome = process.push(FORMS[form])[1]["outcome"]
    assert outcome == ("rolled_back" if refuse else "applied")
    return (base / "steps").read_text().split()


def violation(place: Place, form: str) -> str:
    """What is wrong after a restart, or nothing."""
    allowed = [OLD, NEW if form == "batch" else {**OLD, "webhooks": NEW["webhooks"]}]
    with place.process() as process:
        version = process.call("/admin/config-version")[1]
        try:
            found = held(place.folder)
        except json.JSONDecodeError:
            return "a document on disk does not parse"
        if found not in allowed:
            return "the pair on disk is neither the old one nor the new one"
        for kind, document in found.items():
            if version[f"{kind}_digest"] != protocol.digest(document):
                return f"config-version does not match the {kind} on disk"
        if version["differs"]:
            return "what runs differs from the disk"
        if process.push(FORMS[form])[0] != 200:
            return "the next update does not go through"
    return ""


def tried(base: Path, mount: str, form: str, number: int, *, refuse: bool) -> str:
    """Die at the step of this number; then, if the start settles something, die there too, at every step."""
    place = Place(base, mount)
    environment = {"SAMPLE_REJECT": "no"} if refuse else {}
    with place.process(WEBHOOK_AGENT_CRASH_AT=str(number), **environment) as process:
        with contextlib.suppress(*GONE):
            process.push(FORMS[form])
        assert process.wait() == 137
    settling = 1
    while True:
        try:
            place.process(WEBHOOK_AGENT_CRASH_AT=str(settling)).close()
        except NotStarted:
            settling += 1
            continue
        break
    return violation(place, form)


@pytest.mark.parametrize("mount", MOUNTS)
def test_a_kill_at_any_step_leaves_one_whole_pair(tmp_path: Path, mount: str) -> None:
    if mount != PLAIN and not can_mount():
        pytest.skip("this machine lets nobody make mounts of their own")
    points: list[tuple[str, bool, int, str]] = []
    for form in FORMS:
        for refuse in (False, True):
            steps = steps_of(tmp_path / f"steps-{form}-{refuse}", mount, form, refuse=refuse)
            points += [(form, refuse, number, step) for number, step in enumerate(steps, start=1)]
    names = {step for *_, step in points}
    assert {"staged", "journalled", "swapped-1", "swapped-2", "reloaded", "kept", "tidied", "restored-1"} <= names
    assert ("half-written" in names) is (mount in (FILES, CLOSED))

    def run(index: int) -> Any:
        form, refuse, number, step = points[index]
        base = tmp_path / f"try-{index}"
        wrong = tried(base, mount, form, number, refuse=refuse)
        shutil.rmtree(base)
        return (form, refuse, step, wrong) if wrong else None

    with ThreadPoolExecutor(3) as pool:
        violations = [found for found in pool.map(run, range(len(points))) if found]
    print(f"{mount}: {len(points)} points tried, {len(violations)} violations")  # noqa: T201
    assert violations == []
