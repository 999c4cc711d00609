"""Forms of signing in and of one's own account: allauth's, with our words."""

from __future__ import annotations

from typing import Any

from allauth.account import forms as account
from allauth.mfa.adapter import get_adapter as get_mfa_adapter
from allauth.mfa.base import forms as mfa
from allauth.mfa.models import Authenticator
from allauth.mfa.totp import forms as totp
from allauth.mfa.webauthn import forms as webauthn
from django import forms
from django.contrib.auth import password_validation
from django.core.cache import cache


class SignInForm(account.LoginForm):
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        plain(self)

    def add_prefix(self, field_name: str) -> str:
        """The name stands as `username` in the form, as browsers and password managers expect."""
        return super().add_prefix("username" if field_name == "login" else field_name)


class PasswordForm(account.ChangePasswordForm):
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        plain(self, oldpassword="Current password", password1="New password", password2="New password, again")
        self.fields["password1"].help_text = password_rules()


class ConfirmForm(account.ReauthenticateForm):
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        plain(self)


class UsedOnce:
    """A code of an app is good once, for as long as any clock may take it for current."""

    SECONDS = 120

    def clean_code(self) -> str:
        code: str = super().clean_code()  # type: ignore[misc]
        if self.authenticator.type == Authenticator.Type.TOTP:  # type: ignore[attr-defined]
            digits = "".join(filter(str.isdigit, code))
            if not cache.add(f"totp:{self.user.pk}:{digits}", 1, self.SECONDS):  # type: ignore[attr-defined]
                raise get_mfa_adapter().validation_error("incorrect_code")
        return code


class CodeForm(UsedOnce, mfa.AuthenticateForm):
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        plain(self, code="Code")


class ConfirmCodeForm(UsedOnce, mfa.ReauthenticateForm):
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        plain(self, code="Code from the app, or a recovery code")


class AppForm(totp.ActivateTOTPForm):
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        plain(self, code="Code that the app shows")


class KeyForm(webauthn.AddWebAuthnForm):
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        plain(self, name="Name of the key")
        self.fields["name"].help_text = "So that you know which to remove when you lose it. Example: blue key, keyring"


def plain(form: forms.Form, **labels: str) -> None:
    """Without placeholders that repeat the labels."""
    for name, field in form.fields.items():
        field.widget.attrs.pop("placeholder", None)
        field.label = labels.get(name, field.label)


def password_rules() -> str:
    """What AUTH_PASSWORD_VALIDATORS ask, in one line."""
    lengths = [getattr(rule, "min_length", 0) for rule in password_validation.get_default_password_validators()]
    return f"At least {max(lengths)} characters; none of the common passwords; not your name."
