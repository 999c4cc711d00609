"""Who is out there: environments and instances come, change and go here."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import urlsplit

from django.db import IntegrityError, transaction
from django.utils import timezone

from console import audit
from console.errors import Refused
from console.models import Role, RoleBinding, User
from console.sealing import seal
from instances_app import client, exchanges, observations
from instances_app.addresses import is_forbidden
from instances_app.health_models import Checked
from instances_app.models import Environment, Instance

MACHINE_WRITTEN = {"environment", "token_sealed", *(field.name for field in Checked._meta.local_fields)}
NAMED = 200  # instances in one audit event


@dataclass(frozen=True, slots=True)
class Written:
    """An instance's row, and the event that is still to be recorded of it."""

    instance: Instance
    action: str
    data: dict[str, Any]


def add_environment(name: str, *, protected: bool, plain_http: bool | None = None, actor: User | None) -> Environment:
    """A new, empty fleet; the person who adds it becomes its admin.

    `plain_http`: whether its instances may be asked without TLS. Unless somebody says, a protected one's may not.
    """
    with transaction.atomic():
        plain_http = not protected if plain_http is None else plain_http
        environment = Environment(name=name, protected=protected, plain_http=plain_http)
        environment.full_clean()
        environment.save()
        if actor is not None and not actor.is_superuser:
            RoleBinding.objects.create(user=actor, environment=environment, role=Role.ADMIN)
        audit.record("environment.added", actor=actor, target=environment, protected=protected, plain_http=plain_http)
    return environment


def register(
    environment: Environment,
    *,
    name: str,
    base_url: str,
    token: str,
    labels: Mapping[str, str] | None = None,
    actor: User | None,
) -> Instance:
    """Add an instance; its token is sealed at once. Refuses an address or a name that is already managed."""
    with transaction.atomic():
        return record(add(environment, name=name, base_url=base_url, token=token, labels=labels), actor=actor)


def add(
    environment: Environment, *, name: str, base_url: str, token: str, labels: Mapping[str, str] | None = None
) -> Written:
    """The row alone, for whoever writes several: the events come last, because of the audit trail's lock."""
    if not token.strip():
        raise Refused("An instance needs its agent's token.")
    instance = Instance(
        environment=environment,
        name=name.strip(),
        base_url=clean_base_url(base_url),
        token_sealed=seal(token.strip()),
        labels=dict(labels or {}),
    )
    with transaction.atomic():
        refuse_plain(environment, [instance.base_url])
        return _save(instance, "instance.registered")


def register_many(
    environment: Environment, instances: Sequence[Instance], *, token: str, actor: User | None, source: str
) -> list[Instance]:
    """Add many at once, as `register` does one: clean names and addresses, no token yet, of this environment.

    Raises IntegrityError when an address or a name has been taken meanwhile; then none is added.
    """
    for instance in instances:
        instance.environment, instance.token_sealed = environment, seal(token)
        instance.clean_fields(exclude=MACHINE_WRITTEN)
    with transaction.atomic():
        refuse_plain(environment, [instance.base_url for instance in instances])
        added = Instance.objects.bulk_create(instances, batch_size=1000)
        _record_many("source.instances_registered", environment, added, actor=actor, source=source)
    return added


def retire_many(
    environment: Environment, instances: Collection[int], *, actor: User | None, source: str
) -> list[Instance]:
    """Let many go at once, as `retire` does one; those that are retired already are left out."""
    with transaction.atomic():
        active = environment.instances.active().filter(pk__in=instances).order_by("pk")
        gone = list(active.select_for_update(no_key=True))
        Instance.objects.filter(pk__in=[instance.pk for instance in gone]).update(
            retired_at=timezone.now(), retired_by=actor
        )
        _record_many("source.instances_retired", environment, gone, actor=actor, source=source)
    return gone


def change(
    instance: Instance,
    *,
    name: str,
    base_url: str,
    labels: Mapping[str, str],
    token: str = "",
    actor: User | None,
) -> Instance:
    """Edit an instance; an empty token keeps the sealed one, in a protected environment for the same host only."""
    with transaction.atomic():
        return record(edit(instance, name=name, base_url=base_url, labels=labels, token=token), actor=actor)


def doubt(instance: Instance, *, base_url: str, token: str) -> str:
    """Why a token that somebody typed is not proven to open there, or nothing. Asks the instance; Refused for an
    address that is none.
    """
    reply = client.versions(replace(instance.target, base_url=clean_base_url(base_url), token=token.strip()))
    if reply.outcome == client.Outcome.OK:
        return ""
    if client.is_refusal(reply):
        return "The instance refuses this token."
    return f"It could not be asked with this token. {reply.error}"


def edit(instance: Instance, *, name: str, base_url: str, labels: Mapping[str, str], token: str = "") -> Written:
    """The row alone, as `add`."""
    address = clean_base_url(base_url)
    with transaction.atomic():
        if address != instance.base_url:
            refuse_plain(instance.environment, [address])
        instance = Instance.objects.select_for_update(no_key=True).get(pk=instance.pk)
        if not token.strip() and (refusal := carry_refusal(instance.environment, instance.base_url, address)):
            raise Refused(f"{refusal} Type the token that the agent there has.")
        before = {"name": instance.name, "base_url": instance.base_url, "labels": instance.labels}
        instance.name, instance.base_url, instance.labels = name.strip(), address, dict(labels)
        if instance.base_url != before["base_url"]:
            instance.moved_at = timezone.now()
            exchanges.refuse_move([instance.pk])
            instance.stranger, instance.stranger_at = "", None  # who answers at the new one is asked anew
            observations.forget([instance.pk])
        if token.strip():
            exchanges.typed(instance)
            instance.token_sealed, instance.token_refused_at = seal(token.strip()), None
        return _save(instance, "instance.changed", before=before, token_changed=bool(token.strip()))


