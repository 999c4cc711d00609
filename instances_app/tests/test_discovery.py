"""Discovery: what a source tells is shown before it is done, and no answer is not an empty one."""

from __future__ import annotations

import threading
from datetime import timedelta
from typing import Any

import pytest
from django.db import DatabaseError, IntegrityError, connection, transaction
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from console import testing
from console.errors import Refused
from console.models import AuditEvent
from console.testing_processes import until
from instances_app import registry
from instances_app.discovery import deciding, difference, found, looking, sources, turns
from instances_app.discovery.found import Fit, Found, SourceError
from instances_app.discovery.looking import Answer
from instances_app.models import DiscoverySource, FoundInstance, FoundState, Instance

TOKEN = "agents-t0ken"
FIVE = "http://hook-[1-5].example:8000"


def source(cast: testing.Cast, addresses: str = FIVE, **settings: object) -> DiscoverySource:
    values = {"name": "a list", "policy": "propose", "seconds": 60, "retire_hours": None} | settings
    token = str(values.pop("token", TOKEN))
    made = sources.add(
        cast.environment,
        kind="static",
        settings={"addresses": addresses},
        secret="",
        token=token,
        actor=cast.adam,
        **values,
    )
    sources.start(made, actor=cast.adam)
    made.refresh_from_db()
    return made


def turn(made: DiscoverySource, addresses: str | None = None) -> DiscoverySource:
    """One turn of a worker, the source telling of these."""
    if addresses is not None:
        DiscoverySource.objects.filter(pk=made.pk).update(settings={"addresses": addresses})
    DiscoverySource.objects.filter(pk=made.pk).update(next_at=timezone.now())
    assert turns.run(made.pk)
    made.refresh_from_db()
    return made


def states(made: DiscoverySource) -> dict[str, str]:
    return dict(made.found.order_by("base_url").values_list("base_url", "state"))


def ids(made: DiscoverySource, state: str) -> list[int]:
    return list(made.found.filter(state=state).values_list("pk", flat=True))


@pytest.mark.django_db
def test_a_new_source_is_paused_and_a_preview_writes_nothing() -> None:
    cast = testing.cast()
    made = sources.add(
        cast.environment,
        kind="static",
        settings={"addresses": FIVE},
        secret="",
        token="",
        actor=cast.adam,
        name="a list",
        policy="propose",
        seconds=60,
        retire_hours=None,
    )
    assert not turns.run(made.pk)
    now = looking.preview(made, looking.look(made))
    assert (now.counts["new"], now.counts["gone"]) == (5, 0)
    assert not FoundInstance.objects.exists()


@pytest.mark.django_db
def test_proposed_instances_wait_for_a_person_who_adds_or_leaves_them_out_for_good() -> None:
    cast = testing.cast()
    made = turn(source(cast))
    assert set(states(made).values()) == {FoundState.PROPOSED}
    assert not Instance.objects.exists()
    first, second, *_ = ids(made, FoundState.PROPOSED)
    assert deciding.accept(made, [first], actor=cast.olga) == 1
    assert deciding.refuse(made, [second], actor=cast.olga) == 1
    turn(made)
    assert list(states(made).values()) == ["added", "refused", "proposed", "proposed", "proposed"]
    instance = Instance.objects.get()
    assert (instance.name, instance.target.token) == ("hook-1.example:8000", TOKEN)
    assert made.found.get(state="refused").reason == "olga left it out."
    with pytest.raises(Refused, match="Nothing is ticked"):
        deciding.accept(made, [first], actor=cast.olga)
    assert deciding.accept(made, [second], actor=cast.olga) == 1  # after all


@pytest.mark.django_db
def test_without_a_token_a_person_types_it_and_nothing_is_added_by_itself() -> None:
    cast = testing.cast()
    with pytest.raises(Refused, match="needs their agents' token"):
        source(cast, policy="add", token="")
    made = turn(source(cast, token=""))
    with pytest.raises(Refused, match="Type the agents' token"):
        deciding.accept(made, ids(made, "proposed"), actor=cast.olga)
    assert deciding.accept(made, ids(made, "proposed"), token="typed", actor=cast.olga) == 5
    assert {instance.target.token for instance in Instance.objects.all()} == {"typed"}
    with pytest.raises(DatabaseError, match="source_adds_with_a_token"), transaction.atomic():
        DiscoverySource.objects.update(policy="add")


