"""The cast and the props of the tests.

Olga operates, Anna approves, Victor views, Adam is admin, Ida audits; Stella has no role here at all.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from django.contrib.auth.hashers import make_password

from configs_app import acceptances, changes, contents, documents
from configs_app.models import Acceptance, Bundle, Change
from console.models import Role, RoleBinding, User
from instances_app import registry
from instances_app.models import Environment, Instance, Kind
from sync_app.models import Rollout

PASSWORD = "correct-horse-battery"
WEBHOOKS: dict[str, Any] = {"orders": {"module": "log"}, "refunds": {"module": "log", "authorization": "Bearer s3cret"}}
CONNECTIONS: dict[str, Any] = {"db": {"type": "postgresql", "host": "db.example.com", "port": 5432, "password": "pw-1"}}


@dataclass(frozen=True)
class Cast:
    """Everybody, in one environment."""

    environment: Environment
    olga: User
    anna: User
    victor: User
    adam: User
    ida: User
    stella: User


def cast(name: str = "staging", *, protected: bool = False) -> Cast:
    environment = registry.add_environment(name, protected=protected, plain_http=True, actor=None)
    roles = {"olga": Role.OPERATOR, "anna": Role.APPROVER, "victor": Role.VIEWER, "adam": Role.ADMIN}
    people = {who: person(who) for who in (*roles, "ida", "stella")}
    people["ida"].auditor = True
    people["ida"].save()
    for who, role in roles.items():
        RoleBinding.objects.create(user=people[who], environment=environment, role=role)
    return Cast(environment, **people)


def person(name: str) -> User:
    found = User.objects.filter(username=name).first()
    return found or User.objects.create(username=name, password=_hashed())


@lru_cache(maxsize=1)
def _hashed() -> str:
    """Hashing is slow on purpose; everybody has the same password, so once is enough."""
    return make_password(PASSWORD)


def text(document: dict[str, Any]) -> str:
    return json.dumps(document, indent=2) + "\n"


def bundle(
    environment: Environment, webhooks: dict[str, Any] | None = None, connections: dict[str, Any] | None = None
) -> Bundle:
    """The environment's first documents."""
    texts: dict[str, str] = {
        Kind.WEBHOOKS: text(WEBHOOKS if webhooks is None else webhooks),
        Kind.CONNECTIONS: text(CONNECTIONS if connections is None else connections),
    }
    return documents.import_first(environment, texts, actor=None, origin="a test")


def instance(environment: Environment, name: str = "one", base_url: str = "", token: str = "t0ken") -> Instance:
    url = base_url or f"http://127.0.0.1:1/{name}"
    return registry.register(environment, name=name, base_url=url, token=token, actor=None)


def draft(environment: Environment, *, actor: User, title: str = "A change", **texts: str) -> Change:
    """A change with these texts, on today's base: ``draft(env, actor=olga, webhooks="{...}")``."""
    change = changes.open_draft(environment, actor=actor, title=title)
    bases = {kind: getattr(documents.current(environment, kind), "pk", None) for kind in texts}
    reason = "For a test" if environment.protected else None
    return changes.save(change, texts, bases=bases, actor=actor, reason=reason)


def accepted(change: Change, *, actor: User) -> list[Acceptance]:
    """Accept everything that stops the change."""
    found = contents.obstacles(change)
    end = acceptances.usual_end()
    return acceptances.accept(change.environment, found, reason="a test", until=end, actor=actor, change=change)


def ended(rollout: Rollout) -> bool:
    rollout.refresh_from_db()
    return not rollout.is_going
