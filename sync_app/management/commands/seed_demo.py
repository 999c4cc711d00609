"""The demo: two environments, one person per role, and the sample instances that `up` is about to start."""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand
from django.db import transaction

from configs_app import documents
from console import audit, credentials
from console.errors import Refused
from console.models import Role, RoleBinding, User
from instances_app import registry
from instances_app.models import Environment, Instance, Kind

ENVIRONMENTS = {"staging": False, "production": True}
PEOPLE = {  # role → first name; each holds it in both environments
    "viewer": "victor",
    "operator": "olga",
    "approver": "anna",
    "admin": "adam",
    "auditor": "ida",
}
WEBHOOKS = {
    "orders": {
        "data_type": "json",
        "module": "save_to_disk",
        "module-config": {"path": "received/orders"},
        "authorization": "Bearer demo-orders-token",
    },
    "newsletter": {"data_type": "json", "module": "log"},
}
CONNECTIONS = {
    "orders_db": {
        "type": "postgresql",
        "host": "orders-db.example.com",
        "port": 5432,
        "database": "orders",
        "user": "webhooks",
        "password": "{$ORDERS_DB_PASSWORD}",
    }
}


class Command(BaseCommand):
    help = "Fill an empty console with the demo. Running it again adds what is missing and changes nothing else."

    def handle(self, *args: Any, **options: Any) -> None:
        instances = _planned()
        texts: dict[str, str] = {
            Kind.WEBHOOKS: json.dumps(WEBHOOKS, indent=2) + "\n",
            Kind.CONNECTIONS: json.dumps(CONNECTIONS, indent=2) + "\n",
        }
        with transaction.atomic():
            environments = {name: _environment(name, protected) for name, protected in ENVIRONMENTS.items()}
            people = _people(list(environments.values()))
            for environment in environments.values():
                if documents.desired(environment) is None:
                    documents.import_first(environment, texts, actor=None, origin="the demo")
            for planned in instances:
                _instance(environments[planned["environment"]], planned)
            if people:
                credentials.keep(people)
        for planned in instances:
            _write_missing(Path(planned["dir"]), texts)
        for role, (name, password) in people.items():
            self.stdout.write(f"{role:9} {name:8} {password}")


def _planned() -> list[dict[str, str]]:
    """What `up` chose: [{"name", "environment", "base_url", "token", "dir"}]; nothing outside `up`."""
    path = settings.DATA_DIR / "demo.json"
    return list(json.loads(path.read_text(encoding="utf-8"))) if path.exists() else []


def _environment(name: str, protected: bool) -> Environment:
    found = Environment.objects.filter(name=name).first()
    return found or registry.add_environment(name, protected=protected, plain_http=True, actor=None)


def _people(environments: list[Environment]) -> dict[str, tuple[str, str]]:
    if User.objects.exists():
        return {}
    people: dict[str, tuple[str, str]] = {}
    for role, name in PEOPLE.items():
        password = credentials.new_password()
        user = User.objects.create_user(name, password=password, first_name=name.title(), auditor=role == "auditor")
        if role != "auditor":
            RoleBinding.objects.bulk_create(
                [RoleBinding(user=user, environment=environment, role=Role(role)) for environment in environments]
            )
        audit.record("person.added", actor=None, target=user, role=role)
        people[role] = (name, password)
    return people


def _instance(environment: Environment, planned: dict[str, str]) -> None:
    """Register it, or follow it to the address and token that `up` gave it this time."""
    found = Instance.objects.active().filter(environment=environment, name=planned["name"]).first()
    if found is None:
        if not Instance.objects.filter(environment=environment, name=planned["name"]).exists():
            registry.register(
                environment,
                name=planned["name"],
                base_url=planned["base_url"],
                token=planned["token"],
                labels={"demo": "yes"},
                actor=None,
            )
        return
    rotated = found.exchanges.exclude(switched_at=None).exists()  # then its agent knows another one than planned
    token = found.target.token if rotated else planned["token"]
    if (found.base_url, found.target.token) != (planned["base_url"], token):
        with suppress(Refused):  # in the middle of a rotation; the next start follows
            registry.change(
                found, name=found.name, base_url=planned["base_url"], labels=found.labels, token=token, actor=None
            )


def _write_missing(folder: Path, texts: dict[str, str]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for kind, text in texts.items():
        path = folder / f"{kind}.json"
        if not path.exists():
            path.write_text(text, encoding="utf-8")