@pytest.mark.django_db
def test_what_is_told_of_no_more_is_marked_and_a_person_retires_it() -> None:
    cast = testing.cast()
    made = turn(source(cast, policy="add"))
    assert Instance.objects.active().count() == 5
    turn(made, "http://hook-[2-5].example:8000")
    assert made.counts["gone"] == 1
    assert states(made)["http://hook-1.example:8000"] == "gone"
    assert Instance.objects.active().count() == 5
    turn(made, FIVE)
    assert made.counts["back"] == 1
    turn(made, "http://hook-[2-5].example:8000")
    assert deciding.retire(made, ids(made, "gone"), actor=cast.olga) == 1
    assert Instance.objects.active().count() == 4
    turn(made, FIVE)  # its return is news, not the old decision
    assert Instance.objects.active().count() == 5


@pytest.mark.django_db
def test_time_retires_only_what_the_source_had_added_and_only_while_it_answers() -> None:
    cast = testing.cast()
    testing.instance(cast.environment, "by-hand", "http://hook-1.example:8000")
    made = turn(source(cast, policy="add", retire_hours=24))
    turn(made, "http://hook-[3-5].example:8000")
    FoundInstance.objects.filter(state="gone").update(gone_at=timezone.now() - timedelta(hours=25))
    turn(made, "broken line of words")
    assert made.error
    assert Instance.objects.active().count() == 5
    turn(made, "http://hook-[3-5].example:8000")
    names = set(Instance.objects.active().values_list("name", flat=True))
    assert "by-hand" in names
    assert "hook-2.example:8000" not in names
    assert states(made)["http://hook-1.example:8000"] == "gone"
    event = AuditEvent.objects.get(action="source.instances_retired")
    assert (event.actor_name, event.data["source"]) == ("system", "a list")


@pytest.mark.django_db
def test_no_answer_and_an_empty_one_never_mark_anything_gone() -> None:
    cast = testing.cast()
    made = turn(source(cast, policy="add"))
    turn(made, "http://a b c")
    assert "Line 1" in made.error
    assert set(states(made).values()) == {"added"}
    turn(made, "# nothing")
    assert (made.error, "told of 5 instances before and of 0 now" in made.held) == ("", True)
    assert set(states(made).values()) == {"added"}
    turn(made, "http://hook-[1-2].example:8000")
    assert "of 2 now" in made.held
    turn(made, "javascript:alert(1)\nhttp://169.254.169.254\nhttp://hook-1.example:8000\nftp://x\nnot-one")
    assert "of 1 now" in made.held
    assert [
        event.action
        for event in AuditEvent.objects.filter(action__in=["source.held", "source.failed"]).order_by("sequence")
    ] == [
        "source.failed",
        "source.held",
    ]  # once each, however often it is asked
    turn(made, FIVE)
    assert (made.held, made.error) == ("", "")


@pytest.mark.django_db
def test_a_person_takes_a_held_answer_only_as_it_was_shown() -> None:
    cast = testing.cast()
    made = turn(source(cast, policy="add"))
    turn(made, "http://hook-1.example:8000")
    shown = looking.look(made).digest
    DiscoverySource.objects.update(settings={"addresses": "http://hook-2.example:8000"})
    made.refresh_from_db()
    with pytest.raises(Refused, match="answers differently now"):
        looking.take(made, shown, actor=cast.olga)
    DiscoverySource.objects.update(settings={"addresses": "http://hook-1.example:8000"})
    made.refresh_from_db()
    looking.take(made, shown, actor=cast.olga)
    made.refresh_from_db()
    assert (made.held, made.counts["gone"]) == ("", 4)
    assert Instance.objects.active().count() == 5  # marked, not retired
    assert AuditEvent.objects.filter(action="source.answered", actor_name="olga").count() == 1


