"""Forms of signing in and of one's own account: allauth's, with our words."""

from __future__ import annotations

from typing import Any

from allauth.account import forms as account
from django import forms
from django.contrib.auth import password_validation


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


def plain(form: forms.Form, **labels: str) -> None:
    """Without placeholders that repeat the labels."""
    for name, field in form.fields.items():
        field.widget.attrs.pop("placeholder", None)
        field.label = labels.get(name, field.label)


def password_rules() -> str:
    """What the site asks of a password, in one line."""
    return " ".join(password_validation.password_validators_help_texts())
