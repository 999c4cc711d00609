"""Transport per environment: what may be stored, who may loosen it, and where plain http ends."""

from __future__ import annotations

import json
from typing import Any

import pytest
from django.db import IntegrityError, transaction
from django.test import Client
from django.urls import reverse

from console import testing
from console.errors import Refused
from console.models import AuditEvent
from instances_app import late_reviews, registry, rosters, transport
from instances_app.client import Way
from instances_app.discovery import looking, sources
from instances_app.models import Environment, EnvironmentTrust, Instance, SourceKind
from instances_app.tests.authorities import Authority
from instances_app.transport import Transport

pytestmark = pytest.mark.django_db

REASON = "The new fleet is signed by this CA, ticket 4711."


def refused(deed: Any, *args: Any, **kwargs: Any) -> str:
    with pytest.raises(Refused) as refusal:
        deed(*args, **kwargs)
    return str(refusal.value)


def trail() -> str:
    return json.dumps(list(AuditEvent.objects.values_list("data", flat=True)))


def test_a_ca_is_stored_only_when_it_is_one_and_still_valid() -> None:
    cast = testing.cast()
    ca, leaf = Authority("Root of tests"), Authority().issue("leaf")

    def store(text: str) -> str:
        return refused(transport.trust_authorities, cast.environment, text, actor=cast.adam)

    assert "is no CA" in store(leaf.certificate)
    assert "has expired" in store(Authority(days=-1).pem)
    assert "no CA certificate in PEM" in store("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----")
    assert "private key" in store(ca.pem + leaf.key)
    assert "More than 20" in store(ca.pem * 21)
    environment = transport.trust_authorities(cast.environment, f"# ours\n{ca.pem}", actor=cast.adam)
    (kept,) = Transport.of(environment).authorities
    assert kept.subject == "CN=Root of tests"
    assert (environment.way.trust.authorities, environment.way.plain_http) == (ca.pem, True)
    assert environment.way.trust is Environment.objects.get(pk=environment.pk).way.trust  # one context for all
    assert kept.fingerprint in trail()
    assert "trusted already" in store(ca.pem)
    environment = transport.trust_authorities(environment, "", actor=cast.adam)
    assert environment.way == Way(plain_http=True)
    assert EnvironmentTrust.objects.count() == 0


def test_a_client_certificate_is_kept_with_its_key_and_never_shown_again() -> None:
    cast = testing.cast()
    ca = Authority("clients")
    pair, other = ca.issue("console"), ca.issue("other")

    def store(certificate: str, key: str) -> str:
        return refused(transport.present_certificate, cast.environment, certificate, key, actor=cast.adam)

    assert "does not belong to CN=console" in store(pair.certificate, other.key)
    assert "put that certificate first" in store(other.certificate + pair.certificate, pair.key)
    encrypted = store(pair.certificate, pair.encrypted_key())
    assert "is encrypted" in encrypted
    assert "openssl pkey" in encrypted
    assert "no private key in PEM" in store(pair.certificate, "nonsense")
    server = ca.issue(server=True)
    assert "not made for clients" in store(server.certificate, server.key)
    old = ca.issue(days=-1)
    assert "has expired" in store(old.certificate, old.key)

    page = Client()
    page.force_login(cast.adam)
    url = reverse("instances:transport", args=["staging"])
    sent = {"form": "client", "client-certificate": pair.certificate, "client-key": other.key}
    answer = page.post(url, sent)
    assert answer.status_code == 422
    assert "does not belong" in answer.content.decode()
    assert other.key.splitlines()[1] not in answer.content.decode()
    assert pair.certificate.splitlines()[1] in answer.content.decode()  # public, so it stays as typed
    assert page.post(url, {**sent, "client-key": pair.key}).status_code == 302
    shown = page.get(url).content.decode()
    assert "CN=console" in shown
    assert "PRIVATE KEY" not in shown
    row = EnvironmentTrust.objects.get()
    assert b"PRIVATE" not in bytes(row.key_sealed or b"")
    assert "PRIVATE" not in trail()
    assert pair.key.splitlines()[1] not in trail()
    cast.environment.refresh_from_db()
    first = cast.environment.way.trust
    assert first.certificate == pair.certificate

    transport.present_certificate(cast.environment, other.certificate, other.key, actor=cast.adam)
    cast.environment.refresh_from_db()
    assert cast.environment.way.trust.certificate == other.certificate  # replaced: no old one out of a cache
    assert not EnvironmentTrust.objects.filter(pk=row.pk).exists()
    assert page.post(url, {"form": "remove"}).status_code == 302
    assert EnvironmentTrust.objects.count() == 0
    assert "no client certificate" in refused(transport.remove_certificate, cast.environment, actor=cast.adam)


