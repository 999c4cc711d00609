"""Sign-ins: where they are kept, which there are, how one ends.

This is the site's session engine (SESSION_ENGINE). A row knows whose it is, from where and since when, so that people
see their sign-ins and can end them. Its content is sealed: while somebody sets up a second factor, a secret is in it.
"""

from __future__ import annotations

import hmac
from datetime import datetime, timedelta
from typing import Any

from django.contrib.auth import SESSION_KEY
from django.contrib.sessions.backends import db
from django.db import transaction
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils import timezone

from console import audit, sealing
from console.models import Session, User

FACTS = "signed_in"  # how, when and from where: {"how", "at", "address", "browser"}
SEEN_EVERY = timedelta(minutes=1)
FRESH = timedelta(minutes=5)
BROWSERS = {"Edg/": "Edge", "OPR/": "Opera", "Firefox/": "Firefox", "Chrome/": "Chrome", "Safari/": "Safari"}
SYSTEMS = {
    "Android": "Android",
    "iPhone": "iPhone",
    "iPad": "iPad",
    "Windows": "Windows",
    "Mac OS X": "macOS",
    "Linux": "Linux",
}


class SessionStore(db.SessionStore):
    @classmethod
    def get_model_class(cls) -> type[Session]:
        return Session

    def create_model_instance(self, data: dict[str, Any]) -> Session:
        session = super().create_model_instance(data)
        assert isinstance(session, Session)
        facts = data.get(FACTS) or {}
        session.user_id = int(data[SESSION_KEY]) if SESSION_KEY in data else None
        session.address, session.browser = facts.get("address", ""), facts.get("browser", "")
        if facts:
            session.started_at = datetime.fromisoformat(facts["at"])
        return session

    def encode(self, session_dict: dict[str, Any]) -> str:
        return sealing.seal(super().encode(session_dict)).decode("ascii")

    def decode(self, session_data: bytes | str) -> dict[str, Any]:
        sealed = session_data.encode() if isinstance(session_data, str) else session_data
        try:
            return super().decode(sealing.unseal(sealed))
        except sealing.SealBroken:
            return {}  # its key is gone: somebody has to sign in again


def begin(request: HttpRequest, *, how: str) -> None:
    """Note on the session that was just signed in how, when and from where; forget those that have expired."""
    Session.objects.filter(expire_date__lt=timezone.now()).delete()
    request.session[FACTS] = {
        "how": how,
        "at": timezone.now().isoformat(),
        "address": audit.origin.get().address,
        "browser": browser(request.headers.get("User-Agent", "")),
    }


def is_fresh(facts: dict[str, str]) -> bool:
    """Whether somebody signed in so recently that they need not prove again who they are."""
    return timezone.now() - datetime.fromisoformat(facts["at"]) < FRESH


def touch(request: HttpRequest) -> None:
    """Note that it is in use, at most once a minute."""
    now = timezone.now()
    Session.objects.filter(pk=request.session.session_key, seen_at__lt=now - SEEN_EVERY).update(seen_at=now)


def of(user: User) -> QuerySet[Session]:
    """Those that still hold, the last used first."""
    return Session.objects.filter(user=user, expire_date__gt=timezone.now()).order_by("-seen_at", "-started_at")


def mark(session: Session) -> str:
    """What stands for a session on a page; the key itself would let anybody in who reads it."""
    return sealing.fingerprint(f"session:{session.session_key}")


def find(user: User, marked: str) -> Session | None:
    """The person's own session with this mark, if it still holds."""
    return next((session for session in of(user) if hmac.compare_digest(mark(session), marked)), None)


def end(session: Session, *, actor: User) -> None:
    """End one. The page that is open there is asked to sign in at its next step."""
    with transaction.atomic():
        if Session.objects.filter(pk=session.pk).delete()[0]:
            audit.record(
                "session.revoked",
                actor=actor,
                target=session.user,
                address_there=session.address,
                browser=session.browser,
                started_at=session.started_at.isoformat(),
            )


def end_all(user: User, *, actor: User | None, but: str | None = None) -> int:
    """End every session of a person, except the one with this key; how many there were."""
    with transaction.atomic():
        number, _ = Session.objects.filter(user=user).exclude(pk=but or "").delete()
        if number:
            audit.record("session.revoked", actor=actor, target=user, number=number)
    return number


def browser(agent: str) -> str:
    """ "Firefox on Linux", for people who look for a sign-in that is not theirs."""
    program = next((name for word, name in BROWSERS.items() if word in agent), "")
    system = next((name for word, name in SYSTEMS.items() if word in agent), "")
    return f"{program or 'Another program'}{f' on {system}' if system else ''}" if agent else "Unnamed program"
