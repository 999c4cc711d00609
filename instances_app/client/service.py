"""What the webhook service says of itself where it has no agent (spiderhash-io/webhook): untrusted, as all answers.

Its `/health` needs no token and tells who it is: {"status": "healthy" | "unhealthy", "service": "webhook-service",
"components": {name: word}}, with 503 for unhealthy. Its own admin API wants a token of its own, or is switched off.
"""

from __future__ import annotations

from instances_app.client.replies import Outcome, Reply, printable

HEALTH = "/health"
ADMIN = "/admin/config-status"
NAME = "webhook-service"
ILL = frozenset({"unhealthy", "disconnected", "unavailable", "degraded"})
MOST_NAMED = 5  # components


def health(reply: Reply) -> Reply:
    """An answer of /health in the words of an agent's instance-info: `health`, `health_reason`. It has no digests.

    `ill` names components that are ill although the service calls itself healthy.

    WRONG_PROTOCOL for whatever answers, but not as this service does.
    """
    status = reply.body.get("status")
    if reply.body.get("service") != NAME or not isinstance(status, str):
        if reply.outcome not in {Outcome.OK, Outcome.WRONG_PROTOCOL} or reply.code == "redirect":
            return reply
        error = f"Something answers there (HTTP {reply.status}), but not as a webhook service does."
        return Reply(Outcome.WRONG_PROTOCOL, reply.status, error=error, code="not_service", elapsed_ms=reply.elapsed_ms)
    ill = sorted(ill_components(reply).items())[:MOST_NAMED]
    named = ", ".join(f"{printable(name, 40)} is {word}" for name, word in ill)
    well = status == "healthy"  # which of its components it cannot do without, it knows itself
    reason = "" if well else f"The service says that it is {printable(status, 40)}. {named}".strip()
    body = {"service": NAME, "health": "healthy" if well else "degraded", "health_reason": reason, "ill": named}
    return Reply(Outcome.OK, reply.status, body, elapsed_ms=reply.elapsed_ms)


def ill_components(reply: Reply) -> dict[str, str]:
    """Name → word of those that a /health answer calls ill."""
    listed = reply.body.get("components")
    words = listed.items() if isinstance(listed, dict) else ()
    return {name: word for name, word in words if isinstance(word, str) and word in ILL}
