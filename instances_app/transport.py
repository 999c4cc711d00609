"""How the instances of an environment are reached: plain http or TLS only, whom TLS trusts, whom it says we are.

Where it is protected, two of these count as looser rules: allowing plain http, and trusting somebody else. Whoever
could do that alone could have the tokens sent to a server of their own.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

from django.db import transaction

from console import audit
from console.errors import Refused
from console.models import User
from console.sealing import seal
from instances_app import certificates, late_reviews
from instances_app.certificates import Certificate
from instances_app.models import Environment, EnvironmentTrust

NAMED = 10  # instances in a refusal


@dataclass(frozen=True, slots=True)
class Transport:
    """What pages and the audit trail say of it. No authorities: those of the machine are trusted."""

    plain_http: bool
    authorities: tuple[Certificate, ...] = ()
    certificate: tuple[Certificate, ...] = ()  # the client's first, then what it is signed by

    @classmethod
    def of(cls, environment: Environment) -> Self:
        if environment.trust_id is None:
            return cls(environment.plain_http)
        row = EnvironmentTrust.objects.defer("key_sealed").get(pk=environment.trust_id)
        read = certificates.read
        return cls(environment.plain_http, tuple(read(row.authorities)), tuple(read(row.certificate)))

    @property
    def data(self) -> dict[str, Any]:
        return {
            "plain_http": self.plain_http,
            "authorities": [one.data for one in self.authorities] or "those of the machine",
            "client_certificate": self.certificate[0].data if self.certificate else None,
        }

    def looser_than(self, before: Transport) -> list[str]:
        """What would be trusted that was not before, one sentence each."""
        found = []
        if self.plain_http and not before.plain_http:
            found.append("Tokens and documents may be sent over plain http.")
        now, then = ({one.fingerprint for one in way.authorities} for way in (self, before))
        if now != then and not (now and then and now < then):
            whom = ", ".join(one.subject for one in self.authorities) or "the CAs of the machine"
            found.append(f"Instances are believed that {whom} vouches for.")
        return found

    @property
    def notes(self) -> list[str]:
        """What ends soon, or has ended; nothing is reached then."""
        said = [certificates.ending(one.until, f"The CA certificate {one.subject}") for one in self.authorities]
        said += [certificates.ending(one.until, f"The client certificate {one.subject}") for one in self.certificate]
        return [one for one in said if one]


def set_plain_http(environment: Environment, allowed: bool, *, reason: str = "", actor: User) -> Environment:
    """Allow plain http, or forbid it: refused while an instance has such an address."""
    with transaction.atomic():
        environment = _locked(environment)
        if environment.plain_http == allowed:
            raise Refused("It is set like this already.")
        if not allowed:
            _refuse_while_plain(environment)
        return _change(environment, plain_http=allowed, reason=reason, actor=actor)


def trust_authorities(environment: Environment, text: str, *, reason: str = "", actor: User) -> Environment:
    """From now on these CAs (PEM) vouch for its instances, and nobody else; empty: those of the machine."""
    pem = certificates.authorities(text) if text.strip() else ""
    prints = sorted({one.fingerprint for one in certificates.read(pem)})
    with transaction.atomic():
        environment = _locked(environment)
        held = environment.trust or EnvironmentTrust()
        if held.authority_prints == prints:
            raise Refused("These are trusted already." if prints else "It trusts the CAs of the machine already.")
        row = _row(authorities=pem, prints=prints, certificate=held.certificate, key_sealed=held.key_sealed)
        return _change(environment, trust=row, reason=reason, actor=actor)


def present_certificate(environment: Environment, text: str, key: str, *, actor: User) -> Environment:
    """Show this client certificate (PEM) to its instances from now on; the key is sealed."""
    certificate, key = certificates.client_pair(text, key)
    return _present(environment, certificate, key, actor=actor)


def remove_certificate(environment: Environment, *, actor: User) -> Environment:
    """Show no client certificate any more; its key is forgotten."""
    return _present(environment, "", "", actor=actor)


def _present(environment: Environment, certificate: str, key: str, *, actor: User) -> Environment:
    with transaction.atomic():
        environment = _locked(environment)
        held = environment.trust or EnvironmentTrust()
        if held.certificate == certificate:
            raise Refused("It is shown already." if certificate else "There is no client certificate here.")
        row = _row(
            authorities=held.authorities,
            prints=held.authority_prints,
            certificate=certificate,
            key_sealed=seal(key) if key else None,
        )
        return _change(environment, trust=row, actor=actor)


def _row(
    *, authorities: str, prints: list[str], certificate: str, key_sealed: bytes | memoryview | None
) -> EnvironmentTrust | None:
    if not authorities and not certificate:
        return None
    return EnvironmentTrust.objects.create(
        authorities=authorities, authority_prints=prints, certificate=certificate, key_sealed=key_sealed
    )


def _change(environment: Environment, *, reason: str = "", actor: User, **values: Any) -> Environment:
    """Held by the environment's lock."""
    before, old = Transport.of(environment), environment.trust
    for name, value in values.items():
        setattr(environment, name, value)
    after = Transport.of(environment)
    looser = after.looser_than(before) if environment.protected else []
    review = late_reviews.open_if_looser(environment, looser, reason=reason, actor=actor)
    environment.save(update_fields=list(values))
    if old is not None and old.pk != environment.trust_id:
        old.delete()  # its key with it
    audit.record(
        "environment.loosened" if review else "environment.transport_changed",
        actor=actor,
        target=environment,
        before=before.data,
        after=after.data,
        **review,
    )
    return environment


def _refuse_while_plain(environment: Environment) -> None:
    plain = environment.instances.active().filter(base_url__startswith="http://").order_by("name")
    names = list(plain.values_list("name", flat=True)[: NAMED + 1])
    if not names:
        return
    more = f" and {plain.count() - NAMED} more" if len(names) > NAMED else ""
    which = ", ".join(names[:NAMED])
    raise Refused(
        f"{which}{more} would not be reached any more: http:// addresses. Give them https:// addresses or retire them "
        "first, then forbid plain http."
    )


def _locked(environment: Environment) -> Environment:
    return Environment.objects.select_for_update(no_key=True, of=("self",)).get(pk=environment.pk)
