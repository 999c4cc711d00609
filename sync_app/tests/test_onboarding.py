"""Adding an instance: each failure is explained, nothing typed is lost, the token stays secret, the wait is bounded."""

from __future__ import annotations

import html
import json
import re
import socket
import sys
from contextlib import ExitStack, closing
from functools import partial
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest
from django.core.cache import cache
from django.db import connection
from django.test import Client
from django.urls import reverse

from console import testing
from console.bootstrap import ROOT
from console.errors import Refused
from console.models import AuditEvent
from console.testing_processes import Process, free_port, until
from instances_app import client, embedding, registry
from instances_app.client import First, Looked, Outcome, Reply, Target, Trust, Way
from instances_app.models import Instance
from instances_app.tests.servers import Served, certificate, serving
from sync_app import checks, onboarding, onboarding_words

TOKEN = "wc-a-token-that-nobody-may-read-back"
HEALTHY = json.dumps({"status": "healthy", "service": "webhook-service", "components": {"redis_stats": "healthy"}})
AGENT = {
    "/admin/config-version": {"webhooks_digest": "a" * 64, "connections_digest": "b" * 64, "sequence": None},
    "/admin/instance-info": {
        "instance_id": "<b>one</b>",
        "health": "healthy",
        "agent_version": "1",
        "protocol": 1,
        "capabilities": ["digest", "read", "read_only"],
        "documents": {"webhooks": {"size": 2048, "entries": 3}, "connections": {"size": 2, "entries": 0}},
    },
}


PLAIN = Way(plain_http=True)


def explained(base_url: str, *, way: Way = PLAIN) -> onboarding_words.Explained:
    first = client.ask_first(1, Target(base_url, TOKEN, way=way), connect_timeout=2, read_timeout=0.4)
    return onboarding_words.explain(first, base_url)


def agent_says(status: int, code: str) -> tuple[int, bytes]:
    return status, json.dumps({"status": "error", "error": "No.", "code": code}).encode()


def be_agent(served: Served) -> None:
    served.answers |= {path: (200, json.dumps(body).encode()) for path, body in AGENT.items()}


def test_each_failure_is_told_with_how_far_it_got_and_what_to_do(
    tmp_path: Path,
) -> None:
    version = "/admin/config-version"

    def closes(handler: BaseHTTPRequestHandler) -> None:
        handler.connection.shutdown(socket.SHUT_RDWR)

    with ExitStack() as stack:

        def plain(path: str = version, answer: object = None) -> str:
            served = stack.enter_context(serving())
            if answer is not None:
                served.answers[path] = answer  # type: ignore[assignment]
            return served.url

        def secure(name: str, **kind: object) -> tuple[str, str]:
            (tmp_path / name).mkdir()
            tls, pem = certificate(tmp_path / name, **kind)  # type: ignore[arg-type]
            return stack.enter_context(serving(tls)).url, pem

        hole = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        hanging = f"http://127.0.0.1:{hole.getsockname()[1]}"
        expired, one = secure("expired", ends_in=-1)
        other, two = secure("other", address="192.0.2.1")
        untrusted, _ = secure("untrusted")
        trusting = Way(plain_http=True, trust=Trust(authorities=one + two))
        cases: dict[str, tuple[str, str, str]] = {  # address → step, title, something in what to do or why
            "http://nobody.invalid:8000": ("address", "nobody.invalid is not known", "getent hosts"),
            f"http://127.0.0.1:{free_port()}": ("connection", "Nothing listens", "--host 0.0.0.0"),
            hanging: ("answer", "does not answer", "starting"),
            plain(answer=closes): ("answer", "broke", "restarting"),
            plain(answer=(302, b"", {"Location": "https://elsewhere.example/x"})): (
                "answer",
                "redirects",
                "https://elsewhere.example/x",
            ),
            untrusted: ("TLS", "not trusted", "have this environment trust that"),
            expired: ("TLS", "has ended", "Renew"),
            other: ("TLS", "another name", "192.0.2.1"),
            untrusted.replace("https", "http"): ("answer", "asked with http", "https://127.0.0.1"),
            plain().replace("http", "https"): ("TLS", "asked with https", "http://127.0.0.1"),
            plain(): ("agent", "no agent is there", "nothing here"),
            plain(answer=(200, b"<h1>It works!</h1>")): ("agent", "Something else", "<h1>It works!</h1>"),
            plain(answer=(200, b'{"hello": "world"}')): ("agent", "Something else", "right host"),
            plain(answer=(503, b"")): ("agent", "busy", "Wait"),
            plain(answer=(502, b"")): ("agent", "failed (HTTP 502)", "behind it up"),
            plain(answer=(401, b"sign in")): ("token", "another sign-in", "proxy"),
            plain(answer=agent_says(401, "unauthorised")): ("token", "has another token", "started again"),
            plain(answer=agent_says(403, "forbidden")): ("token", "does not let the console in", "allow_networks"),
            plain("/health", (200, HEALTHY.encode())): ("agent", "without an agent", "Embed the agent"),
        }
        for address, (step, title, words) in cases.items():
            found = explained(address, way=trusting)
            assert (found.stopped, title in found.title) == (step, True), (address, title, found)
            assert words in " ".join((found.why, *found.next)), found
            assert found.next, "each says what to do"
            assert TOKEN not in str(found)


