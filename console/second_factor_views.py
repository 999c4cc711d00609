"""Setting up, using and removing second factors: allauth's views, with our pages and audit trail."""

from __future__ import annotations

from typing import Any

from allauth.mfa.base import views as base
from allauth.mfa.models import Authenticator
from allauth.mfa.recovery_codes import views as recovery_codes
from allauth.mfa.totp import views as totp
from allauth.mfa.webauthn import views as webauthn
from django import forms
from django.contrib import messages
from django.db import transaction
from django.http import HttpResponse
from django.urls import reverse, reverse_lazy

from console import audit, second_factor, signin
from console.account_views import refusal
from console.models import User

KEY, APP = Authenticator.Type.WEBAUTHN, Authenticator.Type.TOTP


class Authenticate(base.AuthenticateView):
    """The second step of signing in."""

    template_name = "account/second_factor.html"

    def form_invalid(self, form: forms.Form) -> HttpResponse:
        status, name = refusal(form), self.stage.login.user.username
        if status == 429:
            signin.record_throttled(self.request, typed=name)
        else:
            signin.record_refused(None, typed=name, why="second factor")
        return self.render_to_response(self.get_context_data(), status=status)

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        kinds = {found.type for found in second_factor.of(self.stage.login.user)}
        return {**super().get_context_data(**kwargs), "has_key": KEY in kinds, "has_app": APP in kinds}


class Refusing:
    """A form that is refused answers 422, or 429."""

    def form_invalid(self, form: forms.Form) -> HttpResponse:
        context = self.get_context_data(form=form)  # type: ignore[attr-defined]
        return self.render_to_response(context, status=refusal(form))  # type: ignore[attr-defined]


class ConfirmByCode(Refusing, base.ReauthenticateView):
    template_name = "account/confirm_code.html"


class ConfirmByKey(webauthn.ReauthenticateWebAuthnView):
    template_name = "account/confirm_key.html"


class AddApp(Refusing, totp.ActivateTOTPView):
    template_name = "account/app_add.html"

    def form_valid(self, form: forms.Form) -> HttpResponse:
        with transaction.atomic():
            response = super().form_valid(form)
            second_factor.added(Authenticator(type=APP), actor=self.request.user)
        messages.success(self.request, "The authenticator app is set up.")
        return response

    def get_success_url(self) -> str:
        return after_adding(self.did_generate_recovery_codes)


class RemoveApp(Refusing, totp.DeactivateTOTPView):
    template_name = "account/app_remove.html"
    success_url = reverse_lazy("account")

    def form_valid(self, form: forms.Form) -> HttpResponse:
        with transaction.atomic():
            response = super().form_valid(form)
            second_factor.removed(self.authenticator, actor=self.request.user)
        messages.success(self.request, "The authenticator app is removed.")
        return response


class AddKey(Refusing, webauthn.AddWebAuthnView):
    template_name = "account/key_add.html"

    def form_valid(self, form: forms.Form) -> HttpResponse:
        with transaction.atomic():
            response = super().form_valid(form)
            second_factor.added(Authenticator(type=KEY), actor=self.request.user)
        messages.success(self.request, f"{form.cleaned_data['name']} is added.")
        return response

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        context = super().get_context_data(**kwargs)
        return {**context, **kwargs}  # allauth drops the refused form

    def get_success_url(self) -> str:
        return after_adding(self.did_generate_recovery_codes)


class RemoveKey(webauthn.RemoveWebAuthnView):
    template_name = "account/key_remove.html"
    success_url = reverse_lazy("account")

    def form_valid(self, form: forms.Form) -> HttpResponse:
        with transaction.atomic():
            response = super().form_valid(form)
            second_factor.removed(Authenticator(type=KEY), actor=self.request.user)
        messages.success(self.request, "The security key is removed.")
        return response


class RecoveryCodes(recovery_codes.ViewRecoveryCodesView):
    template_name = "account/recovery_codes.html"


class NewRecoveryCodes(Refusing, recovery_codes.GenerateRecoveryCodesView):
    template_name = "account/recovery_codes_new.html"

    def form_valid(self, form: forms.Form) -> HttpResponse:
        with transaction.atomic():
            response = super().form_valid(form)
            user: User = self.request.user
            audit.record("second_factor.recovery_codes_made", actor=user, target=user)
        return response


def after_adding(made_codes: bool) -> str:
    return reverse("mfa_view_recovery_codes" if made_codes else "account")
