"""One worker's turn at a dry run: claim, ask, record, until nobody is left to ask."""

from __future__ import annotations

import time
from collections.abc import Sequence

from django.conf import settings
from webhook_agent import protocol

from configs_app import changes, contents, reasons
from configs_app.models import Change, ChangeState
from instances_app.client import DryPush, DryPushed, Fleet, dry
from instances_app.client.dry import DryBody
from instances_app.models import Instance, Observation
from sync_app import dry_answers, dry_verdicts
from sync_app.dry_answers import AT_ONCE, Claim
from sync_app.dry_run_models import DryAnswerState, DryRun, DryRunState
from sync_app.dry_verdicts import Checks, Verdict
from sync_app.payload import SEND_ORDER
from sync_app.push import FLUSH_SECONDS

RETIRED = Verdict(DryAnswerState.SKIPPED, "retired", "It was retired meanwhile.", Checks())
Done = tuple[Claim, tuple[str, ...], Verdict]


def run(run_id: int) -> None:
    """Ask until nobody is left, and end the run then. May be called again, and by several workers at once."""
    found = DryRun.objects.select_related("change__environment").filter(pk=run_id, state=DryRunState.RUNNING).first()
    if found is None:
        return
    if not found.answers.filter(state=DryAnswerState.PENDING).exists():
        dry_answers.close(run_id)
        return
    question = Question(found)
    if question.moved_on:
        dry_answers.stop(run_id, because=question.moved_on)
        return
    _ask(found, question)
    dry_answers.close(run_id)


def texts_of(change: Change) -> dict[str, str]:
    """kind → text of the pair that publishing it now would make."""
    return {kind: text for kind, text in contents.texts(change).items() if text is not None}


class Question:
    """What the instances of one run are asked. The texts are those of the change, while they have the run's digests."""

    def __init__(self, run: DryRun) -> None:
        self.run = run
        self._texts = texts_of(run.change)
        self.moved_on = ""
        if run.change.state == ChangeState.WITHDRAWN:
            self.moved_on = "The change was given up before all instances were asked."
        elif {kind: changes.digest_of(text) for kind, text in self._texts.items()} != run.digests:
            self.moved_on = "The documents were changed before all instances were asked."
        changed = {document.kind for document in contents.changed_documents(run.change)}
        self._own = tuple(kind for kind in SEND_ORDER if kind in changed)
        self._bodies: dict[tuple[str, ...], DryBody] = {}
        self._hide = reasons.hiding(self._texts.values())

    def asks(self, claims: Sequence[Claim]) -> tuple[dict[Claim, tuple[str, ...]], list[DryPush], list[Done]]:
        """What each is asked about (the documents that a rollout would send it), the jobs, and who is not asked."""
        ids = [claim.instance_id for claim in claims]
        instances = Instance.objects.managed().select_related("environment").in_bulk(ids)
        seen: dict[int, dict[str, str]] = {}
        for instance_id, kind, digest in Observation.objects.filter(instance_id__in=ids, until=None).values_list(
            "instance_id", "kind", "digest"
        ):
            seen.setdefault(instance_id, {})[kind] = digest
        about = {c: self._differing(seen.get(c.instance_id, {})) for c in claims if c.instance_id in instances}
        jobs = [DryPush(c.id, instances[c.instance_id].target, self._body(kinds)) for c, kinds in about.items()]
        return about, jobs, [(claim, (), RETIRED) for claim in claims if claim not in about]

    def verdict(self, kinds: tuple[str, ...], result: DryPushed) -> Verdict:
        names = dict.fromkeys(name for kind in kinds for name in self.run.names.get(kind, ()))
        return dry_verdicts.decide(result, names=list(names), hide=self._hide)

    def _differing(self, seen: dict[str, str]) -> tuple[str, ...]:
        differing = tuple(
            kind
            for kind in SEND_ORDER
            if kind in self.run.digests and not protocol.same(self.run.digests[kind], seen.get(kind, ""))
        )
        return differing or self._own

    def _body(self, kinds: tuple[str, ...]) -> DryBody:
        if kinds not in self._bodies:
            parts = [(kind, self.run.digests[kind], self._texts[kind]) for kind in kinds]
            self._bodies[kinds] = dry.body(parts, request_id=f"dry-run-{self.run.pk}")
        return self._bodies[kinds]


def _ask(run: DryRun, question: Question) -> None:
    held: dict[int, tuple[Claim, tuple[str, ...]]] = {}
    renewed = time.monotonic()
    claims = dry_answers.claim(run.pk, limit=AT_ONCE)
    if not claims:
        return
    with Fleet(connect_timeout=settings.CONNECT_SECONDS, read_timeout=settings.READ_SECONDS) as fleet:
        while claims or held:
            about, jobs, done = question.asks(claims) if claims else ({}, [], [])
            held.update((claim.id, (claim, kinds)) for claim, kinds in about.items())
            for job in jobs:
                fleet.submit(job)
            for result in fleet.results(timeout=FLUSH_SECONDS if held else 0):
                if isinstance(result, DryPushed):
                    claim, kinds = held.pop(result.key)
                    done.append((claim, kinds, question.verdict(kinds, result)))
            dry_answers.record(run, done)
            if time.monotonic() - renewed > settings.LEASE_SECONDS / 3:
                dry_answers.renew(claim for claim, _ in held.values())
                renewed = time.monotonic()
            claims = dry_answers.claim(run.pk, limit=AT_ONCE - len(held)) if len(held) <= AT_ONCE // 2 else []
