"""A fleet as a file: what an import would do is shown line by line, then all of it is done or none."""

from __future__ import annotations

import csv
import html
import io
import re

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client

from console import testing
from console.models import AuditEvent, User
from instances_app import registry
from instances_app.models import Instance
from sync_app.tests.test_fleet_page import fleet

pytestmark = pytest.mark.django_db
URL = "/e/staging/fleet/import/"
SECRET = "brand-new-t0ken"


def client_of(user: User) -> Client:
    client = Client()
    client.force_login(user)
    return client


def look(user: User, text: str) -> tuple[int, str]:
    """The page that says what a file would do."""
    sent = SimpleUploadedFile("fleet.csv", text.encode("utf-8", "surrogatepass"), content_type="text/csv")
    answer = client_of(user).post(URL, {"file": sent})
    return answer.status_code, html.unescape(answer.content.decode())


def held(body: str) -> str:
    (found,) = re.findall(r'name="held" value="([^"]*)"', body)
    return str(found)


def do(user: User, kept: str) -> tuple[int, str]:
    client = client_of(user)
    answer = client.post(URL, {"held": kept})
    shown = client.get(answer["Location"]) if answer.status_code == 302 else answer
    return answer.status_code, html.unescape(shown.content.decode())


FILE = f"""name,base_url,token,labels
i000,http://I000,,region=us; tier=web
i001,http://i001,,region=eu
new,http://new:8000/,{SECRET},region=eu
"""


def test_a_look_writes_nothing_and_says_what_each_line_would_do() -> None:
    cast = fleet(2)
    Instance.objects.update(token_sealed=b"")
    before = list(Instance.objects.values_list("name", "labels"))
    status, body = look(cast.olga, FILE)
    assert status == 200
    assert list(Instance.objects.values_list("name", "labels")) == before
    for words in ("labels region=eu-west → region=us; tier=web", "Import: 1 new, 1 changed", ">new<", ">unchanged<"):
        assert words in body
    assert SECRET not in body  # the file comes back sealed

    status, body = do(cast.olga, held(body))
    assert status == 302
    assert "1 added, 1 changed; 1 were so already. They are being asked what they run." in body
    assert Instance.objects.get(name="new").target.token == SECRET
    assert Instance.objects.get(name="i000").labels == {"region": "us", "tier": "web"}
    events = AuditEvent.objects.filter(action__in=["instance.registered", "instance.changed"])
    assert {event.target_label for event in events} == {"new", "i000"}
    assert all(SECRET not in str(event.data) for event in events)


def test_an_address_that_could_not_be_kept_is_refused_before_the_deed() -> None:
    cast = fleet(1)
    _, body = look(cast.olga, f"name,base_url,token\nnew,http://new/{'x' * 300},{SECRET}\n")
    assert "An address has at most 300 characters." in body
    assert "Nothing is imported while a line is refused" in body


def test_a_refused_line_stops_all_of_them_and_says_why() -> None:
    cast = fleet(2)
    registry.register(
        registry.add_environment("production", protected=True, plain_http=True, actor=None),
        name="theirs",
        base_url="http://theirs",
        token="x",
        actor=None,
    )
    lines = ["labels,name,base_url,token", ",a,ftp://a,t", ",b,http://b,", ",c,http://theirs,t", ",d,http://d,t"]
    lines += [",d,http://e,t", ",,http://f,t", "x y,g,http://g,t"]
    status, body = look(cast.olga, "\n".join(lines))
    assert status == 200
    for words in (
        "must start with http://",
        "needs its agent's token",
        "is managed already, under another name",
        "Another line has this name",
        "needs a name",
        "is not key=value",
    ):
        assert words in body
    assert "Nothing is imported while a line is refused" in body
    kept = held(look(cast.olga, "name,base_url,token\nh,http://h,t\n")[1])
    registry.register(cast.environment, name="other", base_url="http://h", token="t", actor=None)  # meanwhile
    status, body = do(cast.olga, kept)
    assert (status, "is managed already" in body) == (422, True)
    assert not Instance.objects.filter(name="h").exists()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "The first line names the columns"),
        ("a,b\n1,2\n", "The first line names the columns"),
        ("name,base_url\n", "There is no instance"),
        ('name,base_url\n"a,http://a', "is no CSV"),
        ("name,base_url\n" + "a,http://a\n" * 2001, "More than 2,000 lines"),
        ("name,base_url\n\ud800,x", "not UTF-8"),
    ],
)
def test_a_file_that_is_none_is_refused_in_words(text: str, words: str) -> None:
    cast = testing.cast()
    status, body = look(cast.olga, text)
    assert status == 422
    assert words in body or (not text and "empty" in body)


def test_a_kept_file_is_good_for_whoever_looked_at_it_there_and_for_nobody_else() -> None:
    cast = testing.cast()
    kept = held(look(cast.olga, "name,base_url,token\na,http://a,t\n")[1])
    for user, text in ((cast.adam, kept), (cast.olga, kept[:-4]), (cast.olga, "é")):
        status, body = do(user, text)
        assert (status, "was not kept" in body) == (422, True)
    assert not Instance.objects.exists()


def test_an_export_has_what_the_filter_lets_through_and_no_token_and_can_be_imported_again() -> None:
    cast = fleet(4)
    registry.register(cast.environment, name="=1+1", base_url="http://sum", token=SECRET, labels={"a": "b"}, actor=None)
    answer = client_of(cast.victor).post("/e/staging/fleet/export/", {"label": "region=eu"})
    rows = list(csv.DictReader(io.StringIO(answer.content.decode())))
    assert [(row["name"], row["labels"], row["config"], row["health"]) for row in rows] == [
        ("i001", "region=eu", "in sync", "healthy"),
        ("i003", "region=eu", "in sync", "healthy"),
    ]
    event = AuditEvent.objects.get(action="fleet.exported")
    assert (event.data["number"], event.data["filter"]) == (2, {"labels": ["region=eu"]})
    everything = client_of(cast.olga).post("/e/staging/fleet/export/").content.decode()
    assert "'=1+1" in everything  # no formula
    assert SECRET not in everything
    Instance.objects.filter(name__startswith="i").update(token_sealed=b"")
    assert "There is nothing to do" in look(cast.olga, everything)[1]
