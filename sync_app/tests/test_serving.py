"""Asking services whether they serve: what is asked, what counts, what is kept, and what never leaves."""

from __future__ import annotations

import base64
import html
import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event, Thread
from typing import Any
from urllib.parse import quote, quote_plus, unquote_plus

import pytest
from django.db import connection
from django.db.models import F, Value
from django.db.models.functions import Concat
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from console import testing
from console.errors import Refused
from console.models import AuditEvent
from console.testing import Cast
from console.testing_processes import free_port
from instances_app import observations, probes
from instances_app.client import probing
from instances_app.models import Instance, Probe, Served
from instances_app.observations import Sighting
from instances_app.probes import Settings
from sync_app import serving
from sync_app.tests.attempts import begin, work

pytestmark = pytest.mark.django_db

HEALTH = Settings("GET", "/health")
SECRET = "s3cret-of-the-probe"
POST = Settings(
    "POST",
    "/webhook/ping",
    contains="pong",
    headers=(("Authorization", f"Bearer {SECRET}"),),
    body='{"k": "body-secret"}',
)


class Service:
    """A service that answers as told, and remembers what it was asked."""

    def __init__(self) -> None:
        self.answers: dict[str, tuple[int, bytes]] = {}
        self.asked: list[tuple[str, str, dict[str, str], bytes]] = []
        self.over = Event()


@contextmanager
def running() -> Iterator[tuple[str, Service]]:
    service = Service()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            service.asked.append((self.command, self.path, dict(self.headers), body))
            if self.path == "/base/hang":
                service.over.wait(30)
                return
            status, content = service.answers.get(self.path, (404, b"nothing here"))
            self.send_response(status)
            if 300 <= status < 400:
                self.send_header("Location", "http://169.254.169.254/latest/")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_POST = do_PUT = do_GET

        def log_message(self, *_: Any) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/base", service
    finally:
        service.over.set()
        server.shutdown()
        server.server_close()


@pytest.fixture(scope="module")
def service_() -> Iterator[tuple[str, Service]]:
    with running() as (url, service):
        yield url, service


@pytest.fixture
def service(service_: tuple[str, Service]) -> Service:
    service_[1].asked.clear()
    service_[1].answers = {"/base/health": (200, b'{"status": "healthy"}')}
    return service_[1]


@pytest.fixture
def url(service_: tuple[str, Service]) -> str:
    return service_[0]


@pytest.fixture
def cast() -> Cast:
    return testing.cast()


def set_up(cast: Cast, wanted: Settings = HEALTH) -> Probe:
    return probes.change(cast.environment, wanted, actor=cast.adam)


def test_the_service_is_asked_at_its_own_address_and_never_told_the_agents_token(
    cast: Cast, url: str, service: Service
) -> None:
    instance = testing.instance(cast.environment, "one", url, token="the-agents-token")
    service.answers["/base/webhook/ping"] = (200, b"pong")
    (found,) = serving.run(set_up(cast, POST), [instance])
    assert (found.word, found.status, found.detail, found.said) == ("serving", 200, "", "")
    ((method, path, headers, body),) = service.asked
    assert (method, path, body) == ("POST", "/base/webhook/ping", b'{"k": "body-secret"}')
    assert headers["Authorization"] == f"Bearer {SECRET}"
    assert "the-agents-token" not in json.dumps(headers)
    kept = Served.objects.get()
    assert (kept.word, kept.since) == ("serving", kept.at)


@pytest.mark.parametrize(
    ("wanted", "answer", "word", "detail"),
    [
        (HEALTH, (503, b"no broker"), "answers wrongly", "HTTP 503; expected was 200-299"),
        (Settings("GET", "/health", statuses="200-299, 503"), (503, b""), "serving", ""),
        (HEALTH, (302, b""), "answers wrongly", "a redirect, which is not followed"),
        (Settings("GET", "/health", contains="pong"), (200, b"ping"), "answers wrongly", "without the text “pong”"),
        (Settings("GET", "/health", contains="pong"), (200, b"x" * 300_000), "answers wrongly", "longer than 256 KB"),
        (HEALTH, (200, b"x" * 300_000), "serving", ""),
        (HEALTH, (200, b"\xff\xfe\x00"), "serving", ""),
    ],
)
def test_an_answer_is_judged_by_its_status_and_its_text(
    cast: Cast, url: str, service: Service, wanted: Settings, answer: tuple[int, bytes], word: str, detail: str
) -> None:
    service.answers["/base/health"] = answer
    (found,) = serving.run(set_up(cast, wanted), [testing.instance(cast.environment, "one", url)])
    assert found.word == word
    assert detail in found.detail
    assert len(service.asked) == 1


