"""Second factors: who needs one, who has one, how their secrets are kept, and how a lost one is removed."""

from __future__ import annotations

from allauth.account.adapter import get_adapter as get_account_adapter
from allauth.mfa.adapter import DefaultMFAAdapter
from allauth.mfa.models import Authenticator
from django.conf import settings
from django.contrib.auth.base_user import AbstractBaseUser
from django.db import transaction

from console import access, audit, sealing, sessions
from console.errors import Refused
from console.models import User
from console.signin import FACTORS

EVERYBODY = "everybody"
SITE = "Webhook Console"


class MfaAdapter(DefaultMFAAdapter):
    """Secrets sealed at rest; names that people recognise in their app."""

    error_messages = {**DefaultMFAAdapter.error_messages, "incorrect_code": "This code is wrong, old or used already."}

    def encrypt(self, text: str) -> str:
        return sealing.seal(text).decode("ascii")

    def decrypt(self, encrypted_text: str) -> str:
        return sealing.unseal(encrypted_text.encode())

    def get_totp_label(self, user: AbstractBaseUser) -> str:
        return user.get_username()

    def get_public_key_credential_rp_entity(self) -> dict[str, str]:
        host = get_account_adapter().request.get_host().partition(":")[0]
        return {"id": host, "name": SITE}

    def generate_authenticator_name(self, user: AbstractBaseUser, type: Authenticator.Type) -> str:
        number = Authenticator.objects.filter(user=user, type=type).count() + 1
        return "Security key" if number == 1 else f"Security key {number}"


def asked_by(user: User) -> str:
    """The role for which this person needs a second factor (CONSOLE_SECOND_FACTOR_ROLES), or nothing."""
    asked: frozenset[str] = settings.SECOND_FACTOR_ROLES
    if not asked:
        return ""
    if EVERYBODY in asked:
        return EVERYBODY
    return next(iter(sorted(asked & access.held_anywhere(user))), "")


def is_set_up(user: User) -> bool:
    return Authenticator.objects.filter(user=user).exclude(type=Authenticator.Type.RECOVERY_CODES).exists()


def is_missing(user: User) -> bool:
    """Whether this person may do nothing else before setting one up."""
    return bool(asked_by(user)) and not is_set_up(user)


def of(user: User) -> list[Authenticator]:
    """Their apps and keys, without recovery codes."""
    found = Authenticator.objects.filter(user=user).exclude(type=Authenticator.Type.RECOVERY_CODES)
    return list(found.order_by("created_at"))


def recovery_codes_left(user: User) -> int:
    codes = Authenticator.objects.filter(user=user, type=Authenticator.Type.RECOVERY_CODES).first()
    return len(codes.wrap().get_unused_codes()) if codes else 0


def added(authenticator: Authenticator, *, actor: User) -> None:
    audit.record("second_factor.added", actor=actor, target=actor, kind=FACTORS[authenticator.type])


def removed(authenticator: Authenticator, *, actor: User) -> None:
    audit.record("second_factor.removed", actor=actor, target=actor, kinds=[FACTORS[authenticator.type]])


def remove_all(user: User, *, actor: User | None) -> list[str]:
    """For somebody who has lost theirs: from now on the password alone lets them in. Ends their sessions."""
    with transaction.atomic():
        User.objects.select_for_update(no_key=True).get(pk=user.pk)
        kinds = sorted({FACTORS[found.type] for found in Authenticator.objects.filter(user=user)})
        if not kinds:
            raise Refused(f"{user.username} has no second factor.")
        Authenticator.objects.filter(user=user).delete()
        sessions.end_all(user, actor=actor)
        audit.record("second_factor.removed", actor=actor, target=user, kinds=kinds)
    return kinds