@pytest.mark.django_db
def test_a_retired_instance_is_not_added_again_by_itself() -> None:
    cast = testing.cast()
    made = turn(source(cast, policy="add"))
    registry.retire(Instance.objects.get(base_url="http://hook-1.example:8000"), actor=cast.olga)
    turn(turn(made))
    assert states(made)["http://hook-1.example:8000"] == "retired"
    assert Instance.objects.active().count() == 4
    deciding.accept(made, ids(made, "retired"), actor=cast.olga)
    assert Instance.objects.active().count() == 5


@pytest.mark.django_db
def test_labels_follow_the_source_and_those_of_people_stay() -> None:
    cast = testing.cast()
    made = turn(source(cast, "http://hook-1.example:8000 one zone=a"))
    deciding.accept(made, ids(made, "proposed"), actor=cast.olga)
    instance = Instance.objects.get()
    registry.change(
        instance, name="mine", base_url=instance.base_url, labels={"zone": "a", "tier": "gold"}, actor=cast.olga
    )
    turn(made, "http://hook-1.example:8000 one zone=b")
    assert made.found.get().is_changed
    instance.refresh_from_db()
    assert instance.labels["zone"] == "a"  # proposed, as everything here
    deciding.accept(made, ids(made, "added"), actor=cast.olga)
    instance.refresh_from_db()
    assert (instance.name, instance.labels) == ("mine", {"zone": "b", "tier": "gold"})
    sources.change(
        made,
        settings={"addresses": "http://hook-1.example:8000 one zone=c"},
        secret="",
        token="",
        actor=cast.adam,
        name="a list",
        policy="add",
        seconds=60,
        retire_hours=None,
    )
    turn(made)
    instance.refresh_from_db()
    assert instance.labels == {"zone": "c", "tier": "gold"}


def test_names_and_labels_are_made_safe() -> None:
    told = [
        Found("http://a:1", "evil\nname\r\n<script>\u202e\0", {"region": "eu\nforged=yes", "bad key": "x", "n": 3}),
        Found("http://b:1", "\ud800" * 200, {"deep": {"a": 1}}),
        Found("http://user:s3cret@c/?token=s3cret", ""),
        Found("http://c\ud800/", ""),
        Found("http://d/\u202e", ""),
        Found("http://A:1/", "again"),
    ]
    fit = found.clean(told)
    assert fit[0] == Fit("http://a:1", "evil-name-script", {"region": "eu-forged-yes", "n": "3"})
    assert (fit[1].name, fit[1].labels) == ("b:1", {})
    assert "s3cret" not in str(fit)
    assert [bool(one.reason) for one in fit] == [False, False, True, True, True]


@pytest.mark.parametrize(
    "address",
    [
        "http://169.254.169.254",
        "http://2852039166",
        "http://0xA9FEA9FE/",
        "http://[::ffff:169.254.169.254]",
        "http://[fd00:ec2::254]",
        "http://metadata.google.internal",
        "http://100.100.100.200",
    ],
)
def test_addresses_of_cloud_metadata_cannot_be_added(address: str) -> None:
    (one,) = found.clean([Found(address)])
    assert "no instance lives there" in one.reason


@pytest.mark.django_db
def test_an_address_is_found_once_and_never_taken_from_another_environment() -> None:
    cast, other = testing.cast(), testing.cast("production")
    theirs = testing.instance(other.environment, "theirs", "http://hook-1.example:8000")
    made = turn(source(cast, f"{FIVE}\nhttp://HOOK-2.example:8000/", policy="add"))
    assert states(made)["http://hook-1.example:8000"] == "unfit"
    assert made.found.count() == 5
    assert Instance.objects.active().filter(environment=cast.environment).count() == 4
    second = turn(source(other, FIVE, policy="add", name="the same"))
    assert sorted(states(second).values()) == ["added", "unfit", "unfit", "unfit", "unfit"]
    assert Instance.objects.active().get(base_url=theirs.base_url) == theirs
    with pytest.raises(IntegrityError, match="found_once"), transaction.atomic():
        FoundInstance.objects.create(source=made, base_url="http://hook-2.example:8000", name="x", state="proposed")


