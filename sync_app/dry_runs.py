"""How a dry run begins, and whether it still is of what is there now. What becomes of it is in `dry_answers`.

Locks are taken in one order: environment, change, audit.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable

from django.db import transaction
from django.db.models import Max
from webhook_agent import placeholders, protocol

from configs_app import contents, documents, proposals, reach
from configs_app.models import Change
from configs_app.reach import Target
from console import audit
from console.errors import Refused
from console.models import User
from sync_app import dry_answers, tasks
from sync_app.dry_run_models import DryRun, DryRunState
from sync_app.dry_run_turn import texts_of

MOST_RUNNING = 3  # in one environment


def start(change: Change, *, actor: User) -> DryRun:
    """Ask every instance that the change is aimed at what it would say to its documents as they are now."""
    with transaction.atomic():
        environment = documents.lock(change.environment)
        Change.objects.select_for_update(no_key=True).only("pk").get(pk=change.pk)
        change = Change.objects.select_related("environment").get(pk=change.pk)
        if not change.is_open:
            raise Refused(f"This change is {change.state}: there is nothing left to try out.")
        changed = contents.changed_documents(change)
        if not changed:
            raise Refused("Nothing is changed yet: the instances would be asked about what they run.")
        for document in changed:
            if not document.digest:
                raise Refused(f"{document.kind} is not valid JSON, so no instance can be asked about it. Correct it.")
        running = DryRun.objects.filter(change__environment=environment, state=DryRunState.RUNNING)
        if running.filter(change=change).exists():
            raise Refused("A dry run of this change is under way. Wait for its end.")
        if running.count() >= MOST_RUNNING:
            raise Refused(f"{MOST_RUNNING} dry runs are under way in {environment}. Wait until one of them has ended.")
        targets = aimed_at(change)
        if not targets:
            raise Refused("The change goes to no instance. Register one, or choose others.")
        last = change.dry_runs.aggregate(number=Max("number"))["number"]
        run = DryRun.objects.create(
            change=change,
            number=(last or 0) + 1,
            digests=contents.digests(change),
            aim=_aim(targets),
            names={kind: list(placeholders.names(protocol.parse(text))[0]) for kind, text in texts_of(change).items()},
            author=actor,
        )
        dry_answers.create(run, [target.pk for target in targets])
        audit.record(
            "change.dry_run_started",
            actor=actor,
            target=change,
            run=run.number,
            digests=run.digests,
            instances=len(targets),
            placeholders=len({name for names in run.names.values() for name in names}),
        )
        tasks.wake_dry_run(run.pk)
        dry_answers.ping(run)
    return run


def aimed_at(change: Change) -> list[Target]:
    """The active instances that publishing it now would go to."""
    proposal = proposals.current(change) if change.environment.protected else None
    return reach.left(proposal) if proposal else reach.wanted(change)


def departures(run: DryRun) -> list[str]:
    """What has moved since the instances were asked, one sentence each; empty while the run is of what is there now.

    A change that was published or given up has no now.
    """
    change = run.change
    if not change.is_open:
        return []
    now = contents.digests(change)
    own = {document.kind for document in contents.changed_documents(change)}
    found = [
        f"{kind} was edited since." if kind in own else f"Another revision of {kind} is current now."
        for kind in sorted({*now, *run.digests}, reverse=True)
        if now.get(kind) != run.digests.get(kind)
    ]
    if run.aim != _aim(aimed_at(change)):
        found.append("The instances that it goes to have changed since, or their addresses.")
    return found


def _aim(targets: Iterable[Target]) -> str:
    parts = sorted([target.pk, target.base_url] for target in targets)
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()
