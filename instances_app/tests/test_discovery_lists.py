"""Lists from files and servers: what is read, and what each failure says."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest

from instances_app.client import listing
from instances_app.client.listing import ListingError
from instances_app.discovery import file, formats, found, http
from instances_app.discovery.found import Found, SourceError
from instances_app.tests.servers import Served, serving


@pytest.fixture
def server() -> Iterator[Served]:
    with serving() as served:
        yield served


def ask(url: str, form: str = "json", secret: str = "") -> list[Found]:
    settings = {"url": url, "format": form, "scheme": "http", "authority": ""}
    return list(http.find(settings, secret=secret))


def parse(content: str | bytes, form: str = "json") -> list[Found]:
    return list(formats.parse(content if isinstance(content, bytes) else content.encode(), form, scheme="https"))


def test_json_in_its_three_shapes() -> None:
    told: list[Any] = [
        "http://a:1",
        {"url": "http://b:1", "name": "bee", "labels": {"region": "eu"}},
        {"targets": ["c:1", "http://d:1"], "labels": {"job": "hooks"}},
    ]
    assert parse(json.dumps(told)) == [
        Found("http://a:1"),
        Found("http://b:1", "bee", {"region": "eu"}),
        Found("https://c:1", "", {"job": "hooks"}),
        Found("http://d:1", "", {"job": "hooks"}),
    ]


def test_yaml_has_the_same_shapes_and_its_scalars_are_texts() -> None:
    told = """
# what Prometheus reads
- http://a:1
- {url: "http://b:1", name: bee, labels: {region: no, tier: 010, since: 2026-01-01}}
- targets: [c:1, "http://d:1"]
  labels: &kept
    job: hooks