def test_what_no_server_here_can_be_made_to_do_is_explained_too() -> None:
    def silence(code: str, error: str) -> onboarding_words.Explained:
        reply = Reply(Outcome.UNREACHABLE, error=error, code=code)
        return onboarding_words.explain(First(Looked(1, reply, reply)), "http://hook-1:8000")

    timeout = silence("connect_timeout", "No connection in time.")
    assert (timeout.stopped, timeout.title) == ("connection", "No connection to hook-1 in time")
    assert "let the console in on port 8000" in " ".join(timeout.next)
    forbidden = silence("address", "The host name leads to a link-local or cloud metadata address. Correct it.")
    assert (forbidden.stopped, "metadata" in forbidden.why) == ("address", True)
    words = [step.word for step in onboarding.ladder(timeout, "http://hook-1:8000")]
    assert words == ["passed", "failed", *["not yet"] * 5]
    assert [step.word for step in onboarding.ladder(None, "https://hook-1")] == ["not yet"] * 7


def test_a_service_is_asked_without_the_token_and_tells_how_it_is() -> None:
    ill = {"status": "unhealthy", "service": "webhook-service", "components": {"config_manager": "unhealthy"}}
    with serving() as served:
        look = client.Look(1, Target(served.url, TOKEN, way=PLAIN), service=True)
        served.answers["/health"] = (200, HEALTHY.encode())
        assert client.look(look).info.body["health"] == "healthy"
        served.answers["/health"] = (200, HEALTHY.replace(': "healthy"}', ': "unavailable"}').encode())
        assert client.look(look).info.body["health"] == "healthy", "it does without that component"
        assert client.look(look).info.body["ill"] == "redis_stats is unavailable"
        served.answers["/health"] = (503, json.dumps(ill).encode())
        assert "config_manager is unhealthy" in client.look(look).info.body["health_reason"]
        served.answers["/health"] = (200, b'{"status": "ok"}')
        assert client.look(look).versions.outcome == Outcome.WRONG_PROTOCOL
    assert {path for path, _ in served.asked} == {"/health"}
    assert TOKEN not in str(served.asked)


def signed_in(person: object) -> Client:
    page = Client()
    page.force_login(person)  # type: ignore[arg-type]
    return page


def shown(body: str, element: str) -> str:
    found = re.search(rf'id="{element}">(.*?)</pre>', body, re.DOTALL)
    assert found, element
    return html.unescape(found[1])


def held(body: str) -> str:
    found = re.search(r'name="held" value="([^"]+)"', body)
    assert found
    return found[1]


