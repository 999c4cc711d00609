"""Access holds at every address, for every role."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import timedelta

import pytest
from django.db import transaction
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver, reverse
from django.utils import timezone

from configs_app import changes, comments, imports
from configs_app.validation import schemas
from console import access, testing
from console.models import AuditEvent, User
from console.tests.matrix import MATRIX, ROLES
from instances_app import late_reviews, rotation
from instances_app.freeze_models import Freeze
from instances_app.models import DiscoverySource, LateReview
from sync_app import dry_answers, dry_runs, freezing, rollouts, set_aside
from sync_app.models import Blocked, Cause, Drift, SavedView

pytestmark = pytest.mark.django_db

PEOPLE = dict(zip(ROLES, ("victor", "olga", "anna", "adam", "ida", "stella", ""), strict=True))


def names(resolver: URLResolver, prefix: str = "") -> Iterator[str]:
    for item in resolver.url_patterns:
        if isinstance(item, URLResolver):
            yield from names(item, f"{prefix}{item.namespace}:" if item.namespace else prefix)
        elif isinstance(item, URLPattern):
            yield f"{prefix}{item.name}"


def test_every_address_stands_in_the_matrix() -> None:
    known = {name for _, name in MATRIX}
    assert set(names(get_resolver())) == known
    print(f"{len(known)} addresses, {len(MATRIX)} rows, {len(MATRIX) * len(ROLES)} cells")  # noqa: T201


@pytest.fixture
def arguments() -> dict[str, list[object]]:
    """The arguments of every address, in a world where each of them exists."""
    cast = testing.cast("production", protected=True)
    testing.bundle(cast.environment)
    instance = testing.instance(cast.environment)
    change = testing.draft(cast.environment, actor=cast.olga, webhooks=testing.text({"a": {"module": "log"}}))
    (acceptance,) = testing.accepted(change, actor=cast.olga)
    changes.propose(change, actor=cast.olga)
    dry_run = dry_runs.start(change, actor=cast.olga)
    dry_answers.stop(dry_run.pk, because="a test")
    rollout = rollouts.start(cast.environment, actor=cast.olga, cause=Cause.SYNC)
    blocked = Blocked.objects.create(
        environment=cast.environment, bundle=rollout.bundle, rollout=rollout, reason="a test", by=cast.olga
    )
    event = AuditEvent.objects.filter(environment="production").first()
    review = late_reviews.open_for(
        cast.environment,
        cause=LateReview.Cause.RULES,
        subject="somebody loosened the rules",
        reason="a reason that is long enough",
        actor=testing.person("somebody"),
    )
    tomorrow = timezone.now() + timedelta(days=1)  # nothing is frozen yet
    freeze = Freeze(environment=cast.environment, kind="freeze", policy="finish", zone="UTC", starts_at=tomorrow)
    freeze.reason = "a test"
    freezing.add(freeze, actor=cast.adam)
    held = imports.hold(cast.environment, {"webhooks": "{}"}, origin="a test", actor=cast.olga)
    source = DiscoverySource.objects.create(
        environment=cast.environment, name="a list", kind="static", settings={"addresses": "http://web-9:8000"}
    )
    document: list[object] = ["production", "webhooks"]
    drifted = {"environment": cast.environment, "kind": "webhooks", "digest": "e" * 64, "short": "e" * 16}
    return {
        "environment": ["production"],
        "instance": [instance.pk],
        "rollout": [rollout.pk],
        "blocked": [blocked.pk],
        "change": [change.pk],
        "dry-run": [dry_run.pk],
        "event": [event.pk if event else 0],
        "document": document,
        "drift": [*document, Drift.objects.create(**drifted).short],
        "aside": [set_aside.snooze(cast.environment, instances=[instance.pk], hours=1, actor=cast.olga).pk],
        "revision": [*document, 1],
        "schema": ["webhooks", schemas.digest("webhooks")],
        "act": [change.pk, "approve"],
        "selected": ["production", "check"],
        "rotation": [rotation.start(cast.environment, [instance.pk], actor=cast.olga).pk],
        "view": [SavedView.objects.create(environment=cast.environment, person=cast.victor, name="v", query="q=v").pk],
        "person": [cast.olga.pk],
        "deed": [cast.olga.pk, "sessions"],
        "welcome": ["MQ", "no-token"],
        "acceptance": [acceptance.pk],
        "import": [held.pk],
        "late-review": [review.pk],
        "freeze": [freeze.pk],
        "source": [source.pk],
        "source-kind": ["production", "static"],
        "reveal": [change.pk, "webhooks"],
        "comment": [comments.write(change, text="Why?", actor=cast.victor).pk, "resolve"],
    }


def which(name: str) -> str | None:
    """Which arguments an address takes."""
    if name == "mfa_remove_webauthn":
        return "rollout"  # a number; none of these people has a key
    if name in {"people", "person-new", "groups"}:
        return None
    if name.startswith(("account", "session-", "mfa_", "openid_")):
        return None
    special = {
        "audit-event": "event",
        "live": "environment",
        "person": "person",
        "person-act": "deed",
        "welcome": "welcome",
        "configs:change-act": "act",
        "configs:change-reveal": "reveal",
        "configs:all-changes": None,
        "configs:changes": "environment",
        "configs:comment-act": "comment",
        "configs:acceptances": "environment",
        "configs:late-review": "late-review",
        "configs:acceptance-end": "acceptance",
        "configs:change-new": "environment",
        "configs:compare": "document",
        "configs:entry": "document",
        "configs:search": "document",
        "configs:import": "environment",
        "configs:import-preview": "import",
        "configs:validate": "document",
        "configs:document": "document",
        "configs:schema": "schema",
        "sync:instance-new": "environment",
        "instances:environment-new": None,
        "instances:sources": "environment",
        "instances:transport": "environment",
        "instances:agent-register": None,
        "instances:source-new": "source-kind",
        "sync:publish": "change",
        "sync:break-glass": "change",
        "sync:dry-run": "dry-run",
        "sync:dry-run-progress": "dry-run",
        "sync:fleet": "environment",
        "sync:verify": "environment",
        "sync:sync": "environment",
        "sync:selected": "selected",
        "sync:fleet-export": "environment",
        "sync:view-save": "environment",
        "sync:view-remove": "view",
        "sync:roster": "environment",
        "sync:waves": "environment",
        "sync:probe": "environment",
        "sync:blocked-lift": "blocked",
        "sync:rollouts": "environment",
        "sync:freezes": "environment",
        "sync:freeze-lift": "freeze",
        "sync:history": "environment",
        "sync:drift": "environment",
        "sync:drift-now": "environment",
        "sync:set-aside-end": "aside",
        "sync:history-export": "environment",
    }
    if name in special:
        return special[name]
    if name.startswith("sync:drift-"):
        return "drift"
    for kind in ("revision", "environment", "instance", "rollout", "rotation", "change", "source"):
        if name.split(":")[-1].startswith(kind):
            return kind
    return None


@pytest.mark.parametrize(("method", "name"), MATRIX, ids=lambda value: str(value))
def test_the_matrix_holds_for_every_role(arguments: dict[str, list[object]], method: str, name: str) -> None:
    """One world for all roles, as it was before each of them: making it takes longer than asking."""
    kind = which(name)
    address = reverse(name, args=arguments[kind] if kind else [])
    if name == "configs:compare":
        address += "?from=1&to=1"
    if name == "configs:entry":
        address += "?name=orders"
    answered, streams = {}, []
    for role in ROLES:
        with transaction.atomic():
            client = Client()
            if PEOPLE[role]:
                client.force_login(User.objects.get(username=PEOPLE[role]))
            answer = (
                client.get(address)
                if method == "GET"
                else client.post(address, {"instance": arguments["instance"][0], "do": "pin"})
            )
            answered[role] = answer.status_code
            transaction.set_rollback(True)
        if name == "live":  # nobody listens; closing ends the request, and with it the database's connection
            streams.append(answer)

    expected = dict(zip(ROLES, MATRIX[method, name], strict=True))
    if (method, name) == ("POST", "sync:sync"):  # allowed, and refused for another reason: a rollout is running
        expected |= {role: 422 for role, status in expected.items() if status == 302 and role != "nobody"}
    for stream in streams:
        stream.close()
    assert answered == expected, f"{method} {address}"


def test_only_post_changes_anything() -> None:
    cast = testing.cast()
    testing.bundle(cast.environment)
    instance = testing.instance(cast.environment)
    client = Client()
    client.force_login(cast.adam)
    posts: list[tuple[str, list[object]]] = [
        ("instances:instance-check", [instance.pk]),
        ("sync:verify", ["staging"]),
        ("configs:change-new", ["staging"]),
        ("configs:revision-restore", ["staging", "webhooks", 1]),
        ("configs:revision-download", ["staging", "webhooks", 1]),
        ("logout", []),
    ]
    for name, args in posts:
        assert client.get(reverse(name, args=args)).status_code == 405, name


def test_a_refusal_names_who_can_and_is_audited() -> None:
    cast = testing.cast()
    client = Client()
    client.force_login(cast.victor)
    answer = client.get(reverse("sync:instance-new", args=["staging"]))
    assert answer.status_code == 403
    assert "adam, olga" in answer.content.decode()
    event = AuditEvent.objects.get(action="access.denied")
    assert (event.actor_name, event.environment, event.data["verb"]) == ("victor", "staging", "instance.change")


def test_a_strangers_attempt_is_audited_and_their_own_page_does_not_tell_them_what_is_there() -> None:
    cast = testing.cast()
    client = Client()
    client.force_login(cast.stella)
    hidden = client.get(reverse("sync:environment", args=["staging"]))
    nothing = client.get(reverse("sync:environment", args=["nowhere"]))
    assert (hidden.status_code, nothing.status_code) == (404, 404)
    told = [
        re.sub(r"nonce=\S+|X-CSRFToken[^}]*|value=\S+|staging|nowhere", "", page.content.decode())
        for page in (hidden, nothing)
    ]
    assert told[0] == told[1]
    event = AuditEvent.objects.get(action="access.hidden")
    assert (event.actor_name, event.environment, event.data["path"]) == ("stella", "staging", "/e/staging/")
    for who, sees in [(cast.stella, False), (cast.adam, True), (cast.ida, True)]:
        client.force_login(who)
        shown = client.get(reverse("audit")).context["page"].events
        assert (event in shown) == sees
        answer = client.get(reverse("audit-event", args=[event.sequence]))
        assert answer.status_code == (200 if sees else 404)


def test_somebody_switched_off_has_no_role() -> None:
    cast = testing.cast()
    cast.olga.is_active = False
    cast.olga.save()
    assert access.roles(cast.olga, cast.environment) == frozenset()
    assert "olga" not in access.who_can("change.publish", cast.environment)
