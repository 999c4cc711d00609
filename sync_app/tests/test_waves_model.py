"""Whatever people, workers, networks, instances and time do, in any order: the promises hold, and every rollout ends.

Wake-ups are not in it: a worker claims whenever it likes, so losing every message of the broker is one of the orders.
"""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta

import pytest
from django.db.models import F, Max
from django.utils import timezone
from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from configs_app.models import Change
from console import testing
from console.errors import Refused
from instances_app import freezes
from instances_app.client import Push, Pushed
from instances_app.freeze_models import Freeze
from instances_app.models import Instance, maintained
from sync_app import blocklist, deliveries, freezing, maintenance, rollbacks, rollout_control, rollouts, waves
from sync_app.deliveries import Claim
from sync_app.models import FINAL, GOING, UNFINISHED, WITH_REASON, Cause, Delivery, Rollout
from sync_app.payload import Payload
from sync_app.tests.attempts import change, look
from sync_app.tests.simulated import Disk, Late, carry_out

NUMBERS = itertools.count()  # environments and contents that no other example has
ENDS = st.sampled_from(
    ["well", "well", "well", "rejects", "token", "refused", "lost", "deaf", "late", "late", "lies", "silent"]
)
PLANS = st.fixed_dictionaries(
    {
        "waves": st.sampled_from([["100%"], ["1", "100%"], ["1", "50%", "100%"], ["2", "3", "4", "100%"]]),
        "failure_limit": st.sampled_from(["", "0", "1", "50%"]),
        "unreachable": st.sampled_from(["block", "tolerate", "exclude"]),
        "tolerate": st.integers(0, 2),
        "at_once": st.sampled_from([0, 0, 1, 2]),
        "soak_seconds": st.sampled_from([0, 60]),
    }
)


@dataclass
class Held:
    """What a worker has in its hands: claimed, then sent, then written down."""

    rollout: Rollout
    claim: Claim
    job: Push | Pushed
    result: Pushed | None = None
    was_there: bool = False  # the documents lay on the disk when it was read back