def record(written: Written, *, actor: User | None) -> Instance:
    instance = written.instance
    audit.record(written.action, actor=actor, target=instance, base_url=instance.base_url, **written.data)
    return instance


def retire(instance: Instance, *, actor: User) -> Instance:
    """Let an instance go: nothing is sent to it any more; its history stays. Register it again to undo."""
    with transaction.atomic():
        instance = Instance.objects.select_for_update(no_key=True).get(pk=instance.pk)
        if instance.retired_at is not None:
            raise Refused(f"{instance} is retired already.")
        instance.retired_at, instance.retired_by = timezone.now(), actor
        instance.save(update_fields=["retired_at", "retired_by"])
        audit.record("instance.retired", actor=actor, target=instance, base_url=instance.base_url)
    return instance


def keep_monitored(instance: Instance, *, actor: User) -> Instance:
    """Keep a service without an agent: asked how it is, never sent anything. Refused once an agent has answered there.

    The caller sees to it that no rollout waits for it, and holds the environment: no rotation begins meanwhile.
    """
    with transaction.atomic():
        instance = Instance.objects.select_for_update(no_key=True).get(pk=instance.pk)
        if instance.retired_at is not None:
            raise Refused(f"{instance} is retired.")
        if instance.was_heard:
            raise Refused(
                f"An agent has answered at {instance} before. If it was taken out for good, retire {instance} and add "
                "it again."
            )
        exchanges.refuse_unmanaged(instance)
        instance.monitored_only = True
        instance.save(update_fields=["monitored_only"])
        audit.record("instance.monitored", actor=actor, target=instance, base_url=instance.base_url)
    return instance


def manage(instance: Instance, *, actor: User | None) -> Instance:
    """Its agent has answered: from now on documents go there as to everybody else."""
    with transaction.atomic():
        instance = Instance.objects.select_for_update(no_key=True).get(pk=instance.pk)
        if instance.monitored_only:
            instance.monitored_only = False
            instance.save(update_fields=["monitored_only"])
            audit.record("instance.managed", actor=actor, target=instance, base_url=instance.base_url)
    return instance


def check(instance: Instance, *, actor: User) -> Instance:
    """Ask the instance now what it runs and how it is; the answer is kept, whatever it is."""
    look = client.look(instance.look)
    with transaction.atomic():
        observations.record_looks([look])
        instance.refresh_from_db()
        outcome = "another instance answers" if instance.stranger else str(look.versions.outcome)
        audit.record("instance.checked", actor=actor, target=instance, outcome=outcome)
    return instance


def clean_base_url(text: str) -> str:
    """scheme://host[:port][/path] without a trailing slash; Refused says what is wrong with anything else."""
    text = text.strip().rstrip("/")
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        raise Refused("That is not an address. Example: http://webhooks-1.internal:8000") from None
    host = parts.hostname or ""
    if parts.scheme not in {"http", "https"} or not host or any(mark.isspace() for mark in text):
        raise Refused("The address must start with http:// or https:// and name a host.")
    if parts.username or parts.password or "@" in parts.netloc:
        raise Refused("Leave user names and passwords out of the address; the token has its own field.")
    if parts.query or parts.fragment:
        raise Refused("The address ends before any ? or #.")
    if is_forbidden(host):
        raise Refused(f"{host} is a link-local, multicast or cloud metadata address; no instance lives there.")
    host = f"[{host}]" if ":" in host else host.lower()
    return f"{parts.scheme}://{host}{f':{port}' if port else ''}{parts.path}"


def plain_refusal(environment: Environment, base_url: str) -> str:
    """Why an address may not be one of this environment's, or nothing."""
    if environment.plain_http or not base_url.startswith("http://"):
        return ""
    return (
        f"Plain http:// is not allowed in {environment}: the token could be read on the way. Use https://, or have an "
        "admin allow it in its settings, under Transport."
    )


def carry_refusal(environment: Environment, before: str, after: str) -> str:
    """Why a sealed token is not sent on from one address to another, or nothing.

    Whoever owns the other host would read the token there, and with it changes what runs in production all by himself.
    """
    if not environment.protected or urlsplit(before)[:2] == urlsplit(after)[:2]:
        return ""
    return f"{environment} is protected: the sealed token is not sent to another host, where somebody could read it."


def refuse_plain(environment: Environment, addresses: Collection[str]) -> None:
    """Refused while the environment does not allow plain http. Holds its row, so that nobody forbids it meanwhile;
    before those of instances.
    """
    plain = next((address for address in addresses if address.startswith("http://")), "")
    if plain:
        held = Environment.objects.select_for_update(no_key=True).get(pk=environment.pk)
        if refusal := plain_refusal(held, plain):
            raise Refused(refusal)


def _record_many(
    action: str, environment: Environment, instances: Sequence[Instance], *, actor: User | None, source: str
) -> None:
    for start in range(0, len(instances), NAMED):
        some = {instance.name: instance.base_url for instance in instances[start : start + NAMED]}
        audit.record(action, actor=actor, target=environment, source=source, count=len(some), instances=some)


def _save(instance: Instance, action: str, **data: Any) -> Written:
    try:
        with transaction.atomic():
            instance.clean_fields(exclude=MACHINE_WRITTEN)
            instance.save()
    except IntegrityError as error:
        if "instance_base_url_once" in str(error):
            raise Refused(f"{instance.base_url} is managed already.") from None
        if "instance_name_once" in str(error):
            raise Refused(f"{instance.environment} has an instance named {instance.name} already.") from None
        raise
    return Written(instance, action, data)
