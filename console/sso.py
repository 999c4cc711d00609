"""Single sign-on: the provider says who somebody is, its groups say what they may do.

Roles are read again at each sign-in. Nobody is taken for an existing person because of a name or an e-mail address: who
comes from the provider is a person of their own, known by its `sub`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from typing import Any

from allauth.core.exceptions import ImmediateHttpResponse
from allauth.socialaccount.adapter import DefaultSocialAccountAdapter
from allauth.socialaccount.models import SocialApp, SocialLogin
from allauth.socialaccount.providers.oauth2.views import OAuth2CallbackView, OAuth2LoginView
from allauth.socialaccount.providers.openid_connect.views import OpenIDConnectOAuth2Adapter
from django.conf import settings
from django.contrib import messages
from django.contrib.auth.decorators import login_not_required
from django.db import transaction
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from console import audit, people, signin
from console.models import RoleBinding, User
from instances_app.models import Environment

PROVIDER = "sso"


class Provider(OpenIDConnectOAuth2Adapter):
    def get_access_token_data(self, *args: Any, **kwargs: Any) -> Any:
        data = super().get_access_token_data(*args, **kwargs)
        self.did_fetch_access_token = False  # allauth trusts TLS then; we check the signature all the same
        return data


class SsoAdapter(DefaultSocialAccountAdapter):
    def is_open_for_signup(self, request: HttpRequest, sociallogin: SocialLogin) -> bool:
        return True  # `pre_social_login` has turned away whose groups give them nothing

    def is_auto_signup_allowed(self, request: HttpRequest, sociallogin: SocialLogin) -> bool:
        return True

    def pre_social_login(self, request: HttpRequest, sociallogin: SocialLogin) -> None:
        token, info = _claims(sociallogin)
        if sociallogin.state.get("process") not in {None, "login"}:
            self._refuse(request, token, "only signing in is offered here")
        if info and info.get("sub") != token.get("sub"):
            self._refuse(request, token, "the provider named two different people")
        person = sociallogin.user if sociallogin.is_existing else None
        if person is not None:
            apply(person, groups(sociallogin))
        if not grants(groups(sociallogin)) and not (person and _may_anything(person)):
            self._refuse(request, token, "no group of theirs has a role here")

    def save_user(self, request: HttpRequest, sociallogin: SocialLogin, form: Any = None) -> User:
        with transaction.atomic():
            person: User = super().save_user(request, sociallogin, form)
            audit.record("person.added", actor=None, target=person, superuser=False, by="single sign-on")
        apply(person, groups(sociallogin))
        return person

    def on_authentication_error(self, request: HttpRequest, provider: Any, *args: Any, **kwargs: Any) -> None:
        self._refuse(request, {}, f"the provider's answer was no sign-in ({kwargs.get('error', 'unknown')})")

    def _refuse(self, request: HttpRequest, token: dict[str, Any], why: str) -> None:
        raise ImmediateHttpResponse(refused(request, str(token.get("preferred_username") or token.get("sub", "")), why))


def grants(held: frozenset[str]) -> dict[str, set[str]]:
    """Environment → roles that these groups give; "*" is every environment, "" the auditor."""
    found: dict[str, set[str]] = defaultdict(set)
    for group, role, environment in settings.OIDC_ROLES:
        if group in held:
            found[environment].add(role)
    return dict(found)


def apply(person: User, held: frozenset[str]) -> None:
    """Give what these groups give and take what earlier ones gave; what was given by hand stays.

    Each environment is a transaction of its own: it is locked before the audit trail, never after. A run that was ended
    half-way is made whole by the next sign-in.
    """
    given = grants(held)
    for environment in Environment.objects.order_by("pk"):
        wanted = given.get("*", set()) | given.get(environment.name, set())
        if wanted or RoleBinding.objects.filter(user=person, environment=environment, from_sso=True).exists():
            people.set_sso_roles(person, environment, wanted)
    people.set_sso_auditor(person, auditor="" in given)


def groups(sociallogin: SocialLogin) -> frozenset[str]:
    """From the id token or the userinfo, whichever has them; a single group may come as a text."""
    found: set[str] = set()
    for claims in _claims(sociallogin):
        value = claims.get(settings.OIDC_GROUPS_CLAIM) or []
        found |= {value} if isinstance(value, str) else {str(group) for group in value}
    return frozenset(found)


def refused(request: HttpRequest, who: str, why: str) -> HttpResponse:
    signin.record_refused(None, typed=who, why=f"single sign-on: {why}")
    messages.error(request, f"You are not signed in: {why}. An admin of this console can tell you more.")
    return redirect("login")


@login_not_required
@never_cache
@require_safe
def start(request: HttpRequest, provider_id: str) -> HttpResponse:
    return _answer(request, OAuth2LoginView.adapter_view)


@login_not_required
@never_cache
@require_safe
def callback(request: HttpRequest, provider_id: str) -> HttpResponse:
    return _answer(request, OAuth2CallbackView.adapter_view)


def _answer(request: HttpRequest, view: Callable[[Any], Callable[[HttpRequest], HttpResponse]]) -> HttpResponse:
    if not settings.OIDC_ISSUER:
        raise Http404("There is no single sign-on here.")
    try:
        return view(Provider(request, PROVIDER))(request)
    except (OSError, SocialApp.DoesNotExist, KeyError, TypeError, ValueError):  # requests' errors are OSErrors
        return refused(request, "", "the provider did not answer as it should")


def _claims(sociallogin: SocialLogin) -> tuple[dict[str, Any], dict[str, Any]]:
    data = sociallogin.account.extra_data
    return data.get("id_token") or {}, data.get("userinfo") or {}


def _may_anything(person: User) -> bool:
    person.refresh_from_db()
    return person.is_superuser or person.auditor or RoleBinding.objects.filter(user=person).exists()
