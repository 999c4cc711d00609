"""What somebody can do and why, and who can do something: the table of `console.access` in sentences."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from console import access
from console.models import Role, RoleBinding, User

if TYPE_CHECKING:
    from instances_app.models import Environment

WORDS = {
    "environment.view": "see fleet, documents (secrets masked) and history",
    "environment.change": "change its rules and its transport, give and take roles",
    "freeze.set": "set freezes and maintenance windows",
    "freeze.lift": "lift a freeze before its end",
    "audit.view": "read its audit trail",
    "secret.view": "show and download secrets",
    "instance.change": "register, edit and retire instances",
    "source.change": "say where instances are looked for",
    "instance.check": "ask instances what they run",
    "instance.maintain": "put instances into maintenance",
    "change.edit": "edit documents and propose changes",
    "change.review": "approve or reject changes of others",
    "change.dry_run": "try changes out with a dry run",
    "change.comment": "comment on changes",
    "finding.accept": "accept findings",
    "change.publish": "publish changes",
    "change.break_glass": "publish without waiting for approvals",
    "rollout.start": "sync instances and retry",
    "rollout.cancel": "cancel a rollout",
    "rollout.pause": "pause a rollout",
    "rollout.resume": "resume a paused rollout",
    "rollout.continue": "continue a halted rollout",
    "rollout.roll_back": "roll a rollout back",
    "rollout.unblock": "lift the block of what was rolled back",
    "drift.set_aside": "ignore or snooze drift",
}


@dataclass(frozen=True, slots=True)
class Ability:
    """Whether somebody may do one thing in one environment, in words."""

    verb: str
    words: str
    allowed: bool
    why: str


def of(person: User, environment: Environment) -> list[Ability]:
    """Every verb, in the order of the table."""
    sources = _sources(person, environment)
    return [
        Ability(verb, WORDS.get(verb, verb), bool(allowed & sources.keys()), _why(person, allowed, sources))
        for verb, allowed in access.VERBS.items()
    ]


def who_can(environment: Environment) -> list[tuple[str, list[tuple[str, str]]]]:
    """What can be done there → who can, each with why."""
    people = User.objects.filter(is_active=True)
    concerned = people.filter(role_bindings__environment=environment) | people.filter(is_superuser=True)
    concerned |= people.filter(auditor=True)
    sources = {person: _sources(person, environment) for person in concerned.distinct().order_by("username")}
    return [
        (
            WORDS.get(verb, verb),
            [
                (person.username, ", ".join(held[role] for role in sorted(allowed & held.keys())))
                for person, held in sources.items()
                if allowed & held.keys()
            ],
        )
        for verb, allowed in access.VERBS.items()
    ]


def _sources(person: User, environment: Environment) -> dict[str, str]:
    """Role → where it comes from; nothing for who is switched off. The same roles as `access.roles`."""
    if not person.is_active:
        return {}
    bindings = RoleBinding.objects.filter(user=person, environment=environment)
    found = {binding.role: f"{binding.role}{' by single sign-on' if binding.from_sso else ''}" for binding in bindings}
    if person.is_superuser:
        found.setdefault(Role.ADMIN, "site admin, and so admin everywhere")
    if person.auditor:
        found[access.AUDITOR] = "auditor, everywhere"
    return found


def _why(person: User, allowed: frozenset[str], sources: dict[str, str]) -> str:
    having = [sources[role] for role in sorted(allowed & sources.keys())]
    if having:
        return f"{person.username} is {', '.join(having)}"
    if not person.is_active:
        return f"{person.username} is switched off"
    needed = " or ".join(sorted(allowed - {access.AUDITOR}))
    held = ", ".join(sources[role] for role in sorted(sources)) or "nobody here: it does not exist for them"
    return f"this takes {needed}; {person.username} is {held}"
