"""Instances come, change and go; addresses are clean, tokens are sealed, everything is written down."""

from __future__ import annotations

import pytest
from django.core.exceptions import ValidationError
from django.test import Client
from django.urls import reverse

from console import testing
from console.errors import Refused
from console.models import AuditEvent, RoleBinding
from instances_app import moving, registry, rosters
from instances_app.forms import InstanceForm
from instances_app.models import Instance
from instances_app.registry import clean_base_url

CLEAN = [
    ("http://web-1:8000", "http://web-1:8000"),
    ("  https://Web-1.Example.COM/  ", "https://web-1.example.com"),
    ("http://10.0.0.1:8000/hooks/", "http://10.0.0.1:8000/hooks"),
    ("http://[2001:db8::1]:8000", "http://[2001:db8::1]:8000"),
    ("http://127.0.0.1:9101", "http://127.0.0.1:9101"),
    ("http://100.64.0.7", "http://100.64.0.7"),
]
REFUSED = [
    ("", "must start with"),
    ("web-1:8000", "must start with"),
    ("ftp://web-1", "must start with"),
    ("javascript:alert(1)", "must start with"),
    ("http://", "must start with"),
    ("http://web 1", "must start with"),
    ("http://web-1:port", "not an address"),
    ("http://web-1:99999", "not an address"),
    ("http://[::1", "not an address"),
    ("http://user:secret@web-1", "Leave user names and passwords out"),
    ("http://web-1/?x=1", "ends before any"),
    ("http://web-1/#top", "ends before any"),
    ("http://169.254.169.254/latest", "metadata"),
    ("http://metadata.google.internal", "metadata"),
    ("http://[::ffff:169.254.169.254]", "metadata"),
    ("http://[64:ff9b::169.254.169.254]", "metadata"),
    ("http://[2002:a9fe:a9fe::1]", "metadata"),
    ("http://[fe80::1]", "link-local"),
    ("http://224.0.0.1", "multicast"),
    ("http://0.0.0.0:80", "multicast"),
    ("http://2852039166", "metadata"),  # 169.254.169.254, as a resolver reads it, too
    ("http://0xa9fea9fe", "metadata"),
    ("http://0xA9.0376.43518:80", "metadata"),
    ("http://[fd00:ec2::254]", "metadata"),
    ("http://100.100.100.200", "metadata"),
]


@pytest.mark.parametrize(("typed", "kept"), CLEAN)
def test_an_address_is_kept_in_one_spelling(typed: str, kept: str) -> None:
    assert clean_base_url(typed) == kept


@pytest.mark.parametrize(("typed", "reason"), REFUSED)
def test_what_is_no_instance_address_is_refused_with_the_reason(typed: str, reason: str) -> None:
    with pytest.raises(Refused, match=reason) as refusal:
        clean_base_url(typed)
    assert "secret" not in str(refusal.value)


@pytest.mark.django_db
def test_an_address_is_managed_once_across_all_environments() -> None:
    staging, production = testing.cast("staging"), testing.cast("production")
    testing.instance(staging.environment, "a", "http://web-1:8000")
    with pytest.raises(Refused, match="managed already"):
        testing.instance(production.environment, "b", "http://WEB-1:8000/")


@pytest.mark.django_db
def test_a_name_stands_once_in_an_environment_and_is_free_after_retiring() -> None:
    cast = testing.cast()
    first = testing.instance(cast.environment, "a", "http://web-1")
    with pytest.raises(Refused, match="has an instance named a already"):
        testing.instance(cast.environment, "a", "http://web-2")
    registry.retire(first, actor=cast.olga)
    again = testing.instance(cast.environment, "a", "http://web-1")
    assert list(Instance.objects.active()) == [again]
    with pytest.raises(Refused, match="retired already"):
        registry.retire(first, actor=cast.olga)


@pytest.mark.django_db
def test_a_token_is_sealed_and_stands_nowhere_in_the_clear() -> None:
    cast = testing.cast()
    token = "a-token-nobody-may-read"
    instance = testing.instance(cast.environment, "a", "http://web-1", token)
    registry.change(instance, name="a", base_url="http://web-1", labels={}, token=token + "-2", actor=cast.olga)
    instance.refresh_from_db()
    assert token.encode() not in bytes(instance.token_sealed)
    assert instance.target.token == token + "-2"
    assert token not in str([(event.data, event.target_label) for event in AuditEvent.objects.all()])
    page = Client()
    page.force_login(cast.olga)
    for name in ("instances:instance-edit", "sync:instance"):
        assert token not in page.get(reverse(name, args=[instance.pk])).content.decode()


@pytest.mark.django_db
def test_an_empty_token_keeps_the_old_one_and_a_new_one_lifts_the_refusal() -> None:
    cast = testing.cast()
    instance = testing.instance(cast.environment, "a", "http://web-1", "first")
    Instance.objects.update(token_refused_at=instance.created_at)
    kept = registry.change(instance, name="b", base_url="http://web-1", labels={"region": "eu"}, actor=cast.olga)
    assert (kept.target.token, kept.token_refused_at is None) == ("first", False)
    renewed = registry.change(kept, name="b", base_url="http://web-1", labels={}, token="second", actor=cast.olga)
    assert (renewed.target.token, renewed.token_refused_at) == ("second", None)