def test_a_silence_is_unknown_and_a_refused_connection_is_no_answer(cast: Cast, url: str, service: Service) -> None:
    hanging = testing.instance(cast.environment, "hanging", url)
    gone = testing.instance(cast.environment, "gone", f"http://127.0.0.1:{free_port()}")
    metadata = Instance(
        pk=99, environment=cast.environment, base_url="http://169.254.169.254", token_sealed=gone.token_sealed
    )
    started = time.monotonic()
    found = serving.look(cast.environment, Settings("GET", "/hang", seconds=1), [hanging, gone, metadata])
    assert [one.word for one in found] == ["unknown", "no answer", "no answer"]
    assert "within 1 seconds" in found[0].detail
    assert time.monotonic() - started < 4


def test_what_is_kept_of_an_answer_has_no_secret_of_the_probe_or_of_the_documents(
    cast: Cast, url: str, service: Service
) -> None:
    testing.bundle(cast.environment)  # one webhook wants "Bearer s3cret"
    instance = testing.instance(cast.environment, "one", url)
    odd = 'p"w/é<&+ 9'
    basic = base64.b64encode(b"monitor:hunter-of-two").decode()
    more = (("X-Auth", f"Basic {basic}"), ("Cookie", "sid=c00kie-value; theme=x"))
    probe = set_up(
        cast, replace(POST, headers=(*POST.headers, *more), body=json.dumps({"k": "body-secret", "odd": odd}))
    )
    echoes = [
        json.dumps({"headers": f"Bearer {SECRET}", "body": "body-secret", "wanted": "Bearer s3cret", "<b>": "\u202ex"}),
        json.dumps([odd, odd.replace("/", "\\/")], ensure_ascii=False),
        f"{quote(odd)} {quote(odd, safe='')} {quote_plus(odd).lower()} {html.escape(odd)}",
        *(base64.b64encode(f"{'x' * before}{SECRET}&more".encode()).decode() for before in range(3)),
        base64.urlsafe_b64encode(odd.encode()).decode(),
        f"{SECRET.encode().hex()} {SECRET.encode().hex().upper()}",
        "hello monitor, not hunter-of-two, c00kie-value",
    ]
    for echo in echoes:
        service.answers["/base/webhook/ping"] = (500, echo.encode())
        (found,) = serving.run(probe, [instance])
        for text in (found.said, Served.objects.get().said):
            assert "‹secret›" in text
            plain = f"{text} {unquote_plus(text)} {html.unescape(text)}"
            for secret in (SECRET, "body-secret", "Bearer s3cret", odd, "hunter-of-two", "c00kie-value"):
                assert secret not in plain, echo
                kept = base64.b64encode(secret.encode()).decode()[:8]
                assert not any(word in text for word in (kept, secret.encode().hex())), echo
    probe = Probe.objects.get()
    assert SECRET.encode() not in bytes(probe.secrets_sealed or b"")
    assert SECRET not in json.dumps([event.data for event in AuditEvent.objects.all()])


@pytest.mark.parametrize(
    "wanted",
    [
        Settings("GET", "//evil.example/"),
        Settings("GET", "http://evil.example/"),
        Settings("GET", "@evil.example/"),
        Settings("GET", "/a b"),
        Settings("GET", "/a\r\nHost: evil"),
        Settings("GET", "/../other"),
        Settings("GET", "/%2e%2e/other"),
        Settings("GET", "/admin/config"),
        Settings("GET", "/%61dmin/config"),
        Settings("GET", "/./admin/config"),
        Settings("GET", "/%2fadmin/config"),
        Settings("GET", "/x/..%5c..%5cadmin"),
        Settings("GET", "/x", body="{}"),
        Settings("GET", "/x", statuses="2xx"),
        Settings("GET", "/x", statuses="299-200"),
        Settings("GET", "/x", statuses=""),
        Settings("GET", "/x", seconds=31),
        Settings("HEAD", "/x"),
    ],
)
def test_what_leads_elsewhere_or_cannot_be_asked_is_refused(cast: Cast, wanted: Settings) -> None:
    with pytest.raises(Refused):
        set_up(cast, wanted)
    assert not Probe.objects.exists()


