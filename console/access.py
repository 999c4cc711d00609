"""Who may do what: one table, asked by views, templates and tests alike.

Somebody without any role in an environment is told it does not exist (404). Somebody with too little is told
so (403), and who can.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING

from django.contrib.auth.models import AnonymousUser

from console.errors import Denied, Hidden
from console.models import Role, RoleBinding, User

if TYPE_CHECKING:
    from instances_app.models import Environment

AUDITOR = "auditor"  # global, read-only: a flag on the person, not a binding

EVERYBODY = frozenset({*Role.values, AUDITOR})
PEOPLE = frozenset(Role.values)  # everybody with a role in that environment; an auditor only reads
WORKERS = frozenset({Role.OPERATOR, Role.ADMIN})
SIGNERS = frozenset({Role.APPROVER, Role.ADMIN})
ADMINS = frozenset({Role.ADMIN})

VERBS: dict[str, frozenset[str]] = {
    "environment.view": EVERYBODY,
    "environment.change": ADMINS,
    "freeze.set": ADMINS,  # freezes and maintenance windows
    "freeze.lift": ADMINS,  # before its end; in a protected environment that opens a late review
    "audit.view": EVERYBODY,
    # Literal secrets, by download or shown on a page; masked otherwise, in the editor too. One verb for both ways:
    # they show the same thing. Apart from change.edit, so that a table may let people edit who may not see secrets.
    "secret.view": WORKERS,
    "instance.change": WORKERS,
    # Where instances are looked for, and whether they are added without a person; what was found is instance.change.
    "source.change": ADMINS,
    "instance.check": WORKERS | SIGNERS,
    "instance.maintain": WORKERS,  # leave an instance out of rollouts, gates and alarms for a while
    "change.edit": WORKERS,
    "change.comment": PEOPLE,
    "change.review": SIGNERS,
    "change.dry_run": WORKERS | SIGNERS,  # nothing changes anywhere, but every instance is asked
    "finding.accept": WORKERS | SIGNERS,
    "change.publish": WORKERS,
    "change.break_glass": ADMINS,  # publish without waiting for approvals; opens a late review
    "rollout.start": WORKERS,
    "rollout.cancel": WORKERS | SIGNERS,
    "rollout.pause": WORKERS | SIGNERS,
    "rollout.resume": WORKERS | SIGNERS,
    # Although its plan halted it; in a protected environment never the person who started it.
    "rollout.continue": WORKERS | SIGNERS,
    # To content that was desired before by the environment's rules, so it needs no second person.
    "rollout.roll_back": WORKERS,
    "rollout.unblock": SIGNERS,
    # To ignore or snooze: no status changes by it, nobody is told for a while. Overwriting is rollout.start, adopting
    # change.edit, reading what is there instance.check.
    "drift.set_aside": WORKERS | SIGNERS,
}


def roles(user: User | AnonymousUser, environment: Environment) -> frozenset[str]:
    """The roles this person holds there; empty for strangers and for anybody switched off."""
    if not isinstance(user, User) or not user.is_active:
        return frozenset()
    held = set(RoleBinding.objects.filter(user=user, environment=environment).values_list("role", flat=True))
    if user.is_superuser:
        held.add(Role.ADMIN)
    if user.auditor:
        held.add(AUDITOR)
    return frozenset(held)


def held_anywhere(user: User) -> frozenset[str]:
    """Every role this person holds in some environment; superusers are admins, the auditor's flag is a role."""
    held = set(RoleBinding.objects.filter(user=user).values_list("role", flat=True))
    if user.is_superuser:
        held.add(Role.ADMIN)
    if user.auditor:
        held.add(AUDITOR)
    return frozenset(held)


def allows(user: User | AnonymousUser, verb: str, environment: Environment) -> bool:
    return bool(VERBS[verb] & roles(user, environment))


def verbs(user: User | AnonymousUser, environment: Environment) -> set[str]:
    """Everything this person may do there, for templates: ``{% if "change.edit" in may %}``."""
    held = roles(user, environment)
    return {verb for verb, allowed in VERBS.items() if allowed & held}


def require(user: User | AnonymousUser, verb: str, environment: Environment) -> None:
    """Nothing, or Hidden (a 404) for a stranger, or Denied with the names of who can."""
    held = roles(user, environment)
    if not held:
        raise Hidden("No such environment.", verb=verb, environment=str(environment))
    if not VERBS[verb] & held:
        who = who_can(verb, environment)
        needed = " or ".join(sorted(VERBS[verb] - {AUDITOR}))
        raise Denied(
            f"This needs the role {needed} in {environment}; you are {', '.join(sorted(held))}.",
            verb=verb,
            environment=str(environment),
            who_can=who,
        )


def hold(people: Collection[int], environment: Environment) -> None:
    """Whoever takes a role, a group or the account from these people now waits until this transaction ends.

    Taken after the locks of environment and change, before that of the audit trail. What was taken away before is seen.
    """
    for held in (
        User.objects.filter(pk__in=people),
        RoleBinding.objects.filter(user__in=people, environment=environment),
        User.groups.through.objects.filter(user__in=people),
    ):
        list(held.order_by("pk").select_for_update(no_key=True).values_list("pk", flat=True))


def who_can(verb: str, environment: Environment) -> list[str]:
    """User names, sorted, of the active people whose role allows it there."""
    bound = User.objects.filter(
        is_active=True, role_bindings__environment=environment, role_bindings__role__in=VERBS[verb]
    )
    everywhere = User.objects.filter(is_active=True, is_superuser=True)
    return sorted({user.username for user in bound} | {user.username for user in everywhere})