@pytest.mark.django_db
def test_what_was_typed_survives_a_refusal_and_the_token_stands_nowhere() -> None:
    cast = testing.cast()
    testing.instance(cast.environment, "taken", "http://127.0.0.1:1/taken")
    page, address = signed_in(cast.olga), reverse("sync:instance-new", args=["staging"])
    assert "Add the first instance" not in page.get(reverse("home")).content.decode()
    offered = page.get(address)
    assert offered["Cache-Control"] == "no-store"
    token = shown(offered.content.decode(), "token-line").removeprefix("CONFIG_ADMIN_TOKEN=")
    typed = {"name": "one", "base_url": "http://127.0.0.1:1/taken", "labels": "region=eu", "token": ""}
    refused = page.post(address, {**typed, "held": held(offered.content.decode())})
    body = refused.content.decode()
    assert refused.status_code == 422
    assert "managed already" in body
    assert all(text in body for text in ('value="one"', "region=eu", f"CONFIG_ADMIN_TOKEN={token}"))
    # Typed instead, and refused once more: kept, and not sent back in the clear.
    body = page.post(address, {**typed, "token": TOKEN, "held": held(body)}).content.decode()
    assert "The token that you typed is kept" in body
    assert TOKEN not in body
    done = page.post(address, {**typed, "base_url": "http://127.0.0.1:1/one", "held": held(body)})
    instance = Instance.objects.get(name="one")
    assert done["Location"] == reverse("sync:instance-onboarding", args=[instance.pk])
    assert instance.target.token == TOKEN
    assert (instance.health_called, instance.labels) == ("new", {"region": "eu"})
    trail = str([(event.action, event.data) for event in AuditEvent.objects.all()])
    assert "instance.awaited" in trail
    assert TOKEN not in trail
    assert token not in trail
    after = page.get(done["Location"]).content.decode()
    assert TOKEN not in after
    # Of another person's page, or of none, nothing is taken: that would be a token which nobody has seen.
    stolen = signed_in(cast.adam).post(address, {**typed, "base_url": "http://127.0.0.1:1/two", "held": held(body)})
    assert stolen.status_code == 422
    assert "not known any more" in stolen.content.decode()
    # Lost: another one is shown once.
    made = page.post(done["Location"], {"do": "token"})
    fresh = shown(made.content.decode(), "token-line").removeprefix("CONFIG_ADMIN_TOKEN=")
    instance.refresh_from_db()
    assert (instance.target.token, made["Cache-Control"]) == (fresh, "no-store")
    assert fresh not in page.get(done["Location"]).content.decode()


@pytest.mark.django_db
def test_it_is_asked_once_at_a_time_while_somebody_looks_and_for_some_minutes(monkeypatch: pytest.MonkeyPatch) -> None:
    cast = testing.cast()
    asked: list[int] = []
    monkeypatch.setattr("sync_app.tasks.wake_first_look", asked.append)
    with serving() as served:
        instance = testing.instance(cast.environment, "one", served.url)
        page = signed_in(cast.olga)
        now = reverse("sync:instance-onboarding-now", args=[instance.pk])
        page.get(now)
        assert asked == [], "nobody waits yet"
        page.post(reverse("sync:instance-onboarding", args=[instance.pk]), {"do": "begin"})
        for _ in range(3):
            page.get(now)
        assert asked == [instance.pk], "one question at a time"
        onboarding.ask(instance.pk)
        body = page.get(now).content.decode()
        assert "no agent is there" in body
        assert "&lt;" not in body
        assert asked == [instance.pk], "not again within three seconds"
        have = onboarding.standing(instance).key
        age = page.get(now, {"have": have})
        assert (age["HX-Reswap"], "onboarding-age" in age.content.decode()) == ("none", True)
        monkeypatch.setattr(onboarding, "EVERY_SECONDS", 0)
        page.get(now)
        assert asked == [instance.pk] * 2
        # Corrected: what was found belongs to the former address. The wait goes on.
        cache.delete(f"onboarding:asking:{instance.pk}")
        registry.change(instance, name="one", base_url=f"{served.url}/x", labels={}, actor=cast.olga)
        instance.refresh_from_db()
        assert (onboarding.standing(instance).found, onboarding.standing(instance).waiting) == (None, True)
        onboarding.ask(instance.pk)
        cache.delete(f"onboarding:wait:{instance.pk}")  # ten minutes have passed
        body = page.get(now).content.decode()
        assert "Go on asking" in body
        assert "hx-get" not in body
        before = len(served.asked)
        onboarding.ask(instance.pk)
        assert len(served.asked) == before, "a question that comes too late is not asked"


@pytest.mark.django_db
def test_whoever_sends_back_what_it_was_asked_with_does_not_make_the_token_public() -> None:
    cast = testing.cast()

    def echoes(handler: BaseHTTPRequestHandler) -> None:
        said = f"{'x' * 250} you sent {handler.headers['Authorization']} and <script>".encode()
        handler.send_response(404)
        handler.send_header("Content-Length", str(len(said)))
        handler.end_headers()
        handler.wfile.write(said)

    with serving() as served:
        served.answers["/admin/config-version"] = echoes
        instance = testing.instance(cast.environment, "one", served.url, TOKEN)
        onboarding.begin(instance, actor=cast.olga)
        onboarding.ask(instance.pk)
    found = onboarding.standing(instance).found
    assert found is not None
    assert "you sent Bearer" in found.why
    assert TOKEN[:8] not in found.why
    assert "<script>" not in signed_in(cast.olga).get(
        reverse("sync:instance-onboarding", args=[instance.pk])
    ).content.decode().replace("<script src", "")