@pytest.mark.parametrize(
    "typed", ["Host: evil", "content-length: 5", "no colon", "Bad Name: x", "X: a\x0bb", ": x", "X: é"]
)
def test_headers_that_would_make_another_request_are_refused(typed: str) -> None:
    with pytest.raises(Refused):
        probes.headers_of(f"Accept: */*\r\n{typed}")


def test_an_older_answer_or_one_of_an_older_probe_changes_nothing(cast: Cast, url: str, service: Service) -> None:
    instance = testing.instance(cast.environment, "one", url)
    old = set_up(cast)
    serving.run(old, [instance])
    first = Served.objects.get()
    Served.objects.update(since=first.since - timedelta(hours=1))
    serving.run(old, [instance])
    again = Served.objects.get()
    assert again.since == first.since - timedelta(hours=1)  # the same word: since then
    assert again.at > first.at
    probe = set_up(cast, Settings("GET", "/health", contains="healthy"))
    assert probe.version > old.version
    assert not probes.counts(again, probe, instance)
    serving.run(probe, [instance])
    serving.run(
        Probe(environment=cast.environment, version=old.version, method="GET", path="/no", statuses="200"), [instance]
    )
    assert (Served.objects.get().word, Served.objects.get().version) == ("serving", probe.version)
    instance.moved_at = timezone.now()
    assert not probes.counts(Served.objects.get(), probe, instance)


def test_beat_asks_a_share_of_the_fleet_the_longest_unasked_first(cast: Cast, url: str, service: Service) -> None:
    for number in range(8):
        testing.instance(cast.environment, f"i{number}", f"{url}/{number}")
    probe = set_up(cast, Settings("GET", "/health", statuses="404", every=4))
    asked = []
    for _ in range(4):
        assert serving.turn() == 2
        asked += [path for _, path, *_ in service.asked[-2:]]
    assert len(set(asked)) == 8
    assert serving.turn() == 0  # everybody's answer is young enough
    Served.objects.filter(instance__name="i5").update(at=timezone.now() - timedelta(hours=1))
    assert [one.name for one in serving.due(probe)] == ["i5"]
    set_up(cast, Settings("GET", "/health", statuses="404", every=0))
    assert serving.turn() == 0


def test_a_probe_with_secrets_goes_by_itself_only_where_a_delivery_was_verified(url: str, service: Service) -> None:
    cast, rollout = begin(2)
    one, two = Instance.objects.order_by("name")
    for number, instance in enumerate((one, two)):
        Instance.objects.filter(pk=instance.pk).update(base_url=f"{url}/{number}")
    probe = set_up(cast, Settings("GET", "/x", statuses="404", headers=(("X-Key", SECRET),), every=1))
    assert serving.turn() == 0
    work(rollout, lambda name: "verified" if name == one.name else "rejected")
    assert serving.after(rollout.pk) == 1
    assert serving.after(rollout.pk) == 0  # it was asked since
    assert [path for _, path, *_ in service.asked] == ["/base/0/x"]
    Served.objects.all().delete()
    Instance.objects.filter(pk=one.pk).update(moved_at=timezone.now())
    assert list(serving.due(probe)) == []  # whoever answers at the new address has not been proven


def test_by_hand_what_is_sealed_goes_only_where_a_delivery_was_verified_too(url: str, service: Service) -> None:
    """Whoever may register an instance could otherwise have it sent to a host of their own."""
    cast, rollout = begin(1)
    work(rollout)
    one = Instance.objects.get()
    Instance.objects.update(base_url=f"{url}/0")
    own = testing.instance(cast.environment, "own", f"{url}/own")
    set_up(cast, Settings("GET", "/x", statuses="404", headers=(("X-Key", SECRET),)))
    olga, adam = Client(), Client()
    olga.force_login(cast.olga)
    adam.force_login(cast.adam)
    observations.record([Sighting(own.pk, rollout.bundle.digests())])
    told = olga.get(reverse("sync:instance", args=[own.pk])).content.decode()
    assert "none was at this address" in told
    assert "Probe it now" not in told
    answer = olga.post(reverse("sync:instance-probe", args=[own.pk]), follow=True)
    assert "sealed headers and body are not sent there" in answer.content.decode()
    typed = {"method": "GET", "path": "/y", "statuses": "404", "seconds": "5", "every": "10", "try": "yes"}
    address = reverse("sync:probe", args=["staging"])
    refused = adam.post(address, {**typed, "instance": "own"})
    assert refused.status_code == 422
    assert "sealed headers and body are not sent there" in refused.content.decode()
    assert service.asked == []
    adam.post(address, {**typed, "instance": "own", "headers": "X-Key: typed-now"})
    adam.post(address, {**typed, "instance": one.name})
    olga.post(reverse("sync:instance-probe", args=[one.pk]))
    assert [(path, headers["X-Key"]) for _, path, headers, _ in service.asked] == [
        ("/base/own/y", "typed-now"),
        ("/base/0/y", SECRET),
        ("/base/0/x", SECRET),
    ]


