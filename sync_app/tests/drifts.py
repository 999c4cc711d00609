"""Fleets whose files somebody has changed, without a wire."""

from __future__ import annotations

from datetime import timedelta

from django.utils import timezone

from configs_app import documents
from console import testing
from console.sealing import seal
from console.testing import Cast
from instances_app import observations
from instances_app.models import Environment, Instance
from instances_app.observations import Sighting
from sync_app import drift, rollouts, waves
from sync_app.drift import Drifting
from sync_app.models import Cause, Drift, LiveCopy, Rollout
from sync_app.tests.attempts import work

OTHER, THIRD = "e" * 64, "d" * 64


def fleet(number: int = 2, *, protected: bool = False) -> Cast:
    """Instances i0, i1, … that a rollout has proven to run the first bundle."""
    cast = testing.cast("production" if protected else "staging", protected=protected)
    testing.bundle(cast.environment)
    for index in range(number):
        testing.instance(cast.environment, f"i{index}")
    done(rollouts.start(cast.environment, actor=cast.olga, cause=Cause.SYNC))
    return cast


def done(rollout: Rollout, end: str = "verified") -> Rollout:
    """Carry it out, wave by wave."""
    while rollout.is_going and work(rollout, end):
        waves.advance(rollout.pk)
        rollout.refresh_from_db()
    return rollout


def one(cast: Cast, name: str = "i0") -> Instance:
    return cast.environment.instances.get(name=name)


def change(instance: Instance, digest: str = OTHER, *, kind: str = "webhooks", times: int = 2) -> None:
    """Somebody writes another document on the host, and so many checks see it."""
    for _ in range(times):
        see(instance, {kind: digest})


def see(instance: Instance, digests: dict[str, str], *, ago: float = 0) -> None:
    observations.record([Sighting(instance.pk, digests, timezone.now() - timedelta(seconds=ago))])


def back(instance: Instance) -> None:
    """It reports the desired documents."""
    bundle = documents.desired(instance.environment)
    assert bundle is not None
    see(instance, bundle.digests())


def members(environment: Environment, kind: str = "", short: str = "") -> list[Drifting]:
    return drift.members(documents.desired(environment), kind, short)


def names(environment: Environment) -> list[str]:
    return [f"{row.name} {row.kind}" for row in members(environment)]


def copied(cast: Cast, text: str, *, kind: str = "webhooks") -> Drift:
    """The open drift of this kind, with a copy of its content."""
    found = Drift.objects.get(environment=cast.environment, kind=kind, ended_at=None)
    LiveCopy.objects.create(drift=found, text_sealed=seal(text), instance=one(cast))
    Drift.objects.filter(pk=found.pk).update(tried_at=timezone.now())
    return found