@pytest.mark.django_db
def test_equal_names_get_numbers() -> None:
    cast = testing.cast()
    testing.instance(cast.environment, "web", "http://old:1")
    turn(source(cast, "http://a:1 web\nhttp://b:1 web\nhttp://c:1 web", policy="add"))
    assert sorted(Instance.objects.values_list("name", flat=True)) == ["web", "web-2", "web-3", "web-4"]


@pytest.mark.django_db
def test_five_thousand_are_added_and_marked_in_a_few_statements(django_assert_max_num_queries: object) -> None:
    cast = testing.cast()
    made = source(cast, "http://hook-[0001-5000].example:8000 region=eu", policy="add")
    with django_assert_max_num_queries(220):  # type: ignore[operator]  # 25 audit events and their chain among them
        turn(made)
    assert Instance.objects.active().count() == 5000
    with django_assert_max_num_queries(60):  # type: ignore[operator]
        turn(made, "http://hook-[0001-4000].example:8000 region=eu")
    assert made.counts["gone"] == 1000
    named = AuditEvent.objects.filter(action="source.instances_registered").values_list("data__count", flat=True)
    assert sum(named) == 5000
    page = Client()
    page.force_login(cast.olga)
    body = page.get(reverse("instances:source", args=[made.pk])).content
    assert b"The first 200 of 4000" in body
    with pytest.raises(SourceError, match="more than 10,000"):
        found.clean(Found(f"http://a:{number}") for number in range(10_001))


@pytest.mark.django_db
def test_secrets_stand_nowhere_in_the_clear() -> None:
    cast = testing.cast()
    made = source(cast)
    assert TOKEN.encode() not in bytes(made.token_sealed or b"")
    page = Client()
    page.force_login(cast.adam)
    for name in ("instances:source", "instances:source-edit"):
        assert TOKEN not in page.get(reverse(name, args=[made.pk])).content.decode()
    assert TOKEN not in str(list(AuditEvent.objects.values_list("data", flat=True)))


@pytest.mark.django_db
def test_a_sealed_secret_goes_to_no_other_server() -> None:
    cast = testing.cast()
    settings = {"url": "https://consul.example", "service": "hooks", "authority": ""}
    values: dict[str, Any] = {"name": "a", "policy": "propose", "seconds": 60, "retire_hours": None}
    made = sources.add(
        cast.environment, kind="consul", settings=settings, secret="acl", token="", actor=cast.adam, **values
    )
    for elsewhere in ({"url": "https://evil.example"}, {"authority": "another"}):
        with pytest.raises(Refused, match="Type it again"):
            sources.change(made, settings=settings | elsewhere, secret="", token="", actor=cast.adam, **values)
    kept = sources.change(
        made, settings=settings | {"service": "other"}, secret="", token="", actor=cast.adam, **values
    )
    assert kept.secret == "acl"


@pytest.mark.django_db
def test_an_answer_to_an_older_turn_is_dropped() -> None:
    cast = testing.cast()
    made = source(cast)
    DiscoverySource.objects.update(next_at=timezone.now())
    slow = turns.claim(made.pk)
    assert slow is not None
    assert turns.claim(made.pk) is None  # somebody is at it
    answer = looking.look(slow)
    DiscoverySource.objects.update(next_at=timezone.now())  # the lease of a dead worker ended
    assert turns.run(made.pk)
    FoundInstance.objects.all().delete()
    assert looking.write(slow, answer, turn=slow.turn, actor=None) is None
    looking.fail(slow, SourceError("late"), turn=slow.turn)
    made.refresh_from_db()
    assert (made.error, made.found.count()) == ("", 0)
    assert not turns.run(made.pk)  # not due


