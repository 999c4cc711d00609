"""Signing in and out, and one's own account."""

from __future__ import annotations

from typing import Any

from allauth.account import views as account
from django import forms
from django.conf import settings
from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import redirect, render
from django.urls import reverse_lazy
from django.views.decorators.http import require_POST, require_safe

from console import abilities, second_factor, sessions, signin
from console.account_forms import password_rules
from console.http import ConsoleRequest
from instances_app.models import Environment


class SignIn(account.LoginView):
    template_name = "account/login.html"

    def form_invalid(self, form: forms.Form) -> HttpResponse:
        return self.render_to_response(self.get_context_data(form=form), status=refusal(form))

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        name = settings.OIDC_NAME if settings.OIDC_ISSUER else ""
        return {**super().get_context_data(**kwargs), "single_sign_on": name}


class SignOut(account.LogoutView):
    """Also leaves a sign-in that waits for its second factor."""

    http_method_names = ["post"]


class PasswordChange(account.PasswordChangeView):
    template_name = "account/password.html"
    success_url = reverse_lazy("account")

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        if not self.request.user.has_usable_password():
            messages.info(request, "You sign in without a password here; there is none to change.")
            return redirect("account")
        return super().dispatch(request, *args, **kwargs)

    def form_valid(self, form: forms.Form) -> HttpResponse:
        response = super().form_valid(form)
        ended = sessions.end_all(self.request.user, actor=self.request.user, but=self.request.session.session_key)
        elsewhere = " You are signed out everywhere else." if ended else ""
        messages.success(self.request, f"Your password is changed.{elsewhere}")
        return response

    def form_invalid(self, form: forms.Form) -> HttpResponse:
        return self.render_to_response(self.get_context_data(form=form), status=refusal(form))


class Confirm(account.ReauthenticateView):
    """The password once more, before something that a passer-by must not be able to do."""

    template_name = "account/confirm.html"

    def form_invalid(self, form: forms.Form) -> HttpResponse:
        return self.render_to_response(self.get_context_data(form=form), status=refusal(form))


@require_safe
def account_page(request: ConsoleRequest) -> HttpResponse:
    """One's own password, second factor and sign-ins."""
    rows = [
        {"session": session, "mark": sessions.mark(session), "here": session.pk == request.session.session_key}
        for session in sessions.of(request.user)
    ]
    factors = second_factor.of(request.user)
    context = {
        "sessions": rows,
        "others": len(rows) > 1,
        "password_rules": password_rules(),
        "factors": factors,
        "has_app": any(factor.type == "totp" for factor in factors),
        "codes_left": second_factor.recovery_codes_left(request.user) if factors else 0,
        "asked_by": second_factor.asked_by(request.user),
        "abilities": [
            (environment, abilities.of(request.user, environment))
            for environment in Environment.objects.visible_to(request.user)
        ],
    }
    return render(request, "account/account.html", context)


@require_POST
def session_end(request: ConsoleRequest) -> HttpResponse:
    """One of one's own sessions, or all but this one."""
    if "others" in request.POST:
        number = sessions.end_all(request.user, actor=request.user, but=request.session.session_key)
        messages.success(request, f"{number} other sign-in{'s' if number != 1 else ''} ended.")
        return redirect("account")
    session = sessions.find(request.user, request.POST.get("session", ""))
    if session is None:
        messages.info(request, "That sign-in had ended already.")
    elif session.pk == request.session.session_key:
        messages.error(request, "That is this sign-in. Use Sign out to end it.")
    else:
        sessions.end(session, actor=request.user)
        messages.success(request, f"The sign-in of {session.browser} is ended.")
    return redirect("account")


def throttled(request: HttpRequest, exception: Exception | None = None) -> HttpResponse:
    """429: too much from one address, or by one person."""
    signin.record_throttled(request)
    return render(request, "429.html", status=429)


def refusal(form: forms.Form) -> int:
    """429 for who has tried too often, 422 for anything else that was typed wrong."""
    codes = {error.code for errors in form.errors.as_data().values() for error in errors}
    return 429 if codes & {"too_many_login_attempts", "rate_limited"} else 422
