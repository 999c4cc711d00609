"""Who had a part in a change: none of them counts among those who decide on it."""

from __future__ import annotations

from configs_app.decision_models import Contributor
from configs_app.models import Change
from console.models import User


def add(change: Change, person: User) -> None:
    """Write down that this person had a part; for good, whoever edits afterwards."""
    Contributor.objects.get_or_create(change=change, person=person)


def of(change: Change) -> frozenset[int]:
    """The ids of everybody who had a part. Lists prefetch `contributors`."""
    return frozenset(contributor.person_id for contributor in change.contributors.all())
