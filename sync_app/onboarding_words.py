"""What the first question to an instance found, for somebody who wants it to answer: how far it got, why, what next.

A function of the answers alone. What the other side wrote was cut and cleaned by the client; pages escape it.
"""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import urlsplit

from webhook_agent import protocol

from instances_app.client import First, Outcome, Reply
from instances_app.client.first import Certificate

STEPS = ("address", "connection", "TLS", "answer", "agent", "token", "documents")  # each needs the ones before


@dataclass(frozen=True, slots=True)
class Explained:
    """`stopped` is the step that failed, empty when all are passed."""

    stopped: str
    title: str
    why: str
    next: tuple[str, ...] = ()
    service: bool = False  # the service itself is there, without an agent


def explain(first: First, base_url: str) -> Explained:
    parts = urlsplit(base_url)
    host, port = parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)
    reply = first.looked.info if first.names_documents else first.looked.versions
    if first.is_agent:
        return _documents(first)
    if reply.status is None:
        return _silence(first, reply, base_url, host, port)
    if reply.code == "redirect":
        where = f" It sends callers to {reply.text}." if reply.text else ""
        return Explained(
            "answer",
            "The address redirects",
            f"{base_url} answers with a redirect (HTTP {reply.status}).{where} The console follows none, for the token "
            "would go wherever it leads.",
            ("Correct the address: take the one that it leads to, without /admin.",),
        )
    if first.speaks_tls:
        return _wants_tls(base_url)
    return _no_agent(first, reply, base_url)


def _silence(first: First, reply: Reply, base_url: str, host: str, port: int) -> Explained:
    local = ("Is it localhost from the console's point of view? The console asks from its own machine.",)
    match reply.code:
        case "dns":
            return Explained(
                "address",
                f"The name {host} is not known",
                "The console's machine finds no address for that name.",
                (
                    "Is it spelled right, with its domain?",
                    f"Does the console's machine know it? Try there: getent hosts {host}",
                    "In containers, use the name that the service has in the network which both are in.",
                ),
            )
        case "address" | "token":
            return Explained(
                "address", "That address is not asked", reply.error, ("Correct the address or the token.",)
            )
        case "plain_http" | "transport":
            return Explained(
                "address",
                "That address is not asked",
                reply.error,
                ("Settings, Plain http and certificates, say how instances of this environment are reached.",),
            )
        case "client_certificate":
            return Explained("TLS", "It wants to know who calls", reply.error)
        case "refused":
            return Explained(
                "connection",
                f"Nothing listens at {host}, port {port}",
                "The machine was reached, and refused the connection.",
                (
                    "Is the service running? Its own log says why if it is not.",
                    f"Does it listen on port {port}? Try on its machine: ss -ltn",
                    "Does it listen on 127.0.0.1 only? Start it with --host 0.0.0.0, or its own address.",
                    "A firewall that rejects looks the same.",
                    *(local if host in {"localhost", "127.0.0.1", "::1"} else ()),
                ),
            )
        case "connect_timeout":
            return Explained(
                "connection",
                f"No connection to {host} in time",
                "Nothing came back at all, not even a refusal.",
                (
                    "Is the machine up, and is that its address?",
                    f"A firewall that drops packets looks like this: let the console in on port {port}.",
                    f"Try on the console's machine: curl -v {base_url}/health",
                ),
            )
        case "tls":
            return _tls(first.certificate or Certificate("other"), base_url, host, port)
        case _ if first.speaks_tls:
            return _wants_tls(base_url)
        case "read_timeout":
            return Explained(
                "answer",
                "It takes the connection, and does not answer",
                reply.error,
                (
                    "Is the service still starting, or out of worker processes?",
                    "Is something else listening there, which does not speak HTTP?",
                ),
            )
    return Explained(
        "answer",
        "The connection broke before there was an answer",
        reply.error,
        (
            "Is the service restarting? Then wait: it is asked again.",
            "Is something else listening there, which does not speak HTTP?",
        ),
    )


def _wants_tls(base_url: str) -> Explained:
    return Explained(
        "answer",
        "It speaks https, and was asked with http",
        f"Something that speaks TLS listens at {base_url}.",
        (f"Correct the address: https{base_url.removeprefix('http')}",),
    )


