"""People are made, let in, switched off and given roles by admins; nobody can lock the last of them out."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.models import Group
from django.db import connection
from django.test import Client
from django.urls import reverse

from console import abilities, access, people, testing
from console.errors import Refused
from console.models import AuditEvent, Role, RoleBinding, User
from console.testing import Cast

pytestmark = pytest.mark.django_db
NEW = "seven-green-kettles"


@pytest.fixture
def cast() -> Cast:
    return testing.cast()


@pytest.fixture
def root() -> User:
    person = testing.person("root")
    person.is_superuser = True
    person.save()
    return person


@pytest.fixture
def client(root: User) -> Client:
    client = Client()
    client.force_login(root)
    return client


def event(action: str) -> AuditEvent:
    return AuditEvent.objects.get(action=action)


def held(person: User) -> list[str]:
    return sorted(RoleBinding.objects.filter(user=person).values_list("role", flat=True))


def welcome(client: Client, page: Any) -> str:
    """The address in the page, opened; where its form posts to."""
    found = re.search(r'value="(http[^"]+/welcome/[^"]+)"', page.content.decode())
    assert found is not None
    return str(client.get(found[1])["Location"])


def test_somebody_new_gets_a_link_sets_a_password_once_and_signs_in(client: Client) -> None:
    page = client.post(reverse("person-new"), {"username": "ada", "name": "Ada L"})
    ada = User.objects.get(username="ada")
    assert not ada.has_usable_password()
    theirs = Client()
    form = welcome(theirs, page)
    assert "no-token" not in form  # the token leaves the address before anything is typed
    weak = theirs.post(form, {"new_password1": "short", "new_password2": "short"})
    assert weak.status_code == 422
    assert "too short" in weak.content.decode()
    theirs.post(form, {"new_password1": NEW, "new_password2": NEW})
    ada.refresh_from_db()
    assert ada.check_password(NEW)
    assert theirs.post(reverse("login"), {"username": "ada", "password": NEW})["Location"] == "/"
    link = re.search(r'value="http://testserver([^"]+)"', page.content.decode())
    assert link is not None
    assert "no longer works" in Client().get(link[1]).content.decode()
    assert link[1] not in str(list(AuditEvent.objects.values("data", "target_label")))
    assert (event("person.added").actor_name, event("person.added").target_label) == ("root", "ada")
    assert event("password.changed").data["by"] == "link"


def test_a_link_for_who_is_switched_off_does_not_exist_and_an_earlier_one_ends(client: Client, cast: Cast) -> None:
    page = client.post(reverse("person-act", args=[cast.olga.pk, "link"]))
    form = re.search(r'value="http://testserver([^"]+)"', page.content.decode())
    assert form is not None
    people.switch(cast.olga, on=False, actor=cast.adam)
    assert "no longer works" in Client().get(form[1]).content.decode()
    with pytest.raises(Refused, match="switched off"):
        people.link(User.objects.get(pk=cast.olga.pk), actor=cast.adam)


@pytest.mark.parametrize("name", ["olga", "OLGA", "", "no spaces", "x" * 151])
def test_a_name_that_is_taken_or_no_name_is_refused(client: Client, cast: Cast, name: str) -> None:
    before = User.objects.count()
    assert client.post(reverse("person-new"), {"username": name}).status_code == 422
    assert User.objects.count() == before


def test_switching_off_ends_the_sessions_at_once_and_keeps_the_roles(client: Client, cast: Cast) -> None:
    theirs = Client()
    theirs.force_login(cast.olga)
    client.post(reverse("person-act", args=[cast.olga.pk, "switch"]), {"on": "0"})
    assert theirs.get(reverse("home")).status_code == 302
    assert held(cast.olga) == ["operator"]
    assert event("person.switched_off").target_label == "olga"
    client.post(reverse("person-act", args=[cast.olga.pk, "switch"]), {"on": "1"})
    assert User.objects.get(pk=cast.olga.pk).is_active


def test_an_admin_ends_somebodys_sessions(client: Client, cast: Cast) -> None:
    theirs = Client()
    theirs.force_login(cast.olga)
    client.post(reverse("person-act", args=[cast.olga.pk, "sessions"]))
    assert theirs.get(reverse("home")).status_code == 302
    assert (event("session.revoked").actor_name, event("session.revoked").target_label) == ("root", "olga")


def test_the_last_admin_of_the_site_stays_and_nobody_switches_themselves_off(cast: Cast, root: User) -> None:
    with pytest.raises(Refused, match="last admin of this site"):
        people.set_standing(root, auditor=False, superuser=False, actor=root)
    with pytest.raises(Refused, match="last admin of this site"):
        people.switch(root, on=False, actor=cast.adam)
    with pytest.raises(Refused, match="yourself"):
        people.switch(cast.olga, on=False, actor=cast.olga)
    people.set_standing(cast.olga, auditor=True, superuser=True, actor=root)
    assert event("person.changed").data["before"] == {"auditor": False, "superuser": False}
    people.set_standing(root, auditor=False, superuser=False, actor=cast.olga)
    assert not User.objects.get(pk=root.pk).is_superuser


def test_an_admin_gives_and_takes_roles_and_the_trail_has_before_and_after(cast: Cast) -> None:
    admin = Client()
    admin.force_login(cast.adam)
    address = reverse("environment-people", args=["staging"])
    admin.post(address, {"person": "stella", "role": ["viewer", "approver"]})
    assert held(cast.stella) == ["approver", "viewer"]
    admin.post(address, {"person": "stella", "role": ["viewer", "boss"]})
    assert held(cast.stella) == ["viewer"]
    given, taken = AuditEvent.objects.filter(action="roles.changed").order_by("sequence")
    assert (given.environment, given.data["before"], given.data["after"]) == ("staging", [], ["approver", "viewer"])
    assert (taken.actor_name, taken.data["before"], taken.data["after"]) == ("adam", ["approver", "viewer"], ["viewer"])
    assert "nobody called" in admin.post(address, {"person": "ghost", "role": "viewer"}, follow=True).content.decode()


def test_the_last_admin_of_an_environment_stays(cast: Cast) -> None:
    with pytest.raises(Refused, match="last admin of staging"):
        people.set_roles(cast.adam, cast.environment, ["viewer"], actor=cast.adam)
    people.set_roles(cast.olga, cast.environment, ["admin"], actor=cast.adam)
    people.set_roles(cast.adam, cast.environment, [], actor=cast.olga)
    assert held(cast.adam) == []


def race(*deeds: Callable[[], None]) -> list[str]:
    """What becomes of deeds that begin at the same moment, each on a connection of its own."""
    ready, results = threading.Barrier(len(deeds)), []

    def run(deed: Callable[[], None]) -> None:
        ready.wait()
        try:
            deed()
            results.append("done")
        except Refused:
            results.append("refused")
        finally:
            connection.close()

    threads = [threading.Thread(target=run, args=[deed]) for deed in deeds]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sorted(results)


@pytest.mark.django_db(transaction=True)
def test_two_admins_who_remove_each_other_at_the_same_time_leave_one() -> None:
    cast = testing.cast()
    people.set_roles(cast.olga, cast.environment, ["admin"], actor=cast.adam)
    assert race(
        lambda: people.set_roles(cast.adam, cast.environment, [], actor=cast.olga),
        lambda: people.set_roles(cast.olga, cast.environment, [], actor=cast.adam),
    ) == ["done", "refused"]
    assert RoleBinding.objects.filter(role=Role.ADMIN).count() == 1


@pytest.mark.django_db(transaction=True)
def test_two_admins_of_the_site_who_remove_each_other_at_the_same_time_leave_one() -> None:
    first, second = testing.person("first"), testing.person("second")
    User.objects.update(is_superuser=True)
    assert race(
        lambda: people.switch(first, on=False, actor=second),
        lambda: people.set_standing(second, auditor=False, superuser=False, actor=first),
    ) == ["done", "refused"]
    assert User.objects.filter(is_superuser=True, is_active=True).count() == 1


def test_groups_are_added_and_their_members_chosen(client: Client, cast: Cast) -> None:
    client.post(reverse("groups"), {"name": "  payments   team "})
    client.post(reverse("groups"), {"name": "Payments Team"})
    (group,) = Group.objects.all()
    assert group.name == "payments team"
    client.post(reverse("person-act", args=[cast.olga.pk, "groups"]), {"group": [group.pk]})
    assert list(cast.olga.groups.all()) == [group]
    assert event("person.changed").data["after"] == {"groups": ["payments team"]}
    assert "olga" in client.get(reverse("groups")).content.decode()


def test_what_somebody_can_do_is_what_the_table_says_with_the_reason(cast: Cast, root: User) -> None:
    assert set(abilities.WORDS) >= set(access.VERBS)
    for person in (cast.olga, cast.anna, cast.victor, cast.adam, cast.ida, cast.stella, root):
        for ability in abilities.of(person, cast.environment):
            assert ability.allowed == access.allows(person, ability.verb, cast.environment), (person, ability.verb)

    def why(person: User, verb: str) -> str:
        return next(ability.why for ability in abilities.of(person, cast.environment) if ability.verb == verb)

    assert why(cast.olga, "change.publish") == "olga is operator"
    assert why(cast.victor, "change.publish") == "this takes admin or operator; victor is viewer"
    assert why(root, "environment.change") == "root is site admin, and so admin everywhere"
    assert why(cast.ida, "audit.view") == "ida is auditor, everywhere"
    assert why(cast.stella, "environment.view").endswith("stella is nobody here: it does not exist for them")
    cast.olga.is_active = False
    assert why(cast.olga, "change.publish") == "olga is switched off"


def test_who_can_do_something_is_who_the_table_lets(cast: Cast, root: User) -> None:
    for (words, able), verb in zip(abilities.who_can(cast.environment), access.VERBS, strict=True):
        named = [name for name, _ in able if name != "ida"]  # access.who_can leaves auditors out
        assert named == access.who_can(verb, cast.environment), words
    page = Client()
    page.force_login(cast.adam)
    shown = page.get(reverse("environment-people", args=["staging"])).content.decode()
    assert "site admin, and so admin everywhere" in shown


def test_everybody_reads_on_their_account_page_what_they_can_do(cast: Cast) -> None:
    client = Client()
    client.force_login(cast.victor)
    page = client.get(reverse("account")).content.decode()
    assert "this takes admin or operator; victor is viewer" in page
    assert not User.objects.filter(is_superuser=True, username="victor").exists()


def test_the_pages_of_people_show_them(client: Client, cast: Cast) -> None:
    page = client.get(reverse("people")).content.decode()
    assert "operator of staging" in page
    assert "auditor" in page
    page = client.get(reverse("person", args=[cast.olga.pk])).content.decode()
    assert "What olga can do" in page
    assert "olga is operator" in page
