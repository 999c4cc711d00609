"""Pages on which admins of the site make people and admins of an environment give them roles."""

from __future__ import annotations

from typing import Any

from django import forms
from django.conf import settings
from django.contrib import messages
from django.contrib.auth import views as auth
from django.contrib.auth.models import AnonymousUser, Group
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse_lazy
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from console import abilities, access, audit, people, second_factor, sessions
from console.account_forms import password_rules
from console.errors import Denied, Refused
from console.http import ConsoleRequest
from console.models import Role, RoleBinding, User
from instances_app.models import Environment
from instances_app.shortcuts import get_environment


class PersonForm(forms.Form):
    username = forms.CharField(
        max_length=150, help_text="What they sign in with. It stands in the audit trail, so it is final. Example: ada"
    )
    name = forms.CharField(max_length=150, required=False, help_text="Example: Ada Lovelace")
    superuser = forms.BooleanField(
        required=False, label="Admin of the site", help_text="Admin of every environment, and of these pages."
    )


@require_safe
def people_list(request: ConsoleRequest) -> HttpResponse:
    _require_site_admin(request)
    found = User.objects.prefetch_related("role_bindings__environment", "groups").order_by("-is_active", "username")
    return render(request, "console/people.html", {"people": found})


@require_http_methods(["GET", "POST"])
def person_new(request: ConsoleRequest) -> HttpResponse:
    """Somebody new; then the page with the link at which they set a password."""
    _require_site_admin(request)
    form = PersonForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        try:
            person = people.add(**form.cleaned_data, actor=request.user)
        except Refused as refusal:
            form.add_error(None, str(refusal))
        else:
            return _with_link(request, person)
    status = 422 if request.method == "POST" else 200
    return render(request, "console/person_new.html", {"form": form}, status=status)


@require_safe
def person(request: ConsoleRequest, pk: int) -> HttpResponse:
    """One person: what they can do and why, where they are signed in, and what an admin of the site can do for them."""
    _require_site_admin(request)
    found = get_object_or_404(User, pk=pk)
    context = {
        "person": found,
        "abilities": abilities_of(found),
        "groups": [(group, found.groups.contains(group)) for group in Group.objects.order_by("name")],
        "sessions": [{"session": session} for session in sessions.of(found)],
        "factors": second_factor.of(found),
    }
    return render(request, "console/person.html", context)


@require_POST
@never_cache
def person_act(request: ConsoleRequest, pk: int, deed: str) -> HttpResponse:
    _require_site_admin(request)
    found = get_object_or_404(User, pk=pk)
    try:
        if deed == "link":
            return _with_link(request, found)
        messages.success(request, _act(request, found, deed))
    except Refused as refusal:
        messages.error(request, str(refusal))
    return redirect("person", pk)


def _act(request: ConsoleRequest, found: User, deed: str) -> str:
    """Do it, and say what was done."""
    sent, actor = request.POST, request.user
    if deed == "switch":
        people.switch(found, on=sent.get("on") == "1", actor=actor)
        return f"{found.username} can sign in again." if sent.get("on") == "1" else f"{found.username} is switched off."
    if deed == "standing":
        people.set_standing(found, auditor="auditor" in sent, superuser="superuser" in sent, actor=actor)
        return "Saved."
    if deed == "groups":
        chosen = Group.objects.filter(pk__in=[pk for pk in sent.getlist("group") if pk.isdigit()])
        people.set_groups(found, list(chosen), actor=actor)
        return "Saved."
    if deed == "sessions":
        number = sessions.end_all(found, actor=actor)
        return f"{number} sign-in{'s' if number != 1 else ''} of {found.username} ended."
    if deed == "second-factor":
        return (
            f"Removed: {', '.join(second_factor.remove_all(found, actor=actor))}. The password alone lets them in now."
        )
    raise Refused("There is no such deed.")


