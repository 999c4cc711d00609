"""What the database says, held against itself and against the disks: nothing lost, no state untrue."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

import django.db
from django.conf import settings
from django.db.models import Count

from configs_app import documents
from configs_app.models import Change, ChangeState
from console import audit, audit_proof, checkpoints
from console.models import AuditEvent
from instances_app.models import Environment, Kind, Observation
from sync_app.chaos.disks import EMPTY, Agents, Disks, Held, Pair, reports
from sync_app.chaos.processes import Member
from sync_app.chaos.record import Loop, Promise, Record
from sync_app.models import FINAL, GOING, UNFINISHED, Delivery, DeliveryState, Rollout, RolloutState


class Books(Loop):
    """Looks twice a second while the database answers; `last_look` is for the end."""

    def __init__(self, members: Sequence[Member], disks: Disks, agents: Agents, record: Record) -> None:
        super().__init__(record, "books")
        self._members = {member.pk: member for member in members}
        self._by_name = {member.name: member for member in members}
        self._disks = disks
        self._agents = agents
        self._pairs: dict[tuple[str, int], Pair] = {}  # (environment, sequence) → the bundle of that rollout
        self._deliveries: dict[int, int] = {}  # rollout → how many it has
        self._ended: dict[int, str] = {}  # delivery → its final state
        self._closed: dict[int, str] = {}  # the same of rollouts
        self._proven: dict[int, int] = {}  # instance → the highest sequence that was verified on it
        self._done: list[tuple[str, str, int]] = []  # what people were told is done: event, kind of thing, its id
        self._judged: set[object] = set()
        self.looks = 0
        self.rollouts: Counter[str] = Counter()  # state → how many, at the last look
        self.deliveries: Counter[str] = Counter()

    def answered(self, event: str, kind: str, pk: int) -> None:
        """Somebody was told that this is done: from now on it has to be there."""
        self._done.append((event, kind, pk))

    def pause(self) -> float:
        return 0.5

    def step(self) -> None:
        try:
            self.look()
        except django.db.Error:
            django.db.connection.close()

    def end(self) -> None:
        django.db.connection.close()

    def look(self) -> None:
        """Every promise that has to hold at any moment. Raises django.db.Error while the database is away."""
        self._rollouts()
        self._final_states()
        self._verified()
        self._disks_are_of_rollouts()
        self.looks += 1

    def last_look(self) -> list[str]:
        """What has to be there once everything has come to rest; in words what nobody waits for any more."""
        self.look()
        for key, seen in list(self._disks.settled.items()) + list(self._agents.reported.items()):
            if key not in self._judged:
                text = f"{key[0]} has had {key[1]} since {seen:.3f}, which no rollout explains"
                self.record.violation(Promise.HALF_APPLIED, text)
        for event, kind, pk in self._done:
            if not AuditEvent.objects.filter(action=event, target_type=kind, target_id=str(pk)).exists():
                self.record.violation(Promise.LOST, f"the event {event} of {kind} {pk}")
            published = Change.objects.filter(pk=pk, state=ChangeState.PUBLISHED)
            if event == "change.published" and not published.exists():
                self.record.violation(Promise.LOST, f"the publication of change {pk}")
            if kind == "rollout" and not Delivery.objects.filter(rollout_id=pk).exists():
                self.record.violation(Promise.LOST, f"the deliveries of rollout {pk}")
        kept = settings.CHECKPOINT_DIR  # a short run may end before beat made the first
        known = checkpoints.read(kept, trusted=checkpoints.public_keys()) if kept.is_dir() else {}
        hashes = {sequence: one.hash for sequence, one in known.items()}
        proof = audit_proof.examine(audit.rows(), hashes, whole=True)
        if proof.bad is not None:
            self.record.violation(Promise.LOST, f"audit event {proof.bad[0]}: {proof.bad[1]}")
        self.rollouts = Counter(Rollout.objects.values_list("state", flat=True))
        self.deliveries = Counter(Delivery.objects.values_list("state", flat=True))
        return []

    def unfinished(self) -> list[str]:
        """What has not ended, in words."""
        rollouts = Rollout.objects.filter(state__in=GOING)
        deliveries = Delivery.objects.filter(state__in=UNFINISHED)
        return [f"{one} is {one.state}" for one in rollouts] + [
            f"{one} is {one.state} after {one.attempts} attempts" for one in deliveries
        ]

    def apart(self) -> list[str]:
        """Who is not on the desired bundle, by disk, agent or the console's books; rollouts that did not succeed."""
        found = []
        for environment in Environment.objects.all():
            bundle = documents.desired(environment)
            wanted = _pair(bundle.digests()) if bundle else EMPTY
            for member in self._members.values():
                if member.environment == environment.name:
                    found += self._differing(member, wanted)
            last = Rollout.objects.filter(environment=environment).order_by("-number").first()
            if last is None or last.state != RolloutState.SUCCEEDED:
                found.append(f"the last rollout, {last}, is {last.state if last else 'missing'}")
        return found

    def _differing(self, member: Member, wanted: Pair) -> list[str]:
        held = self._disks.held(member)
        runs, health = reports(member)
        seen = Observation.objects.filter(instance_id=member.pk, until=None).values_list("kind", "digest")
        said = {
            "its disk": held.pair if held else None,
            "its agent": runs,
            "the console": _pair(dict(seen)),
        }
        found = [f"{member.name}: {who} has {pair}, not {wanted}" for who, pair in said.items() if pair != wanted]
        return [*found, f"{member.name} is {health or 'silent'}"] if health != "healthy" else found

    def _rollouts(self) -> None:
        going: dict[str, int] = {}
        rows = Rollout.objects.select_related("environment", "bundle__webhooks", "bundle__connections")
        rows = rows.defer("bundle__webhooks__content_sealed", "bundle__connections__content_sealed")
        rows = rows.annotate(number_of_deliveries=Count("deliveries"))
        for rollout in rows:
            name = rollout.environment.name
            self._pairs[name, rollout.sequence] = _pair(rollout.bundle.digests())
            before = self._deliveries.setdefault(rollout.pk, rollout.number_of_deliveries)
            if rollout.number_of_deliveries != before:
                text = f"deliveries of {rollout}: {rollout.number_of_deliveries} of {before}"
                self.record.violation(Promise.LOST, text)
            if rollout.is_going:
                going[name] = going.get(name, 0) + 1
            elif self._closed.setdefault(rollout.pk, rollout.state) != rollout.state:
                text = f"{rollout} was {self._closed[rollout.pk]} and is {rollout.state}"
                self.record.violation(Promise.UNTRUE, text)
            if going.get(name, 0) > 1:
                self.record.violation(Promise.UNTRUE, f"two unfinished rollouts in {name}")

    def _final_states(self) -> None:
        now = dict(Delivery.objects.filter(state__in=FINAL).values_list("pk", "state"))
        for pk, state in self._ended.items():
            if now.get(pk) != state:
                text = f"delivery {pk} was {state} and is {now.get(pk, 'not final any more')}"
                self.record.violation(Promise.UNTRUE, text)
        self._ended |= now

    def _verified(self) -> None:
        """Whatever was verified lies on the disk, unless a later rollout has been there."""
        rows = Delivery.objects.filter(state=DeliveryState.VERIFIED).values_list("instance_id", "rollout__sequence")
        for instance_id, sequence in rows:
            self._proven[instance_id] = max(sequence, self._proven.get(instance_id, 0))
        for instance_id, sequence in self._proven.items():
            member = self._members[instance_id]
            held = self._disks.held(member)
            wanted = self._pairs.get((member.environment, sequence))  # none: it began after the look at the rollouts
            if wanted is not None and held is not None and held.sequence <= sequence and held.pair != wanted:
                text = f"{member.name}: sequence {sequence} was verified, and its disk holds {held}, not {wanted}"
                self.record.violation(Promise.UNTRUE, text)

    def _disks_are_of_rollouts(self) -> None:
        """Each pair that was ever seen at rest is the bundle of the rollout whose sequence stands beside it."""
        for (name, held), seen in list(self._disks.settled.items()):
            if self._expected(name, held) == held.pair:
                self._judged.add((name, held))
            elif self._expected(name, held) is not None:
                text = f"{name} held {held} at {seen:.3f}; that rollout's is {self._expected(name, held)}"
                self.record.violation(Promise.HALF_APPLIED, text)
                self._judged.add((name, held))
        published = {(environment, pair) for (environment, _), pair in self._pairs.items()}
        for name, pair in list(self._agents.reported):
            if pair == EMPTY or (self._by_name[name].environment, pair) in published:
                self._judged.add((name, pair))

    def _expected(self, name: str, held: Held) -> Pair | None:
        if held.sequence == 0:
            return EMPTY
        return self._pairs.get((self._by_name[name].environment, held.sequence))


def _pair(digests: Mapping[str, str]) -> Pair:
    webhooks, connections = (digests.get(kind, "") for kind in Kind.values)
    return webhooks, connections
