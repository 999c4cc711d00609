"""What happens when somebody signs in, fails to, or signs out: allauth's hooks, and our audit trail."""

from __future__ import annotations

from typing import Any

from allauth.account.adapter import DefaultAccountAdapter
from allauth.account.authentication import get_authentication_records
from allauth.core.exceptions import ImmediateHttpResponse
from django.contrib import messages
from django.contrib.auth.base_user import AbstractBaseUser
from django.contrib.auth.models import AnonymousUser
from django.core.cache import cache
from django.core.exceptions import ValidationError
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect

from console import audit, sealing, sessions
from console.models import User

NAME_SECONDS, ADDRESS_SECONDS = 300, 60  # the windows of ACCOUNT_RATE_LIMITS
THROTTLED = (
    "Too many wrong passwords or codes for this name, or from this address. Wait five minutes, then try again; until "
    "then even the right one is refused."
)
FACTORS = {"totp": "authenticator app", "webauthn": "security key", "recovery_codes": "recovery codes"}


class AccountAdapter(DefaultAccountAdapter):
    error_messages = {
        **DefaultAccountAdapter.error_messages,
        "username_password_mismatch": "This name and this password do not belong together.",
        "enter_current_password": "This is not your current password.",
        "incorrect_password": "This is not your password.",
        "too_many_login_attempts": THROTTLED,
        "rate_limited": THROTTLED,
    }

    def is_open_for_signup(self, request: HttpRequest) -> bool:
        return False

    def get_client_ip(self, request: HttpRequest) -> str:
        return audit.origin.get().address

    def _get_login_attempts_cache_key(self, request: HttpRequest, **credentials: Any) -> str:
        return str(credentials.get("username", "")).lower()

    def is_reauthentication_required(self, *, app: str, **kwargs: Any) -> bool:
        """Not for who signed in just now: setting up what a role needs is the first thing they do."""
        request = self.request
        sign_in = request.session.get(sessions.FACTS)
        return not (sign_in and sessions.is_fresh(sign_in)) and super().is_reauthentication_required(app=app, **kwargs)

    def pre_authenticate(self, request: HttpRequest, **credentials: Any) -> None:
        try:
            super().pre_authenticate(request, **credentials)
        except ValidationError:
            record_throttled(request, typed=_as_kept(credentials.get("username", "")))
            raise

    def authentication_failed(self, request: HttpRequest, **credentials: Any) -> None:
        # What was typed is data, not an actor: nobody has proved to be that person.
        known = request.user if isinstance(request.user, User) else None
        record_refused(known, typed=_as_kept(credentials.get("username", "")), why="password")

    def login(self, request: HttpRequest, user: AbstractBaseUser) -> None:
        if not user.is_active:  # switched off between the password and the second factor
            raise ImmediateHttpResponse(self.respond_user_inactive(request, user))
        super().login(request, user)
        records = get_authentication_records(request, user)
        methods = [str(record["method"]) for record in records]
        factors = [FACTORS[record["type"]] for record in records if record["method"] == "mfa"]
        how = "single sign-on" if "socialaccount" in methods else "password"
        sessions.begin(request, how=how)
        with transaction.atomic():
            audit.record("session.started", actor=_person(user), how=how, second_factor=", ".join(factors))

    def logout(self, request: HttpRequest) -> None:
        if isinstance(request.user, User):
            with transaction.atomic():
                audit.record("session.ended", actor=request.user)
        super().logout(request)

    def respond_user_inactive(self, request: HttpRequest, user: AbstractBaseUser) -> HttpResponse:
        record_refused(None, typed=user.get_username(), why="switched off")
        messages.error(request, "This person is switched off here. An admin of the site can switch them on again.")
        return redirect("login")

    def set_password(self, user: AbstractBaseUser, password: str) -> None:
        with transaction.atomic():
            super().set_password(user, password)
            audit.record("password.changed", actor=_person(user), target=_person(user))


def record_refused(actor: User | None, *, typed: str, why: str) -> None:
    """`typed` is whose sign-in it was to be: somebody's name, or what `_as_kept` makes of another text."""
    with transaction.atomic():
        name = "" if actor else "nobody"
        audit.record("session.refused", actor=actor, actor_name=name, typed=typed[:150], why=why)


def record_throttled(request: HttpRequest, *, typed: str = "") -> None:
    """One event for each lock-out, however often somebody goes on trying."""
    first = cache.add(f"throttled:address:{audit.origin.get().address}", 1, ADDRESS_SECONDS)
    if typed:
        first = cache.add(f"throttled:name:{sealing.fingerprint(typed.lower())}", 1, NAME_SECONDS) and first
    if first:
        known = request.user if isinstance(request.user, User) else None
        with transaction.atomic():
            audit.record("session.throttled", actor=known, actor_name="" if known else "nobody", typed=typed[:150])


def _as_kept(typed: str) -> str:
    """The trail forgets nothing, and what is nobody's name may be a password in the wrong field: that is kept as a
    keyed fingerprint, which still tells repeated tries from others."""
    if not typed or User.objects.filter(username__iexact=typed).exists():
        return typed
    return f"an unknown name ({sealing.fingerprint(typed)})"


def _person(user: AbstractBaseUser | AnonymousUser) -> User:
    if not isinstance(user, User):
        raise TypeError("Only people of the console sign in.")
    return user
