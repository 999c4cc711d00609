"""The service's own endpoints: `POST /webhook/<id>`, `GET /health` and `GET /stats`."""

from __future__ import annotations

import asyncio
import hmac
import json
from collections import Counter
from typing import Any

from sample_service.config import Configuration, chain_of
from sample_service.modules import WORKING, Undeliverable
from webhook_agent.http import App, Receive, Scope, Send

MAX_PAYLOAD = 10 * 1024 * 1024  # bytes


def service(configuration: Configuration) -> App:
    accepted: Counter[str] = Counter()  # by this process

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await _live(receive, send)
            return
        if scope["type"] != "http":
            raise RuntimeError(f"This service does not speak {scope['type']}.")
        path, method = scope["path"], scope["method"]
        answer: dict[str, Any]
        if path == "/health":
            ill = (configuration.folder / "ill").exists()
            status, answer = (503, {"status": "unhealthy"}) if ill else (200, {"status": "healthy"})
            answer["service"] = "webhook-service"  # as the real one calls itself
        elif path == "/admin/config-status":  # the real one's own admin API, which nobody has switched on here
            status, answer = 403, {"detail": "Admin API disabled."}
        elif path == "/stats":  # of the real service's numbers for each webhook the first
            status, answer = 200, {name: {"total": number} for name, number in accepted.items()}
        elif not path.startswith("/webhook/"):
            status, answer = 404, {"detail": "Not Found"}
        elif method != "POST":
            status, answer = 405, {"detail": "Method Not Allowed"}
        else:
            payload = await _payload(receive)
            if payload is None:
                return
            webhook = path[len("/webhook/") :]
            status, answer = await _deliver(configuration, webhook, scope, payload)
            if status == 200:
                accepted[webhook] += 1
        await _send(send, status, answer)

    return app


async def _live(receive: Receive, send: Send) -> None:
    """From its start to its end there is nothing to do."""
    while (message := await receive())["type"] != "lifespan.shutdown":
        await send({"type": f"{message['type']}.complete"})
    await send({"type": "lifespan.shutdown.complete"})


async def _deliver(
    configuration: Configuration, webhook: str, scope: Scope, payload: bytes
) -> tuple[int, dict[str, Any]]:
    entry = configuration.webhooks.get(webhook)
    if entry is None:
        return 404, {"detail": f"Webhook '{webhook}' not found"}
    if not _authorised(entry.get("authorization"), scope):
        return 401, {"detail": "Unauthorized"}
    if len(payload) > MAX_PAYLOAD:
        return 413, {"detail": "Payload too large"}
    steps = chain_of(entry)
    absent = sorted({step["module"].strip() for step in steps} - WORKING.keys())
    if absent:
        return 501, {"detail": f"The sample service has no module '{absent[0]}'"}
    try:
        for step in steps:
            config = step.get("module-config")
            await asyncio.to_thread(
                WORKING[step["module"].strip()],
                webhook,
                payload,
                config if isinstance(config, dict) else {},
                configuration.folder,
            )
    except Undeliverable as error:
        return error.status, {"detail": str(error)}
    return 200, {"message": "200 OK"}


def _authorised(expected: object, scope: Scope) -> bool:
    """Exact comparison of the whole header. A placeholder is not resolved here, so it lets nobody in."""
    if expected is None or expected == "":
        return True
    given = [value for name, value in scope["headers"] if name.lower() == b"authorization"]
    if not isinstance(expected, str) or "{$" in expected or len(given) != 1:
        return False
    return hmac.compare_digest(given[0], expected.encode("utf-8", "surrogatepass"))


async def _payload(receive: Receive) -> bytes | None:
    """At most a little more than MAX_PAYLOAD bytes; None when the caller went away."""
    chunks: list[bytes] = []
    size = 0
    more = True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        chunk = message.get("body", b"")
        if size <= MAX_PAYLOAD:
            chunks.append(chunk)
        size += len(chunk)
        more = message.get("more_body", False)
    return b"".join(chunks)


async def _send(send: Send, status: int, answer: dict[str, Any]) -> None:
    body = json.dumps(answer).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
