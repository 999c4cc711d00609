"""Wake-ups. No rule lives here, and running any of these twice changes nothing."""

from __future__ import annotations

import logging

from celery import shared_task
from celery.worker import state
from django.conf import settings
from django.db import transaction

from console import live
from instances_app import exchanges, health
from instances_app.models import Instance, Probe
from sync_app import (
    checks,
    comparing,
    deliveries,
    draining,
    dry_answers,
    dry_run_turn,
    gates,
    onboarding,
    push,
    rotation_turn,
    serving,
    waves,
)
from sync_app.models import GOING, UNFINISHED, Delivery, Rollout

logger = logging.getLogger(__name__)


@shared_task
def push_batch(rollout_id: int) -> None:
    """Work on what is due; whoever did something also asks for the next turn, so that turns do not multiply."""
    worked = push.run(rollout_id)
    step = waves.advance(rollout_id)
    if step.look:
        check_wave.delay(rollout_id)
    elif step.compare:
        compare_wave.delay(rollout_id)
    elif (worked or step.opened) and step.delay is not None and step.delay <= settings.TICK_SECONDS:
        push_batch.apply_async((rollout_id,), countdown=step.delay)
    if worked and Probe.objects.filter(environment__rollouts=rollout_id).exists():
        probe_rollout.delay(rollout_id)


@shared_task
def join_push(rollout_id: int, passes: int = 1) -> None:
    """Take part in a rollout beside other workers. A process that is at it already passes this on: two turns in one
    share its interpreter lock and gain nothing, and Redis serves next who has waited longest.
    """
    if not push.is_under_way(rollout_id):
        push_batch(rollout_id)
    elif passes:
        join_push.apply_async((rollout_id, passes - 1), expires=settings.TICK_SECONDS)


@shared_task
def probe_rollout(rollout_id: int) -> None:
    """Ask the services whether they serve what has just been verified; later, while somebody else is asking."""
    if serving.after(rollout_id) is None:
        probe_rollout.apply_async((rollout_id,), countdown=settings.TICK_SECONDS)


@shared_task
def probe_due() -> None:
    """Ask the services whose last answer is old enough."""
    serving.turn()


@shared_task
def check_wave(rollout_id: int) -> None:
    """Ask the instances that a gate rests on how they are, and advance."""
    checks.ask(gates.verified_instances(Rollout.objects.get(pk=rollout_id)))
    if waves.advance(rollout_id).delay == 0.0:
        push_batch.delay(rollout_id)


@shared_task
def dry_run_batch(run_id: int) -> None:
    """Ask who has not been asked yet."""
    dry_run_turn.run(run_id)


@shared_task
def rotate_batch(rotation_id: int) -> None:
    """Turn the tokens of those who are due."""
    rotation_turn.run(rotation_id)


@shared_task
def compare_wave(rollout_id: int) -> None:
    """Ask canaries and untouched instances how they are and what they counted, and advance."""
    rollout = Rollout.objects.select_related("environment").get(pk=rollout_id)
    comparing.ask(rollout, gates.verified_instances(rollout))
    step = waves.advance(rollout_id)
    if step.look:
        check_wave.delay(rollout_id)
    elif step.delay is not None and step.delay <= settings.TICK_SECONDS:
        push_batch.apply_async((rollout_id,), countdown=step.delay)


@shared_task
def undrain() -> None:
    """Ask what is still drained to take traffic again."""
    draining.ask()


@shared_task
def tick() -> None:
    """The safety net: expired leases, lost wake-ups, gates whose time has come, rollouts that ended unseen."""
    deliveries.expire_leases()
    unfinished = set(Delivery.objects.filter(state__in=UNFINISHED).values_list("rollout_id", flat=True).distinct())
    unfinished |= set(Rollout.objects.filter(state__in=GOING).values_list("pk", flat=True))
    for rollout_id in sorted(unfinished):
        try:
            step = waves.advance(rollout_id)
        except Exception:  # whatever it is: the rollouts behind this one are somebody's, too
            logger.exception("Rollout %s could not go on; the next tick tries again.", rollout_id)
            continue
        if step.look:
            check_wave.delay(rollout_id)
        if step.compare:
            compare_wave.delay(rollout_id)
        if step.delay == 0.0:
            push_batch.delay(rollout_id)
    for run_id in dry_answers.resume():
        dry_run_batch.delay(run_id)
    for rotation_id in exchanges.resume():
        rotate_batch.delay(rotation_id)
    if draining.owed().exists():
        undrain.apply_async(expires=settings.TICK_SECONDS)
    live.beat()


@shared_task
def observe_all() -> None:
    """Ask every instance what it runs, each when it is due, for one interval; a worker that is to end stops early."""
    checks.turn(stop=lambda: state.should_stop is not None or state.should_terminate is not None)


@shared_task
def thin_samples() -> None:
    """Delete the samples of checks that are too old to be shown."""
    health.thin()


@shared_task
def observe_environment(environment_id: int) -> None:
    """Ask the instances of one environment what they run, now."""
    checks.run(environment_id)


@shared_task
def observe_selected(instance_ids: list[int]) -> None:
    """Ask these instances what they run, now."""
    checks.ask(Instance.objects.active().filter(pk__in=instance_ids).order_by("pk"))


@shared_task
def first_look(instance_id: int) -> None:
    """Ask an instance that somebody waits for; nothing, when nobody waits any more."""
    onboarding.ask(instance_id)


def wake(rollout_id: int, *, turns: int = 1) -> None:
    """Start so many workers on a rollout once the transaction has committed; beat does it when the broker is away."""

    def send() -> None:  # in one go: without a broker the first one ends it
        for task in [push_batch, *[join_push] * (turns - 1)]:
            _send(task, rollout_id)

    transaction.on_commit(send, robust=True)


def wake_dry_run(run_id: int) -> None:
    transaction.on_commit(lambda: _send(dry_run_batch, run_id), robust=True)


def wake_rotation(rotation_id: int) -> None:
    transaction.on_commit(lambda: _send(rotate_batch, rotation_id), robust=True)


def wake_check(environment_id: int) -> None:
    transaction.on_commit(lambda: _send(observe_environment, environment_id), robust=True)


def wake_first_look(instance_id: int) -> None:
    transaction.on_commit(lambda: _send(first_look, instance_id), robust=True)


def wake_look(instance_ids: list[int]) -> None:
    transaction.on_commit(lambda: _send(observe_selected, instance_ids), robust=True)


def _send(task: object, argument: int | list[int]) -> None:
    task.delay(argument)  # type: ignore[attr-defined]