@pytest.mark.django_db
def test_what_is_sent_back_is_neither_shown_nor_kept_wherever_it_stands() -> None:
    cast = testing.cast()
    said: dict[str, object] = {"uptime_seconds": 1, "headers": {"Authorization": f"Bearer {TOKEN}"}}
    with serving() as served:
        instance = testing.instance(cast.environment, "one", served.url, TOKEN)
        for answer in (
            (200, json.dumps(said).encode()),
            (503, json.dumps({"error": f"{'x' * 270}{TOKEN}"}).encode()),
            (302, b"", {"Location": f"/sign-in?was={TOKEN}&next={'x' * 400}"}),
        ):
            served.answers = dict.fromkeys(("/admin/config-version", "/admin/instance-info"), answer)
            onboarding.begin(instance, actor=cast.olga)
            onboarding.ask(instance.pk)
            checks.run(cast.environment.pk)
            registry.check(instance, actor=cast.olga)
            kept = Instance.objects.get(pk=instance.pk)
            assert TOKEN[:8] not in f"{onboarding.standing(instance).found}{kept.health_detail}{kept.info}", answer
        assert "‹token›" in str(kept.info)


@pytest.mark.django_db
@pytest.mark.parametrize("deed", ["moved", "another token", "retired"])
def test_an_answer_that_comes_after_a_correction_proves_nothing(deed: str, monkeypatch: pytest.MonkeyPatch) -> None:
    cast = testing.cast()
    asked = client.ask_first

    def corrected(*args: Any, **how: Any) -> First:
        first = asked(*args, **how)
        if deed == "retired":
            registry.retire(instance, actor=cast.olga)
        else:
            there = "http://127.0.0.1:1/elsewhere" if deed == "moved" else served.url
            token = "wc-another" if deed == "another token" else ""
            registry.change(instance, name="one", base_url=there, labels={}, token=token, actor=cast.olga)
        return first

    monkeypatch.setattr(client, "ask_first", corrected)
    with serving() as served:
        be_agent(served)
        instance = testing.instance(cast.environment, "one", served.url, TOKEN)
        Instance.objects.update(monitored_only=True)
        onboarding.begin(instance, actor=cast.olga)
        onboarding.ask(instance.pk)
    instance.refresh_from_db()
    assert instance.monitored_only
    assert not instance.observations.exists()
    assert not AuditEvent.objects.filter(action="instance.managed").exists()
    assert onboarding.standing(instance).found is None
    if deed == "retired":
        with pytest.raises(Refused, match="is retired"):
            onboarding.new_token(instance, actor=cast.olga)
        body = signed_in(cast.olga).get(reverse("sync:instance-onboarding-now", args=[instance.pk])).content.decode()
        assert "not asked any more" in body
        assert 'id="new-token"' not in body
        page = signed_in(cast.olga).get(reverse("sync:instance-onboarding", args=[instance.pk]))
        assert page["Location"] == reverse("sync:instance", args=[instance.pk])


@pytest.mark.django_db
def test_an_agent_without_documents_was_heard_too_and_its_token_is_kept() -> None:
    cast = testing.cast()
    with serving() as served:
        be_agent(served)
        nothing = {"webhooks_digest": None, "connections_digest": None, "webhooks_version": None}
        served.answers["/admin/config-version"] = (200, json.dumps(nothing).encode())
        instance = testing.instance(cast.environment, "one", served.url, TOKEN)
        onboarding.begin(instance, actor=cast.olga)
        onboarding.ask(instance.pk)
        served.answers = {"/health": (200, HEALTHY.encode())}
        onboarding.begin(instance, actor=cast.olga)
        onboarding.ask(instance.pk)
    instance.refresh_from_db()
    with pytest.raises(Refused, match="has answered with the token"):
        onboarding.new_token(instance, actor=cast.olga)
    with pytest.raises(Refused, match="An agent has answered"):
        onboarding.keep_monitored(instance, actor=cast.olga)
    assert (
        'id="new-token"'
        not in signed_in(cast.olga).get(reverse("sync:instance-onboarding", args=[instance.pk])).content.decode()
    )


