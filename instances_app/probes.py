"""The serving probe of an environment: what is asked, what counts as an answer, and changing that.

A probe with headers or a body may hold secrets. They are sealed, shown to nobody again, and taken out of what is kept
of an answer.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Self
from urllib.parse import unquote

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from console import audit
from console.errors import Refused
from console.models import User
from console.sealing import seal, unseal
from instances_app import probe_secrets
from instances_app.client import Outcome
from instances_app.client.probing import Answered, Ask
from instances_app.models import Environment, Instance, Probe, Served, Service
from instances_app.probe_models import Method

NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,100}")
PATH = re.compile(r"/[A-Za-z0-9._~!$&'()*+,;=:@%/?-]*")
RANGE = re.compile(r"([1-5][0-9]{2})(?:\s*-\s*([1-5][0-9]{2}))?")
OWN = frozenset(  # the client writes these itself; a second one could be read as another request
    {"host", "content-length", "transfer-encoding", "connection", "accept-encoding", "user-agent", "expect", "upgrade"}
    | {"te", "trailer", "proxy-authorization", "keep-alive"}
)
MOST_HEADERS, LONGEST_HEADERS, LONGEST_BODY, MOST_CHECKS, LONGEST_SECONDS = 20, 4000, 64 * 1024, 1000, 30


@dataclass(frozen=True, slots=True)
class Settings:
    """A probe as somebody typed it; `headers` and `body` may hold secrets."""

    method: str
    path: str
    statuses: str = "200-299"
    contains: str = ""
    seconds: int = 5
    every: int = 10
    headers: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    body: str = field(default="", repr=False)

    @classmethod
    def of(cls, probe: Probe) -> Self:
        held = json.loads(unseal(probe.secrets_sealed)) if probe.secrets_sealed is not None else {}
        headers = tuple((name, value) for name, value in held.get("headers", ()))
        return cls(
            probe.method,
            probe.path,
            probe.statuses,
            probe.contains,
            probe.seconds,
            probe.every,
            headers,
            held.get("body", ""),
        )

    @property
    def data(self) -> dict[str, Any]:
        """For the audit trail: without what is secret."""
        return {
            "request": f"{self.method} {self.path}",
            "statuses": self.statuses,
            "contains": self.contains,
            "seconds": self.seconds,
            "every": self.every,
            "headers": [name for name, _ in self.headers],
            "body_bytes": len(self.body.encode()),
        }

    def ask(self, instance: Instance) -> Ask:
        return Ask(instance.pk, instance.target, self.method, self.path, self.seconds, self.headers, self.body.encode())

    def judge(self, answered: Answered) -> tuple[Service, str]:
        """The word for an answer, and what is wrong in words (empty when nothing is)."""
        if answered.outcome == Outcome.UNREACHABLE:
            return Service.NO_ANSWER, answered.error
        if answered.status is None:
            return Service.UNKNOWN, f"{answered.error} Nobody knows whether it would have answered."
        if not any(answered.status in part for part in ranges(self.statuses)):
            led = ", a redirect, which is not followed" if 300 <= answered.status < 400 else ""
            return Service.WRONG, f"It answered with HTTP {answered.status}{led}; expected was {self.statuses}."
        if self.contains and answered.cut:
            return Service.WRONG, "Its answer is longer than 256 KB; the expected text was not looked for in it."
        if self.contains and self.contains not in answered.text:
            return Service.WRONG, f"It answered with HTTP {answered.status}, but without the text “{self.contains}”."
        return Service.SERVING, ""

    def hiding(self) -> Callable[[str], str]:
        """Somebody's words → the same on one line, at most 300 characters, without the secrets of this probe."""
        return probe_secrets.hiding(self.headers, self.body)


def of(environment: Environment) -> Probe | None:
    return Probe.objects.filter(environment=environment).first()


def ranges(text: str) -> list[range]:
    """``200-299, 401`` as ranges; Refused says what is wrong with anything else."""
    found = []
    for part in filter(None, (part.strip() for part in text.split(","))):
        match = RANGE.fullmatch(part)
        if match is None or int(match[2] or match[1]) < int(match[1]):
            raise Refused(f"“{part[:20]}” is no HTTP status. Write them as 200-299, 401.")
        found.append(range(int(match[1]), int(match[2] or match[1]) + 1))
    if not found:
        raise Refused("Say which statuses are expected, such as 200-299.")
    return found