@pytest.mark.django_db(transaction=True)
def test_of_two_workers_one_asks_and_of_two_registrations_one_counts() -> None:
    cast = testing.cast()
    made = source(cast, policy="add")
    DiscoverySource.objects.update(next_at=timezone.now())
    asked: list[bool] = []

    def work() -> None:
        try:
            asked.append(turns.run(made.pk))
        finally:
            connection.close()

    workers = [threading.Thread(target=work) for _ in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert sorted(asked) == [False, False, False, True]
    assert Instance.objects.count() == 5


@pytest.mark.django_db(transaction=True)
def test_a_registration_by_hand_at_the_same_moment_is_respected() -> None:
    cast, other = testing.cast(), testing.cast("production")
    made = source(cast, policy="add")
    answer = looking.look(made)
    held, go = threading.Event(), threading.Event()

    def by_hand() -> None:
        try:
            with transaction.atomic():
                testing.instance(other.environment, "theirs", "http://hook-3.example:8000")
                held.set()
                go.wait(20)
        finally:
            connection.close()

    def in_the_background() -> None:
        try:
            looking.write(made, answer, actor=None)
        finally:
            connection.close()

    person = threading.Thread(target=by_hand)
    person.start()
    held.wait(20)
    # The trail's lock is theirs until they commit: the source's writing waits for it, or for their address.
    worker = threading.Thread(target=in_the_background)
    worker.start()
    until(_somebody_waits, what="the worker's wait")
    go.set()
    person.join()
    worker.join()
    assert states(made)["http://hook-3.example:8000"] == "unfit"
    assert Instance.objects.filter(environment=cast.environment).count() == 4


def _somebody_waits() -> bool:
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM pg_locks WHERE NOT granted")
        return bool((cursor.fetchone() or [0])[0])


def test_the_difference_is_a_function_of_what_was_told_and_what_was_known() -> None:
    now = difference.compare([Fit("http://a", "a", {})], known=[], managed={})
    assert now.counts == dict.fromkeys(difference.COUNTED, 0) | {"reported": 1, "new": 1}
    assert now.held == ""
    gone = FoundInstance(base_url="http://b", name="b", state="added", instance_id=7, ours=True)
    held = difference.compare([], known=[gone], managed={"http://b": difference.Managed(7, True)})
    assert held.gone == [gone]
    assert "of 1 instances before and of 0 now" in held.held


@pytest.mark.django_db
def test_the_pages_say_what_would_be_done_and_do_what_was_shown() -> None:
    cast = testing.cast()
    page = Client()
    page.force_login(cast.adam)
    empty = page.get(reverse("instances:sources", args=["staging"])).content.decode()
    assert "No source yet" in empty
    url = reverse("instances:source-new", args=["staging", "static"])
    typed = {
        "name": "lab",
        "seconds": "60",
        "policy": "propose",
        "token": "",
        "retire_hours": "",
        "at-addresses": "a b c",
    }
    refused = page.post(url, typed)
    assert refused.status_code == 422
    assert "Line 1" in refused.content.decode()
    assert 'value="lab"' in refused.content.decode()
    assert page.post(url, typed | {"at-addresses": FIVE}).status_code == 302
    again = page.post(url, typed | {"at-addresses": FIVE})
    assert "has a source named lab already" in again.content.decode()
    made = DiscoverySource.objects.get()
    preview = page.post(reverse("instances:source-preview", args=[made.pk]))
    assert "<strong>5</strong> would be proposed" in preview.content.decode()
    page.post(reverse("instances:source-preview", args=[made.pk]), {"digest": preview.context["digest"]})
    decide = reverse("instances:source-decide", args=[made.pk])
    page.post(decide, {"do": "add", "all": "4", "token": "typed"})
    assert not Instance.objects.exists()  # there are five
    page.post(decide, {"all": "5", "token": "typed"})
    assert Instance.objects.count() == 5
    stale = page.post(reverse("instances:source-preview", args=[made.pk]), {"digest": "0" * 64})
    assert stale.status_code == 422
    assert page.post(reverse("instances:source-remove", args=[made.pk])).status_code == 302
    assert Instance.objects.active().count() == 5


def test_an_answer_has_one_digest_whatever_its_order() -> None:
    one, two = Fit("http://a", "a", {"x": "1", "y": "2"}), Fit("http://b", "b", {})
    assert Answer([one, two]).digest == Answer([two, Fit("http://a", "a", {"y": "2", "x": "1"})]).digest
    assert Answer([one]).digest != Answer([two]).digest