def _tls(shown: Certificate, base_url: str, host: str, port: int) -> Explained:
    names = ", ".join(shown.names) or "no name at all"
    until = f"{shown.until:%Y-%m-%d %H:%M} UTC" if shown.until else "an unknown day"
    match shown.wrong:
        case "no tls":
            return Explained(
                "TLS",
                "It speaks http, and was asked with https",
                "What listens there does not speak TLS.",
                (
                    f"Correct the address: http{base_url.removeprefix('https')}",
                    "Or give the service a certificate, or a proxy that has one.",
                ),
            )
        case "expired":
            title, why = "Its certificate has ended", f"It was good until {until}."
            step = "Renew it there; the service, or the proxy before it, has to load the new one."
        case "too early":
            title, why = "Its certificate is not good yet", "It begins later than now."
            step = "Are the clocks of both machines right?"
        case "other name":
            title, why = "Its certificate is for another name", f"It is for {names}; it was asked as {host}."
            step = "Correct the address to a name that the certificate has, or have it issued for this one."
        case "untrusted":
            title, why = (
                "Its certificate is not trusted here",
                f"It is for {names}, and nobody the console trusts has signed it.",
            )
            step = (
                "Is it signed by your own authority? An admin can have this environment trust that: Settings, Plain "
                "http and certificates."
            )
        case _:
            title, why = "TLS failed", "The two sides did not agree on a connection."
            step = "Does the other side ask for a client certificate, or speak an old TLS? Its own log says more."
    return Explained(
        "TLS", title, why, (step, f"Look at it: openssl s_client -connect {host}:{port} -servername {host}")
    )


def _no_agent(first: First, reply: Reply, base_url: str) -> Explained:
    ours = reply.body.get("status") == "error" and reply.code in protocol.CODES  # as our agent refuses
    service = first.service is not None and first.service.versions.outcome == Outcome.OK
    if reply.outcome == Outcome.UNAUTHORISED and (ours or not service):
        return _refused(reply, ours=ours)
    if service:
        admin = first.service.service_admin if first.service is not None else None
        own = admin is not None and admin.status in {401, 403, 200}
        return Explained(
            "agent",
            "The service is there, without an agent",
            "Its own /health answers as the webhook service does"
            + (", and its own admin API is there" if own else "")
            + ", but nobody answers for an agent.",
            (
                "Embed the agent (the lines are below), set CONFIG_ADMIN_TOKEN, and start the service again.",
                "Is it embedded already? Then another process still runs: start that with the new file.",
            ),
            service=True,
        )
    if reply.outcome == Outcome.BUSY:
        return Explained(
            "agent",
            "It is busy",
            f"It says: {reply.error}",
            ("Wait: it is asked again. If it goes on, is a proxy answering because the service behind it is down?",),
        )
    if reply.outcome == Outcome.SERVER_ERROR:
        return Explained(
            "agent",
            f"It failed (HTTP {reply.status})",
            f"It says: {reply.error}",
            (
                "Look into the service's log at this minute.",
                "502 and 504 come from a proxy: is the service behind it up?",
            ),
        )
    if reply.code == "not_found":
        return Explained(
            "agent",
            "Something answers, but no agent is there",
            f"It answers HTTP {reply.status} to /admin/{'instance-info' if first.names_documents else 'config-version'}"
            + (f" and says: {reply.text}" if reply.text else "."),
            (
                "Embed the agent (the lines are below) and start the service again.",
                "Is the service behind a path? Then that belongs to the address: http://host:8000/hooks",
                "Does a proxy in front let /admin/ through?",
            ),
        )
    said = reply.text or reply.error
    return Explained(
        "agent",
        "Something else answers there",
        f"It answers HTTP {reply.status}, but not as an agent does" + (f". It says: {said}" if said else "."),
        (
            "Is this the right host and port? Another service, or a proxy's page, may be there.",
            "Is the service behind a path? Then that belongs to the address: http://host:8000/hooks",
        ),
    )


def _refused(reply: Reply, *, ours: bool) -> Explained:
    if reply.code == protocol.FORBIDDEN:
        return Explained(
            "token",
            "The agent does not let the console in",
            "It only answers clients of certain networks.",
            ("Add the console's address to allow_networks where the agent is embedded.",),
        )
    if ours:
        return Explained(
            "token",
            "The agent is there, and has another token",
            "It refused the one that is sealed here (HTTP 401).",
            (
                "The service was not started again since CONFIG_ADMIN_TOKEN was set, or another process still answers.",
                "CONFIG_ADMIN_TOKEN holds another one, for example with quotes or a line break in it. Set it anew, or "
                "store the agent's own token here (Correct).",
                "The token was lost? Make a new one below, and set that.",
            ),
        )
    return Explained(
        "token",
        "Something there wants another sign-in",
        f"It answers HTTP {reply.status}, but not in an agent's words.",
        (
            "Does a proxy in front ask for a sign-in? It has to let /admin/ through as it is.",
            "Is it an agent of your own? Then its token is another one: store it here (Correct).",
        ),
    )


def _documents(first: First) -> Explained:
    versions = first.looked.versions.body
    missing = [
        kind for kind in protocol.KINDS if not (versions.get(f"{kind}_digest") or versions.get(f"{kind}_version"))
    ]
    if not missing:
        return Explained("", "The agent answers", "It knows the token, and says what it runs.")
    reason = first.looked.info.body.get("health_reason")
    return Explained(
        "documents",
        f"The agent answers, but the service runs no {' and no '.join(missing)} document",
        str(reason)[:300] if reason else "There may be no such file yet.",
        (
            "Is that right? Then go on: the first rollout brings both documents.",
            "Else look where its files are, and correct them; the service loads them at its next start.",
        ),
    )