def test_the_end_of_an_own_certificate_is_warned_of_early_on_every_page_of_the_environment() -> None:
    cast = testing.cast()
    soon = Authority("clients").issue("soon", days=5)
    transport.present_certificate(cast.environment, soon.certificate, soon.key, actor=cast.adam)
    page = Client()
    page.force_login(cast.victor)
    body = page.get(reverse("sync:environment", args=["staging"])).content.decode()
    assert "The client certificate CN=soon ends in 5 days" in body
    assert "An admin of staging can replace it" in body


def test_in_a_protected_environment_nobody_points_trust_elsewhere_unseen() -> None:
    cast = testing.cast(protected=True)
    environment, ours, theirs = cast.environment, Authority("ours"), Authority("theirs")
    assert "Give a reason" in refused(transport.trust_authorities, environment, ours.pem, actor=cast.adam)
    transport.trust_authorities(environment, ours.pem + theirs.pem, reason=REASON, actor=cast.adam)
    (review,) = late_reviews.open_ones(cast.anna)
    assert "CN=ours" in review.subject
    late_reviews.close(review, note="Looked at the ticket.", actor=cast.anna)
    # Fewer of the same is no review; other ones, or those of the machine, are.
    environment = transport.trust_authorities(environment, ours.pem, actor=cast.adam)
    assert not late_reviews.open_ones(cast.anna)
    assert "Give a reason" in refused(transport.trust_authorities, environment, theirs.pem, actor=cast.adam)
    assert "Give a reason" in refused(transport.trust_authorities, environment, "", actor=cast.adam)
    pair = ours.issue()
    transport.present_certificate(environment, pair.certificate, pair.key, actor=cast.adam)  # is not about trust
    # The database sees to it as well.
    with pytest.raises(IntegrityError, match="open late review"), transaction.atomic():
        Environment.objects.update(trust=None)

    environment = transport.set_plain_http(environment, False, actor=cast.adam)
    assert "Give a reason" in refused(transport.set_plain_http, environment, True, actor=cast.adam)
    with pytest.raises(IntegrityError, match="open late review"), transaction.atomic():
        Environment.objects.update(plain_http=True)
    transport.set_plain_http(environment, True, reason=REASON, actor=cast.adam)
    assert "plain http" in late_reviews.open_ones(cast.anna)[0].subject


def test_plain_http_is_refused_on_every_way_in_and_named_on_the_way_out() -> None:
    cast = testing.cast()
    environment = cast.environment
    for number in range(12):
        testing.instance(environment, f"plain-{number:02}", f"http://plain-{number}.example")
    first = Instance.objects.get(name="plain-00")
    text = refused(transport.set_plain_http, environment, False, actor=cast.adam)
    assert "plain-00, plain-01" in text
    assert "and 2 more" in text
    with pytest.raises(IntegrityError, match="addresses of plain http"), transaction.atomic():
        Environment.objects.update(plain_http=False)

    secured = registry.change(first, name="secured", base_url="https://plain-0.example", labels={}, actor=cast.olga)
    for instance in environment.instances.active().filter(base_url__startswith="http:"):
        registry.retire(instance, actor=cast.olga)
    environment = transport.set_plain_http(environment, False, actor=cast.adam)

    assert "under Transport" in refused(testing.instance, environment, "new", "http://new.example")
    change = {"name": "secured", "labels": {}, "actor": cast.olga}
    assert "under Transport" in refused(registry.change, secured, base_url="http://plain-0.example", **change)
    csv = "name,base_url,token\nnew,http://new.example,t\nnewer,HTTPS://newer.example,t\n"
    plain, over_tls = rosters.read(environment, csv)
    assert plain.deed == rosters.REFUSED
    assert "under Transport" in plain.what
    assert over_tls.deed == rosters.ADD
    assert "under Transport" in refused(rosters.carry_out, environment, csv, actor=cast.olga)
    with pytest.raises(IntegrityError, match="allows no address"), transaction.atomic():
        Instance.objects.update(base_url="http://x.example")

    source = sources.add(
        environment,
        name="list",
        kind=SourceKind.STATIC,
        settings={"addresses": "http://found.example\nhttps://found.example"},
        secret="",
        token="",
        actor=cast.adam,
    )
    looking.write(source, looking.look(source), actor=cast.adam)
    found = {row.base_url: (row.state, row.reason) for row in source.found.all()}
    assert found["https://found.example"] == ("proposed", "")
    assert found["http://found.example"][0] == "unfit"
    assert "under Transport" in found["http://found.example"][1]


def test_a_new_protected_environment_begins_with_https_only() -> None:
    assert not registry.add_environment("production", protected=True, actor=None).plain_http
    assert registry.add_environment("staging", protected=False, actor=None).plain_http
