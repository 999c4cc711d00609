"""People: made, let in, switched off and given roles here. They are made by admins; nobody signs up."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING

from django.contrib.auth.models import Group
from django.contrib.auth.password_validation import validate_password
from django.contrib.auth.tokens import default_token_generator
from django.core.exceptions import ValidationError
from django.db import transaction
from django.urls import reverse
from django.utils.encoding import force_bytes
from django.utils.http import urlsafe_base64_encode

from console import audit, sessions
from console.errors import Refused
from console.models import Role, RoleBinding, User

if TYPE_CHECKING:
    from instances_app.models import Environment


def add(username: str, *, name: str = "", superuser: bool = False, actor: User | None, password: str = "") -> User:
    """Somebody new. Without a password they cannot sign in before they have used `link`."""
    person = User(username=username.strip(), first_name=name.strip(), is_superuser=superuser)
    if User.objects.filter(username__iexact=person.username).exists():
        raise Refused(f"There is somebody called {person.username} already.")
    try:
        person.full_clean(exclude=["password"])
        if password:
            validate_password(password, person)
    except ValidationError as error:
        raise Refused(" ".join(error.messages)) from None
    person.set_password(password or None)
    with transaction.atomic():
        person.save()
        audit.record("person.added", actor=actor, target=person, superuser=superuser)
    return person


def link(person: User, *, actor: User) -> str:
    """The address at which this person sets a password: good once, for a day. Whoever has it gets in: it is audited."""
    if not person.is_active:
        raise Refused(f"{person.username} is switched off. Switch them on first.")
    with transaction.atomic():
        audit.record("password.link_made", actor=actor, target=person)
    uid = urlsafe_base64_encode(force_bytes(person.pk))
    return reverse("welcome", args=[uid, default_token_generator.make_token(person)])


def switch(person: User, *, on: bool, actor: User) -> None:
    """Let somebody in, or keep them out at once: their sessions end. Their history stays."""
    with transaction.atomic():
        admins = _locked_site_admins()
        person = _locked(person)
        if person.is_active == on:
            return
        if not on:
            if person == actor:
                raise Refused("You cannot switch yourself off. Somebody else has to do that.")
            _keep_one(admins, person)
        person.is_active = on
        person.save(update_fields=["is_active"])
        if not on:
            sessions.end_all(person, actor=actor)
        audit.record("person.switched_on" if on else "person.switched_off", actor=actor, target=person)


def set_standing(person: User, *, auditor: bool, superuser: bool, actor: User) -> None:
    """Whether somebody may read everything, and whether they are an admin of the site."""
    with transaction.atomic():
        admins = _locked_site_admins()
        person = _locked(person)
        before = {"auditor": person.auditor, "superuser": person.is_superuser}
        after = {"auditor": auditor, "superuser": superuser}
        if before == after:
            return
        if person.is_superuser and not superuser:
            _keep_one(admins, person)
        if person.auditor != auditor:
            person.auditor, person.auditor_from_sso = auditor, False
        person.is_superuser = superuser
        person.save(update_fields=["auditor", "auditor_from_sso", "is_superuser"])
        audit.record("person.changed", actor=actor, target=person, before=before, after=after)


def set_roles(person: User, environment: Environment, wanted: Collection[str], *, actor: User) -> None:
    """Give and take roles by hand. What single sign-on has given stays: its groups decide about that."""
    with transaction.atomic():
        environment = _locked_environment(environment)
        held = RoleBinding.objects.filter(user=person, environment=environment)
        before = set(held.values_list("role", flat=True))
        kept = set(held.filter(from_sso=True).values_list("role", flat=True))
        after = {str(Role(role)) for role in wanted} | kept
        if before == after:
            return
        if Role.ADMIN in before - after and not _other_admins(environment, person):
            raise Refused(f"{person.username} is the last admin of {environment}. Make somebody else its admin first.")
        held.filter(role__in=before - after).delete()
        RoleBinding.objects.bulk_create(
            [RoleBinding(user=person, environment=environment, role=role) for role in sorted(after - before)]
        )
        _record_roles(person, environment, before, after, actor=actor)


def set_sso_roles(person: User, environment: Environment, wanted: Collection[str]) -> None:
    """Replace what single sign-on gave earlier; what was given by hand stays as it is."""
    with transaction.atomic():
        environment = _locked_environment(environment)
        held = RoleBinding.objects.filter(user=person, environment=environment)
        before = set(held.values_list("role", flat=True))
        by_hand = set(held.filter(from_sso=False).values_list("role", flat=True))
        after = by_hand | {str(Role(role)) for role in wanted}
        if before == after:
            return
        held.filter(role__in=before - after).delete()
        RoleBinding.objects.bulk_create(
            [
                RoleBinding(user=person, environment=environment, role=role, from_sso=True)
                for role in sorted(after - before)
            ]
        )
        _record_roles(person, environment, before, after, actor=person, by="single sign-on")


def set_sso_auditor(person: User, *, auditor: bool) -> None:
    """The same for the auditor's flag: only what single sign-on gave does it take away."""
    with transaction.atomic():
        person = _locked(person)
        if auditor == person.auditor or (person.auditor and not person.auditor_from_sso):
            return
        person.auditor = person.auditor_from_sso = auditor
        person.save(update_fields=["auditor", "auditor_from_sso"])
        before, after = {"auditor": not auditor}, {"auditor": auditor}
        audit.record("person.changed", actor=person, target=person, before=before, after=after, by="single sign-on")


def set_groups(person: User, wanted: Collection[Group], *, actor: User) -> None:
    with transaction.atomic():
        person = _locked(person)
        before = sorted(person.groups.values_list("name", flat=True))
        after = sorted(group.name for group in wanted)
        if before != after:
            person.groups.set(wanted)
            audit.record(
                "person.changed", actor=actor, target=person, before={"groups": before}, after={"groups": after}
            )


def add_group(name: str, *, actor: User) -> Group:
    name = " ".join(name.split())
    if not name or len(name) > 80:
        raise Refused("A group needs a name of at most eighty characters.")
    if Group.objects.filter(name__iexact=name).exists():
        raise Refused(f"There is a group called {name} already.")
    with transaction.atomic():
        group = Group.objects.create(name=name)
        audit.record("group.added", actor=actor, target=group)
    return group


def _record_roles(
    person: User, environment: Environment, before: set[str], after: set[str], *, actor: User, by: str = "hand"
) -> None:
    audit.record(
        "roles.changed",
        actor=actor,
        target=person,
        environment=str(environment),
        before=sorted(before),
        after=sorted(after),
        by=by,
    )


def _other_admins(environment: Environment, person: User) -> bool:
    admins = RoleBinding.objects.filter(environment=environment, role=Role.ADMIN, user__is_active=True)
    return admins.exclude(user=person).exists()


def _locked_site_admins() -> set[int]:
    """Before any other row of a person, and in one order: so two of them cannot remove each other at the same time."""
    active = User.objects.select_for_update(no_key=True).filter(is_superuser=True, is_active=True).order_by("pk")
    return {admin.pk for admin in active}


def _keep_one(admins: set[int], person: User) -> None:
    if admins == {person.pk}:
        raise Refused(f"{person.username} is the last admin of this site. Make somebody else one first.")


def _locked(person: User) -> User:
    return User.objects.select_for_update(no_key=True).get(pk=person.pk)


def _locked_environment(environment: Environment) -> Environment:
    return type(environment)._base_manager.select_for_update(no_key=True).get(pk=environment.pk)