def headers_of(text: str) -> tuple[tuple[str, str], ...]:
    """One header a line, ``Name: value``; Refused names the line, never its value."""
    found = []
    if len(text) > LONGEST_HEADERS:
        raise Refused(f"The headers have more than {LONGEST_HEADERS:,} characters.")
    for number, line in enumerate(text.replace("\r\n", "\n").split("\n"), start=1):
        name, colon, value = line.strip().partition(":")
        if not line.strip():
            continue
        if not colon or not NAME.fullmatch(name):
            raise Refused(f"Line {number} of the headers is not “Name: value”.")
        if name.lower() in OWN:
            raise Refused(f"The console writes {name} itself. Take it out of the headers.")
        if not value.strip().isprintable() or not value.strip().isascii():
            raise Refused(f"The value of {name} has characters that no header may have.")
        found.append((name, value.strip()))
    if len(found) > MOST_HEADERS:
        raise Refused(f"At most {MOST_HEADERS} headers.")
    return tuple(found)


def check(wanted: Settings) -> None:
    """Refused says which part of it cannot be."""
    if wanted.method not in Method.values:
        raise Refused(f"The method is one of {', '.join(Method.values)}.")
    path = wanted.path
    if not path.startswith("/") or path.startswith("//"):
        raise Refused("The path begins with one slash and stands behind each instance's address: /health, say.")
    parts = unquote(path.partition("?")[0]).replace("\\", "/").lower().split("/")[1:]
    if not PATH.fullmatch(path) or len(path) > 300 or {".", ".."} & set(parts) or "" in parts[:-1]:
        raise Refused(
            "The path has characters that no address has, leads upwards, or has two slashes in a row. "
            "Percent-encode the first."
        )
    if parts[0] == "admin":
        raise Refused("/admin is the agent's. The probe asks the service itself, without the agent's token.")
    ranges(wanted.statuses)
    if len(wanted.statuses) > 100 or len(wanted.contains) > 200 or "\0" in wanted.contains:
        raise Refused("Statuses have up to 100 characters, the expected text up to 200.")
    if not 1 <= wanted.seconds <= LONGEST_SECONDS:
        raise Refused(f"It waits 1 to {LONGEST_SECONDS} seconds.")
    if not 0 <= wanted.every <= MOST_CHECKS:
        raise Refused(f"It is asked with every check, or with every so manyth up to {MOST_CHECKS}; 0 for never.")
    if len(wanted.body.encode("utf-8", "surrogatepass")) > LONGEST_BODY:
        raise Refused("The body has more than 64 KB.")
    if wanted.method == Method.GET and wanted.body:
        raise Refused("A GET has no body. Choose POST or PUT, or take the body out.")


def change(environment: Environment, wanted: Settings, *, actor: User) -> Probe:
    """Ask this from now on. What was found before counts no more."""
    check(wanted)
    with transaction.atomic():
        environment = Environment.objects.select_for_update(no_key=True).get(pk=environment.pk)
        before = of(environment)
        was = Settings.of(before) if before else None
        if was == wanted:
            raise Refused("It is set like this already.")
        probe = before or Probe(environment=environment)
        for name in ("method", "path", "statuses", "contains", "seconds", "every"):
            setattr(probe, name, getattr(wanted, name))
        secret = (wanted.headers, wanted.body)
        held = json.dumps({"headers": wanted.headers, "body": wanted.body})
        probe.secrets_sealed = seal(held) if any(secret) else None
        probe.header_names = [name for name, _ in wanted.headers]
        probe.body_size = len(wanted.body.encode())
        probe.changed_at = timezone.now()
        # Milliseconds, or one more: a probe that was removed and made anew never counts an old one's answers.
        probe.version = max(int(time.time() * 1000), (before.version if before else 0) + 1)
        probe.save()
        audit.record(
            "environment.probe_changed",
            actor=actor,
            target=environment,
            before=was.data if was else None,
            after=wanted.data,
            secrets_changed=(was.headers, was.body) != secret if was else any(secret),
        )
    return probe


def remove(environment: Environment, *, actor: User) -> None:
    """Ask nothing any more."""
    with transaction.atomic():
        environment = Environment.objects.select_for_update(no_key=True).get(pk=environment.pk)
        probe = of(environment)
        if probe is None:
            raise Refused("There is no probe here.")
        before = Settings.of(probe).data
        probe.delete()
        audit.record("environment.probe_removed", actor=actor, target=environment, before=before)


def believed_for(probe: Probe) -> timedelta:
    """How old an answer may be: the time to the next one and what an answer is believed in any case."""
    return timedelta(seconds=probe.every * settings.OBSERVE_SECONDS + settings.STALE_SECONDS)


def counts(served: Served | None, probe: Probe, instance: Instance) -> bool:
    """Whether this was found by today's probe at today's address."""
    if served is None or served.version != probe.version:
        return False
    return instance.here_since(served.at)