def test_what_was_found_where_an_instance_was_before_is_not_kept_as_found_where_it_is(
    cast: Cast, url: str, service: Service
) -> None:
    instance = testing.instance(cast.environment, "one", url)
    Instance.objects.update(base_url=f"{url}/moved", moved_at=timezone.now())  # while the list was worked off
    (found,) = serving.run(set_up(cast), [instance])
    assert found.word == "serving"
    assert not Served.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_two_that_ask_at_once_ask_nobody_twice_and_a_probe_that_is_taken_away_goes_to_nobody_else(
    url: str, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    cast, rollout = begin(3)
    Instance.objects.update(base_url=Concat(Value(f"{url}/"), F("name")))
    work(rollout)
    set_up(cast, Settings("POST", "/x", statuses="404", every=1))
    monkeypatch.setattr(serving, "BATCH", 1)
    looked, within = serving.look, []

    def another() -> None:
        within.extend([serving.after(rollout.pk), serving.turn()])
        connection.close()

    def look(*arguments: Any, **more: Any) -> Any:
        if not within:
            thread = Thread(target=another)
            thread.start()
            thread.join()
        elif len(service.asked) == 1:
            probes.remove(cast.environment, actor=cast.adam)
        return looked(*arguments, **more)

    monkeypatch.setattr(serving, "look", look)
    assert serving.after(rollout.pk) == 2  # the second was on its way when the probe was taken away
    assert within == [None, 0]
    assert len(service.asked) == 2


def test_an_admin_sets_it_up_tries_it_and_is_not_shown_what_is_sealed(cast: Cast, url: str, service: Service) -> None:
    testing.instance(cast.environment, "one", url)
    service.answers["/base/webhook/ping"] = (200, f'<script>alert(1)</script> "{SECRET}"'.encode())
    address = reverse("sync:probe", args=["staging"])
    typed = {"method": "POST", "path": "/webhook/ping", "statuses": "200", "seconds": "5", "every": "10"}
    typed |= {"headers": f"X-Key: {SECRET}", "body": '{"a": "body-secret"}', "instance": "one"}
    page = Client()
    page.force_login(cast.adam)
    answer = page.post(address, {**typed, "try": "yes"})
    tried = answer.content.decode().partition('class="tried"')[2]
    assert answer.status_code == 200
    assert "HTTP 200" in tried
    assert "&lt;script&gt;" in tried
    assert "<script>alert" not in tried
    assert SECRET not in tried
    assert not Probe.objects.exists()
    assert "no instance named" in page.post(address, {**typed, "try": "yes", "instance": "nobody"}).content.decode()

    assert page.post(address, typed).status_code == 302
    shown = page.get(address).content.decode()
    assert SECRET not in shown
    assert "Stored: X-Key." in shown
    assert "This probe does real work." in shown
    assert page.post(address, {**typed, "headers": "", "body": "", "seconds": "6"}).status_code == 302
    kept = Settings.of(Probe.objects.get())
    assert (kept.seconds, kept.headers, kept.body) == (6, (("X-Key", SECRET),), '{"a": "body-secret"}')
    refused = page.post(address, {**typed, "path": "//evil", "headers": ""})
    assert refused.status_code == 422
    assert "//evil" in refused.content.decode()  # what was typed stays
    assert page.post(address, {**typed, "headers": "", "forget_headers": "on"}).status_code == 302
    assert Settings.of(Probe.objects.get()).headers == ()
    actions = AuditEvent.objects.filter(action__startswith="environment.probe").order_by("pk")
    assert [event.action.rpartition("_")[2] for event in actions] == ["tried", "changed", "changed", "changed"]
    assert page.post(address, {"remove": "yes"}).status_code == 302
    assert not Probe.objects.exists()


def test_nothing_that_happens_to_a_request_raises(cast: Cast) -> None:
    instance = testing.instance(cast.environment, "one", "http://127.0.0.1:1")
    broken = probing.Ask(1, instance.target, "GET", "/é", 1.0)
    (found,) = probing.ask([broken], connect_timeout=1)
    assert found.status is None