@pytest.mark.django_db
def test_who_adds_an_environment_becomes_its_admin_and_its_name_is_checked() -> None:
    person = testing.person("noor")
    environment = registry.add_environment("production-eu", protected=True, actor=person)
    assert RoleBinding.objects.get(user=person).role == "admin"
    assert AuditEvent.objects.latest("sequence").environment == str(environment)
    for name in ("Production", "1st", "a b", "a\n", ""):
        with pytest.raises(ValidationError):
            registry.add_environment(name, protected=False, actor=person)


@pytest.mark.django_db
def test_a_refused_form_keeps_what_was_typed_and_says_why() -> None:
    cast = testing.cast()
    testing.instance(cast.environment, "a", "http://web-1")
    page = Client()
    page.force_login(cast.olga)
    typed = {"name": "second", "base_url": "http://web-1/", "token": "t0ken-typed", "labels": "region=eu"}
    answer = page.post(reverse("sync:instance-new", args=["staging"]), typed)
    body = answer.content.decode()
    assert answer.status_code == 422
    assert "http://web-1 is managed already." in body
    assert 'value="second"' in body
    assert "region=eu" in body
    assert "t0ken-typed" not in body  # a password field is not filled again


def test_labels_are_one_key_and_value_a_line() -> None:
    def form(labels: str) -> InstanceForm:
        return InstanceForm({"name": "a", "base_url": "http://a", "token": "t", "labels": labels})

    good = form("region=eu\n\n tier = gold \n")
    assert not good.is_valid()  # a space before the = is not a key
    good = form("region=eu\n\n tier=gold \n")
    assert good.is_valid()
    assert good.cleaned_data["labels"] == {"region": "eu", "tier": "gold"}
    assert "is not key=value" in str(form("just words").errors)


@pytest.mark.django_db
@pytest.mark.parametrize("elsewhere", ["https://evil", "http://web-1", "https://web-1:8443", "https://web-1.evil"])
def test_a_sealed_token_follows_nobody_to_another_host_where_protected(elsewhere: str) -> None:
    """Whoever owns that host would read it, and with it be alone in production."""
    cast = testing.cast("production", protected=True)
    instance = testing.instance(cast.environment, "a", "https://web-1", "sealed-token")
    with pytest.raises(Refused, match=r"not sent to another host.* Type the token"):
        registry.change(instance, name="a", base_url=elsewhere, labels={}, actor=cast.olga)
    instance.refresh_from_db()
    assert (instance.base_url, instance.moved_at) == ("https://web-1", None)

    page = Client()
    page.force_login(cast.olga)
    form = {"name": "a", "base_url": elsewhere, "labels": "region=eu"}
    answer = page.post(reverse("instances:instance-edit", args=[instance.pk]), form)
    assert answer.status_code == 422
    for kept in ("not sent to another host", elsewhere, "region=eu"):
        assert kept in answer.content.decode()

    moved = registry.change(instance, name="a", base_url=elsewhere, labels={}, token="typed-token", actor=cast.olga)
    assert (moved.base_url, moved.target.token) == (elsewhere, "typed-token")


@pytest.mark.django_db
def test_a_sealed_token_stays_with_its_host_and_follows_everywhere_where_nothing_is_protected() -> None:
    production, staging = testing.cast("production", protected=True), testing.cast("staging")
    at_home = testing.instance(production.environment, "a", "https://web-1/old", "sealed-token")
    kept = registry.change(at_home, name="a", base_url="https://web-1/new", labels={}, actor=production.olga)
    assert (kept.base_url, kept.target.token) == ("https://web-1/new", "sealed-token")
    free = testing.instance(staging.environment, "b", "https://web-2", "sealed-token")
    kept = registry.change(free, name="b", base_url="https://web-3", labels={}, actor=staging.olga)
    assert (kept.base_url, kept.target.token) == ("https://web-3", "sealed-token")


@pytest.mark.django_db
def test_neither_a_list_nor_a_move_of_many_carries_sealed_tokens_to_another_host() -> None:
    cast = testing.cast("production", protected=True)
    one = testing.instance(cast.environment, "a", "https://a.old", "sealed-token")
    (line,) = rosters.read(cast.environment, "name,base_url\na,https://a.new\n")
    assert "not sent to another host" in line.what
    with pytest.raises(Refused, match="not sent to another host"):
        rosters.carry_out(cast.environment, "name,base_url\na,https://a.new\n", actor=cast.olga)
    (move,) = moving.preview(cast.environment, [one.pk], find=".old", put=".new")
    assert "type the token" in move.problem
    with pytest.raises(Refused, match="type the token"):
        moving.move(cast.environment, [one.pk], find=".old", put=".new", seen=moving.mark([move]), actor=cast.olga)
    one.refresh_from_db()
    assert one.base_url == "https://a.old"
    rosters.carry_out(cast.environment, "name,base_url,token\na,https://a.new,typed-token\n", actor=cast.olga)
    one.refresh_from_db()
    assert (one.base_url, one.target.token) == ("https://a.new", "typed-token")
