"""Findings that somebody has decided to live with: by whom, why, and until when.

An acceptance is of one rule, at one level, in one entry of one environment. It lifts a warning's demand for a decision
and an error's block; in a protected environment an error's only for changes that its author had no part in.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import replace
from datetime import date, datetime, time, timedelta

from django.db import transaction
from django.utils import timezone

from configs_app import contributors, documents, reasons
from configs_app.models import Acceptance, Change
from configs_app.validation import UNREADABLE, Finding, Level
from console import access, audit
from console.errors import Refused
from console.models import User
from instances_app.models import Environment

LONGEST = timedelta(days=366)
USUAL = timedelta(days=90)
ENTRY_LENGTH = 500
NAMED = 200  # in one audit event; the rows have all of them

Key = tuple[str, str, str]  # rule, level, entry


def accept(
    environment: Environment,
    findings: Collection[Finding],
    *,
    reason: str,
    until: date | None,
    actor: User,
    change: Change | None = None,
) -> list[Acceptance]:
    """Accept these findings until the end of that day (UTC); what stands for the same rule and entry is replaced.

    `change` is the one that they are of; none for an import, for which nobody types the reason.
    """
    expires_at = _end_of(until)
    if not findings:
        raise Refused("Tick at least one finding to accept.")
    reason = reasons.tidy(reason, missing="Say why these findings are acceptable; whoever reviews the change reads it.")
    if change is not None:
        reasons.refuse_secrets(reason, reasons.beside_change(change))
    if not all(can_be_accepted(finding) for finding in findings):
        raise Refused("Only what a rule finds in an entry can be accepted; a text that cannot be read has to be fixed.")
    keys = {(finding.document, *key_of(finding)) for finding in findings}
    with transaction.atomic():
        documents.lock(environment)
        ended = [
            standing.pk
            for standing in Acceptance.objects.filter(environment=environment, ended_at=None)
            if (standing.kind, standing.rule, standing.level, standing.entry) in keys
        ]
        Acceptance.objects.filter(pk__in=ended).update(ended_at=timezone.now())
        common = {"environment": environment, "reason": reason, "author": actor, "expires_at": expires_at}
        made = Acceptance.objects.bulk_create(
            Acceptance(kind=kind, rule=rule, level=level, entry=entry, **common)
            for kind, rule, level, entry in sorted(keys)
        )
        audit.record(
            "finding.accepted",
            actor=actor,
            target=environment,
            findings=[" ".join(key) for key in sorted(keys)[:NAMED]],
            accepted=len(keys),
            reason=reason,
            until=expires_at.isoformat(),
        )
    return made


def usual_end() -> date:
    """The day that is offered."""
    return (timezone.now() + USUAL).date()


def end(acceptance: Acceptance, *, actor: User) -> None:
    """Take an acceptance back: what it was for has to be decided again with the next change."""
    with transaction.atomic():
        found = Acceptance.objects.select_for_update().get(pk=acceptance.pk)
        if found.ended_at is not None:
            raise Refused("This acceptance has ended already.")
        found.ended_at = timezone.now()
        found.save(update_fields=["ended_at"])
        audit.record(
            "finding.acceptance_ended",
            actor=actor,
            target=found.environment,
            findings=[f"{found.kind} {found.rule} {found.level} {found.entry}"],
        )


def standing(environment: Environment, kind: str) -> dict[Key, Acceptance]:
    """What is accepted now."""
    found = Acceptance.objects.filter(
        environment=environment, kind=kind, ended_at=None, expires_at__gt=timezone.now()
    ).select_related("author")
    return {(acceptance.rule, acceptance.level, acceptance.entry): acceptance for acceptance in found}


def key_of(finding: Finding) -> Key:
    return finding.rule, str(finding.level), finding.entry


def marked(found: Iterable[Finding], accepted: dict[Key, Acceptance]) -> list[Finding]:
    """The findings, those that are accepted with the words that say so."""
    result = []
    for finding in found:
        acceptance = accepted.get(key_of(finding))
        result.append(replace(finding, accepted=words(acceptance)) if acceptance else finding)
    return result


def words(acceptance: Acceptance) -> str:
    return f"Accepted by {acceptance.author} until {acceptance.expires_at:%Y-%m-%d}: {acceptance.reason}"


def counts(acceptance: Acceptance | None, finding: Finding, change: Change) -> bool:
    """Whether this acceptance settles this finding of this change, now."""
    return acceptance is not None and may_settle(acceptance.author, finding, change)


def can_be_accepted(finding: Finding) -> bool:
    """Whether there is an entry to accept it in; a text that is no document has to be mended."""
    return finding.rule not in UNREADABLE and 0 < len(finding.entry) <= ENTRY_LENGTH


def may_settle(person: User, finding: Finding, change: Change) -> bool:
    """Whether this person's acceptance would let the change pass.

    Nobody is alone in a protected environment: an error is settled there only by somebody who may review (still, now)
    and had no part in the change. A warning needs a reason on record, whoever gives it.
    """
    if not can_be_accepted(finding):
        return False
    if finding.level != Level.ERROR or not change.environment.protected:
        return access.allows(person, "finding.accept", change.environment)
    return person.pk not in contributors.of(change) and access.allows(person, "change.review", change.environment)


def _end_of(day: date | None) -> datetime:
    if day is None:
        raise Refused("Say until which day this is accepted, as year-month-day.")
    expires_at = datetime.combine(day, time.max, tzinfo=timezone.get_current_timezone())
    if expires_at <= timezone.now():
        raise Refused(f"{day} is over. Choose a day to come.")
    if expires_at > timezone.now() + LONGEST:
        raise Refused(f"{day} is too far away; a finding is accepted for a year at most.")
    return expires_at
