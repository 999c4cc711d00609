"""A service that implements only the seed's three endpoints can still be managed, and proven."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from configs_app import documents
from console import testing
from console.testing import ended
from console.testing_processes import Process, until
from instances_app import registry
from sync_app import rollouts
from sync_app.models import Cause

pytestmark = pytest.mark.django_db(transaction=True)

TOKEN = "seed-token"


class SeedService:
    """The endpoints as the first proposal wrote them: one document per request, versions of 16 digits."""

    def __init__(self) -> None:
        self.documents: dict[str, Any] = {"webhooks": {}, "connections": {}}
        self.pushed: list[str] = []
        service = self

        class Handler(BaseHTTPRequestHandler):
            def log_message(self, *_: object) -> None:
                pass

            def do_GET(self) -> None:
                if not self.may_enter():
                    self.answer(401, {"detail": "Unauthorized"})
                elif self.path.endswith("config-version"):
                    self.answer(200, {**service.versions(), "last_reload": "2024-01-01T00:00:00"})
                elif self.path.endswith("instance-info"):
                    self.answer(200, {"instance_id": "seed", "service_version": "1.0", **service.versions()})
                else:
                    self.answer(404, {"detail": "Not Found"})

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                if not self.may_enter():
                    return self.answer(401, {"detail": "Unauthorized"})
                service.documents[body["type"]] = body["config"]
                service.pushed.append(body["type"])
                return self.answer(200, {"status": "success", "timestamp": "now", "instance_id": "seed"})

            def may_enter(self) -> bool:
                return self.headers["Authorization"] == f"Bearer {TOKEN}"

            def answer(self, status: int, body: dict[str, Any]) -> None:
                content = json.dumps(body).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.base_url = f"http://127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def versions(self) -> dict[str, str]:
        return {
            f"{kind}_version": hashlib.sha256(json.dumps(document, sort_keys=True).encode()).hexdigest()[:16]
            for kind, document in self.documents.items()
        }


@pytest.fixture
def seed_service() -> Iterator[SeedService]:
    service = SeedService()
    yield service
    service.server.shutdown()
    service.server.server_close()


def test_a_service_with_only_the_seeds_endpoints_is_brought_to_the_bundle_and_proven(
    worker_process: Process, seed_service: SeedService
) -> None:
    cast = testing.cast()
    testing.bundle(cast.environment)
    instance = testing.instance(cast.environment, "old", seed_service.base_url, TOKEN)
    assert registry.check(instance, actor=cast.olga).health == "healthy"

    rollout = rollouts.start(cast.environment, actor=cast.olga, cause=Cause.SYNC)

    until(lambda: ended(rollout), what="the rollout's end")
    delivery = rollout.deliveries.get()
    assert (delivery.state, delivery.evidence) == ("verified", "Read back after the push.")
    assert seed_service.pushed == ["connections", "webhooks"]  # a webhook may name a connection
    bundle = documents.desired(cast.environment)
    assert bundle is not None
    assert {k: v[:16] for k, v in bundle.digests().items()} == {
        name.removesuffix("_version"): version for name, version in seed_service.versions().items()
    }


def test_only_the_document_that_differs_is_sent(worker_process: Process, seed_service: SeedService) -> None:
    cast = testing.cast()
    bundle = testing.bundle(cast.environment)
    for revision in bundle.revisions():
        seed_service.documents[revision.document.kind] = json.loads(revision.text)
    instance = testing.instance(cast.environment, "old", seed_service.base_url, TOKEN)
    registry.check(instance, actor=cast.olga)
    webhooks = testing.text({"only": {"module": "log"}})

    rollout = rollouts.publish(testing.draft(cast.environment, actor=cast.olga, webhooks=webhooks), actor=cast.olga)

    until(lambda: ended(rollout), what="the rollout's end")
    assert rollout.deliveries.get().state == "verified"
    assert seed_service.pushed == ["webhooks"]


def test_a_wrong_token_fails_at_once_and_is_marked_on_the_instance(
    worker_process: Process, seed_service: SeedService
) -> None:
    cast = testing.cast()
    testing.bundle(cast.environment)
    instance = testing.instance(cast.environment, "old", seed_service.base_url, "another-token")

    rollout = rollouts.start(cast.environment, actor=cast.olga, cause=Cause.SYNC)

    until(lambda: ended(rollout), what="the rollout's end")
    delivery = rollout.deliveries.get()
    assert (delivery.state, delivery.attempts) == ("failed", 1)
    instance.refresh_from_db()
    assert instance.token_refused_at is not None
    assert seed_service.pushed == []
