"""How a person wants differences shown: in the address, and the view also remembered for the session."""

from __future__ import annotations

from dataclasses import dataclass

from configs_app import diffs
from console.http import ConsoleRequest

VIEWS = ("unified", "split")


@dataclass(frozen=True, slots=True)
class Reading:
    view: str  # one of VIEWS
    unfolded: bool  # ?context=all: also what is the same
    every_line: bool  # ?rows=all: however many

    def between(self, old: str | None, new: str) -> diffs.Difference:
        """The difference as it was asked for."""
        return diffs.between(
            old,
            new,
            context=None if self.unfolded else diffs.CONTEXT,
            most=None if self.every_line else diffs.MOST_LINES,
        )


def asked(request: ConsoleRequest) -> Reading:
    view = request.GET.get("view", "")
    if view in VIEWS:
        request.session["diff_view"] = view
    else:
        view = request.session.get("diff_view", VIEWS[0])
    return Reading(view, request.GET.get("context") == "all", request.GET.get("rows") == "all")
