"""What an instance's page says: is it right, what stopped it if not, what now; then its past."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.db.models import F
from django.utils import timezone
from webhook_agent import protocol

from configs_app import documents, reasons
from configs_app.models import Bundle, Revision
from configs_app.naming import Names
from console import access
from console.models import User
from instances_app import day, probes
from instances_app.client.replies import printable
from instances_app.models import Instance, Observation, Probe
from instances_app.models import Served as Kept
from sync_app import fleet, ladder, serving
from sync_app.ladder_facts import Attempt, Facts, Ladder, Report, Served, Told
from sync_app.models import Cause, Delivery, DeliveryState, RolloutState

CALLS = 20  # words an instance came to be called by
TRIED = 20  # deliveries that a ladder looks back on
REPORTS = 200  # observations that it looks back on
LISTED = 20  # deliveries on a page


@dataclass(frozen=True, slots=True)
class Document:
    """One document: what is wanted, what it reports, and how far it has come."""

    kind: str
    desired: Revision
    seen: Observation | None
    live: Revision | None  # which of ours it reports; None beside a report: not one of ours
    fresh: bool
    ladder: Ladder


def now(instance: Instance, user: User, names: Names) -> dict[str, Any]:
    """The live part, in a fixed number of queries while nothing is broken (its words are compared with secrets)."""
    environment = instance.environment
    bundle = documents.desired(environment)
    (row,) = fleet.rows_for([instance], bundle)
    probe = probes.of(environment)
    shown = [] if instance.retired_at or instance.monitored_only else _documents(instance, bundle, names, probe)
    return {
        "instance": instance,
        "environment": environment,
        "may": access.verbs(user, environment),
        "bundle": bundle,
        "row": row,
        "probe": probe,
        "documents": shown,
        "verdict": ladder.verdict([one.ladder for one in shown]) if shown else None,
        "workers": workers(instance),
    }


def past(instance: Instance, *, before: int | None) -> dict[str, Any]:
    """Checks of the last day, and the deliveries, newest first, those before the one with that id."""
    deliveries = instance.deliveries.select_related("rollout__author").order_by("-pk")
    if before is not None:
        deliveries = deliveries.filter(pk__lt=before)
    found = list(deliveries[: LISTED + 1])
    return {
        "day": day.of(instance),
        "transitions": instance.transitions.all()[:CALLS],
        "deliveries": found[:LISTED],
        "deliveries_after": found[LISTED - 1].pk if len(found) > LISTED else None,
        "deliveries_paged": before is not None,
    }


def workers(instance: Instance) -> tuple[int, int] | None:
    """(living worker processes, of them with the same documents loaded); None where it does not say."""
    said = instance.info.get("workers")
    alive, loaded = (
        (_number(said.get(name)) for name in ("alive", "loaded")) if isinstance(said, dict) else (None, None)
    )
    return None if alive is None or loaded is None else (alive, loaded)


def _documents(instance: Instance, bundle: Bundle | None, names: Names, probe: Probe | None) -> list[Document]:
    if bundle is None:
        return []
    # What it reports now comes first, however often the other document has changed since.
    newest = instance.observations.order_by(F("until").desc(nulls_first=True), "-pk")[:REPORTS]
    reported = sorted(newest, key=lambda one: (one.since, one.pk), reverse=True)
    tried = (
        instance.deliveries.select_related(
            "rollout__author", "rollout__bundle__webhooks", "rollout__bundle__connections"
        )
        .defer("rollout__bundle__webhooks__content_sealed", "rollout__bundle__connections__content_sealed")
        .order_by("-pk")[:TRIED]
    )
    since_move = [one for one in tried if instance.here_since(one.sent_at or one.changed_at)]
    all_ = len(reported) < REPORTS
    reported = [one for one in reported if instance.here_since(one.seen_at)]
    served = _served(instance, probe)
    at = timezone.now()
    found = []
    for revision in bundle.revisions():
        kind = revision.document.kind
        of_kind = [one for one in reported if one.kind == kind]
        seen = next((one for one in of_kind if one.until is None), None)
        facts = Facts(
            kind=kind,
            wanted=revision.digest,
            now=at,
            stale=timedelta(seconds=settings.STALE_SECONDS),
            report=Report(seen.digest, seen.since, seen.seen_at) if seen else None,
            attempts=[_attempt(one, kind, revision.digest, of_kind, all_=all_) for one in since_move],
            told=_told(instance, kind, bundle),
            served=served,
            in_maintenance=instance.in_maintenance,
        )
        live = names.of(kind, seen.digest) if seen else None
        fresh = seen is not None and facts.fresh(seen.seen_at)
        found.append(Document(kind, revision, seen, live, fresh, ladder.climb(facts)))
    return found


def _attempt(one: Delivery, kind: str, wanted: str, reported: Sequence[Observation], *, all_: bool) -> Attempt:
    rollout = one.rollout
    revision = rollout.bundle.revision(kind)
    ends = one.state == DeliveryState.PENDING
    return Attempt(
        rollout=rollout.pk,
        number=rollout.number,
        by=rollout.author.username
        if rollout.author
        else "self-heal"
        if rollout.cause == Cause.REPAIR
        else "the console",
        state=one.state,
        changed_at=one.changed_at,
        carries=revision is not None and revision.digest == wanted,
        held=rollout.state if ends and rollout.state != RolloutState.RUNNING else "",
        waits_for_wave=one.wave if ends and one.wave > rollout.wave else 0,
        sent_at=one.sent_at,
        finished_at=one.finished_at,
        next_at=one.next_attempt_at,
        attempts=one.attempts,
        code=one.code,
        error=one.error,
        evidence=one.evidence,
        ran_already=_ran(wanted, one.sent_at, reported, all_=all_),
    )


def _ran(wanted: str, sent_at: datetime | None, reported: Sequence[Observation], *, all_: bool) -> bool | None:
    """Whether its last report before the push was of this content: then the push left it out, or changed nothing by it.

    None: reports go back further than the ones here.
    """
    if sent_at is None:
        return False
    before = next((one for one in reported if one.since < sent_at), None)
    if before is None:
        return False if all_ else None
    return protocol.same(wanted, before.digest)


def _told(instance: Instance, kind: str, bundle: Bundle) -> Told:
    if instance.info_at is None or not instance.here_since(instance.info_at):
        return Told(None, False)
    info = instance.info
    listed = info.get("documents")
    said = listed.get(kind) if isinstance(listed, dict) else None
    said = said if isinstance(said, dict) else {}
    counted = workers(instance)
    words = _text(info.get("health_reason"))
    problem = _text(said.get("problem"))
    if words or problem:
        hide = reasons.hiding(revision.text for revision in bundle.revisions())
        words, problem = hide(words), hide(problem)
    return Told(
        at=instance.info_at,
        protocol=_number(info.get("protocol")) is not None and bool(said),
        digest=_text(said.get("digest")),
        on_disk=_text(said.get("on_disk")),
        reload_status=_text(said.get("reload_status")),
        problem=problem,
        alive=counted[0] if counted else None,
        loaded=counted[1] if counted else None,
        words=words,
    )


def _served(instance: Instance, probe: Probe | None) -> Served | None:
    if probe is None:
        return None
    kept = Kept.objects.filter(instance=instance).first()
    believed = probes.believed_for(probe)
    if kept is None or not probes.counts(kept, probe, instance):
        return Served(believed, held=probe.secrets_sealed is not None and not serving.is_proven(instance))
    return Served(believed, kept.word, kept.at, kept.detail, kept.said)


def _text(value: object) -> str:
    return printable(value) if isinstance(value, str) else ""


def _number(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 100_000 else None