@pytest.mark.django_db
def test_those_who_wait_together_leave_workers_for_rollouts() -> None:
    cast = testing.cast()
    instance = testing.instance(cast.environment, "one", "http://127.0.0.1:1/one")
    onboarding.begin(instance, actor=cast.olga)
    assert onboarding.is_due(instance, onboarding.standing(instance))
    with closing(connection.copy()) as others, others.cursor() as cursor:
        for number in range(onboarding.AT_ONCE):
            cursor.execute("SELECT pg_advisory_lock(%s)", [onboarding.PLACES + number])
        onboarding.ask(instance.pk)
    now = onboarding.standing(instance)
    assert (now.found, onboarding.is_due(instance, now)) == (None, True), "the next look tries again"
    onboarding.ask(instance.pk)
    assert onboarding.standing(instance).found is not None


@pytest.mark.django_db
def test_an_agents_answer_is_shown_and_compared_with_what_is_desired() -> None:
    cast = testing.cast()
    with serving() as served:
        be_agent(served)
        instance = testing.instance(cast.environment, "one", served.url)
        onboarding.begin(instance, actor=cast.olga)
        onboarding.ask(instance.pk)
    page, address = signed_in(cast.olga), reverse("sync:instance-onboarding", args=[instance.pk])
    body = page.get(address).content.decode()
    for words in ("The agent answers", "&lt;b&gt;one&lt;/b&gt;", "2.0\xa0KB", "aaaaaaaaaaaa", "files are read-only"):
        assert words in body
    assert "Import what it runs" in body
    assert "hx-get" not in body, "it asks no more"
    with pytest.raises(Refused, match="has answered with the token"):
        onboarding.new_token(instance, actor=cast.olga)
    testing.bundle(cast.environment)
    body = page.get(address).content.decode()
    assert "out of sync" in body
    assert f"?instance={instance.pk}" in body


def serve_lines(folder: Path, module: str, port: int) -> Process:
    command = [sys.executable, "-m", "uvicorn", f"{module}:app", "--port", str(port)]
    paths = f"{ROOT / 'agent'}:{folder}"
    environment = {"PATH": "/usr/bin:/bin", "PYTHONPATH": paths, "CONFIG_ADMIN_TOKEN": TOKEN}
    process = Process(["env", "-C", str(folder), *command], environment, folder / "log")
    process.start()
    return process


@pytest.mark.django_db
def test_the_lines_that_are_shown_work_as_they_are(tmp_path: Path) -> None:
    body = signed_in(testing.cast().olga).get(reverse("sync:instance-new", args=["staging"])).content.decode()
    readme = (ROOT / "agent" / "README.md").read_text()
    for name in ("service-lines", "asgi-lines"):
        assert shown(body, name) in readme
    asgi, service = tmp_path / "asgi", tmp_path / "service"
    (service / "src").mkdir(parents=True)
    asgi.mkdir()
    for folder in (asgi, service):
        (folder / "webhooks.json").write_text('{"orders": {"module": "log"}}')
        (folder / "connections.json").write_text("{}")
    (asgi / "my_service.py").write_text("async def load_files():\n    return ''\n")
    (asgi / "served.py").write_text(
        "import my_service\n\nasync def app(scope, receive, send):\n    raise RuntimeError\n\n"
        + shown(body, "asgi-lines")
    )
    (service / "src" / "main.py").write_text(SERVICE)  # what the agent asks of the real service, which is not here
    (service / embedding.SERVICE_FILE).write_text(shown(body, "service-lines"))
    ports = {asgi: free_port(), service: free_port()}
    processes = [serve_lines(folder, "served", port) for folder, port in ports.items()]
    try:
        for port in ports.values():
            target = Target(f"http://127.0.0.1:{port}", TOKEN, way=PLAIN)
            answers = partial(client.versions, target)
            until(lambda: answers().outcome == Outcome.OK, what="the agent of the lines")  # noqa: B023 - used at once
            assert client.info(target).body["health"] == "healthy"
            assert client.info(target).body["webhooks_count"] == 1
    finally:
        for process in processes:
            process.kill()


SERVICE = """
from types import SimpleNamespace


def load_env_vars(data):
    return data


class Provider:
    def get_status(self):
        return {"backend": "file"}

    def get_all_webhook_configs(self):
        return {"orders": {"module": "log"}}

    def get_all_connection_configs(self):
        return {}


class Manager:
    provider = Provider()

    async def _validate_webhook_config(self, entries):
        return None

    async def _validate_connection_config(self, entries):
        return None


class App:
    state = SimpleNamespace(config_manager=Manager())

    async def __call__(self, scope, receive, send):
        raise RuntimeError


app = App()
"""
