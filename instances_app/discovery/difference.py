"""What an answer means for what was known: a function of both, which asks nobody and writes nothing."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from instances_app.discovery.found import Fit
from instances_app.models import FoundInstance, FoundState

ELSEWHERE = "An instance of another environment has this address."
RETIRED = "A person retired the instance, or gave it another address. It is not added again by itself."
LEFT_OUT = frozenset({FoundState.REFUSED, FoundState.RETIRED})
COUNTED = ("reported", "new", "managed", "changed", "back", "gone", "unfit", "forgotten")


@dataclass(frozen=True, slots=True)
class Managed:
    """The active instance that has an address, and whether it is one of the source's environment."""

    instance_id: int
    here: bool


@dataclass(slots=True)
class Difference:
    """Everything that the answer changes, by address. `rows` is all that the source knows of afterwards."""

    rows: dict[str, tuple[FoundState, Fit, int | None]] = field(default_factory=dict)
    new: list[Fit] = field(default_factory=list)  # neither proposed nor managed before
    managed: list[Fit] = field(default_factory=list)  # newly told of; an instance here has the address already
    changed: list[Fit] = field(default_factory=list)  # other labels than the instance was given
    back: list[Fit] = field(default_factory=list)  # was gone
    gone: list[FoundInstance] = field(default_factory=list)  # told of no more; the instance is still there
    unfit: list[Fit] = field(default_factory=list)
    forgotten: list[FoundInstance] = field(default_factory=list)  # told of no more, and never an instance, or none now
    reported: int = 0
    held: str = ""  # why a person has to look at it first

    @property
    def counts(self) -> dict[str, int]:
        return {name: value if isinstance(value := getattr(self, name), int) else len(value) for name in COUNTED}


def compare(answer: Sequence[Fit], *, known: Iterable[FoundInstance], managed: Mapping[str, Managed]) -> Difference:
    """`known` is what the source told of before; `managed` has every active instance at one of all these addresses."""
    before = {row.base_url: row for row in known}
    standing = sum(row.state == FoundState.ADDED for row in before.values())
    found = Difference(reported=len(answer))
    for entry in answer:
        row = before.pop(entry.base_url, None)
        state, entry = _state(entry, row, managed.get(entry.base_url))
        instance = managed[entry.base_url].instance_id if state == FoundState.ADDED else None
        found.rows[entry.base_url] = (state, entry, instance)
        if state == FoundState.UNFIT:
            found.unfit.append(entry)
        elif state == FoundState.PROPOSED:
            if row is None or row.state != FoundState.PROPOSED:
                found.new.append(entry)
        elif state == FoundState.ADDED:
            _note_added(found, entry, row, instance)
    for row in before.values():
        _note_missing(found, row, managed.get(row.base_url))
    _hold(found, standing)
    return found


def _state(entry: Fit, row: FoundInstance | None, there: Managed | None) -> tuple[FoundState, Fit]:
    if entry.reason:
        return FoundState.UNFIT, entry
    if there is not None and not there.here:
        return FoundState.UNFIT, Fit(entry.base_url, entry.name, entry.labels, ELSEWHERE)
    if there is not None:
        return FoundState.ADDED, entry
    if row is not None and row.state == FoundState.REFUSED:
        return FoundState.REFUSED, Fit(entry.base_url, entry.name, entry.labels, row.reason)
    if row is not None and row.state in {FoundState.ADDED, FoundState.RETIRED}:
        return FoundState.RETIRED, Fit(entry.base_url, entry.name, entry.labels, RETIRED)
    return FoundState.PROPOSED, entry


def _note_added(found: Difference, entry: Fit, row: FoundInstance | None, instance: int | None) -> None:
    if row is None or row.state not in {FoundState.ADDED, FoundState.GONE}:
        found.managed.append(entry)
        return
    if row.state == FoundState.GONE:
        found.back.append(entry)
    if row.ours and row.instance_id == instance and row.taken != entry.labels:
        found.changed.append(entry)


def _note_missing(found: Difference, row: FoundInstance, there: Managed | None) -> None:
    entry = Fit(row.base_url, row.name, row.labels, row.reason)
    if row.state == FoundState.REFUSED:
        found.rows[row.base_url] = (FoundState.REFUSED, entry, None)
    elif row.state in {FoundState.ADDED, FoundState.GONE} and there is not None and there.here:
        found.rows[row.base_url] = (FoundState.GONE, entry, there.instance_id)
        if row.state == FoundState.ADDED:
            found.gone.append(row)
    else:
        found.forgotten.append(row)


def _hold(found: Difference, standing: int) -> None:
    """Fewer than half of what it told of before is more likely a fault of the source than the end of a fleet."""
    fit = found.reported - len(found.unfit)
    if found.gone and fit * 2 < standing:
        found.held = (
            f"It told of {standing:,} instances before and of {fit:,} now. Nothing was changed. Look whether the "
            "source is right; if it is, take the answer on the preview."
        )