class Rolling(RuleBasedStateMachine):
    """Claims, results, dead workers, waking up, passing time, and every verb there is."""

    @initialize(plan=PLANS, number=st.integers(1, 6))
    def begin(self, plan: dict[str, object], number: int) -> None:
        name = f"model-{next(NUMBERS)}"
        self.cast = testing.cast(name)
        self.environment = self.cast.environment
        self.environment.plan = plan
        self.environment.save()
        testing.bundle(self.environment)
        for index in range(number):
            testing.instance(self.environment, f"{name}-i{index}")
        mine = Instance.objects.filter(environment=self.environment)
        mine.update(info={"capabilities": ["batch", "digest", "sequence"]})
        self.disks = {instance.pk: Disk() for instance in mine}
        self.held: list[Held] = []
        self.wire: list[Late] = []  # pushes that may still arrive
        self.ended: dict[int, str] = {}
        rollouts.publish(self.draft(), actor=self.cast.olga)
        self.hurry()

    def draft(self) -> Change:
        return change(self.cast, f"entry-{next(NUMBERS)}")

    def hurry(self) -> None:
        """Few attempts, so that their end is seen."""
        Rollout.objects.filter(environment=self.environment).update(max_attempts=2)

    @property
    def latest(self) -> Rollout:
        found = Rollout.objects.filter(environment=self.environment).order_by("-number").first()
        assert found is not None
        return found

    def attempt_verb(self, verb: Callable[[], object]) -> None:
        frozen, before = freezes.frozen(self.environment), self.latest
        with contextlib.suppress(Refused):
            verb()
        assert not frozen or self.latest == before or self.latest.cause == Cause.ROLLBACK
        if self.latest != before:
            assert not self.latest.deliveries.filter(maintained("instance__")).exists()
        self.hurry()

    @rule(limit=st.integers(1, 4))
    def claim(self, limit: int) -> None:
        for rollout in Rollout.objects.filter(environment=self.environment):
            claims = deliveries.claim(rollout.pk, limit=limit, at_once=rollout.plan["at_once"])
            for claim in claims:
                assert Delivery.objects.get(pk=claim.id).wave <= rollout.wave
                assert claim.may_send == (rollout.state == "running")
                assert claim.may_send or claim.was == "unknown"
            jobs = Payload(rollout).jobs(claims)
            self.held += [Held(rollout, claim, job) for claim, job in zip(claims, jobs, strict=True)]

    @rule(which=st.integers(0, 50), end=ENDS)
    def send(self, which: int, end: str) -> None:
        """One of what is held goes out, at once or long after it was claimed; its result is not written down yet."""
        waiting = [held for held in self.held if held.result is None]
        if waiting:
            held = waiting[which % len(waiting)]
            disk = self.disks[held.claim.instance_id]
            held.result, late = carry_out(held.job, disk, end)
            held.was_there = disk.holds(held.rollout.bundle.digests())
            self.wire += late

    @rule(which=st.integers(0, 50))
    def record(self, which: int) -> None:
        done = [held for held in self.held if held.result is not None]
        if done:
            held = done[which % len(done)]
            self.held.remove(held)
            held.rollout.refresh_from_db()
            assert held.result is not None
            before = Delivery.objects.get(pk=held.claim.id)
            deliveries.record(held.rollout, [(held.claim, held.result)])
            after = Delivery.objects.get(pk=held.claim.id)
            assert held.was_there or after.state != "verified" or before.state == "verified"

    @rule(which=st.integers(0, 50))
    def arrives(self, which: int) -> None:
        """Whoever sent it has given up long ago."""
        if self.wire:
            self.wire.pop(which % len(self.wire)).arrive()

    @rule(which=st.integers(0, 50))
    def somebody_edits_the_files(self, which: int) -> None:
        list(self.disks.values())[which % len(self.disks)].drift()

    @rule(forget=st.booleans())
    def a_worker_dies(self, forget: bool) -> None:
        """Its leases run out; sometimes it was only slow, and its pushes and results come later."""
        ids = [held.claim.id for held in self.held]
        Delivery.objects.filter(pk__in=ids, state="sending").update(lease_until=timezone.now() - timedelta(days=1))
        deliveries.expire_leases()
        if forget:
            self.held = []

    @rule()
    def advance(self) -> None:
        for rollout in Rollout.objects.filter(environment=self.environment):
            waves.advance(rollout.pk)

    @rule()
    def time_passes(self) -> None:
        hour = timedelta(hours=1)
        mine = Delivery.objects.filter(rollout__environment=self.environment)
        mine.filter(next_attempt_at__isnull=False).update(next_attempt_at=None)
        mine.exclude(finished_at=None).update(finished_at=F("finished_at") - hour)
        Instance.objects.filter(environment=self.environment).update(health_at=None)

    @rule(ill=st.booleans())
    def ask(self, ill: bool) -> None:
        first = Instance.objects.filter(environment=self.environment).first()
        look(self.latest, ill=first.name if ill and first else "")

    @rule()
    def pause(self) -> None:
        self.attempt_verb(lambda: rollout_control.pause(self.latest, actor=self.cast.olga))

    @rule()
    def resume(self) -> None:
        self.attempt_verb(lambda: rollout_control.resume(self.latest, actor=self.cast.olga))

    @rule()
    def continue_(self) -> None:
        self.attempt_verb(lambda: rollout_control.continue_(self.latest, actor=self.cast.anna, reason="a test"))

    @rule()
    def cancel(self) -> None:
        self.attempt_verb(lambda: rollout_control.cancel(self.latest, actor=self.cast.olga))

    @rule(unstarted=st.booleans())
    def retry(self, unstarted: bool) -> None:
        self.attempt_verb(lambda: rollouts.retry(self.latest, actor=self.cast.olga, unstarted=unstarted))

    @rule()
    def roll_back(self) -> None:
        self.attempt_verb(lambda: rollbacks.roll_back(self.latest, actor=self.cast.olga, reason="a test"))

    @rule(supersede=st.booleans())
    def publish(self, supersede: bool) -> None:
        self.attempt_verb(lambda: rollouts.publish(self.draft(), actor=self.cast.olga, supersede=supersede))

    @rule()
    def sync(self) -> None:
        self.attempt_verb(lambda: rollouts.start(self.environment, actor=self.cast.olga, cause=Cause.SYNC))

    @rule(pausing=st.booleans())
    def freeze(self, pausing: bool) -> None:
        begun = timezone.now() - timedelta(hours=1)
        row = Freeze(environment=self.environment, kind="freeze", zone="UTC", reason="a test", starts_at=begun)
        row.policy = "pause" if pausing else "finish"
        freezing.add(row, actor=self.cast.adam)

    @rule()
    def lift(self) -> None:
        for freeze in freezes.standing(self.environment):
            freezing.lift(freeze, reason="a test", actor=self.cast.adam)

    @rule(which=st.integers(0, 50))
    def maintain(self, which: int) -> None:
        instances = list(self.environment.instances.all())
        maintenance.begin(instances[which % len(instances)], reason="a test", actor=self.cast.olga)

    @rule()
    def end_maintenance(self) -> None:
        for instance in self.environment.instances.in_maintenance():
            maintenance.end(instance, actor=self.cast.olga)

    @invariant()
    def at_most_one_has_not_ended_and_it_is_not_of_what_is_blocked(self) -> None:
        going = list(Rollout.objects.filter(environment=self.environment, state__in=GOING))
        assert len(going) <= 1
        for rollout in going:
            assert blocklist.of(rollout.bundle) is None

    @invariant()
    def nothing_of_a_closed_wave_was_ever_touched(self) -> None:
        ahead = Delivery.objects.filter(rollout__environment=self.environment, wave__gt=F("rollout__wave"))
        assert not ahead.exclude(attempts=0, sent_at=None).exists()
        assert not ahead.filter(rollout__state__in=GOING).exclude(state__in=["pending", "skipped"]).exists()

    @invariant()
    def what_is_final_stays_as_it_is(self) -> None:
        now = dict(
            Delivery.objects.filter(rollout__environment=self.environment, state__in=FINAL).values_list("pk", "state")
        )
        assert {pk: now.get(pk) for pk in self.ended} == self.ended
        self.ended = now

    @invariant()
    def no_more_than_planned_are_sent_to_at_once(self) -> None:
        for rollout in Rollout.objects.filter(environment=self.environment):
            sending = rollout.deliveries.filter(state="sending").count()
            assert not rollout.plan["at_once"] or sending <= rollout.plan["at_once"]

    @invariant()
    def a_disk_holds_the_pair_of_the_rollout_that_came_last(self) -> None:
        """Never half of it, and nothing older comes over what was verified, however late it arrives."""
        proven = Delivery.objects.filter(instance__environment=self.environment, state="verified")
        verified = dict(proven.values_list("instance_id").annotate(at=Max("rollout__sequence")))
        pairs = {
            rollout.sequence: rollout.bundle.digests()
            for rollout in Rollout.objects.filter(environment=self.environment).select_related("bundle")
        }
        for pk, disk in self.disks.items():
            if disk.edited:
                continue
            if disk.sequence:
                assert disk.digests == pairs[disk.sequence]
            last = verified.get(pk, 0)
            assert disk.sequence >= last or disk.digests == pairs[last]

    @invariant()
    def success_is_all_verified(self) -> None:
        won = Rollout.objects.filter(environment=self.environment, state="succeeded")
        assert not Delivery.objects.filter(rollout__in=won).exclude(state="verified").exists()

    def teardown(self) -> None:
        """From anywhere it goes on to an end, or to a halt that a person can leave in any direction."""
        if not hasattr(self, "held"):
            return
        self.lift()
        self.a_worker_dies(forget=True)
        for _ in range(40):
            self.time_passes()
            while self.wire:
                self.arrives(which=0)
            self.claim(limit=4)
            while self.held:
                self.send(which=0, end="well")
                self.record(which=0)
            if self.latest.is_going:
                look(self.latest)
            self.advance()
            if self.latest.state == "paused":
                self.resume()
            elif self.latest.state == "halted":
                assert self.latest.halt_reason
                self.continue_()
            if not Delivery.objects.filter(rollout__environment=self.environment, state__in=UNFINISHED).exists():
                break
        self.advance()
        left = Delivery.objects.filter(rollout__environment=self.environment, state__in=UNFINISHED)
        assert list(left.values("rollout__number", "rollout__state", "state", "wave", "attempts")) == []
        assert not Rollout.objects.filter(environment=self.environment, state__in=GOING).exists()
        assert not Delivery.objects.filter(state__in=WITH_REASON, error="").exists()


@pytest.mark.django_db
def test_whatever_happens_the_promises_hold_and_every_rollout_comes_to_an_end() -> None:
    run_state_machine_as_test(
        Rolling,
        settings=settings(
            max_examples=8,
            stateful_step_count=25,
            deadline=None,
            database=None,
            phases=[Phase.generate],  # shrinking would take longer than reading
        ),
    )