@require_http_methods(["GET", "POST"])
def groups(request: ConsoleRequest) -> HttpResponse:
    """Groups and who is in them. Rules of environments may ask for approvals of a group."""
    _require_site_admin(request)
    if request.method == "POST":
        try:
            messages.success(request, f"{people.add_group(request.POST.get('name', ''), actor=request.user)} is added.")
        except Refused as refusal:
            messages.error(request, str(refusal))
        return redirect("groups")
    found = Group.objects.prefetch_related("user_set").order_by("name")
    return render(request, "console/groups.html", {"groups": found})


@require_http_methods(["GET", "POST"])
def environment_people(request: ConsoleRequest, environment: str) -> HttpResponse:
    """Who holds which role in one environment; its admins give and take them."""
    found = get_environment(request.user, environment, needs="environment.change")
    if request.method == "POST":
        chosen = User.objects.filter(username=request.POST.get("person", "").strip()).first()
        try:
            if chosen is None:
                raise Refused(f"There is nobody called {request.POST.get('person', '')!r}.")
            known = [role for role in request.POST.getlist("role") if role in Role.values]
            people.set_roles(chosen, found, known, actor=request.user)
        except Refused as refusal:
            messages.error(request, str(refusal))
        else:
            messages.success(request, f"The roles of {chosen.username} are saved.")
        return redirect("environment-people", found.name)
    context = {
        "environment": found,
        "may": access.verbs(request.user, found),
        "rows": _rows(found),
        "roles": Role.values,
        "others": User.objects.filter(is_active=True).exclude(role_bindings__environment=found).order_by("username"),
        "who_can": abilities.who_can(found),
    }
    return render(request, "console/environment_people.html", context)


class Welcome(auth.PasswordResetConfirmView):
    """Where the link of an admin leads: somebody sets their first password, or a new one."""

    template_name = "account/welcome.html"
    success_url = reverse_lazy("login")

    def get_user(self, uidb64: str) -> Any:
        found = super().get_user(uidb64)
        return found if found is not None and found.is_active else None

    def form_valid(self, form: Any) -> HttpResponse:
        with transaction.atomic():
            response = super().form_valid(form)
            person: User = form.user
            sessions.end_all(person, actor=person)
            audit.record("password.changed", actor=person, target=person, by="link")
        messages.success(self.request, f"Your password is set. Sign in as {person.username}.")
        return response

    def form_invalid(self, form: Any) -> HttpResponse:
        return self.render_to_response(self.get_context_data(form=form), status=422)

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        return {**super().get_context_data(**kwargs), "password_rules": password_rules(), "person": self.user}


def abilities_of(person: User) -> list[tuple[Environment, list[abilities.Ability]]]:
    return [(environment, abilities.of(person, environment)) for environment in Environment.objects.order_by("name")]


def _rows(environment: Environment) -> list[dict[str, Any]]:
    """One row for each person with a role here: {"person", "roles": [(role, held, from single sign-on)]}."""
    bindings = RoleBinding.objects.filter(environment=environment).select_related("user").order_by("user__username")
    held: dict[User, dict[str, bool]] = {}
    for binding in bindings:
        held.setdefault(binding.user, {})[binding.role] = binding.from_sso
    return [
        {"person": person, "roles": [(role, role in roles, roles.get(role, False)) for role in Role.values]}
        for person, roles in held.items()
    ]


def _with_link(request: HttpRequest, person: User) -> HttpResponse:
    """The link is in this answer and nowhere else."""
    if isinstance(request.user, AnonymousUser):
        raise Denied("Only admins of the site do this.")
    path = people.link(person, actor=request.user)
    address = f"{settings.PUBLIC_URL}{path}" if settings.PUBLIC_URL else request.build_absolute_uri(path)
    return render(request, "console/person_link.html", {"person": person, "address": address})


def _require_site_admin(request: ConsoleRequest) -> None:
    if not request.user.is_superuser:
        admins = User.objects.filter(is_superuser=True, is_active=True).order_by("username")
        raise Denied(
            "Only admins of the site manage its people.",
            verb="people.manage",
            who_can=list(admins.values_list("username", flat=True)),
        )