"""
    assert parse(told, "yaml") == [
        Found("http://a:1"),
        Found("http://b:1", "bee", {"region": "no", "tier": "010", "since": "2026-01-01"}),
        Found("https://c:1", "", {"job": "hooks"}),
        Found("http://d:1", "", {"job": "hooks"}),
    ]
    many = "".join(f"- {{url: 'http://h{n}:1', labels: {{n: a{n}}}}}\n" for n in range(1_000))
    assert len(parse(many, "yaml")) == 1_000


def test_csv_names_its_columns() -> None:
    assert parse("\ufeffname, url, region\nbee, http://b:1, eu\n, http://c:1,\n", "csv") == [
        Found("http://b:1", "bee", {"region": "eu"}),
        Found("http://c:1"),
    ]


@pytest.mark.parametrize(
    ("content", "form", "says"),
    [
        ("<html>", "json", "no JSON .line 1, column 1"),
        ("", "json", "no JSON"),
        ("{}", "json", "must be a list of addresses"),
        ("null", "json", "must be a list of addresses"),
        ('["http://a", 5]', "json", "Entry 2"),
        ('[{"url": 5}]', "json", "Entry 1"),
        ("[" * 100_000, "json", "too deep"),
        (f"[{'9' * 5000}]", "json", "a number too long"),
        ("http://a:1", "csv", "must name its columns"),
        ("", "csv", "must name its columns"),
        (f'url\n"{"x" * 200_000}"', "csv", "Line . of the CSV"),
        (b"\xff\xfe", "json", "not UTF-8"),
        ("a: [", "yaml", "no YAML of one document .line 2, column 1"),
        ("- a\n---\n- b", "yaml", "no YAML of one document"),
        ("", "yaml", "The YAML must be a list"),
        ("- a\n- [b]", "yaml", "Entry 2 of the YAML"),
        ("a: \x01", "yaml", "no YAML that can be read"),
        ("- !!python/object/apply:os.system [id]", "yaml", "Entry 1 of the YAML"),
        ("a: &a [x]\nb: &b [*a, *a]\nc: [*b, *b]", "yaml", "Line 2 of the YAML has an alias"),
        ("- &a [*a]", "yaml", "has an alias"),
        ("[" * 100_000, "yaml", "too deep or too long from line 1"),
        ("-\n" * 500_001, "yaml", "too deep or too long"),
        ("#" * (formats.YAML_LIMIT + 1), "yaml", "More than 2 MB"),
        ("http://a b c", "lines", "Line 1"),
    ],
)
def test_garbage_is_refused_with_what_to_do(content: str | bytes, form: str, says: str) -> None:
    with pytest.raises(SourceError, match=says):
        parse(content, form)


def test_five_thousand_and_an_attack_are_read_and_made_safe() -> None:
    told = [{"url": f"http://h-{number}:80", "name": f"h\n{number}"} for number in range(5000)]
    told += [{"url": "http://169.254.169.254/latest", "name": "x"}, {"url": "http://H-1:80/", "name": "twice"}]
    fit = found.clean(parse(json.dumps(told)))
    assert (len(fit), fit[7].name, bool(fit[5000].reason)) == (5001, "h-7", True)


def test_a_file_is_read_only_below_its_folder(tmp_path: Path, settings: Any) -> None:
    folder, outside = tmp_path / "in", tmp_path / "secret.json"
    folder.mkdir()
    outside.write_text('["http://outside:1"]')
    (folder / "hooks.json").write_text('["http://a:1"]')
    (folder / "link.json").symlink_to(outside)
    os.mkfifo(folder / "pipe.json")
    (folder / "large.json").write_bytes(b" " * (listing.LIMIT + 1))
    settings.DISCOVERY_DIR = folder

    def read(path: str) -> list[Found]:
        return list(file.find({"path": path, "format": "json", "scheme": "http"}, secret=""))

    assert read("hooks.json") == [Found("http://a:1")]
    for path, says in [
        ("../secret.json", "leads out"),
        (str(outside), "leads out"),
        ("link.json", "leads out"),
        ("none.json", "No such file"),
        ("pipe.json", "is no file"),
        (".", "is no file"),
        ("large.json", "larger than 8 MB"),
        ("a\0b", "cannot be"),
    ]:
        with pytest.raises(SourceError, match=says):
            read(path)
    settings.DISCOVERY_DIR = None
    with pytest.raises(SourceError, match="CONSOLE_DISCOVERY_DIR is not set"):
        read("hooks.json")


def test_a_server_is_asked_with_its_token_and_host(server: Served) -> None:
    server.answers["/hooks?all=1"] = (200, b'["http://a:1"]')
    url = server.url.replace("127.0.0.1", "localhost")
    assert ask(f"{url}/hooks?all=1", secret="t0ken") == [Found("http://a:1")]
    ((_, headers),) = server.asked
    assert headers["Authorization"] == "Bearer t0ken"
    assert headers["Host"] == url.removeprefix("http://")


def test_a_server_that_does_not_give_a_list_says_what_to_do(server: Served) -> None:
    server.answers |= {
        "/moved": (302, b"", {"Location": "http://169.254.169.254/latest"}),
        "/closed": (403, b"no"),
        "/broken": (500, b"oh"),
        "/large": (200, b" " * (listing.LIMIT + 1)),
    }
    for path, says in [
        ("/moved", "The server redirects"),
        ("/closed", "refused our token"),
        ("/broken", "HTTP 500"),
        ("/none", "HTTP 404"),
        ("/large", "larger than 8 MB"),
    ]:
        with pytest.raises(SourceError, match=says):
            ask(f"{server.url}{path}", secret="s3cret")
    assert len(server.asked) == 5  # the redirect was not followed
    with pytest.raises(SourceError, match="characters in it that no token has"):
        ask(server.url, secret="a\r\nHost: b")


def test_whoever_drips_or_hangs_holds_nobody_up(server: Served) -> None:
    def drip(handler: BaseHTTPRequestHandler) -> None:
        handler.wfile.write(b"HTTP/1.1 200 OK\r\n")
        while not server.done.wait(0.05):
            handler.wfile.write(b"X-A: b\r\n")

    def hang(handler: BaseHTTPRequestHandler) -> None:
        server.done.wait(20)

    server.answers |= {"/drip": drip, "/hang": hang}
    for path in ("/drip", "/hang"):
        with pytest.raises(ListingError, match="did not answer within"):
            listing.fetch(f"{server.url}{path}", headers={}, what="the server", seconds=0.5)


def test_nobody_at_home_and_unknown_names() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # and does not listen
        with pytest.raises(SourceError, match="Connection refused"):
            ask(f"http://127.0.0.1:{taken.getsockname()[1]}/")
    with pytest.raises(SourceError, match=r"hooks\.invalid is not known"):
        ask("http://hooks.invalid/")


def test_a_name_that_leads_to_a_metadata_address_is_not_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    answer = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("169.254.169.254", 80))]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_args, **_named: answer)  # a resolver that somebody poisoned
    with pytest.raises(SourceError, match="it is not asked"):
        ask("http://inventory.example/")


def test_a_form_takes_no_login_no_forbidden_address_and_no_broken_certificate() -> None:
    typed = {"at-format": "json", "at-scheme": "http", "at-authority": ""}
    for url, says in [
        ("http://u:s3cret@h/", "Leave user names"),
        ("http://169.254.169.254/x?y", "link-local"),
        ("file:///etc/passwd", "must start with"),
    ]:
        form = http.Settings(typed | {"at-url": url}, prefix="at")
        assert says in str(form.errors)
    form = http.Settings(typed | {"at-url": "https://h/list/?a=1", "at-authority": "no PEM"}, prefix="at")
    assert "no certificate in PEM" in str(form.errors)
    form = http.Settings(typed | {"at-url": "https://h/list/?a=1"}, prefix="at")
    assert form.is_valid()
    assert form.cleaned_data["url"] == "https://h/list/?a=1"
