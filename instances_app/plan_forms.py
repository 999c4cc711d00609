"""A rollout's plan as people type it: on an environment's settings page, and for one change."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django import forms

from console.errors import Refused
from instances_app.models import Instance
from instances_app.plans import LONGEST_DRAIN, LONGEST_SOAK, Plan, Unclear, Unreachable

UNREACHABLE = (
    (Unreachable.BLOCK, "counts as failed"),
    (Unreachable.TOLERATE, "is left behind, up to so many"),
    (Unreachable.EXCLUDE, "is never held against the rollout"),
)
BESIDE = {"drain": ("at_once",), "compare": ("waves", "soak_seconds")}  # what else a part is judged by
COMPARE = (
    (Unclear.NO, "no"),
    (Unclear.HOLD, "yes; halt when they cannot be compared"),
    (Unclear.CONTINUE, "yes; go on when they cannot be compared"),
)


class PlanForm(forms.Form):
    """Valid when `Plan.of` takes it; what it refuses is said at the field."""

    waves = forms.CharField(
        max_length=1000,
        help_text="Comma separated, cumulative: numbers, percentages or labels. The rest comes with the last. "
        "Example: 1, 10%, region=eu, 100%",
    )
    soak_seconds = forms.IntegerField(
        required=False,
        min_value=0,
        max_value=LONGEST_SOAK,
        label="Soak, in seconds",
        help_text="How long a wave has to run well before the next one opens.",
    )
    failure_limit = forms.CharField(
        required=False,
        max_length=10,
        help_text="The rollout halts when more deliveries fail: a number (2) or a percentage (5%). Empty: never.",
    )
    unreachable = forms.ChoiceField(choices=UNREACHABLE, label="An instance that never answers")
    tolerate = forms.IntegerField(
        required=False, min_value=0, max_value=1_000_000, label="So many may be left behind", help_text="If so chosen."
    )
    at_once = forms.IntegerField(
        required=False,
        min_value=0,
        max_value=1_000_000,
        label="At once",
        help_text="The most instances that are sent to at the same time. Empty or 0: as many as the workers can.",
    )
    drain = forms.BooleanField(
        required=False,
        label="Drain around each push",
        help_text="Takes an instance out of traffic, pushes, reads back, puts it in again. Needs a limit above. One "
        "whose agent cannot drain is pushed to without.",
    )
    drain_seconds = forms.IntegerField(
        required=False,
        min_value=0,
        max_value=LONGEST_DRAIN,
        label="Seconds to wait after draining",
        help_text="As long as load balancers and running requests need.",
    )
    compare = forms.ChoiceField(
        required=False,
        choices=COMPARE,
        label="Compare canaries with untouched instances",
        help_text="During the soak, by each service's own /health and /stats: the share that is healthy, and how many "
        "requests each accepted.",
    )
    compare_margin = forms.IntegerField(
        required=False,
        min_value=0,
        max_value=100,
        label="Canaries may be worse by, in per cent",
        help_text="Usual: 10.",
    )
    canaries = forms.TypedMultipleChoiceField(
        required=False, coerce=int, help_text="Instances that stand first, whatever the waves are."
    )

    def __init__(self, data: Any = None, *, instances: Sequence[Instance], plan: Plan, **options: Any) -> None:
        initial = {**plan.data, "waves": ", ".join(plan.waves)}
        super().__init__(data, initial=initial, **options)
        choices = [(instance.pk, instance.name) for instance in instances]
        canaries = self.fields["canaries"]
        if isinstance(canaries, forms.TypedMultipleChoiceField):
            canaries.choices = choices
        canaries.widget.attrs["size"] = min(max(len(choices), 2), 8)

    def clean(self) -> dict[str, Any]:
        """Each field is tried alone, so that a refusal stands where it belongs."""
        data: dict[str, Any] = super().clean() or {}
        parts = self._parts(data)
        for name in parts:
            try:
                Plan.of(
                    {name: parts[name]} | {beside: parts[beside] for beside in BESIDE.get(name, ()) if beside in parts}
                )
            except Refused as refusal:
                self.add_error(name, str(refusal))
        return data

    def plan(self) -> Plan:
        """Of a valid form."""
        return Plan.of(self._parts(self.cleaned_data))

    def _parts(self, data: dict[str, Any]) -> dict[str, Any]:
        parts = {name: data[name] for name in Plan.__dataclass_fields__ if data.get(name) not in (None, "")}
        if "waves" in parts:
            parts["waves"] = [wave.strip() for wave in parts["waves"].split(",") if wave.strip()]
        return parts
