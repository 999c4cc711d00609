"""Which instances run which revision: from fresh reports, and nothing guessed."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.conf import settings
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from webhook_agent import protocol

from configs_app import changes, revisions, running
from configs_app.models import Revision
from console import testing
from console.testing import Cast
from instances_app import observations
from instances_app.observations import Sighting

pytestmark = pytest.mark.django_db


@pytest.fixture
def cast() -> Cast:
    """staging has webhooks r1 and r2, and r3 with the content of r1."""
    made = testing.cast()
    testing.bundle(made.environment)
    for document in ({"other": {"module": "log"}}, testing.WEBHOOKS):
        text = testing.text(document)
        changes.publish(testing.draft(made.environment, actor=made.olga, webhooks=text), actor=made.olga)
    return made


def revision(cast: Cast, number: int) -> Revision:
    return revisions.of(cast.environment, "webhooks").get(number=number)


def reports(cast: Cast, name: str, digest: str, *, age: float = 0) -> None:
    instance = testing.instance(cast.environment, name)
    at = timezone.now() - timedelta(seconds=age)
    observations.record([Sighting(instance.pk, {"webhooks": digest}, at)])


def told(cast: Cast) -> tuple[list[tuple[int | None, bool, list[str]]], list[str]]:
    found = running.of_document(cast.environment, "webhooks")
    groups = [
        (group.revision.number if group.revision else None, group.current, [one.name for one in group.instances])
        for group in found.groups
    ]
    return groups, [instance.name for instance in found.unknown]


def test_instances_stand_with_the_newest_revision_that_has_what_they_report(cast: Cast) -> None:
    reports(cast, "a", revision(cast, 3).digest)
    reports(cast, "b", protocol.short(revision(cast, 1).digest))  # the content of r1 is that of r3
    reports(cast, "c", revision(cast, 2).digest)
    reports(cast, "d", "f" * 64)
    reports(cast, "e", revision(cast, 3).digest, age=settings.STALE_SECONDS + 1)
    testing.instance(cast.environment, "f")
    assert told(cast) == ([(3, True, ["a", "b"]), (2, False, ["c"]), (None, False, ["d"])], ["e", "f"])


def test_the_pages_say_where_it_runs_and_cost_a_fixed_number_of_queries(cast: Cast) -> None:
    page = Client()
    page.force_login(cast.victor)
    urls = ["/e/staging/documents/webhooks/", "/e/staging/documents/webhooks/r/2/"]

    def queries() -> list[int]:
        counts = []
        for url in urls:
            with CaptureQueriesContext(connection) as captured:
                body = page.get(url).content.decode()
            assert "not a revision we know" in body
            assert "(current)" in body
            counts.append(len(captured))
        return counts

    reports(cast, "a", revision(cast, 3).digest)
    reports(cast, "b", "f" * 64)
    few = queries()
    for number in range(5):
        reports(cast, f"more-{number}", revision(cast, 2).digest)
    assert queries() == few


def test_a_retired_instance_runs_nothing_of_ours(cast: Cast) -> None:
    from instances_app import registry

    registry.retire(testing.instance(cast.environment, "gone"), actor=cast.olga)
    assert told(cast) == ([], [])
